# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What each launch file starts, where launch is not installed, too.

Small stand-ins keep what they were given. test_launch_real.py has the same files under the real
launch.
"""

from pathlib import Path
import re
import sys
from types import SimpleNamespace

from launch_doubles import arguments
from libero_bag import LIBERO_BAG
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.vla.config import PARAMETERS
from sqap_vla_ros.support.resources import share_directory
import yaml

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((share_directory() / 'launch').glob('*.launch.py'))
GIVEN = {'config': 'example_arm', 'checkpoint': 'libero_goal', 'bag': str(LIBERO_BAG),
         'out': 'false'}
EXECUTABLES = set(re.search(
    r'foreach\(NODE (.*)\)', (ROOT / 'CMakeLists.txt').read_text()).group(1).split())
OF_OTHERS = {  # that are started, by package
    'rviz2': {'rviz2'}, 'ros_gz_bridge': {'parameter_bridge'}, 'ros_gz_sim': {'create'},
    'robot_state_publisher': {'robot_state_publisher'}, 'tf2_ros': {'static_transform_publisher'}}


@pytest.fixture
def installed(monkeypatch):
    """Make it so that all packages of others are installed."""
    import ament_index_python.packages as packages
    for name in ('get_package_prefix', 'get_package_share_directory'):
        monkeypatch.setattr(packages, name, lambda package: f'/opt/{package}')


def started(module, **given):
    """Return what a launch file starts, with what it needs to be given."""
    declared = arguments(module)
    given = {**{name: text for name, text in GIVEN.items() if name in declared}, **given}
    defaults = {name: options.get('default_value') for name, options in declared.items()}
    context = SimpleNamespace(argv=[f'{name}:={value}' for name, value in given.items()],
                              launch_configurations={**defaults, **given})
    function, = [entity.options['function']
                 for entity in module.generate_launch_description().args[0]
                 if type(entity).__name__ == 'OpaqueFunction']
    return function(context)


def nodes(actions):
    """Return {executable: keyword arguments} of the nodes among actions; of several the last."""
    return {action.options['executable']: action.options for action in actions
            if 'executable' in action.options}


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_is_described_and_only_the_robot_has_to_be_named(load, path):
    declared = arguments(load(path.name))
    assert all(len(options['description']) > 8 for options in declared.values())
    assert all('default_value' in options for options in declared.values())  # launch asks for none
    assert ('config' in declared) == (path.name != 'libero.launch.py')


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_every_executable_is_installed_and_every_parameter_known(load, installed, path):
    made = nodes(started(load(path.name), rviz='true', max_linear_speed='0.02'))
    assert {'vla_node', 'rviz2'} <= set(made)
    for name, options in made.items():
        assert name in OF_OTHERS.get(options['package'], EXECUTABLES)
    *files, overrides = made['vla_node']['parameters']
    assert overrides['max_linear_speed'] == 0.02
    assert set(overrides) <= {*PARAMETERS, 'use_sim_time'}
    assert all(path.args[0].endswith('.yaml') for path in files)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_a_misspelt_argument_is_refused_with_the_nearest_where_it_is_started_itself(
        load, installed, monkeypatch, path):
    module = load(path.name)
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'sqap_vla_ros', path.name])
    assert started(module)
    with pytest.raises(ConfigError, match='max_linear_sped is unknown: .* max_linear_speed'):
        started(module, max_linear_sped='0.02')
    with pytest.raises(ConfigError, match='quux is unknown; --show-args'):
        started(module, quux='1')
    if path.name != 'libero.launch.py':
        with pytest.raises(ConfigError, match='confg is unknown: did you mean config'):
            started(module, confg='example_arm', config='')
        with pytest.raises(ConfigError, match='give config:='):
            started(module, config='')


@pytest.mark.parametrize('name, told', [
    ('camera_frame_id', []),
    ('max_linear_sped', ['max_linear_sped is unknown: did you mean max_linear_speed?'])])
def test_arguments_of_a_launch_file_that_includes_this_one_are_its_own(load, name, told):
    assert 'vla.launch.py' not in ' '.join(sys.argv)
    *logged, node = started(load('vla.launch.py'), **{name: '1'})
    assert [log.options['msg'].partition('launch argument ')[2] for log in logged] == told
    assert node.options['executable'] == 'vla_node'


def test_what_a_file_starts_is_in_its_namespace_with_its_own_transforms(load, installed):
    made = nodes(started(load('gazebo.launch.py'), namespace='left', tf='/left/tf', rviz='true',
                         camera_link='camera_link', image='cam'))
    assert {options['namespace'] for options in made.values()} == {'left'}
    for options in made.values():
        assert dict(options['remappings'])['/tf_static'] == '/left/tf_static'
    topics = dict(made['rviz2']['remappings'])
    assert topics['/vla_node/overlay'] == '/left/vla_node/overlay'
    assert topics['/vla_node/planned_trajectory'] == '/left/vla_node/planned_poses'  # of joints
    assert topics['/image'] == dict(made['vla_node']['remappings'])['image'] == 'cam'


def test_two_robots_from_one_file_share_nothing(load):
    module = load('vla.launch.py')
    left, right = (nodes(started(module, namespace=side, tf=f'/{side}/tf'))['vla_node']
                   for side in ('left', 'right'))
    assert (left['namespace'], right['namespace']) == ('left', 'right')
    assert not {name for _, name in left['remappings'] if name.startswith('/')} & {
        name for _, name in right['remappings']}


def test_a_package_that_is_missing_is_named_with_the_way_to_install_it(load, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    with pytest.raises(ConfigError, match='rviz:=true needs .*ros-jazzy-rviz2'):
        started(load('vla.launch.py'), rviz='true')
    with pytest.raises(ConfigError, match='bridge to Gazebo needs .*ros-jazzy-ros-gz-bridge'):
        started(load('gazebo.launch.py'))
    with pytest.raises(ConfigError, match='world:= needs .*ros-jazzy-ros-gz-sim'):
        started(load('gazebo.launch.py'), bridge='false', world='shapes.sdf')


def bridged(options):
    """Return the entries of a bridge's file."""
    return yaml.safe_load(open(options['parameters'][0]['config_file']))


