# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The launch files and the robots' files: every name in them is one that the node knows.

These run where launch is not installed, too: small stand-ins keep what they were given.
test_launch_vla_node.py has the same files under the real launch.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from sqap_vla_ros.ros.vla.config import NodeConfig, PARAMETERS
from sqap_vla_ros.support.resources import share_directory
import yaml

FILES = sorted((share_directory() / 'config').glob('*.yaml'))
OF_OTHERS = {'use_sim_time'}


class Kept:
    """Keeps what it was made with."""

    def __init__(self, *args, **options):
        self.args, self.options = args, options


class Configuration(Kept):
    """A launch argument, as LaunchConfiguration."""

    def perform(self, context):
        """Return its value."""
        return context.launch_configurations[self.args[0]]


@pytest.fixture
def load(monkeypatch):
    """Return a function that loads a launch file beside stand-ins of launch."""
    names = {'launch': ['LaunchDescription'],
             'launch.actions': ['DeclareLaunchArgument', 'IncludeLaunchDescription',
                                'OpaqueFunction', 'SetEnvironmentVariable', 'Shutdown'],
             'launch.launch_description_sources': ['PythonLaunchDescriptionSource'],
             'launch.substitutions': [], 'launch_ros': [],
             'launch_ros.actions': ['LifecycleNode', 'Node'],
             'launch_ros.parameter_descriptions': ['ParameterFile', 'ParameterValue']}
    for name, members in names.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Kept,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules['launch.substitutions'].LaunchConfiguration = Configuration

    def load_file(name):
        path = share_directory() / 'launch' / name
        spec = importlib.util.spec_from_file_location(name.partition('.')[0], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return load_file


def arguments(module):
    """Return {name: keyword arguments} of what a launch file declares."""
    entities = module.generate_launch_description().args[0]
    return {entity.args[0]: entity.options for entity in entities
            if type(entity).__name__ == 'DeclareLaunchArgument'}


def started(module, **given):
    """Return the keyword arguments of the node that a launch file starts."""
    defaults = {name: options.get('default_value') for name, options in arguments(module).items()}
    context = SimpleNamespace(
        argv=[f'{name}:={value}' for name, value in given.items()],
        launch_configurations={**defaults, **given})
    node, = module.vla_node(context)
    return node.options


def test_every_parameter_is_an_argument_that_is_described_and_changes_nothing(load):
    module = load('vla_node.launch.py')
    declared = arguments(module)
    assert set(PARAMETERS) - {'seed'} <= set(declared)
    assert all(options['description'] for options in declared.values())
    assert started(module, config='example_arm')['parameters'][1] == {}


@pytest.mark.parametrize('name, text, value', [
    ('max_linear_speed', '0.02', 0.02), ('keep_tokens', '100', 100), ('autostart', 'True', True),
    ('use_sim_time', 'true', True),
    ('workspace_low', '[-.inf, 0, 0.1]', [float('-inf'), 0.0, 0.1]),
    ('int8_parts', 'vision, head', ['vision', 'head'])])
def test_an_argument_overrules_the_file_in_the_type_of_its_parameter(load, name, text, value):
    given = started(load('vla_node.launch.py'), config='example_arm', **{name: text})
    assert given['parameters'][1] == {name: value}
    assert type(given['parameters'][1][name]) is type(value)


def test_a_configuration_is_required(load):
    declared = arguments(load('vla_node.launch.py'))['config']
    assert 'default_value' not in declared
    assert 'example_arm' in declared['description'] and 'libero_sim' in declared['description']


def test_a_configuration_is_a_file_or_the_name_of_one_that_is_shipped(load, tmp_path):
    module, own = load('vla_node.launch.py'), tmp_path / 'my_arm.yaml'
    own.write_text('{}')
    shipped = str(share_directory() / 'config' / 'example_arm.yaml')
    for given, path in (('example_arm', shipped), ('example_arm.yaml', shipped), (own, str(own))):
        assert started(module, config=str(given))['parameters'][0].args == (path,)
    with pytest.raises(RuntimeError, match=r'config:=no\.yaml is no file.*example_arm'):
        started(module, config='no.yaml')


@pytest.mark.parametrize('text, name', [('true', '/servo_node'), ('/arm/servo', '/arm/servo')])
def test_servo_lays_its_file_over_the_robots_and_takes_twists_and_poses(load, text, name):
    module = load('vla_node.launch.py')
    given = started(module, config='example_arm', servo=text, max_linear_speed='0.2')
    robot, servo, node, overrides = given['parameters']
    assert servo.args == (str(share_directory() / 'config' / 'servo.yaml'),)
    assert (node, overrides) == ({'servo_node': name}, {'max_linear_speed': 0.2})
    topics = dict(given['remappings'])
    assert topics['delta_twist_cmds'] == f'{name}/delta_twist_cmds'
    assert topics['target_pose'] == f'{name}/pose_target_cmds'
    assert topics['image'] == 'image'
    own = started(module, config='example_arm', servo=text, delta_twist_cmds='/mine')
    assert dict(own['remappings'])['delta_twist_cmds'] == '/mine'
    without = started(module, config='example_arm')
    assert dict(without['remappings'])['delta_twist_cmds'] == 'delta_twist_cmds'


def test_a_misspelt_argument_is_refused_with_the_nearest(load):
    module = load('vla_node.launch.py')
    with pytest.raises(RuntimeError, match='max_linear_sped is unknown: .* max_linear_speed'):
        started(module, config='example_arm', max_linear_sped='0.02')


def test_the_demo_names_what_the_node_has_and_its_own_arguments_disturb_nothing(load):
    demo, module = load('demo.launch.py'), load('vla_node.launch.py')
    include = next(entity for entity in demo.generate_launch_description().args[0]
                   if type(entity).__name__ == 'IncludeLaunchDescription')
    given = dict(include.options['launch_arguments'])
    assert set(given) <= set(arguments(module))
    assert not set(demo.SIMULATOR) & (set(arguments(module)) - {'lockstep'})
    own = {name: '1' for name in demo.SIMULATOR if name != 'lockstep'}
    assert started(module, config=given['config'], **own)['parameters'][1] == {}


def parameters(path):
    """Return the parameters in a file of one section for all nodes."""
    return yaml.safe_load(path.read_text())['/**']['ros__parameters']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_line_of_a_robots_file_is_a_parameter_of_the_node_and_makes_sense(path):
    values = parameters(path)
    assert set(values) <= set(PARAMETERS) | OF_OTHERS
    if path.stem == 'servo':  # goes on top of a robot's
        values = {**parameters(path.with_stem('example_arm')), **values}
    NodeConfig.from_parameters({
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items() if name not in OF_OTHERS})
