# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What launch files refuse before a process starts, and what they make of arguments."""

from pathlib import Path

import pytest
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.ros.launching.arguments import overrides, TOPICS, unknown, vla_arguments
from sqap_vla_ros.ros.launching.files import robot_file, robots, world_of
from sqap_vla_ros.ros.launching.robot import robot_of
from sqap_vla_ros.ros.vla.config import PARAMETERS
from sqap_vla_ros.ros.vla.overrides import parameters_of
from sqap_vla_ros.support.resources import share_directory

CONFIG = share_directory() / 'config'
KNOWN = ('base_frame', 'keep_tokens', 'max_linear_speed', 'workspace_low')


def robot(layers=(), **given):
    """Return the robot that these arguments describe, on top of defaults."""
    defaults = {name: argument.default for name, argument in vla_arguments().items()}
    return robot_of({**defaults, 'config': 'example_arm', 'checkpoint': 'libero_goal', **given},
                    layers)


def test_every_parameter_is_an_argument_with_a_description_and_its_range():
    arguments = vla_arguments()
    assert set(PARAMETERS) - {'seed'} <= set(arguments)
    assert all(argument.description for argument in arguments.values())
    assert '0.001 to 10.' in arguments['max_linear_speed'].description
    assert 'Has to be given' in arguments['config'].description
    assert 'example_arm' in arguments['config'].description
    assert not {'servo', 'gazebo', 'isaac', 'gz_bridge'} & set(robots())


@pytest.mark.parametrize('name, text, value', [
    ('max_linear_speed', '1', 1.0), ('keep_tokens', '100', 100), ('autostart', 'True', True),
    ('use_sim_time', 'true', True), ('keep_tokens', '0', 0), ('precision', 'own', 'own'),
    ('workspace_low', '[-.inf, 0, 0.1]', [float('-inf'), 0.0, 0.1]),
    ('int8_parts', 'vision, head', ['vision', 'head'])])
def test_an_argument_has_the_type_of_its_parameter_and_overrules_the_file(name, text, value):
    found = dict(robot(**{name: text}).overrides)
    assert found.pop('checkpoint') == 'libero_goal'
    assert found == {name: value} and type(found[name]) is type(value)


def test_arguments_that_are_left_out_leave_the_file_alone():
    assert overrides({name: argument.default for name, argument in vla_arguments().items()}) == {}


@pytest.mark.parametrize('name, text, told', [
    ('use_sim_time', 'yes', "use_sim_time is 'yes', expected true or false"),
    ('autostart', '1', "autostart is '1', expected true or false"),
    ('max_linear_speed', '99', 'max_linear_speed is 99.0, expected 0.001 to 10.0'),
    ('max_linear_speed', 'fast', "'fast', expected a number from 0.001 to 10.0"),
    ('keep_tokens', '1.5', "'1.5', expected a whole number from 0 to 4096"),
    ('workspace_low', '1 2', "workspace_low is '1 2', expected 3 numbers"),
    ('output', 'twists', "'twists' (did you mean 'twist'?), expected one of twist, pose"),
    ('int8_parts', 'vison', "'vison' (did you mean 'vision'?), expected one of vision"),
    ('workspace_low', '1 1 1', None), ('twist_units', 'unitless', None),
    ('name', 'a/b', 'name:=a/b has a slash'), ('name', '', 'launch argument name is'),
    ('namespace', 'left arm', "launch argument namespace is 'left arm'"),
    ('image', '/cam era', "launch argument image is '/cam era'"),
    ('image', '', "launch argument image is ''"),
    ('tf', '/left/', "launch argument tf is '/left/'"),
    ('servo', 'tru', 'servo:=tru: did you mean true?'),
    ('servo', 'False', None), ('tf_static', '', None),
    ('urdf_file', 'nowhere.urdf', 'urdf_file:=nowhere.urdf is no file')])
def test_a_value_of_another_type_or_out_of_range_is_refused_with_the_range(name, text, told):
    if told is None:
        assert robot(**{name: text})
        return
    with pytest.raises(ConfigError) as refused:
        robot(**{name: text})
    assert told in str(refused.value)


def test_values_that_do_not_go_together_are_refused_before_the_node_starts():
    with pytest.raises(ConfigError, match='workspace_low.*workspace_high'):
        robot(workspace_low='1 1 1', workspace_high='0 0 0')
    with pytest.raises(ConfigError, match='takes no joint_trajectory'):
        robot(servo='true', output='joint_trajectory')


