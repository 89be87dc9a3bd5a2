# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Compile the native CPU kernels once, into the user's cache.

    python -c 'from sqap_vla_ros.kernels.build import main; main()'    # prints where it is

It needs a C++17 compiler (g++) on x86-64 and takes some seconds; set-up does it, otherwise
the first quantized layer does.  The library's name has a hash of its sources and flags, so that
a new version is never served by an old library.  It holds one version of the code for each
instruction set and chooses at run time: it may be copied to another x86-64 machine.  The newest,
AMX, is left out with a warning where the compiler does not know it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from .base import Unavailable

_log = logging.getLogger(__name__)
SOURCES = Path(__file__).with_name('native')
FLAGS = ('-std=c++17', '-O3', '-fPIC', '-fopenmp', '-ffp-contract=off', '-fno-exceptions',
         '-fno-rtti', '-fvisibility=hidden', '-Wno-maybe-uninitialized')
ONCE = 'sqap_kernels', 'processor', 'resample', 'client'  # which choose for themselves
# level.cpp is compiled once for each of these instruction sets
LEVELS = {
    'avx2': ('-mavx2', '-mfma'),
    'avx_vnni': ('-mavx2', '-mfma', '-mavxvnni'),
    'avx512_vnni': ('-mavx2', '-mfma', '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl',
                    '-mavx512vnni'),
}
LEVELS['amx'] = (*LEVELS['avx512_vnni'], '-mavx512bf16', '-mamx-tile', '-mamx-int8',
                 '-mamx-bf16')
# what compilers and assemblers say of options and instructions that came after them
_UNKNOWN = re.compile('unrecognized|unknown|no such instruction|invalid instruction')
MAY_FAIL = ('amx',)  # with a compiler or assembler that knows no tiles: the library goes without


def library_path() -> Path:
    """Return where the library of these sources belongs, built or not; raise Unavailable."""
    digest = hashlib.sha256(repr((FLAGS, LEVELS)).encode())
    for source in sorted(SOURCES.iterdir()):
        if source.suffix in ('.cpp', '.h'):
            digest.update(source.read_bytes())
    return cache_directory() / f'sqap_kernels-{digest.hexdigest()[:16]}.so'


def cache_directory() -> Path:
    """
    Return this package's directory in the user's cache, made or not.

    Raises Unavailable for a user without a home directory.
    """
    if os.environ.get('XDG_CACHE_HOME'):
        return Path(os.environ['XDG_CACHE_HOME']) / 'sqap_vla_ros'
    try:
        return Path.home() / '.cache' / 'sqap_vla_ros'
    except RuntimeError as error:
        raise Unavailable(f'{error} Set XDG_CACHE_HOME to a directory for what is compiled and '
                          'tuned') from error


def compiler() -> str:
    """Return the C++ compiler: $CXX, g++ or c++; raise Unavailable where there is none."""
    for name in (os.environ.get('CXX'), 'g++', 'c++'):
        if name and shutil.which(name):
            return name
    raise Unavailable('there is no C++ compiler: install one (apt-get install g++) or set CXX')


def build() -> Path:
    """
    Return the path of the library, which is compiled if it is not there yet.

    Several processes may do so at the same time.  Raises Unavailable, with what to do, on a
    processor that is not x86-64, without a compiler, or if it fails.
    """
    if platform.machine().lower() not in ('x86_64', 'amd64'):
        raise Unavailable(f'the native kernels are for x86-64, not {platform.machine()}')
    library = library_path()
    if library.is_file():
        return library
    command = compiler()
    _log.info('compiling the native CPU kernels, once: %s', library)
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as directory:
            made = _compile(command, Path(directory))
            os.replace(made, library)
    except OSError as error:
        raise Unavailable(f'{library.parent} cannot be written ({error}): '
                          'set XDG_CACHE_HOME to a directory that can') from error
    return library


def _compile(command: str, directory: Path) -> Path:
    """Compile all sources side by side, link them and return the library."""
    jobs = {**{name: (SOURCES / f'{name}.cpp', ()) for name in ONCE},
            **{name: (SOURCES / 'level.cpp', flags) for name, flags in LEVELS.items()}}
    started = {name: subprocess.Popen(
        [command, *FLAGS, *flags, '-c', str(source), '-o', str(directory / f'{name}.o')],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for name, (source, flags) in jobs.items()}
    objects = [str(directory / f'{name}.o') for name, process in started.items()
               if _succeeds(name, process)]
    library = directory / 'library.so'
    # OpenMP's runtime is left open: the one that torch has loaded serves both, with one set of
    # threads
    _finish(subprocess.Popen([command, '-shared', '-o', str(library), *objects],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return library


def _succeeds(name: str, process: subprocess.Popen) -> bool:
    """Wait, and return whether a file was compiled; raise Unavailable where one has to be."""
    try:
        _finish(process)
    except Unavailable as reason:
        if name not in MAY_FAIL or not _UNKNOWN.search(str(reason)):
            raise
        _log.warning('the native CPU kernels go without %s: %s', name, reason)
        return False
    return True


def _finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate()
    if process.returncode:
        errors = [line for line in output.splitlines() if 'error' in line] or [output.strip()]
        raise Unavailable(f'{process.args[0]} cannot compile the native kernels '
                          f'({errors[0]}): g++ 11 or newer can')


def main() -> None:
    """Build now and say where, or why not; that is no error, since torch's kernels can serve."""
    try:
        print(build())
    except Unavailable as reason:
        print(f"torch's kernels, which are slower, will be used: {reason}", file=sys.stderr)