def test_each_camera_has_a_bridge_of_its_own_with_its_optical_frame(load, installed):
    actions = started(load('gazebo.launch.py'), gz_image='/world/w/image')
    small, camera = [action.options for action in actions
                     if action.options.get('executable') == 'parameter_bridge']
    assert [entry['ros_topic_name'] for entry in bridged(small)] == ['/clock']
    assert small['parameters'][0]['qos_overrides./clock.publisher.reliability'] == 'best_effort'
    assert small['parameters'][0]['qos_overrides./clock.publisher.depth'] == 1
    assert {entry['ros_topic_name']: entry['gz_topic_name'] for entry in bridged(camera)} == {
        'image': '/world/w/image', 'camera_info': '/camera/camera_info'}
    assert camera['parameters'][0]['override_frame_id'] == 'camera_optical_frame'


@pytest.mark.parametrize('name', ['gazebo', 'isaac'])
def test_what_a_simulators_file_overrules_is_logged(load, installed, tmp_path, name):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**:\n  ros__parameters:\n    camera_frame: mine\n')
    logged = [action.options['msg'] for action in started(
        load(f'{name}.launch.py'), config=str(path)) if 'msg' in action.options]
    assert len(logged) == 1 and logged[0].startswith(f'{name}.launch.py: camera_frame is mine')


def test_joint_states_are_bridged_where_a_name_is_given_alone(load, installed):
    made = started(load('gazebo.launch.py'), gz_joint_states='/world/w/model/arm/joint_state')
    entries = [entry for action in made if 'package' in action.options
               and action.options['package'] == 'ros_gz_bridge' for entry in
               bridged(action.options)]
    assert {entry['ros_topic_name']: entry['gz_topic_name'] for entry in entries}[
        'joint_states'] == '/world/w/model/arm/joint_state'
    assert 'parameter_bridge' not in nodes(started(load('gazebo.launch.py'), bridge='false'))


def test_gazebo_is_started_with_a_world_and_the_robot_in_it(load, installed, tmp_path):
    urdf = tmp_path / 'arm.urdf'
    urdf.write_text('<robot name="arm"/>')
    include, *actions = started(load('gazebo.launch.py'), world='shapes.sdf', headless='true',
                                robot=str(urdf), camera_link='camera_link',
                                robot_description='/left/urdf', joint_states='/left/joints')
    assert dict(include.options['launch_arguments'])['gz_args'] == (
        '-r -s --headless-rendering shapes.sdf')
    made = nodes(actions)
    parameters, = made['robot_state_publisher']['parameters']
    assert dict(made['robot_state_publisher']['remappings']) == {
        'robot_description': '/left/urdf', 'joint_states': '/left/joints', '/tf': '/tf',
        '/tf_static': '/tf_static'}
    assert parameters['robot_description'].args[0] == '<robot name="arm"/>'
    assert made['create']['arguments'] == ['-file', str(urdf), '-name', 'robot']
    assert made['static_transform_publisher']['arguments'][:4] == [
        '--frame-id', 'camera_link', '--child-frame-id', 'camera_optical_frame']


@pytest.mark.parametrize('given, told', [
    ({'world': './nowhere.sdf'}, 'world:=./nowhere.sdf is no file'),
    ({'robot': 'arm.urdf'}, 'robot:=arm.urdf is no file'),
    ({'bridge': 'gz.yaml'}, 'bridge:=gz.yaml is no file'),
    ({'headless': 'yes'}, "headless is 'yes', expected true or false"),
    ({'rviz': '1'}, "rviz is '1', expected true or false"),
    ({'camera_link': 'camera_link', 'config': 'body.yaml'}, 'camera_frame is empty')])