def test_a_configuration_is_ones_own_file_or_the_name_of_one_that_is_shipped(
        tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert robot_file('example_arm') == CONFIG / 'example_arm.yaml'
    for own in ('my_arm.yaml', 'example_arm.yaml', 'servo.yaml', 'example_arm'):
        (tmp_path / own).write_text('x')
        assert robot_file(own) == Path(own)


@pytest.mark.parametrize('text, told', [
    ('exampel_arm', 'is no file: did you mean example_arm?'),
    ('my_arn.yaml', r'is no file: did you mean my_arm.yaml?'),
    ('nowhere/arm.yaml', 'there is no directory nowhere'),
    ('folder', 'folder is a directory. It takes'), ('zzzzzz', 'copy example_arm.yaml')])
def test_a_configuration_that_is_not_there_gets_the_nearest_name(
        tmp_path, monkeypatch, text, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'my_arm.yaml').write_text('x')
    with pytest.raises(ConfigError) as refused:
        robot_file(text)
    assert f'config:={text} ' in str(refused.value) and told in str(refused.value)
    assert 'example_arm, ' in str(refused.value)


def test_a_configuration_that_was_left_out_is_asked_for():
    with pytest.raises(ConfigError, match='give config:=my_arm.yaml, or one of example_arm, '):
        robot(config='')


@pytest.mark.parametrize('name, told', [
    ('servo', 'my_arm.yaml servo:=true'), ('gazebo', 'gazebo.launch.py'),
    ('isaac', 'isaac.launch.py'), ('gz_bridge', 'for ros_gz_bridge')])
def test_what_goes_on_top_is_no_robots_file(name, told):
    for given in (name, str(CONFIG / f'{name}.yaml')):
        with pytest.raises(ConfigError, match="is no robot's file") as refused:
            robot_file(given)
        assert told in str(refused.value)


@pytest.mark.parametrize('text, told', [
    ('/**: {ros__parameters: {base_frame: x, base_frame: y}}', 'base_frame stands in line 1, too'),
    ('vla_nod:\n  ros__parameters:\n    base_frame: x',
     'for /vla_nod (line 1), this is /vla_node, did you mean /vla_node?'),
    ('left:\n  vla_node:\n    ros__parameters:\n      base_frame: x',
     'is for this node: its sections are for /left/vla_node (line 2), this is /vla_node'),
    ('/**:\n  ros__parameters: {keep_tokens: 1}\n/vla_nod:\n  ros__parameters: {base_frame: x}',
     'section /vla_nod (line 3) of the parameter file'),
    ('/**: {ros__parameters: {use_sim_tim: true}}', 'did you mean use_sim_time?'),
    ('/**:\n  ros__parameters:\n    base_fram: x',
     'base_fram is unknown: did you mean base_frame?')])
def test_a_file_of_which_something_would_not_arrive_is_refused(tmp_path, text, told):
    path = tmp_path / 'arm.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        parameters_of(path, '/vla_node', KNOWN)
    assert str(path) in str(refused.value) and told in str(refused.value)


@pytest.mark.parametrize('section, node', [
    ('/**', '/vla_node'), ('vla_node', '/vla_node'), ('/vla_node', '/vla_node'),
    ('/left/vla_node', '/left/vla_node'), ('/**/vla_node', '/left/vla_node'),
    ('/*/vla_node', '/left/vla_node')])
def test_sections_for_this_node_are_read_and_the_others_left_to_theirs(tmp_path, section, node):
    path = tmp_path / 'arm.yaml'
    path.write_text(f'{section}:\n  ros__parameters:\n    base_frame: x\n'
                    '    wrist:\n      camera_frame: c\n    max_linear_speed: 1e-1\n'
                    '    workspace_low: [1e-1, 0.0, 1.5]\n'
                    '    qos_overrides:\n      /image:\n        subscription:\n'
                    '          depth: 2\n'
                    'camera:\n  ros__parameters:\n    fps: 30\n')
    assert parameters_of(path, node, KNOWN) == {
        'base_frame': 'x', 'wrist.camera_frame': 'c', 'max_linear_speed': 0.1,
        'workspace_low': [0.1, 0.0, 1.5],
        'qos_overrides./image.subscription.depth': 2}


def test_whole_numbers_beside_decimal_ones_are_taken_and_the_file_is_handed_over(tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**:\n  ros__parameters:\n    workspace_low: [0, -0.4, 0.1]\n'
                    '    workspace_high: [1, 0.4, 1]\n')
    made = robot(config=str(path))
    assert made.config.workspace_low == (0.0, -0.4, 0.1) and made.files == [path]


@pytest.mark.parametrize('text, error, told', [
    ('', ConfigError, 'checkpoint is empty'),
    ('libero_gaol', CheckpointError, 'libero_goal'),
    ('{}/opnvla', CheckpointError, 'is not there: did you mean {}/openvla?'),
    ('{}/no/where', CheckpointError, 'is not there: there is no directory {}/no'),
    ('{}/file', CheckpointError, 'is a file, expected the directory')])
def test_a_checkpoint_that_is_not_there_is_told_before_the_node_starts(
        tmp_path, monkeypatch, text, error, told):
    (tmp_path / 'openvla').mkdir()
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert robot(checkpoint='~/openvla').overrides['checkpoint'] == f'{tmp_path}/openvla'
    with pytest.raises(error) as refused:
        robot(checkpoint=text.format(tmp_path))
    assert told.format(tmp_path) in str(refused.value)


def test_a_checkpoint_may_be_a_file_of_a_run_as_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'checkpoints').mkdir()
    for name in ('checkpoints/step.pt', 'step.pt'):
        Path(name).write_text('')
        with pytest.raises(CheckpointError, match='which has a config.json'):
            robot(checkpoint=name)
    Path('config.json').write_text('{}')
    path = Path('checkpoints', 'step.pt')
    assert robot(checkpoint=str(path)).config.checkpoint_directory == path
    assert robot(checkpoint='step.pt').config.checkpoint_directory == Path('step.pt')


