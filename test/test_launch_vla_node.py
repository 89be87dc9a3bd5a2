# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file of vla_node: its arguments, and how they reach the node."""

import importlib.util

import pytest

try:  # not find_spec: the directory launch/ of this repository would be found as a package
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
    from launch_ros.actions import LifecycleNode
except ImportError:
    pytest.skip('launch and launch_ros are not installed (there are no wheels of them)',
                allow_module_level=True)

from sqap_vla_ros.resources import launch_file  # noqa: E402

pytestmark = pytest.mark.ros


@pytest.fixture
def entities():
    """Return what the launch file describes."""
    spec = importlib.util.spec_from_file_location(
        'vla_node_launch', launch_file('vla_node.launch.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def test_every_argument_has_a_description(entities):
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    assert {'config', 'checkpoint', 'namespace', 'image'} <= {item.name for item in arguments}
    assert all(item.description for item in arguments)


def test_the_fast_dds_profile_is_set_unless_the_user_has_one(entities):
    names = {entity.name[0].text for entity in entities
             if isinstance(entity, SetEnvironmentVariable)}
    assert names <= {'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'}


def test_it_starts_one_lifecycle_node(entities):
    context = LaunchContext()
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    context.launch_configurations['keep_tokens'] = '154'
    function, = [entity for entity in entities if isinstance(entity, OpaqueFunction)]
    node, = function.execute(context)
    assert isinstance(node, LifecycleNode)


def test_an_argument_that_is_not_given_leaves_the_configuration_alone(entities):
    defaults = {entity.name: ''.join(part.text for part in entity.default_value)
                for entity in entities if isinstance(entity, DeclareLaunchArgument)}
    for name in ('autostart', 'use_sim_time', 'lockstep', 'checkpoint', 'keep_tokens'):
        assert defaults[name] == '', f'{name} would overrule the YAML file of a robot'
