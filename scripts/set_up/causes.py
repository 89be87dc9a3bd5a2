# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What usual failures of pip, apt, CMake and the disk mean, and what to do about them."""
import errno
import re

NETWORK = (r'NewConnectionError|NameResolutionError|name resolution|Name or service not known|'
           r'Network is unreachable|Failed to establish a new connection|Connection refused|'
           r'ConnectTimeoutError|Read timed out|ReadTimeoutError|Could not resolve|'
           r'No route to host|Temporary failure resolving|RemoteDisconnected|IncompleteRead|'
           r'Connection reset by peer')
# (what the output says, what it means and what to do), the first that is found is told
CAUSES = tuple((re.compile(pattern), text) for pattern, text in (
    (r'No space left on device|Errno 28\b|Disk quota exceeded|Errno 122\b',
     'the disk (or your quota) is full: free some space, or set TMPDIR to a directory on a '
     'larger disk if it is the temporary directory'),
    (r'CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|SSLError',
     'the certificate of the package index is not trusted: behind a proxy that reads TLS set '
     'PIP_CERT to its certificates; otherwise look whether the clock of this machine is right'),
    (r'ProxyError|407 Proxy|Tunnel connection failed',
     'the proxy refuses: set HTTPS_PROXY, with a user if it wants one'),
    (NETWORK, 'no package index can be reached ({found}): connect to the network, or set '
     'HTTPS_PROXY, or PIP_INDEX_URL to a mirror'),
    (r'40[13] (?:Client Error|Forbidden|Unauthorized)|HTTP error 40[13]',
     'the package index refuses ({found}): look at PIP_INDEX_URL and its password'),
    (r'(?:No matching distribution found for|Could not find a version that satisfies the '
     r'requirement) \S+',
     '{found}: the package index has no such file for this Python and machine. Another mirror '
     '(PIP_INDEX_URL) or another Python (make demo PYTHON=python3.12) may have one'),
    (r'Read-only file system|Errno 30\b',
     'the file system is read-only: clone to a place that can be written'),
    (r'Permission denied.*|Errno 13\b.*',
     '{found}: not yours to write, or the disk forbids to run programs (noexec). Clone to a '
     'directory of yours; what an earlier set-up as root has left, remove as root'),
    (r'ensurepip is not available|No module named (?:venv|ensurepip)',
     'this Python makes no virtual environments; as root, run\n    apt-get install python3-venv'),
    (r'Could not get lock|Unable to (?:acquire|lock)',
     'another program is installing Debian packages: wait until it is done'),
    (r'internal compiler error: Killed|fatal error: Killed|std::bad_alloc|Cannot allocate memory'
     r'|MemoryError|virtual memory exhausted',
     'memory is used up: close other programs; about 2 GB are needed'),
    (r'CMAKE_CXX_COMPILER|is not able to compile|(?:c\+\+|g\+\+): not found|cannot find -l\S+'
     r'|fatal error: \S+\.h(?:pp)?: No such file.*|unrecognized command.line option \S+',
     'the C++ compiler can not be used ({found}); as root, run\n'
     '    apt-get install g++ make python3-dev\nor set CXX to another one'),
))
OF_ERRNO = {
    errno.ENOSPC: 'the disk is full: free some space',
    errno.EDQUOT: 'your disk quota is used up: free some space',
    errno.EROFS: 'the file system is read-only: clone to a place that can be written',
    errno.EACCES: 'it is not yours to write: clone to a directory of yours, or, if an earlier '
                  'set-up as root has left it, remove it as root',
    errno.EPERM: 'it is not yours to change: clone to a directory of yours',
}


def cause_of(output: str, status: int) -> str:
    """
    Return what to tell of a command that failed, '' where its output is nothing usual.

    status: its exit status; negative of a signal.
    """
    for pattern, text in CAUSES:
        found = pattern.search(output)
        if found:
            return text.format(found=found.group(0).strip())
    if status == -9:
        return ('it was killed, perhaps because memory is used up: close other programs; about '
                '2 GB are needed')
    return ''


def cause_of_error(error: OSError) -> str:
    """Return what to tell of a file that can not be read or written."""
    what = f'{error.filename}: {error.strerror}' if error.filename else str(error)
    hint = OF_ERRNO.get(error.errno, '')
    return f'{what}; {hint}' if hint else what
