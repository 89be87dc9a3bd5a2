# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file of vla_node: its arguments, and how they reach the node."""

import importlib.util

import pytest

try:  # not find_spec: the directory launch/ of this repository would be found as a package
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction
    from launch_ros.actions import LifecycleNode
except ImportError:
    pytest.skip('launch and launch_ros are not installed (there are no wheels of them)',
                allow_module_level=True)

from sqap_vla_ros.support.resources import share_directory


@pytest.fixture
def launched():
    """Return the launch file as a module."""
    spec = importlib.util.spec_from_file_location(
        'vla_node_launch', share_directory() / 'launch' / 'vla.launch.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def entities(launched):
    """Return what the launch file describes."""
    return launched.generate_launch_description().entities


def test_every_argument_has_a_description(entities):
    arguments = [entity for entity in entities if isinstance(entity, DeclareLaunchArgument)]
    names = {item.name for item in arguments}
    assert {'config', 'checkpoint', 'namespace', 'image', 'max_linear_speed'} <= names
    assert all(item.description for item in arguments)


def context_with(entities, **arguments):
    """Return a launch context with these arguments, and the defaults of the others."""
    context = LaunchContext(argv=[f'{name}:={text}' for name, text in arguments.items()])
    context.launch_configurations['config'] = 'example_arm'
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    context.launch_configurations.update(arguments)
    return context


def test_it_starts_one_lifecycle_node(entities):
    context = context_with(entities, keep_tokens='154', int8_parts='vision')
    function, = [entity for entity in entities if isinstance(entity, OpaqueFunction)]
    node, = function.execute(context)
    assert isinstance(node, LifecycleNode)


@pytest.mark.parametrize('given, overrides', [
    ({}, {}), ({'keep_tokens': '154', 'precision': 'w8a8'},
               {'keep_tokens': 154, 'precision': 'w8a8'}),
    ({'int8_parts': 'vision, head', 'dtype': 'float16'},
     {'int8_parts': ['vision', 'head'], 'dtype': 'float16'}),
    ({'ddim_steps': '0', 'prune_layer': '1'}, {'ddim_steps': 0, 'prune_layer': 1}),
    ({'guidance': '2', 'protect': 'false'}, {'guidance': 2.0, 'protect': False}),
    ({'autostart': 'True', 'lockstep': 'false'}, {'autostart': True, 'lockstep': False})])
def test_an_argument_overrules_the_configuration_in_the_type_of_its_parameter(
        launched, entities, monkeypatch, given, overrides):
    monkeypatch.setattr(launched, 'LifecycleNode', lambda **options: options)
    node, = launched.vla_node(context_with(entities, **given))
    assert node['parameters'][1:] == [overrides]
    assert {name: type(value) for name, value in node['parameters'][1].items()} == {
        name: type(value) for name, value in overrides.items()}


def test_a_launch_without_a_configuration_says_which_there_are(entities, caplog):
    with pytest.raises(RuntimeError, match='"config" was not provided'):
        for entity in entities:
            entity.execute(LaunchContext())
    assert 'example_arm, libero_sim' in caplog.text


def test_an_argument_that_is_not_given_leaves_the_configuration_alone(launched, entities):
    defaults = {entity.name: ''.join(part.text for part in entity.default_value)
                for entity in entities if isinstance(entity, DeclareLaunchArgument)
                and entity.default_value is not None}
    assert 'config' not in defaults
    for name in launched.OVERRIDES:
        assert defaults[name] == '', f'{name} would overrule the YAML file of a robot'
