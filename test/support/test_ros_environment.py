# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The variables that ROS processes are started with."""
from pathlib import Path
import subprocess
import sys

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.ros_environment import (
    fastdds_profile, FASTDDS_VARIABLES, install_name, ros_environment)


def test_applying_it_twice_is_applying_it_once():
    once = ros_environment({}, domain_id=7, discovery_range='LOCALHOST')
    assert ros_environment(once, domain_id=7, discovery_range='LOCALHOST') == once


def test_what_the_user_has_sourced_is_kept_behind_ours():
    sourced = {'AMENT_PREFIX_PATH': '/opt/ros/jazzy', 'LD_LIBRARY_PATH': '/opt/ros/jazzy/lib',
               'PYTHONPATH': '/opt/ros/jazzy/lib/python3.12/site-packages'}
    environment = ros_environment(sourced)
    for name, value in sourced.items():
        assert environment[name].split(':')[-1] == value


@pytest.mark.parametrize(('package', 'variables'), [
    ('fastrtps', FASTDDS_VARIABLES[:1]), ('fastdds', FASTDDS_VARIABLES[1:]),
    ('other', FASTDDS_VARIABLES)])
def test_the_fast_dds_that_is_there_gets_the_profile_with_large_shared_memory(
        package, variables, tmp_path):
    (tmp_path / 'share' / package).mkdir(parents=True)
    profile = fastdds_profile({'AMENT_PREFIX_PATH': f'/elsewhere:{tmp_path}'})
    assert tuple(profile) == variables
    for path in profile.values():
        assert '<segment_size>16777216</segment_size>' in Path(path).read_text()


def test_a_profile_of_the_user_is_kept():
    environment = ros_environment({FASTDDS_VARIABLES[0]: '/robot/profile.xml'})
    assert environment[FASTDDS_VARIABLES[0]] == '/robot/profile.xml'
    assert FASTDDS_VARIABLES[1] not in environment


def test_the_network_is_left_alone_unless_asked():
    assert not {'ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE'} & ros_environment({}).keys()
    environment = ros_environment({}, domain_id=42, discovery_range='LOCALHOST')
    assert environment['ROS_DOMAIN_ID'] == '42'
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert 'ROS_LOCALHOST_ONLY' not in environment


def test_humble_gets_the_variable_that_it_knows():
    environment = ros_environment({'ROS_DISTRO': 'humble'}, discovery_range='LOCALHOST')
    assert environment['ROS_LOCALHOST_ONLY'] == '1'


@pytest.mark.parametrize('wrong', [{'domain_id': 233}, {'domain_id': -1},
                                   {'discovery_range': 'EVERYWHERE'}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match='must be'):
        ros_environment({}, **wrong)


@pytest.mark.parametrize(('environment', 'install'), [
    ('.venv', 'install'), ('.venv-kilted', 'install-kilted'), ('somewhere', 'install')])
def test_each_virtual_environment_has_its_install_directory(environment, install):
    assert install_name(Path('/robot') / environment) == install


def test_as_a_command_it_runs_another_one():
    module = [sys.executable, '-m', 'sqap_vla_ros.support.ros_environment']
    shown = subprocess.run([*module, 'env'], capture_output=True, text=True, check=True).stdout
    assert 'DEFAULT_PROFILES_FILE=' in shown
    assert subprocess.run(module, capture_output=True, check=False).returncode == 2
