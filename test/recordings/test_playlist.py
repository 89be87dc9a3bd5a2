# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Under which names a bag is played, and which clock its stamps are of."""
from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.recordings.playlist import playlist
from sqap_vla_ros.recordings.recording import Episode, Message, Topic
from sqap_vla_ros.recordings.stamp_offset import stamp_offset_ns, StampClock

IMAGE, STATE = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/JointState'
TOPICS = [Topic(name, kind) for name, kind in {
    '/cam/image': IMAGE, 'tf': 'tf2_msgs/msg/TFMessage', '/joint_states': STATE,
    '/joint_command': STATE, '/instruction': 'std_msgs/msg/String', '/say': 'std_msgs/msg/String',
    '/arm/delta_twist_cmds': 'geometry_msgs/msg/TwistStamped',
    '/servo/pose': 'geometry_msgs/msg/PoseStamped', '/grip': 'std_msgs/msg/Float64',
    '/clock': 'rosgraph_msgs/msg/Clock', '/rosout': 'rcl_interfaces/msg/Log',
    '/arm/_action/status': 'action_msgs/msg/GoalStatusArray'}.items()]


def test_what_may_move_a_robot_is_played_where_none_listens():
    assert playlist(TOPICS) == {
        '/cam/image': '/cam/image', 'tf': '/tf', '/joint_states': '/joint_states',
        '/instruction': '/instruction', '/clock': '/clock',
        '/joint_command': '/recorded/joint_command', '/say': '/recorded/say',
        '/arm/delta_twist_cmds': '/recorded/arm/delta_twist_cmds',
        '/servo/pose': '/recorded/servo/pose', '/grip': '/recorded/grip'}


@pytest.mark.parametrize('name, kind, keeps', [
    *((name, STATE, False) for name in (
        '/gello/joint_states', '/leader/joint_states', '/desired_joint_states',
        '/Joint_States_CMD', '/master_left/joint_states',
        '/teleop/joint_states', '/set_point/joint_state')),
    ('/arm/joint_states', STATE, True), ('/puppet_left/joint_states', STATE, True),
    ('/tf', 'tf2_msgs/msg/TFMessage', True), ('/desired/tf', 'tf2_msgs/msg/TFMessage', False),
    ('/script_command/instruction', 'std_msgs/msg/String', False),
    ('/target_camera/image', IMAGE, True)])
def test_joints_that_an_arm_is_to_follow_are_no_sensors(name, kind, keeps):
    assert playlist([Topic(name, kind)]) == {name: name if keeps else f'/recorded{name}'}


def test_names_are_kept_where_that_is_asked_for_and_the_clock_left_out():
    names = playlist(TOPICS, own_names=['/grip'], with_clock=False)
    assert names['/grip'] == '/grip' and names['/servo/pose'] == '/recorded/servo/pose'
    assert '/clock' not in names
    assert playlist(TOPICS, ['/rosout', '/grip'], ['all']) == {
        '/rosout': '/rosout', '/grip': '/grip'}


@pytest.mark.parametrize('arguments, words', [
    ((['/cam/imag'],), r"--topics /cam/imag is no topic.*did you mean '/cam/image'.*there: "),
    ((['/grip'], ['/gripp']), r"--own-names /gripp is no topic.*'/grip'"),
    ((['/clock'], (), False), 'nothing is left to play')])
def test_a_name_that_is_not_there_is_told_with_those_that_are(arguments, words):
    with pytest.raises(ConfigError, match=words):
        playlist(TOPICS, *arguments)


def recording(offsets, kind=IMAGE):
    """Return a recording of one topic whose stamps are so many seconds from its times."""
    def read(number, offset):
        if offset is None:
            raise ObservationError('damaged')
        ns = round((number + offset) * 1e9) if offset != 'none' else 0
        return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(
            sec=ns // 10**9, nanosec=ns % 10**9)))
    messages = [Message(number * 10**9, '/a', kind, b'', lambda pair=(number, offset): read(*pair))
                for number, offset in enumerate(offsets, 1000)]
    return SimpleNamespace(topics=[Topic('/a', kind)], messages=lambda names: messages)


@pytest.mark.parametrize('offsets, expected_s', [
    ([-0.01] * 3, 0), ([-4.0] * 3, 0), ([-900.0] * 3, -900), ([300.0, -900.0, -900.0], -900),
    ([None, 'none', -900.0], -900), (['none'] * 3, 0), ([], 0), ([None] * 3, 0)])
def test_stamps_of_another_clock_are_noticed(offsets, expected_s):
    assert stamp_offset_ns(recording(offsets), ['/a']) == pytest.approx(expected_s * 1e9)
    assert stamp_offset_ns(recording(offsets), ['/b']) == 0
    assert stamp_offset_ns(recording(offsets, 'std_msgs/msg/String'), ['/a']) == 0


def test_a_clock_that_was_set_back_is_set_back_when_it_is_played():
    hour_ns, begun_ns = 3600 * 10**9, 10**18
    back = (Episode('0', begun_ns, begun_ns + 9), Episode(
        '1', begun_ns + 10, begun_ns + 20, continues=True, shift_ns=hour_ns))
    of_recorder, of_simulation = (
        StampClock(SimpleNamespace(**{**vars(recording(each)), 'episodes': back}), ['/a'])
        for each in ([0.0] * 3, [-900.0] * 3))
    assert of_recorder.at(begun_ns + 5) == begun_ns + 5
    assert of_recorder.at(begun_ns + 15) == begun_ns + 15 - hour_ns
    assert of_simulation.at(begun_ns + 15) == begun_ns + 15 - 900 * 10**9
