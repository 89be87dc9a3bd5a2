# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The colcon build: our messages and nodes, and stand-ins for messages that no prefix has."""
import os
import shutil

from packages import ROS_STEP
from processes import execute
from steps import Step
from target import has_package, stand_ins, Target

BUILT_FROM = ('package.xml', 'CMakeLists.txt', 'msg/*.msg', 'action/*.action',
              'scripts/node.py.in', 'interfaces/**/*')
# With symlinks in the install directory, only new and deleted files need a build.
INSTALLED_FROM = ('sqap_vla_ros/**/*.py', 'config/**/*', 'launch/**/*', 'models/**/*')


def workspace_steps(target: Target) -> list[Step]:
    """Return the step that builds the workspace."""
    contents = sorted(path for pattern in BUILT_FROM for path in target.root.glob(pattern)
                      if path.is_file())
    names = sorted(str(path) for pattern in INSTALLED_FROM for path in target.root.glob(pattern)
                   if '__pycache__' not in path.parts)
    prefixes = [str(prefix) for prefix in target.prefixes()]
    built = target.install / 'sqap_vla_ros/share/sqap_vla_ros/package.xml'
    return [Step('colcon build', lambda: build(target), [*contents, *names, *prefixes], [built],
                 [ROS_STEP], lambda: remove_build(target))]


def remove_build(target: Target) -> None:
    """Remove what a build that was cut off, or has failed, may have left half written."""
    for name in ('sqap_vla_ros', *stand_ins(target.root)):
        for directory in (target.build, target.install):
            shutil.rmtree(directory / name, ignore_errors=True)


def build(target: Target) -> None:
    """Build with symlinks, so that edits of Python files need no further build."""
    sources = ['.']
    for name in stand_ins(target.root):
        if any(has_package(prefix, name) for prefix in target.prefixes()):
            shutil.rmtree(target.install / name, ignore_errors=True)
        else:
            sources.append(f'interfaces/{name}')
    execute(target, [
        'colcon', '--log-base', f'{target.build}/log', 'build',
        '--base-paths', *sources, '--build-base', str(target.build),
        '--install-base', str(target.install), '--symlink-install',
        '--cmake-args', f'-DPython3_EXECUTABLE={target.environment_python}',
        '-DBUILD_TESTING=OFF', '--no-warn-unused-cli',
    ], build_environment(target))


def build_environment(target: Target) -> dict[str, str]:
    """Return the variables for colcon: the prefixes to build upon, our tools first."""
    prefixes = os.pathsep.join(str(prefix) for prefix in target.prefixes())
    return {
        **os.environ,
        'AMENT_PREFIX_PATH': prefixes,
        'CMAKE_PREFIX_PATH': prefixes,
        'PATH': f'{target.environment / "bin"}{os.pathsep}{os.environ["PATH"]}',
    }
