# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which topic of a recording is what: by name, by type, told; and what is said where none is."""
from __future__ import annotations

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.recording import Topic
from sqap_vla_ros.replay.topics import told_topics, topic_map

NODE = {
    '/image': 'sensor_msgs/msg/Image', '/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/tf': 'tf2_msgs/msg/TFMessage', '/tf_static': 'tf2_msgs/msg/TFMessage',
    '/joint_states': 'sensor_msgs/msg/JointState', '/instruction': 'std_msgs/msg/String',
    '/robot_description': 'std_msgs/msg/String', '/clock': 'rosgraph_msgs/msg/Clock',
    '/delta_twist_cmds': 'geometry_msgs/msg/TwistStamped',
    '/gripper_command': 'std_msgs/msg/Float64'}


def topics(names):
    """Return topics of a mapping from names to types."""
    return tuple(Topic(name, kind) for name, kind in sorted(names.items()))


def only(*more, **changed):
    """Return a map of one image topic and more topics of given types."""
    names = {'/cam/color': 'sensor_msgs/msg/Image', **dict(more)}
    return topic_map(topics(names), localized=False, **changed)


def test_topics_of_the_node_need_no_word():
    found = topic_map(topics(NODE))
    assert found.images == {'': '/image'} and found.infos == {'': '/camera_info'}
    assert (found.tf, found.tf_static, found.clock) == ('/tf', '/tf_static', '/clock')
    assert (found.joint_states, found.instruction) == ('/joint_states', '/instruction')
    assert found.robot_description == '/robot_description'
    assert {role: topic.name for role, topic in found.commands.items()} == {
        'twist': '/delta_twist_cmds', 'gripper': '/gripper_command'}
    assert found.notes == ()
    assert found.heard == set(NODE) - {'/delta_twist_cmds', '/gripper_command'}


def test_what_was_guessed_is_told():
    found = only(('tf', 'tf2_msgs/msg/TFMessage'), ('/arm/tf_static', 'tf2_msgs/msg/TFMessage'),
                 ('/cam/camera_info', 'sensor_msgs/msg/CameraInfo'),
                 ('/arm/joint_states', 'sensor_msgs/msg/JointState'),
                 ('/ns/instruction', 'std_msgs/msg/String'),
                 ('/arm_controller/commands', 'std_msgs/msg/Float64MultiArray'))
    assert found.images == {'': '/cam/color'} and found.infos == {'': '/cam/camera_info'}
    assert (found.tf, found.tf_static) == ('tf', '/arm/tf_static')
    assert (found.joint_states, found.instruction) == ('/arm/joint_states', '/ns/instruction')
    assert found.commands['joints'].name == '/arm_controller/commands'
    told = ' '.join(found.notes)
    for name in ('/cam/color', '/arm/tf_static', '/arm/joint_states', '/ns/instruction',
                 '/arm_controller/commands'):
        assert f'taken from {name}' in told
    assert 'tf is taken' not in told  # `tf` without its slash is no guess


def test_slash_tf_goes_before_tf():
    kinds = dict.fromkeys(('/tf', 'tf'), 'tf2_msgs/msg/TFMessage')
    assert only(*kinds.items()).tf == '/tf'


@pytest.mark.parametrize('name, kind, role', [
    ('/franka/ee_velocity', 'geometry_msgs/msg/TwistStamped', 'twist'),
    ('/vrpn/arm/pose', 'geometry_msgs/msg/PoseStamped', 'pose'),
    ('/force', 'std_msgs/msg/Float64MultiArray', 'joints')])
def test_measurements_are_not_taken_for_commands(name, kind, role):
    found = only((name, kind))
    assert role not in found.commands
    assert f'{name}, whose name does not tell it' in found.notes[-1]
    told = only((name, kind), told={role: name})
    assert told.commands[role].name == name and name not in ' '.join(told.notes)


@pytest.mark.parametrize('name, kind, role', [
    ('/servo/out/state', 'sensor_msgs/msg/JointState', 'joints'),
    ('/cmd/joint_state', 'sensor_msgs/msg/JointState', 'joints'),
    ('/command_error', 'geometry_msgs/msg/TwistStamped', 'twist'),
    ('/target/pose_measured', 'geometry_msgs/msg/PoseStamped', 'pose'),
    ('/gripper/command_feedback', 'std_msgs/msg/Float64', 'gripper')])
def test_what_is_called_a_state_or_an_error_is_no_command(name, kind, role):
    assert role not in only((name, kind)).commands


def test_references_are_commands_and_what_goes_out_is_the_state():
    kind = 'sensor_msgs/msg/JointState'
    found = only(('/servo/in/references/joint_references', kind), ('/servo/out/state', kind))
    assert found.commands['joints'].name == '/servo/in/references/joint_references'
    assert found.joint_states == '/servo/out/state'


def test_two_commanders_are_named_and_neither_taken():
    kind = 'geometry_msgs/msg/TwistStamped'
    found = only(('/left/cmd', kind), ('/right/cmd', kind))
    assert 'twist' not in found.commands
    assert 'any of /left/cmd, /right/cmd' in found.notes[-1]


