# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A command that talks to ROS starts itself again with ROS's variables, once."""
import os
import sys

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support import ros_process
from sqap_vla_ros.support.ros_environment import ros_environment


@pytest.fixture
def started(monkeypatch):
    """Return what the process was started again with, instead of doing so."""
    started = []
    monkeypatch.setattr(os, 'execve', lambda *told: started.append(told))
    monkeypatch.setattr(ros_process, 'missing', lambda modules: [])
    return started


def test_it_starts_again_with_the_same_words_until_it_has_the_variables(started, monkeypatch):
    monkeypatch.setenv('LD_LIBRARY_PATH', '/usr/lib')
    ros_process.become_ros_process()
    (program, words, environment), = started
    assert (program, words) == (sys.executable, sys.orig_argv)
    assert environment == ros_environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # what imports do: ROS 2 from wheels takes one away, OpenCV puts its directory in front
    monkeypatch.delenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', raising=False)
    monkeypatch.setenv('LD_LIBRARY_PATH', f'/cv2/lib:{environment["LD_LIBRARY_PATH"]}')
    ros_process.become_ros_process()
    assert len(started) == 1


@pytest.mark.parametrize('module, cure', [
    ('rclpy', 'source /opt/ros/'), ('sqap_vla_ros.action', 'make setup')])
def test_without_ros_it_says_how_to_get_it(monkeypatch, module, cure):
    monkeypatch.setattr(ros_process, 'missing', lambda modules: [
        name for name in modules if name == module])
    with pytest.raises(ConfigError, match=cure):
        ros_process.require_ros()
