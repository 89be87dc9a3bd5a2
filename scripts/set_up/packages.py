# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The virtual environment and the Python packages in it, ROS 2 wheels among them."""
import os
from pathlib import Path
import re
import shutil
import subprocess

from processes import execute
from steps import Step
from target import stand_ins, Target

BUILD_TOOLS = ('colcon-common-extensions', 'cmake')
SHARED = ('setuptools', 'typing-extensions')  # of PyTorch and of the build tools
ROS_STEP = 'ROS 2 and build tools'
# Printed by the environment's interpreter: what the wheels' CMake files should name.
INCLUDES = """
import numpy, sysconfig
print(sysconfig.get_paths()['include'], numpy.get_include(), sep='\\n')
"""
BUILD_MACHINE_PYTHON = re.compile(r'/opt/python/cp\w+-cp\w+/include/python3\.\d+')
BUILD_MACHINE_NUMPY = re.compile(r'/opt/python/cp\w+-cp\w+/lib/[\w./-]*?/numpy/_?core/include')


def package_steps(target: Target) -> list[Step]:
    """Return the steps up to a working `sqap-vla` command."""
    version = _output([target.python, '-c', 'import sys; print(sys.version, sys.base_prefix)'])
    kind = f'{target.root} {version} {target.sourced}'
    common = target.root / 'constraints/common.txt'
    wheels = [] if target.sourced else [target.root / f'constraints/ros-{target.distro}.txt']
    native = target.root / 'sqap_vla_ros/kernels'

    def mend() -> None:
        remove_half_installed(target)
    return [
        Step('virtual environment', lambda: create_environment(target), [kind, common]),
        Step('PyTorch', lambda: install_torch(target), [kind, pinned('torch', common)],
             after=['virtual environment'], mend=mend),
        Step(ROS_STEP, lambda: install_ros(target), [kind, common, *wheels],
             [target.environment / 'bin/colcon'], ['virtual environment'], mend),
        Step('Python packages', lambda: install_packages(target),
             [kind, common, *wheels, target.root / 'setup.py'],
             [target.environment / 'bin/sqap-vla'], ['PyTorch', ROS_STEP], mend),
        Step('native CPU kernels', lambda: build_kernels(target),
             [kind, native / 'build.py', *sorted(native.glob('native/*'))],
             after=['Python packages']),
    ]


def create_environment(target: Target) -> None:
    """
    Make the virtual environment, or keep one that is already as it should be.

    What the packages of two later steps need is installed now: they run at the same time.
    """
    stamped = (target.environment / 'set_up_stamps').exists()
    if stamped or not _is_usable(target):
        shutil.rmtree(target.environment, ignore_errors=True)
        shutil.rmtree(target.install, ignore_errors=True)
        for package in ('sqap_vla_ros', *stand_ins(target.root)):
            shutil.rmtree(target.build / package, ignore_errors=True)
        options = ['--system-site-packages'] if target.sourced else []
        execute(target, [target.python, '-m', 'venv', *options, str(target.environment)])
    pip(target, list(SHARED), None if target.sourced else target.root / 'constraints/common.txt')


def install_torch(target: Target) -> None:
    """Install torch by its exact version: a resolver may choose gigabytes of CUDA packages."""
    if target.sourced and _imports(target, 'torch'):
        return
    pin = pinned('torch', target.root / 'constraints/common.txt')
    pip(target, [pin], target.root / 'constraints/common.txt')


def install_ros(target: Target) -> None:
    """Install what the colcon build needs: its tools, and ROS 2 where none is sourced."""
    if target.sourced:
        pip(target, [*BUILD_TOOLS, *_versions_of_system(target)], None)
        return
    pip(target, [*BUILD_TOOLS, 'numpy', '-r', f'constraints/ros-{target.distro}.txt'],
        target.root / 'constraints/common.txt')
    correct_cmake_files(target)


