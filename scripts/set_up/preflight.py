# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What can be known before anything is downloaded: interpreter, machine, place, space."""
import os
from pathlib import Path
import shutil
import subprocess
import tempfile

from target import SetUpError, Target

NEEDED = ((3, 10), (3, 13))  # as in __main__.py
# Measured after `make setup` of a bare clone: `du -sm .venv build install`.
SPACE_MB = {'environment': 4630, 'build': 30, 'install': 15}
# pip keeps what it downloads in the temporary directory until it is installed.
TEMPORARY_MB = 1500
FACTS = """
import platform, sys
print(*sys.version_info[:2], sys.implementation.name, platform.machine(), platform.system(),
      '.'.join(map(str, sys.version_info[:3])), ''.join(platform.libc_ver()) or 'unknown')
"""


def check_python(python: str) -> None:
    """Raise SetUpError unless an interpreter is there, runs, and is one that is known to work."""
    major, minor, kind, _, _, version, _ = _facts(python)
    oldest, newest = NEEDED
    if kind != 'cpython' or (int(major), int(minor)) < oldest:
        raise SetUpError(f'{python} is {kind} {version}, and CPython {_dotted(oldest)} to '
                         f'{_dotted(newest)} is needed: make demo PYTHON=python{_dotted(newest)}')


def check_wheels(target: Target) -> None:
    """Raise SetUpError where ROS 2 has to come from wheels, and there are none to fit."""
    if target.sourced:
        return
    major, minor, _, machine, system, version, libc = _facts(target.python)
    instead = 'source a ROS 2 installation first (source /opt/ros/<distro>/setup.bash)'
    if (system, machine) != ('Linux', 'x86_64') or not libc.startswith('glibc'):
        raise SetUpError(f'ROS 2 wheels are for x86-64 Linux with glibc, and this is {machine} '
                         f'{system} with {libc}: {instead}')
    if (int(major), int(minor)) > NEEDED[1]:
        raise SetUpError(
            f'{target.python} is Python {version}, and the packages are pinned for '
            f'{_dotted(NEEDED[0])} to {_dotted(NEEDED[1])}: make demo '
            f'PYTHON=python{_dotted(NEEDED[1])}, or {instead}')


def check_place(target: Target) -> None:
    """Raise SetUpError where the set-up could not write, or ROS could not be told the path."""
    for sign in ':;':
        if sign in str(target.root):
            raise SetUpError(f'{target.root} has a {sign!r}, which ends a path in the variables '
                             'of ROS and CMake: clone to, or move to, a path without')
    for path in (target.environment, target.build, target.install, target.root):
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            raise SetUpError(_not_writable(target, path))
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise SetUpError(f'{error.strerror}: set TMPDIR to a directory that can be written, with '
                         f'{TEMPORARY_MB} MB free') from error


def check_space(target: Target) -> None:
    """Raise SetUpError unless the disks have room for what is still to come."""
    wanted = {target.environment: SPACE_MB['environment'], target.build: SPACE_MB['build'],
              target.install: SPACE_MB['install']}
    missing = sum(max(0, size - size_mb(path)) for path, size in wanted.items())
    temporary = Path(tempfile.gettempdir())
    same_disk = temporary.stat().st_dev == target.root.stat().st_dev
    if missing > SPACE_MB['environment'] / 10:  # pip has yet to download
        needs = {target.root: missing + TEMPORARY_MB * same_disk}
        if not same_disk:
            needs[temporary] = TEMPORARY_MB
    else:
        needs = {target.root: missing}
    for path, needed in needs.items():
        usage = shutil.disk_usage(path)
        if usage.free / 1e6 < needed:
            raise SetUpError(
                f'{path} has {usage.free / 1e9:.1f} GB free, and the set-up needs '
                f'{needed / 1e3:.1f} GB there (more where pip takes a torch with CUDA): '
                + ('free some, or set TMPDIR to a directory on a larger disk'
                   if path == temporary else 'free some, or clone to a larger disk'))


def size_mb(path: Path) -> float:
    """Return what the files below a directory take, in MB; 0 where there is none."""
    total, folders = 0, [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:  # gone meanwhile, or not ours to read
            continue
    return total / 1e6


def _facts(python: str) -> list[str]:
    try:
        result = subprocess.run([python, '-c', FACTS], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SetUpError(f'the interpreter {python!r} can not be started ({error.strerror}): say, '
                         'for example, make demo PYTHON=python3.12') from error
    words = result.stdout.split()
    if result.returncode or len(words) != 7:
        last = (result.stderr.strip() or 'no answer').splitlines()[-1]
        raise SetUpError(f'the interpreter {python!r} does not work: {last}')
    return words


def _not_writable(target: Target, path: Path) -> str:
    """Return what to tell of a directory that can not be written."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f'{path} is on a read-only file system: clone to a place that can be written'
    if path == target.root:
        return f'{path} is not yours to write: clone to a directory of yours'
    return (f'{path} is not yours to write (an earlier set-up as root has left it?): as root, '
            f'run\n    chown -R {os.getuid()} "{path}"\nor remove it')


def _dotted(version: tuple[int, int]) -> str:
    return '.'.join(map(str, version))