def test_what_cannot_be_started_is_refused(load, installed, tmp_path, monkeypatch, given, told):
    monkeypatch.chdir(tmp_path)
    if 'config' in given:
        monkeypatch.setattr('sqap_vla_ros.ros.launching.robot.shipped', lambda: {
            'gazebo': tmp_path / 'body.yaml'})
        (tmp_path / 'body.yaml').write_text('/**:\n  ros__parameters:\n    camera_frame: ""\n')
    with pytest.raises(ConfigError) as refused:
        started(load('gazebo.launch.py'), **given)
    assert told in str(refused.value)


def test_a_demo_of_blank_images_does_not_refuse_them(load):
    module = load('libero.launch.py')
    off = {'frozen_image_timeout': 0.0, 'min_contrast': 0.0, 'max_image_change': 0.0}
    overrides = nodes(started(module, control='blank-image'))['vla_node']['parameters'][-1]
    assert off.items() <= overrides.items()
    assert not set(off) & set(nodes(started(module))['vla_node']['parameters'][-1])


def test_the_demo_tells_both_nodes_what_they_share(load):
    made = nodes(started(load('libero.launch.py'), lockstep='false', task='x', seed='7'))
    simulator, = made['libero_sim_node']['parameters']
    overrides = made['vla_node']['parameters'][-1]
    assert (simulator['lockstep'], simulator['instruction'], simulator['seed']) == (False, 'x', 7)
    assert (overrides['lockstep'], overrides['use_sim_time'], overrides['autostart']) == (
        False, False, True)


@pytest.mark.parametrize('given, checkpoint, precision', [
    ({}, 'libero_goal_w4', 'auto'), ({'precision': 'w4a4'}, 'libero_goal_w4', 'w4a4'),
    ({'precision': 'fp'}, 'libero_goal', 'fp'),
    ({'int8_parts': 'vision, head'}, 'libero_goal', 'auto'),
    ({'int8_parts': ' '}, 'libero_goal_w4', 'auto'),
    ({'precision': 'w4a8', 'checkpoint': 'libero_goal'}, 'libero_goal', 'w4a8')])
def test_the_demo_takes_the_bundled_weights_that_serve_the_precision(
        load, given, checkpoint, precision):
    made = nodes(started(load('libero.launch.py'), **{'checkpoint': '', **given}))
    overrides = made['vla_node']['parameters'][-1]
    assert (overrides['checkpoint'], overrides['precision']) == (checkpoint, precision)


def test_a_checkpoint_of_two_cameras_is_shown_the_hands_too(load):
    made = nodes(started(load('libero.launch.py'), cameras='full,wrist', command_kind='delta'))
    simulator, = made['libero_sim_node']['parameters']
    assert (simulator['wrist_camera'], simulator['command_kind']) == (
        'robot0_eye_in_hand', 'delta')
    overrides = made['vla_node']['parameters'][-1]
    assert (overrides['cameras'], overrides['wrist.max_image_change']) == (['full', 'wrist'], 0.0)
    assert {'full/image': 'image', 'full/camera_info': 'camera_info',
            'wrist/image': 'wrist/image'}.items() <= dict(made['vla_node']['remappings']).items()
    for cameras, wrist, on in (('', '', None), ('front', '', 'image'),
                               ('hand', 'robot0_eye_in_hand', 'wrist/image')):
        made = nodes(started(load('libero.launch.py'), cameras=cameras))
        assert made['libero_sim_node']['parameters'][0]['wrist_camera'] == wrist
        assert dict(made['vla_node']['remappings']).get(f'{cameras}/image') == on


@pytest.mark.parametrize('given, expected', [
    ({}, (0.5, 4.5)), ({'command_kind': 'delta'}, (2.0, 18.75)),
    ({'command_kind': 'delta', 'max_linear_speed': '0.3'}, (0.3, 18.75))])
def test_no_action_of_a_kind_is_cut_off_unless_it_is_asked_for(load, given, expected):
    overrides = nodes(started(load('libero.launch.py'), **given))['vla_node']['parameters'][-1]
    assert (overrides['max_linear_speed'], overrides['max_angular_speed']) == expected


@pytest.mark.parametrize('given, told', [
    ({'cameras': 'left,right'}, 'the simulator has two: one in front of the table, and one on'),
    ({'episodes': '0'}, 'episodes is 0, expected 1 to 100000'),
    ({'episodes': 'many'}, "'many', expected a whole number from 1"),
    ({'control': 'blank_image'}, 'expected one of none, blank-image'),
    ({'faults': 'image_freze@5'}, 'image_freze'), ({'keep_tokens': '-1'}, 'expected 0 to 4096'),
    ({'config': 'panda'}, 'config is unknown')])
def test_what_the_simulator_would_refuse_is_refused(load, monkeypatch, given, told):
    module = load('libero.launch.py')
    monkeypatch.setattr(sys, 'argv', ['ros2', 'launch', 'sqap_vla_ros', 'libero.launch.py'])
    with pytest.raises(ConfigError) as refused:
        started(module, **given)
    assert told in str(refused.value)
