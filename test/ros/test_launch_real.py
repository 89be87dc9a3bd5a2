# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch: that they load, and what their nodes are given."""

import importlib.util
import sys

from libero_bag import LIBERO_BAG
import pytest

try:  # not find_spec: the directory launch/ of this repository would be found as a package
    from launch import LaunchContext, LaunchDescription, LaunchService
    from launch.actions import (
        DeclareLaunchArgument, ExecuteProcess, GroupAction, IncludeLaunchDescription, LogInfo,
        OpaqueFunction, RegisterEventHandler)
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.actions import LifecycleNode, Node
except ImportError:
    pytest.skip('launch and launch_ros are not installed (there are no wheels of them)',
                allow_module_level=True)

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.launching.arguments import vla_arguments
from sqap_vla_ros.support.resources import share_directory

LAUNCH_FILES = sorted((share_directory() / 'launch').glob('*.launch.py'))
GIVEN = {'config': 'example_arm', 'checkpoint': 'libero_goal', 'bag': str(LIBERO_BAG),
         'out': 'false'}


def entities_of(path):
    """Return what a launch file describes."""
    spec = importlib.util.spec_from_file_location(path.name.partition('.')[0], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def started(path, **given):
    """Return what a launch file starts with these arguments, and the defaults of the others."""
    entities = entities_of(path)
    context = LaunchContext(argv=[f'{name}:={text}' for name, text in given.items()])
    context.launch_configurations.update(GIVEN)
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    context.launch_configurations.update(given)
    function, = [entity for entity in entities if isinstance(entity, OpaqueFunction)]
    return function.execute(context)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_every_file_loads_and_describes_its_arguments(path):
    declared = [entity for entity in entities_of(path)
                if isinstance(entity, DeclareLaunchArgument)]
    assert declared and all(item.description for item in declared)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_every_file_starts_one_lifecycle_node(path):
    given = {'bridge': 'false'} if path.name == 'gazebo.launch.py' else {}
    actions = started(path, **given)
    assert all(isinstance(
        action, (ExecuteProcess, LogInfo, Node, RegisterEventHandler)) for action in actions)
    assert sum(isinstance(action, LifecycleNode) for action in actions) == 1


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_a_misspelt_argument_is_refused_with_the_nearest(path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'sqap_vla_ros', path.name])
    with pytest.raises(ConfigError, match='max_linear_sped .*did you mean max_linear_speed'):
        started(path, max_linear_sped='1')


def test_a_launch_without_a_configuration_says_which_there_are(monkeypatch):
    path = share_directory() / 'launch' / 'vla.launch.py'
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'sqap_vla_ros', path.name])
    with pytest.raises(ConfigError, match='give config:=.*example_arm, libero_sim'):
        started(path, config='')
    with pytest.raises(ConfigError, match='confg is unknown: did you mean config'):
        started(path, config='', confg='example_arm')


def test_an_argument_that_is_not_given_leaves_the_configuration_alone():
    defaults = {entity.name: ''.join(part.text for part in entity.default_value)
                for entity in entities_of(share_directory() / 'launch' / 'vla.launch.py')
                if isinstance(entity, DeclareLaunchArgument) and entity.default_value is not None}
    assert defaults == {name: argument.default for name, argument in vla_arguments().items()
                        if argument.default is not None}


def test_two_robots_from_one_launch_file_have_namespaces_of_their_own(monkeypatch):
    made = []

    def keep(node, context):
        node._perform_substitutions(context)
        made.append((node.node_name, dict(node.expanded_remapping_rules)))
    monkeypatch.setattr(LifecycleNode, 'execute', keep)
    source = PythonLaunchDescriptionSource(str(share_directory() / 'launch' / 'vla.launch.py'))
    service = LaunchService(argv=[], noninteractive=True)
    service.include_launch_description(LaunchDescription([
        GroupAction([IncludeLaunchDescription(source, launch_arguments={
            **GIVEN, 'namespace': side, 'tf': f'/{side}/tf', **more}.items())],
            forwarding=False)
        for side, more in (('left', {'image': '/left/cam'}), ('right', {}))]))
    assert service.run() == 0
    assert [name for name, _ in made] == ['/left/vla_node', '/right/vla_node']
    left, right = (topics for _, topics in made)
    assert (left['image'], right['image']) == ('/left/cam', 'image')
    assert (left['/tf_static'], right['/tf_static']) == ('/left/tf_static', '/right/tf_static')