def install_packages(target: Target) -> None:
    """Install this package (editable), the simulator and test tools."""
    common = target.root / 'constraints/common.txt'
    if target.sourced:  # its own pinocchio is built for its NumPy, see machine.py
        own = ['-e', '.[bags,sim,dev]', *BUILD_TOOLS]
        pip(target, [*own, *_versions_of_system(target)], None)
    else:
        own = ['-e', '.[bags,kinematics,sim,dev]', *BUILD_TOOLS]
        pip(target, [*own, '-r', f'constraints/ros-{target.distro}.txt'], common)
    # robosuite brings opencv-python, which lies in the same directory as the headless one and
    # needs a graphics library just to be imported: the headless one is to be there last.
    version = _output([target.environment_python, '-c', 'from importlib import metadata; '
                       "print(metadata.version('opencv-python-headless'))"])
    pip(target, ['--force-reinstall', '--no-deps', f'opencv-python-headless=={version}'], None)


def remove_half_installed(target: Target) -> None:
    """
    Forget packages whose installation was cut off, so that pip installs them again.

    pip writes RECORD last; without it pip takes a package for installed, and can't replace it.
    """
    for package in target.environment.glob('lib/python*/site-packages/*.dist-info'):
        if not (package / 'RECORD').is_file():
            shutil.rmtree(package)


def build_kernels(target: Target) -> None:
    """Compile the CPU kernels now rather than when the first policy is loaded."""
    code = 'from sqap_vla_ros.kernels.build import main; main()'
    execute(target, [target.environment_python, '-c', code])


def correct_cmake_files(target: Target) -> None:
    """Write this machine's include paths over those of the machine that built the wheels."""
    python, numpy = _output([target.environment_python, '-c', INCLUDES]).splitlines()
    for path in target.environment.glob('share/*/cmake/*.cmake'):
        text = path.read_text()
        corrected = BUILD_MACHINE_PYTHON.sub(python, BUILD_MACHINE_NUMPY.sub(numpy, text))
        if corrected != text:
            path.write_text(corrected)


def pip(target: Target, arguments: list[str], constraints: Path | None) -> None:
    """
    Run pip install; constraints also hold for the tools that build source packages.

    Modules are compiled when they are first imported: most of them never are.
    """
    environment = dict(os.environ)
    if constraints:
        place = constraints.as_uri()  # pip would split a path at its spaces
        environment.update(PIP_CONSTRAINT=place, PIP_BUILD_CONSTRAINT=place)
    command = [target.environment_python, '-m', 'pip', '--disable-pip-version-check', 'install',
               '--no-input', '--progress-bar', 'off', '--no-compile']
    execute(target, command + arguments, environment)


def pinned(package: str, constraints: Path) -> str:
    """Return the line of a constraints file for a package, e.g. 'torch==2.13.0'."""
    return next(line for line in constraints.read_text().splitlines()
                if line.startswith(f'{package}=='))


def _versions_of_system(target: Target) -> list[str]:
    """Return pins that keep NumPy as the sourced ROS was built for."""
    if not _imports(target, 'numpy'):
        return []
    version = _output([target.environment_python, '-c', 'import numpy; print(numpy.__version__)'])
    return [f'numpy=={version}']


def _is_usable(target: Target) -> bool:
    """Return whether the environment has the Python and the site packages that we would give."""
    settings = target.environment / 'pyvenv.cfg'
    if not settings.is_file() or not Path(target.environment_python).exists():
        return False
    system = 'include-system-site-packages = true' in settings.read_text()
    version = 'import sys; print(sys.version, sys.base_prefix)'
    if not _imports(target, 'pip'):  # its making was cut off
        return False
    same = _output([target.environment_python, '-c', version]) == _output(
        [target.python, '-c', version])
    return same and system == bool(target.sourced)


def _imports(target: Target, module: str) -> bool:
    command = [target.environment_python, '-c', f'import {module}']
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
