# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The launch files and the robots' files: every name in them is one that the node knows.

These run where launch is not installed, too: small stand-ins keep what they were given.
test_launch_real.py has the same files under the real launch.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError
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
             'launch.actions': ['DeclareLaunchArgument', 'IncludeLaunchDescription', 'LogInfo',
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
    *_, node = module.vla_node(context)
    return node.options


def test_every_parameter_is_an_argument_that_is_described_and_changes_nothing(load):
    module = load('vla.launch.py')
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
    given = started(load('vla.launch.py'), config='example_arm', **{name: text})
    assert given['parameters'][1] == {name: value}
    assert type(given['parameters'][1][name]) is type(value)


def test_a_configuration_is_required(load):
    declared = arguments(load('vla.launch.py'))['config']
    assert 'default_value' not in declared
    assert 'example_arm' in declared['description'] and 'libero_sim' in declared['description']


def test_a_configuration_is_a_file_or_the_name_of_one_that_is_shipped(
        load, tmp_path, monkeypatch):
    module = load('vla.launch.py')
    monkeypatch.chdir(tmp_path)
    shipped = str(share_directory() / 'config' / 'example_arm.yaml')
    assert started(module, config='example_arm')['parameters'][0].args == (shipped,)
    for name in ('no.yaml', 'example_arm.yaml'):
        with pytest.raises(RuntimeError, match=rf'config:={name} is no file.*example_arm'):
            started(module, config=name)
    for own in ('my_arm.yaml', 'example_arm.yaml', 'servo.yaml', 'example_arm'):
        (tmp_path / own).write_text('{}')
        assert started(module, config=own)['parameters'][0].args == (own,)


def test_the_file_of_servo_is_no_robots(load, tmp_path, monkeypatch):
    module = load('vla.launch.py')
    monkeypatch.chdir(tmp_path)
    for given in ('servo', str(share_directory() / 'config' / 'servo.yaml')):
        with pytest.raises(RuntimeError, match="is no robot's file.*my_arm.yaml servo:=true"):
            started(module, config=given)


@pytest.mark.parametrize('name, text', [('use_sim_time', '1'), ('use_sim_time', 'yes'),
                                        ('autostart', '1')])
def test_what_is_neither_true_nor_false_is_refused(load, name, text):
    with pytest.raises(ConfigError, match=f'{name} is .{text}., expected true or false'):
        started(load('vla.launch.py'), config='example_arm', **{name: text})


@pytest.mark.parametrize('text, name', [('true', '/servo_node'), ('/arm/servo', '/arm/servo')])
def test_servo_lays_its_file_over_the_robots_and_takes_twists_and_poses(load, text, name):
    module = load('vla.launch.py')
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


def test_a_misspelt_argument_is_refused_with_the_nearest(load, monkeypatch):
    module = load('vla.launch.py')
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'sqap_vla_ros', 'vla.launch.py'])
    with pytest.raises(RuntimeError, match='max_linear_sped is unknown: .* max_linear_speed'):
        started(module, config='example_arm', max_linear_sped='0.02')


@pytest.mark.parametrize('name, told', [
    ('camera_frame_id', []), ('joint_limits', []), ('robot_description_content', []),
    ('max_linear_sped', ['max_linear_sped is unknown: did you mean max_linear_speed?'])])
def test_arguments_of_a_launch_file_that_includes_this_one_are_its_own(load, name, told):
    module = load('vla.launch.py')
    assert 'vla.launch.py' not in ' '.join(sys.argv)
    logged = module.check_spelling(SimpleNamespace(argv=[f'{name}:=1', 'config:=example_arm']))
    assert [log.options['msg'].partition('launch argument ')[2] for log in logged] == told
    assert started(module, config='example_arm', **{name: '1'})


def included(demo, **given):
    """Return the arguments that the demo gives to the node's launch file."""
    defaults = {name: options['default_value'] for name, options in arguments(demo).items()}
    entities = demo.generate_launch_description().args[0]
    function, = (entity.options['function'] for entity in entities
                 if type(entity).__name__ == 'OpaqueFunction')
    include, = function(SimpleNamespace(launch_configurations={**defaults, **given}))
    return dict(include.options['launch_arguments'])


def test_a_demo_of_blank_images_does_not_refuse_them(load):
    demo, module = load('libero.launch.py'), load('vla.launch.py')
    off = {'frozen_image_timeout': '0.0', 'min_contrast': '0.0', 'max_image_change': '0.0'}
    assert off.items() <= included(demo, control='blank-image').items()
    assert not set(off) & set(included(demo))
    overrides = started(module, config='libero_sim', **off)['parameters'][1]
    assert overrides == dict.fromkeys(off, 0.0)


def test_the_demo_names_what_the_node_has_and_its_own_arguments_disturb_nothing(load):
    demo, module = load('libero.launch.py'), load('vla.launch.py')
    given = included(demo)
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