def test_commands_of_the_gripper_are_not_those_of_the_arm():
    found = only(('/gripper_controller/commands', 'std_msgs/msg/Float64MultiArray'),
                 ('/arm_controller/joint_trajectory', 'trajectory_msgs/msg/JointTrajectory'),
                 ('/leader/joint_states', 'sensor_msgs/msg/JointState'),
                 ('/follower/joint_states', 'sensor_msgs/msg/JointState'))
    assert found.commands['gripper'].name == '/gripper_controller/commands'
    assert found.commands['joints'].name == '/arm_controller/joint_trajectory'
    assert found.joint_states == '/follower/joint_states'


def test_a_text_that_is_no_instruction_is_not_taken_for_one():
    assert only(('/_fruit_info', 'std_msgs/msg/String')).instruction == ''


def test_told_topics_with_and_without_slash():
    kinds = {'/a': 'sensor_msgs/msg/Image', 'b': 'sensor_msgs/msg/Image',
             '/b/compressed': 'sensor_msgs/msg/CompressedImage'}
    there = topics(kinds)
    assert topic_map(there, {'image': 'a'}).images == {'': '/a'}
    assert topic_map(there, {'image': '/b'}).images == {'': 'b'}
    assert topic_map(there, {'image': '/b'}, {'': 'compressed'}).images == {'': '/b/compressed'}
    assert topic_map(there, {'image': 'a'}, {'': 'compressed'}).images == {'': '/a'}
    less = topics({'/b/compressed': 'sensor_msgs/msg/CompressedImage', '/a': kinds['/a']})
    assert topic_map(less, {'image': '/b'}).images == {'': '/b/compressed'}


def test_none_can_be_told():
    found = topic_map(topics(NODE), {'twist': '', 'camera_info': '', 'tf': ''})
    assert 'twist' not in found.commands and not found.infos and not found.tf
    with pytest.raises(ConfigError, match='image= is empty'):
        topic_map(topics(NODE), {'image': ''})


@pytest.mark.parametrize('told, what', [
    ({'image': '/imag'}, 'no such topic; there are topics of type sensor_msgs/msg/Image.*: '
                         '/image'),
    ({'image': '/tf'}, 'of type tf2_msgs/msg/TFMessage, expected sensor_msgs/msg/Image or'),
    ({'pose': '/p'}, 'it has none of type geometry_msgs/msg/PoseStamped .*topics: '),
    ({'imgae': '/image'}, "'imgae' is unknown .did you mean 'image'.*expected one of image"),
    ({'wrist/image': '/image'}, "'wrist/image' is unknown")])
def test_told_topics_that_are_not_there(told, what):
    with pytest.raises(ConfigError, match=what):
        topic_map(topics(NODE), told)


def test_images_that_are_not_there_or_not_clear():
    with pytest.raises(ConfigError, match='not clear which images.*: /a/color, /b/color. Name one '
                                          'by --topics image=TOPIC'):
        topic_map(topics(dict.fromkeys(('/a/color', '/b/color'), 'sensor_msgs/msg/Image')))
    with pytest.raises(ConfigError, match='no colour images.*/tf .tf2_msgs/msg/TFMessage'):
        topic_map(topics({'/tf': NODE['/tf']}))
    with pytest.raises(ConfigError, match='topics of other pictures: /depth/image .sensor_msgs'):
        topic_map(topics({'/depth/image': 'sensor_msgs/msg/Image', '/tf': NODE['/tf']}))
    with pytest.raises(ConfigError, match='other pictures: /v .foxglove_msgs/msg/CompressedVideo'):
        topic_map(topics({'/v': 'foxglove_msgs/msg/CompressedVideo', '/tf': NODE['/tf']}))


def test_depth_and_overlays_are_no_second_camera():
    found = only(('/cam/depth', 'sensor_msgs/msg/Image'),
                 ('/vla_node/overlay', 'sensor_msgs/msg/Image'),
                 ('/cam/color/compressed', 'sensor_msgs/msg/CompressedImage'))
    assert found.images == {'': '/cam/color'}


def test_missing_tf_lists_what_is_nearest():
    found = topic_map(topics({'/image': NODE['/image'], '/tf2': 'std_msgs/msg/String'}))
    assert 'no topic for tf (tf2_msgs/msg/TFMessage)' in found.notes[0]
    assert found.notes[0].endswith('its topics are /tf2, /image')