@pytest.mark.parametrize('name, is_file, told', [
    ('my_wrld.sdf', False, 'did you mean my_world.sdf?'), ('shapes.sdf', False, None),
    ('my_world.sdf', True, None), ('./shapes.sdf', False, 'is no file'),
    ('~/home.sdf', True, None), ('~/hme.sdf', False, 'home.sdf?')])
def test_a_world_is_a_file_or_a_name_that_only_gazebo_knows(
        tmp_path, monkeypatch, name, is_file, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    for own in ('my_world.sdf', 'home.sdf'):
        (tmp_path / own).write_text('')
    if told:
        with pytest.raises(ConfigError) as refused:
            world_of(name)
        assert f'world:={name} ' in str(refused.value) and told in str(refused.value)
    else:
        assert Path(world_of(name)).is_file() == is_file


def robot_with(path, text, layer='gazebo', **given):
    """Return the robot of a file with these parameters, and a layer on top."""
    path.write_text('/**:\n  ros__parameters:\n    ' + text.replace(', ', '\n    '))
    return robot([layer], config=str(path), **given)


@pytest.mark.parametrize('layer, frame', [('gazebo', 'camera_optical_frame'),
                                          ('isaac', 'sim_camera')])
def test_a_simulators_file_fills_in_what_the_robots_leaves_open(tmp_path, layer, frame):
    path = tmp_path / 'arm.yaml'
    for text in ('base_frame: base', "camera_frame: '', output: twist"):
        config = robot_with(path, text, layer).config
        assert (config.camera_frame, config.output) == (frame, 'joint_trajectory')
    made = robot_with(path, 'camera_frame: mine, output: joint_position', layer)
    assert (made.config.camera_frame, made.config.output) == ('mine', 'joint_position')
    assert (made.overrides['camera_frame'], made.overrides['output']) == ('mine', 'joint_position')
    assert made.files[-1].stem == layer  # below what is kept
    given = robot_with(path, 'camera_frame: mine', layer, camera_frame='given')
    assert given.config.camera_frame == 'given' and given.notes == []


def test_what_one_file_makes_of_the_other_is_told(tmp_path):
    path = tmp_path / 'arm.yaml'
    kept, changed = robot_with(
        path, 'camera_frame: mine, output: twist, image_timeout: 0.3, tf_timeout: 0.3').notes
    assert kept == ('camera_frame is mine, of arm.yaml; in gazebo.yaml it is camera_optical_frame:'
                    ' camera_frame:=camera_optical_frame takes that')
    assert changed == ('gazebo.yaml overrules arm.yaml: output (joint_trajectory for twist), '
                       'image_timeout (1.0 for 0.3); NAME:=VALUE overrules both')
    assert robot_with(path, 'base_frame: base').notes == robot().notes == []


@pytest.mark.parametrize('text, name', [('true', '/servo_node'), ('/arm/servo', '/arm/servo')])
def test_servo_lays_its_file_over_the_robots_and_takes_twists_and_poses(text, name):
    made = robot(servo=text, max_linear_speed='0.2')
    assert [path.stem for path in made.files] == ['example_arm', 'servo']
    assert made.overrides == {
        'servo_node': name, 'max_linear_speed': 0.2, 'checkpoint': 'libero_goal'}
    assert made.config.twist_units == 'unitless'
    topics = dict(made.remappings)
    assert topics['delta_twist_cmds'] == f'{name}/delta_twist_cmds'
    assert topics['target_pose'] == f'{name}/pose_target_cmds' and topics['image'] == 'image'
    own = robot(servo=text, delta_twist_cmds='/mine')
    assert dict(own.remappings)['delta_twist_cmds'] == '/mine'
    assert dict(robot().remappings)['delta_twist_cmds'] == 'delta_twist_cmds'


def test_a_namespace_moves_what_is_relative_and_tf_is_remapped():
    made = robot(namespace='left', tf='/left/tf')
    assert made.full_name == '/left/vla_node'
    topics = dict(made.remappings)
    assert {topics[name] for name in TOPICS} == set(TOPICS)  # relative, all of them
    assert (topics['/tf'], topics['/tf_static']) == ('/left/tf', '/left/tf_static')
    assert dict(robot(tf_static='/both').remappings)['/tf_static'] == '/both'
    assert robot(namespace='/a/b', name='arm').full_name == '/a/b/arm'


def test_two_robots_of_one_file_have_each_its_section(tmp_path):
    path = tmp_path / 'arms.yaml'
    path.write_text('\n'.join(
        f'{side}:\n  vla_node:\n    ros__parameters:\n      base_frame: {side}_base'
        for side in ('left', 'right')))
    frames = [robot(config=str(path), namespace=side).config.base_frame
              for side in ('left', 'right')]
    assert frames == ['left_base', 'right_base']
    with pytest.raises(ConfigError, match=r'/left/vla_node \(line 2\), /right/vla_node \(l'):
        robot(config=str(path))


@pytest.mark.parametrize('word, alike, told', [
    ('max_linear_sped:=1', 0, 'max_linear_sped is unknown: did you mean max_linear_speed?'),
    ('qqq:=1', 0, 'qqq is unknown; --show-args lists them'), ('qqq:=1', 0.9, None),
    ('max_linear_sped:=1', 0.9, 'did you mean max_linear_speed?'),
    ('camera_frame_id:=1', 0.9, None), ('joint_limits:=1', 0.9, None),
    ('config:=x', 0, None), ('--debug', 0, None)])
def test_an_unknown_argument_gets_the_nearest_name(word, alike, told):
    found = unknown([word], vla_arguments(), alike)
    assert found == [] if told is None else told in found[0]


def test_each_of_several_cameras_has_topics_and_parameters_of_its_own(tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('/**:\n  ros__parameters:\n    cameras: [front, wrist]\n'
                    '    camera_frame: front_optical\n'
                    '    wrist:\n      camera_frame: wrist_optical\n')
    made = robot(config=str(path), **{'wrist/image': '/wrist/color', 'wrist.min_contrast': '0'})
    assert made.camera_frames == {'front': 'front_optical', 'wrist': 'wrist_optical'}
    assert made.config.for_camera('wrist').min_contrast == 0.0 != made.config.min_contrast
    topics = dict(made.remappings)
    assert (topics['wrist/image'], topics['wrist/camera_info'], topics['front/image']) == (
        '/wrist/color', 'wrist/camera_info', 'front/image')
    assert made.overrides['wrist.min_contrast'] == 0.0


@pytest.mark.parametrize('given, told', [
    ({'wrst/image': '/x'}, "camera 'wrst' is none of cameras, .* did you mean wrist"),
    ({'wrst.min_contrast': '0'}, "camera 'wrst' is none of cameras, .* did you mean wrist"),
    ({'zzz/camera_info': '/x'}, "camera 'zzz' .*: add it, as cameras:=front,wrist,zzz$"),
    ({'wrist.min_contrast': 'x'}, 'expected a number from 0.0 to 128.0'),
    ({'wrist.min_contrast': '999'}, '999.0, expected 0.0 to 128.0')])
def test_a_camera_that_is_not_there_gets_the_nearest_name(given, told):
    cameras = {'cameras': 'front wrist', 'front.camera_frame': 'a', 'wrist.camera_frame': 'b'}
    assert robot(**cameras)
    with pytest.raises(ConfigError, match=told):
        robot(**cameras, **given)


def test_the_first_camera_that_is_missing_is_asked_for_once():
    with pytest.raises(ConfigError, match='add it, as cameras:=front$'):
        robot(**{'front/image': '/x'})


def test_an_argument_of_a_camera_is_not_unknown_before_the_cameras_are_known():
    assert unknown(['wrist/image:=/x', 'wrist.camera_frame:=y'], vla_arguments(), 0) == []


@pytest.mark.parametrize('name, told', [
    ('wrist/imag', 'did you mean wrist/image?'), ('/wrist/camra_info', 'mean wrist/camera_info?'),
    ('/image', 'did you mean image?'), ('~/joint_states', 'did you mean joint_states?'),
    ('/wrist/image', 'did you mean wrist/image?'), ('.camera_frame', 'you mean camera_frame?'),
    ('wrist.camra_frame', 'did you mean wrist.camera_frame?'), ('wrist/qqq', '--show-args lists')])
def test_a_misspelt_argument_of_a_camera_gets_the_nearest_name(name, told):
    found, = unknown([f'{name}:=x'], vla_arguments(), 0)
    assert f'{name} is unknown' in found and told in found
