# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The environment variables that a ROS process of this package needs.

The demo and the tests start nodes as processes of their own; this module says with which
variables, whether ROS 2 comes from wheels in a virtual environment or from an installation
that the user has sourced (whose variables are kept and come after ours). It needs no ROS
itself. As a command it runs another command in that environment:

    python -m sqap_vla_ros.support.ros_environment COMMAND [ARGUMENT ...]
"""
from collections.abc import Iterable, Mapping
import os
from pathlib import Path
import sys

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.requirements import STAND_INS
from sqap_vla_ros.support.resources import config_file, PACKAGE, share_directory

FASTDDS_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
DISCOVERY_RANGES = ('LOCALHOST', 'SUBNET', 'OFF', 'SYSTEM_DEFAULT')


def ros_environment(
    base: Mapping[str, str] | None = None,
    *,
    domain_id: int | None = None,
    discovery_range: str | None = None,
) -> dict[str, str]:
    """
    Return environment variables for a ROS process, made from `base` (default: os.environ).

    `domain_id` (0 to 232) and `discovery_range` ('LOCALHOST', 'SUBNET', ...) are left as they
    are when None. A Fast DDS profile that the user has chosen is kept. Raises ConfigError for
    a value out of range. Applying it to its own result changes nothing.
    """
    environment = dict(os.environ if base is None else base)
    wheels = _wheel_prefix()
    prefixes = built_prefixes() + wheels
    _prepend(environment, 'AMENT_PREFIX_PATH', prefixes)
    _prepend(environment, 'LD_LIBRARY_PATH', _library_directories(prefixes))
    _prepend(environment, 'PYTHONPATH', _site_packages(built_prefixes()))
    _prepend(environment, 'PATH', [Path(sys.prefix) / 'bin'])
    if wheels:  # their bootstrap would set LD_LIBRARY_PATH and start Python again
        environment['_ROS_WHEELS_BOOTSTRAP_COMPLETE'] = '1'
    environment.update(fastdds_profile(environment))
    environment.update(_network(environment, domain_id, discovery_range))
    return environment


def fastdds_profile(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables that name our Fast DDS profile; none if the user has named one.

    Fast DDS 2 (Humble, Jazzy) reads the first of FASTDDS_VARIABLES, Fast DDS 3 (Kilted) the
    second and warns about the first. Which of them is there is looked up in the prefixes of
    AMENT_PREFIX_PATH; both are set where it is found in none.
    """
    if any(environment.get(name) for name in FASTDDS_VARIABLES):
        return {}
    shares = [Path(entry, 'share')
              for entry in environment.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]
    there = [any((share / name).is_dir() for share in shares) for name in ('fastrtps', 'fastdds')]
    names = [name for name, found in zip(FASTDDS_VARIABLES, there) if found]
    return dict.fromkeys(names or FASTDDS_VARIABLES, str(config_file('fastdds.xml')))


def built_prefixes() -> list[Path]:
    """
    Return the prefixes that colcon built for this package: itself and its STAND_INS.

    For a source tree these lie in install/ (install-kilted/ for .venv-kilted, and so on);
    otherwise they are those that the code runs from. Empty before the first build.
    """
    share = share_directory()
    if share.parent.name == 'share':  # runs from an install: <prefix>/share/sqap_vla_ros
        prefix = share.parents[1]
        install = prefix.parent if prefix.name == PACKAGE else prefix
    else:
        install = share / install_name(Path(sys.prefix))
    candidates = [install / PACKAGE, *(install / name for name in STAND_INS), install]
    return [path for path in candidates if _packages_in(path) & {PACKAGE, *STAND_INS}]


def install_name(environment: Path) -> str:
    """Return the name of the install directory that belongs to a virtual environment."""
    name = environment.name
    return 'install' + (name[len('.venv'):] if name.startswith('.venv') else '')


def _packages_in(prefix: Path) -> set[str]:
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    return {path.name for path in index.glob('*')}


def _wheel_prefix() -> list[Path]:
    prefix = Path(sys.prefix)
    return [prefix] if 'rclpy' in _packages_in(prefix) else []


def _library_directories(prefixes: Iterable[Path]) -> list[Path]:
    libraries = [prefix / 'lib' for prefix in prefixes]
    of_wheels = _site_packages(_wheel_prefix())
    return libraries + sorted(path for site in of_wheels for path in site.glob('ros_*.libs'))


def _site_packages(prefixes: Iterable[Path]) -> list[Path]:
    patterns = ('lib/python3*/site-packages', 'local/lib/python3*/dist-packages')
    found = [path for prefix in prefixes for pattern in patterns for path in prefix.glob(pattern)]
    return sorted(found, key=lambda path: PACKAGE not in path.parts)


def _prepend(environment: dict[str, str], name: str, paths: Iterable[Path]) -> None:
    """Put paths in front of a path variable, each of them once."""
    old = [entry for entry in environment.get(name, '').split(os.pathsep) if entry]
    entries = list(dict.fromkeys([*map(str, paths), *old]))
    if entries:
        environment[name] = os.pathsep.join(entries)


def _network(
    environment: Mapping[str, str], domain_id: int | None, discovery_range: str | None,
) -> dict[str, str]:
    variables = {}
    if domain_id is not None:
        if not 0 <= domain_id <= 232:
            raise ConfigError(f'ROS_DOMAIN_ID must be 0 to 232, not {domain_id}')
        variables['ROS_DOMAIN_ID'] = str(domain_id)
    if discovery_range is not None:
        if discovery_range not in DISCOVERY_RANGES:
            raise ConfigError(
                f'the discovery range must be one of {DISCOVERY_RANGES}, not {discovery_range!r}')
        variables['ROS_AUTOMATIC_DISCOVERY_RANGE'] = discovery_range
        if environment.get('ROS_DISTRO') == 'humble':  # knows only this one
            variables['ROS_LOCALHOST_ONLY'] = str(int(discovery_range == 'LOCALHOST'))
    return variables


def main() -> int:
    """Replace this process by the command of the command line, in the ROS environment."""
    command = sys.argv[1:]
    if not command:
        print('usage: python -m sqap_vla_ros.support.ros_environment COMMAND [ARGUMENT ...]')
        return 2
    environment = ros_environment()
    os.environ['PATH'] = environment['PATH']
    os.execvpe(command[0], command, environment)


if __name__ == '__main__':
    sys.exit(main())
