# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The Debian/Ubuntu packages that pip cannot bring.

A compiler and off-screen rendering; of a sourced ROS also the kinematics of joint outputs.
"""
import ctypes
import os
import shutil
import subprocess

from display import display
from processes import execute
from steps import run_work
from target import SetUpError, Target

# Library that must load -> package that has it. MuJoCo renders through OSMesa or EGL.
RENDERING = {
    'libOSMesa.so.8': 'libosmesa6',
    'libEGL.so.1': 'libegl1',
    'libGL.so.1': 'libgl1',
    'libGLX_mesa.so.0': 'libglx-mesa0',
    'libEGL_mesa.so.0': 'libegl-mesa0',
    'libGLESv2.so.2': 'libgles2',
}
WAIT_FOR_LOCK = ('-o', 'DPkg::Lock::Timeout=120')  # of unattended upgrades
PYTHON_PARTS = """
import pathlib, sys, sysconfig
header = pathlib.Path(sysconfig.get_paths()['include'], 'Python.h')
print('' if header.is_file() else 'python3-dev')
try:
    import ensurepip
except ImportError:
    print('python3-venv')
if sys.version_info < (3, 10):
    sys.exit('Python 3.10 or newer is needed, not ' + sys.version.split()[0])
"""


def install_debian_packages(target: Target, builds: bool = True) -> None:
    """
    Install what is missing as root, else name the command.

    builds: whether something is still to be built; SetUpError if that lacks a package.
    """
    needed, useful = _missing_packages(target, builds)
    if not needed + useful:
        return
    if os.geteuid() == 0 and shutil.which('apt-get') and os.access(target.build, os.W_OK):
        run_work(lambda: _try_to_install(target, needed, useful))
        needed, useful = _missing_packages(target, builds)
    command = 'apt-get install -y --no-install-recommends ' + ' '.join(needed + useful)
    if needed:
        raise SetUpError(f'Debian/Ubuntu packages are missing; as root, run\n    {command}\n'
                         'or install what they hold by the package manager that is here')
    if useful:
        print('warning: the simulator may not render, or joint outputs may lack pinocchio, since '
              f'packages are missing; as root, run\n    {command}')


def _missing_packages(target: Target, builds: bool) -> tuple[list[str], list[str]]:
    """Return (packages that a build needs, those that a demo or joint outputs need)."""
    needed = _missing_build_packages(target.python) if builds else []
    return needed, _missing_rendering_packages() + _missing_ros_packages(target)


def _missing_build_packages(python: str) -> list[str]:
    result = subprocess.run(
        [python, '-c', PYTHON_PARTS], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SetUpError(f'{python}: {result.stderr.strip().splitlines()[-1]}')
    tools = [package for command, package in (('c++', 'g++'), ('make', 'make'))
             if not shutil.which(command)]
    return tools + result.stdout.split()


def _missing_rendering_packages() -> list[str]:
    return [package for library, package in RENDERING.items() if not _loads(library)]


def _missing_ros_packages(target: Target) -> list[str]:
    """Return what joint outputs need of a sourced ROS; elsewhere pip brings it."""
    if not target.sourced or _imports_pinocchio(target.python):
        return []
    return [f'ros-{target.distro}-pinocchio']


def _imports_pinocchio(python: str) -> bool:
    command = [python, '-c', 'import pinocchio']
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _try_to_install(target: Target, needed: list[str], useful: list[str]) -> None:
    """Install packages; a failure is raised only where a build needs one of them."""
    try:
        with display.progress(f'Debian packages {" ".join(needed + useful)}'):
            _apt_install(target, needed + useful)
    except SetUpError as error:
        if needed:
            raise
        print(f'warning: {error}', flush=True)


def _apt_install(target: Target, packages: list[str]) -> None:
    """Install those of the packages that this release has."""
    environment = {**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'}
    execute(target, ['apt-get', *WAIT_FOR_LOCK, 'update'], environment)
    there = [name for name in packages if _apt_knows(name)]
    if there:
        execute(target, ['apt-get', *WAIT_FOR_LOCK, 'install', '-y', '--no-install-recommends',
                         *there], environment)


def _apt_knows(package: str) -> bool:
    result = subprocess.run(['apt-cache', 'show', package], capture_output=True, check=False)
    return result.returncode == 0