def test_cameras_by_name():
    kinds = {'/front/image': 'sensor_msgs/msg/Image', '/wrist/color/image_raw':
             'sensor_msgs/msg/Image', '/wrist/color/camera_info': 'sensor_msgs/msg/CameraInfo',
             '/front/camera_info': 'sensor_msgs/msg/CameraInfo'}
    cameras = {'front': 'raw', 'wrist': 'raw'}
    found = topic_map(topics(kinds), {}, cameras, False)
    assert found.images == {'front': '/front/image', 'wrist': '/wrist/color/image_raw'}
    assert found.infos == {'front': '/front/camera_info', 'wrist': '/wrist/color/camera_info'}
    told = topic_map(topics(kinds), {'wrist/image': '/front/image', 'front/image':
                                     '/wrist/color/image_raw'}, cameras, False)
    assert told.images == {'front': '/wrist/color/image_raw', 'wrist': '/front/image'}
    with pytest.raises(ConfigError, match='cameras front and wrist are both on /front/image'):
        topic_map(topics(kinds), {'wrist/image': '/front/image'}, cameras, False)
    with pytest.raises(ConfigError, match='not clear which images of the recording are top/image'):
        topic_map(topics(kinds), {}, {'top': 'raw'}, False)
    with pytest.raises(ConfigError, match="'image' is unknown"):
        topic_map(topics(kinds), {'image': '/front/image'}, cameras, False)


def test_cameras_of_a_data_set():
    kinds = dict.fromkeys(('observation.images.wrist', 'observation.images.top'),
                          'sensor_msgs/msg/Image')
    found = topic_map(topics(kinds), {}, {'wrist': 'raw', 'top': 'raw'}, False)
    assert found.images == {name: f'observation.images.{name}' for name in ('wrist', 'top')}


def test_a_camera_info_that_is_not_the_images_own():
    info = 'sensor_msgs/msg/CameraInfo'
    assert only(('/other/camera_info', info)).infos == {'': '/other/camera_info'}
    found = only(('/x/camera_info', info), ('/y/camera_info', info))
    assert found.infos == {} and 'none is called /cam/camera_info' in found.notes[-1]


def test_a_told_topic_is_nothing_else():
    kind = 'std_msgs/msg/Float64MultiArray'
    assert only(('/hand/commands', kind)).commands['gripper'].name == '/hand/commands'
    found = only(('/hand/commands', kind), told={'joints': '/hand/commands'})
    assert list(found.commands) == ['joints']


def test_a_second_name_is_a_guess():
    found = only(('/language_instruction', 'std_msgs/msg/String'))
    assert found.instruction == '/language_instruction'
    assert 'instruction is taken from /language_instruction' in found.notes[-1]


@pytest.mark.parametrize('transport, name', [('raw', '/c'), ('compressed', '/c/compressed')])
def test_of_both_transports_that_of_the_node_counts(transport, name):
    there = topics({'/c/compressed': 'sensor_msgs/msg/CompressedImage',
                    '/c': 'sensor_msgs/msg/Image'})
    assert topic_map(there[::-1], {}, {'': transport}, False).images == {'': name}
    assert topic_map(there, {}, {'': transport}, False).images == {'': name}


def test_camera_info_beside_the_images_needs_no_word():
    info = 'sensor_msgs/msg/CameraInfo'
    found = only(('/other/camera_info', info), ('/cam/camera_info', info))
    assert found.infos == {'': '/cam/camera_info'} and len(found.notes) == 1


def test_camera_info_of_a_camera_by_its_name():
    kinds = {f'/{name}_cam/{what}': f'sensor_msgs/msg/{kind}' for name in ('front', 'wrist')
             for what, kind in (('rgb', 'Image'), ('info', 'CameraInfo'))}
    found = topic_map(topics(kinds), {}, {'front': 'raw', 'wrist': 'raw'}, False)
    assert found.infos == {'front': '/front_cam/info', 'wrist': '/wrist_cam/info'}


def test_told_texts():
    assert told_topics(['image=/a', 'twist=', 'image=/a']) == {'image': '/a', 'twist': ''}
    with pytest.raises(ConfigError, match='expected WHAT=TOPIC'):
        told_topics(['/camera'])
    with pytest.raises(ConfigError, match='names image twice: /a and /b'):
        told_topics(['image=/a', 'image=/b'])


def test_a_topic_with_messages_goes_before_one_without():
    number, info = 'std_msgs/msg/Float64', 'sensor_msgs/msg/CameraInfo'
    there = (Topic('/image', 'sensor_msgs/msg/Image'),
             Topic('/image/compressed', 'sensor_msgs/msg/CompressedImage', 9),
             Topic('/camera_info', info), Topic('/image/camera_info', info),
             Topic('/gripper_command', number), Topic('/gripper_cmd', number, 5),
             Topic('/tf', 'tf2_msgs/msg/TFMessage'), Topic('tf', 'tf2_msgs/msg/TFMessage', 7))
    found = topic_map(there)
    assert found.images == {'': '/image/compressed'} and found.infos == {'': '/camera_info'}
    assert found.commands['gripper'].name == '/gripper_cmd' and found.tf == 'tf'
    for what, empty in (('image', '/image'), ('gripper', '/gripper_command'), ('tf', '/tf')):
        assert f'{what} is not taken from {empty}: the recording holds no message of it' in (
            found.notes)
    alone = topic_map(there[1:5])
    assert alone.commands['gripper'].name == '/gripper_command'
