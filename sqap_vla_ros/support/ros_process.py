# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A command that talks to ROS itself: it needs ROS, and the variables that ROS processes have."""
from collections.abc import Mapping
import os
import sys

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.requirements import BUILT, cure, missing, ROS
from sqap_vla_ros.support.ros_environment import ros_environment

# what has to be there when a process starts
AT_START = ('LD_LIBRARY_PATH', 'PYTHONPATH', 'AMENT_PREFIX_PATH')


def become_ros_process() -> None:
    """
    Start this process again with the variables of ros_environment(), unless it has them.

    Raises ConfigError, with what to do, where ROS or the built messages are missing.
    """
    environment = ros_environment()
    if any(_entries(environment, name) - _entries(os.environ, name) for name in AT_START):
        os.execve(sys.executable, sys.orig_argv, environment)
    require_ros()


def _entries(environment: Mapping[str, str], name: str) -> set[str]:
    return set(environment.get(name, '').split(os.pathsep))


def require_ros() -> None:
    """Raise ConfigError, with what to do, where rclpy or this package's messages are missing."""
    for name in missing((*ROS, *BUILT)):
        raise ConfigError(cure(name))
