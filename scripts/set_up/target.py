# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is set up: which ROS 2, and the directories that belong to it."""
from dataclasses import dataclass
import os
from pathlib import Path
import subprocess


class SetUpError(Exception):
    """The set-up cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """One environment: ROS wheels of a distribution, or a ROS 2 that the user has sourced."""

    root: Path
    python: str  # interpreter that the virtual environment is made with
    distro: str
    sourced: Path | None  # prefix of the sourced ROS 2; None: wheels

    @property
    def suffix(self) -> str:
        """Return what tells this target's directories from the default ones."""
        return '' if self.sourced or self.distro == 'jazzy' else f'-{self.distro}'

    @property
    def environment(self) -> Path:
        """Return the directory of the virtual environment."""
        return self.root / f'.venv{self.suffix}'

    @property
    def build(self) -> Path:
        """Return colcon's build directory; the log of the set-up lies there too."""
        return self.root / f'build{self.suffix}'

    @property
    def install(self) -> Path:
        """Return colcon's install directory."""
        return self.root / f'install{self.suffix}'

    @property
    def log(self) -> Path:
        """Return the file that the output of all steps goes to."""
        return self.build / 'set_up.log'

    @property
    def environment_python(self) -> str:
        """Return the interpreter inside the virtual environment."""
        return str(self.environment / 'bin' / 'python')

    @property
    def description(self) -> str:
        """Return one phrase for people."""
        where = f'from {self.sourced}' if self.sourced else 'from wheels'
        return f'ROS 2 {self.distro} {where} in {self.environment.name}/'

    def prefixes(self) -> list[Path]:
        """Return the ROS prefixes to build upon, nearest first, without what we build."""
        given = [Path(entry) for entry in _ament_prefix_path() if not _below(entry, self.root)]
        if self.sourced:
            return given
        overlays = [] if _rclpy_prefix(given) else given  # of another ROS: would not fit
        return overlays + [self.environment]


def choose_target(root: Path, python: str, distro: str) -> Target:
    """Return the sourced ROS 2 where `python` can import its rclpy, else wheels of `distro`."""
    prefix = _rclpy_prefix([Path(entry) for entry in _ament_prefix_path()])
    if prefix and _imports_rclpy(python):
        return Target(root, python, os.environ.get('ROS_DISTRO', distro), prefix)
    if prefix:
        print(f'note: {python} cannot import rclpy from {prefix}; using ROS 2 wheels instead')
    if not (root / 'constraints' / f'ros-{distro}.txt').is_file():
        raise SetUpError(
            f'there are no ROS 2 wheels for {distro!r}: source a ROS 2 installation that '
            f'{python} can import rclpy from, or say ROS_DISTRO=jazzy or ROS_DISTRO=kilted')
    return Target(root, python, distro, None)


def _ament_prefix_path() -> list[str]:
    return [entry for entry in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if entry]


def _rclpy_prefix(prefixes: list[Path]) -> Path | None:
    """Return the prefix with rclpy, unless it is a virtual environment of wheels."""
    for prefix in prefixes:
        if has_package(prefix, 'rclpy') and not (prefix / 'pyvenv.cfg').exists():
            return prefix
    return None


def has_package(prefix: Path, name: str) -> bool:
    """Return whether the ament index of a prefix lists a package."""
    return (prefix / 'share/ament_index/resource_index/packages' / name).is_file()


def stand_ins(root: Path) -> list[str]:
    """Return the names of the message packages that are built where no prefix has them."""
    return sorted(path.parent.name for path in root.glob('interfaces/*/package.xml'))


def _imports_rclpy(python: str) -> bool:
    command = [python, '-c', 'import rclpy']
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _below(path: str, root: Path) -> bool:
    return Path(path).resolve().is_relative_to(root)
