# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded commands of any type, in SI units, and what is said of those that are left out."""
from __future__ import annotations

from math import nan
from types import SimpleNamespace as Fields

import numpy as np
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.recordings.made import made, standard_types
from sqap_vla_ros.recordings.recording import Episode, Message, Topic
from sqap_vla_ros.replay.recorded_commands import CommandSettings, recorded_commands
from sqap_vla_ros.replay.topics import TopicMap

ARM = ('shoulder', 'elbow')
ROBOT = CommandSettings('base_link', ('tool0',), ARM, 'finger', 0.08, 0.0)
SECOND = 10**9


class Recorded:
    """A recording of messages [(time in s, topic, values or a message)]."""

    episodes = ()

    def __init__(self, kinds, messages):
        """Take {role: (topic, type)} and the messages."""
        self.topics = TopicMap({}, {}, commands={
            role: Topic(*topic) for role, topic in kinds.items()})
        self._kinds, self._messages = dict(kinds.values()), messages

    def messages(self, topics, start_ns=None, end_ns=None):
        """Yield the messages of topics."""
        for time_s, topic, values in self._messages:
            if topic in topics and (start_ns or 0) <= time_s * SECOND <= (end_ns or 1e18):
                yield Message(round(time_s * SECOND), topic, self._kinds[topic], None,
                              self._reading(topic, values))

    def _reading(self, topic, values):
        def read():
            if isinstance(values, Exception):
                raise values
            return made(standard_types(), self._kinds[topic], values) if isinstance(
                values, dict) else values
        return read


def read(role, kind, values, settings=ROBOT, times=None, **limits):
    """Return (commands, notes) of the messages of one topic, one a second from 1 s on."""
    times = times or range(1, len(values) + 1)
    recorded = Recorded({role: ('/c', kind)},
                        [(at, '/c', each) for at, each in zip(times, values)])
    return recorded_commands(recorded, recorded.topics, settings, **limits)


def twist(x=0.0, yaw=0.0, frame='base_link'):
    """Return the values of a TwistStamped."""
    return {'header': {'frame_id': frame},
            'twist': {'linear': {'x': x}, 'angular': {'z': yaw}}}


def test_twists_in_si_units():
    settings = CommandSettings(twist_unit=(0.4, 0.8))
    (found,), notes = read('twist', 'geometry_msgs/msg/TwistStamped',
                           [twist(0.5, 0.25), twist(1.0, frame='/base_link')], settings)
    assert (found.source, found.kind, found.frame) == ('/c', 'twist', 'base')
    assert found.names == ('vx', 'vy', 'vz', 'wx', 'wy', 'wz') and notes == ()
    assert found.times_ns.tolist() == [SECOND, 2 * SECOND]
    assert np.allclose(found.values, [[0.2, 0, 0, 0, 0, 0.2], [0.4, 0, 0, 0, 0, 0]])


def test_twists_in_the_hand_and_in_unknown_frames():
    kind = 'geometry_msgs/msg/TwistStamped'
    (found,), notes = read('twist', kind, [twist(frame='tool0')] * 2 + [twist(frame='world')])
    assert found.frame == 'end_effector' and len(found.times_ns) == 2
    assert notes == ("1 command on /c left out: their frame is 'world', expected base_frame "
                     "'base_link' or end effector frame 'tool0'. Set these parameters in "
                     '--config',)
    (found,), notes = read('twist', kind, [twist(), *[twist(frame='tool0')] * 2])
    assert found.frame == 'end_effector'
    assert "1 command on /c left out: their frame is 'base_link'" in notes[0]
    found, notes = read('twist', kind, [twist(frame='camera')])
    assert found == () and "frame is 'camera'" in notes[0]


def test_a_twist_without_a_frame_is_in_the_base_and_that_is_told():
    (found,), notes = read('twist', 'geometry_msgs/msg/Twist', [{'linear': {'y': 0.3}}])
    assert found.frame == 'base' and found.values[0].tolist() == [0, 0.3, 0, 0, 0, 0]
    assert 'names no frame' in notes[0] and 'base_link' in notes[0]


def test_poses():
    pose = {'position': {'x': 0.4, 'z': 0.2}, 'orientation': {'z': 0.709, 'w': 0.709}}
    stamped = {'header': {'frame_id': 'base_link'}, 'pose': pose}
    broken = {'header': {'frame_id': 'base_link'}, 'pose': {'position': {'x': 0.4}}}
    (found,), notes = read('pose', 'geometry_msgs/msg/PoseStamped', [stamped, broken])
    assert found.kind == 'pose' and found.names == ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
    assert np.allclose(found.values, [[0.4, 0, 0.2, 0, 0, 0.5**0.5, 0.5**0.5]])
    assert notes == ('1 message on /c left out: a quaternion whose length is not 1',)
    in_hand = {'header': {'frame_id': 'tool0'}, 'pose': pose}
    found, notes = read('pose', 'geometry_msgs/msg/PoseStamped', [in_hand])
    assert found == () and "expected base_frame 'base_link'. Set" in notes[0]
    (found,), notes = read('pose', 'geometry_msgs/msg/Pose', [pose])
    assert found.frame == 'base' and 'names no frame' in notes[0]


def point(positions, at_s, **more):
    """Return the values of a JointTrajectoryPoint."""
    return {'positions': positions, **more,
            'time_from_start': {'sec': int(at_s), 'nanosec': round(at_s % 1 * SECOND)}}


def test_points_of_a_trajectory_count_until_the_next_one_comes():
    names = {'joint_names': ['elbow', 'shoulder']}
    first = {**names, 'points': [point([2, 1], 0.5), point([4, 3], 1.0), point([6, 5], 1.5)]}
    second = {**names, 'points': [point([8, 7], 0.5), point([10, 9], 1.0)]}
    (found,), notes = read('joints', 'trajectory_msgs/msg/JointTrajectory', [first, second],
                           times=[1.0, 1.75])
    assert found.names == ARM and found.kind == 'joints' and notes == ()
    assert (found.times_ns / SECOND).tolist() == [1.0, 1.5, 1.75, 2.25]
    assert found.values.tolist() == [[1, 2], [3, 4], [7, 8], [9, 10]]


def test_trajectories_begin_at_their_stamp_unless_it_is_of_another_clock():
    for stamp_s, begun_s in ((3, 3.0), (0, 1.0), (5000, 1.0)):
        message = {'header': {'stamp': {'sec': stamp_s}}, 'joint_names': list(ARM),
                   'points': [point([1, 2], 0.1)]}
        (found,), _ = read('joints', 'trajectory_msgs/msg/JointTrajectory', [message])
        assert found.times_ns.tolist() == [begun_s * SECOND]


def test_the_stamp_of_a_trajectory_is_shifted_with_its_episode():
    recorded = Recorded({'joints': ('/c', 'trajectory_msgs/msg/JointTrajectory')}, [(101, '/c', {
        'header': {'stamp': {'sec': 3}}, 'joint_names': list(ARM), 'points': [point([1, 2], 1)]})])
    recorded.episodes = (Episode('0', 0, 50 * SECOND),
                         Episode('1', 101 * SECOND, 200 * SECOND, shift_ns=100 * SECOND))
    (found,), _ = recorded_commands(recorded, recorded.topics, ROBOT)
    assert found.times_ns.tolist() == [103 * SECOND]


def test_a_trajectory_without_points_and_one_of_other_joints():
    kind = 'trajectory_msgs/msg/JointTrajectory'
    good = {'joint_names': list(ARM), 'points': [point([1, 2], 0.1)]}
    (found,), notes = read('joints', kind, [
        good, {**good, 'points': []}, {**good, 'joint_names': ['elbow', 'wrist']},
        {**good, 'points': [point([1, nan], 0.1)]}])
    assert len(found.times_ns) == 1
    assert sorted(notes) == [
        '1 message on /c left out: a trajectory without points',
        '1 message on /c left out: it does not tell shoulder, as the first one did',
        '1 message on /c left out: numbers that are not finite']


def test_joints_with_the_gripper_among_them():
    message = {'name': ['finger', 'shoulder', 'elbow'], 'position': [0.02, 1.0, 2.0]}
    found, _ = read('joints', 'sensor_msgs/msg/JointState', [message])
    assert [(each.kind, each.names) for each in found] == [('joints', ARM),
                                                           ('gripper', ('gripper',))]
    assert found[0].values.tolist() == [[1.0, 2.0]] and found[1].values.tolist() == [[0.25]]
    other = {'name': ['a', 'b'], 'position': [1.0, 2.0]}
    (found,), _ = read('joints', 'sensor_msgs/msg/JointState', [other])
    assert found.names == ('a', 'b')  # the robot's names are other ones


@pytest.mark.parametrize('count, arm, gripper', [(2, [1, 2], None), (3, [1, 2], 0.5)])
def test_arrays_take_the_names_of_the_arm(count, arm, gripper):
    found, notes = read('joints', 'std_msgs/msg/Float64MultiArray',
                        [{'data': [1, 2, 0.04][:count]}])
    assert found[0].names == ARM and found[0].values.tolist() == [arm] and notes == ()
    assert [each.values.tolist() for each in found[1:]] == ([[[gripper]]] if gripper else [])


def test_arrays_of_another_length_are_left_out():
    found, notes = read('joints', 'std_msgs/msg/Float64MultiArray', [{'data': [1, 2, 3, 4]}] * 2)
    assert found == () and notes == (
        "2 messages on /c left out: 4 numbers without names, but arm_joints are ['shoulder', "
        "'elbow']: set that parameter in --config",)


def test_velocities_of_joints():
    (found,), _ = read('joints', 'sensor_msgs/msg/JointState',
                       [{'name': list(ARM), 'velocity': [0.1, 0.2]}])
    assert found.kind == 'joint_velocity' and found.values.tolist() == [[0.1, 0.2]]
    both = [{'name': list(ARM), 'position': [1, 2]}, {'name': list(ARM), 'velocity': [3, 4]}]
    (found,), notes = read('joints', 'sensor_msgs/msg/JointState', both)
    assert found.kind == 'joints' and found.values.tolist() == [[1, 2]]
    assert notes == (
        '1 message on /c left out: it tells joint_velocity, and those before joints',)
    jog = Fields(joint_names=list(ARM), velocities=[0.3, 0.4], displacements=[])
    (found,), _ = read('joints', 'control_msgs/msg/JointJog', [jog])
    assert found.kind == 'joint_velocity' and found.values.tolist() == [[0.3, 0.4]]


def gripper(kind, values, settings=ROBOT):
    """Return (openings, notes) of messages that command the gripper."""
    found, notes = read('gripper', kind, values, settings)
    return found[0].values[:, 0].tolist(), notes


def test_openings_and_positions_of_the_gripper():
    number = 'std_msgs/msg/Float64'
    assert gripper(number, [{'data': 0.0}, {'data': 1.0}]) == ([0.0, 1.0], ())
    assert gripper(number, [{'data': 0.0}]) == ([0.0], ())
    openings, notes = gripper(number, [{'data': 0.08}, {'data': 0.02}])
    assert openings == [1.0, 0.25] and 'taken as positions' in notes[0]
    turned = CommandSettings(gripper_open_position=0.0, gripper_closed_position=0.8)
    command = Fields(position=0.2, max_effort=1.0)
    openings, _ = gripper('control_msgs/msg/GripperCommand', [command], turned)
    assert openings == [pytest.approx(0.75)]


def test_numbers_that_are_as_likely_openings_are_openings():
    closes = CommandSettings(gripper_open_position=0.0, gripper_closed_position=0.79)
    assert gripper('std_msgs/msg/Float64', [{'data': 0.6}, {'data': 0.0}], closes) == (
        [0.6, 0.0], ())


def test_openings_beyond_what_there_is_are_cut_and_told():
    openings, notes = gripper('std_msgs/msg/Float64', [{'data': 255.0}, {'data': 0.0}])
    assert openings == [1.0, 0.0]
    assert '1 of 2 commands on /c are beyond 0 (closed) to 1 (open), up to 255' in notes[0]


def test_goals_of_gripper_actions():
    goal = Fields(request=[Fields(goal=Fields(command=Fields(position=0.04, max_effort=1.0)))])
    reply = Fields(request=[])
    openings, notes = gripper('control_msgs/action/GripperCommand_SendGoal_Event', [goal, reply])
    assert openings == [0.5] and notes == ()
    command = Fields(name=['other', 'finger'], position=[0.0, 0.08])
    goal = Fields(request=[Fields(goal=Fields(command=command))])
    kind = 'control_msgs/action/ParallelGripperCommand_SendGoal_Event'
    assert gripper(kind, [goal])[0] == [1.0]


def test_grippers_that_take_arrays_and_trajectories():
    assert gripper('std_msgs/msg/Float64MultiArray', [{'data': [0.02]}])[0] == [0.25]
    message = {'joint_names': ['finger'], 'points': [point([0.0], 0.1), point([0.08], 0.2)]}
    assert gripper('trajectory_msgs/msg/JointTrajectory', [message])[0] == [1.0]
    found, notes = read('gripper', 'std_msgs/msg/Float64MultiArray', [{'data': []}])
    assert found == () and notes == ('1 message on /c left out: no number in it',)


def test_the_grippers_own_topic_goes_before_a_column_of_the_arm():
    kinds = {'joints': ('/j', 'sensor_msgs/msg/JointState'),
             'gripper': ('/g', 'std_msgs/msg/Float64')}
    both = {'name': [*ARM, 'finger'], 'position': [1.0, 2.0, 0.0]}
    recorded = Recorded(kinds, [(1, '/j', both), (1, '/g', {'data': 1.0})])
    found, notes = recorded_commands(recorded, recorded.topics, ROBOT)
    assert [(each.source, each.kind) for each in found] == [('/j', 'joints'), ('/g', 'gripper')]
    assert notes == ('the gripper was commanded on /g and on /j: the former counts',)


def test_damaged_messages_are_counted_and_times_are_heeded():
    values = [twist(0.1), ObservationError('12 bytes are missing'), twist(0.3), twist(0.4)]
    (found,), notes = read('twist', 'geometry_msgs/msg/TwistStamped', values,
                           start_ns=SECOND, end_ns=3 * SECOND)
    assert found.values[:, 0].tolist() == [0.1, 0.3]
    assert notes == ('1 message on /c left out: 12 bytes are missing',)


def test_nothing_is_read_where_nothing_was_commanded():
    recorded = Recorded({}, [(1, '/c', None)])
    assert recorded_commands(recorded, recorded.topics, ROBOT) == ((), ())
    (empty, _) = read('twist', 'geometry_msgs/msg/Twist', [])
    assert empty == ()


def test_a_trajectory_with_a_point_that_makes_no_sense_leaves_the_one_before_as_it_was():
    kind = 'trajectory_msgs/msg/JointTrajectory'
    names = {'joint_names': list(ARM)}
    good = {**names, 'points': [point([1, 2], 1.0), point([3, 4], 3.0)]}
    for second in (point([nan, 0], 2.0), point([7, 8], 0.5), point([7], 2.0)):
        bad = {**names, 'points': [point([5, 6], 1.0), second]}
        for messages in ([good, bad], [bad, good]):
            (found,), notes = read('joints', kind, messages)
            assert found.values.tolist() == [[1, 2], [3, 4]]
            assert len(notes) == 1 and notes[0].startswith('1 message on /c left out: ')


def test_what_is_left_out_tells_no_names():
    broken = {'name': ['wrist'], 'position': [nan]}
    good = {'name': list(ARM), 'position': [1.0, 2.0]}
    (found,), notes = read('joints', 'sensor_msgs/msg/JointState', [broken, good])
    assert found.names == ARM and len(notes) == 1


def test_the_grippers_joint_has_to_be_among_several():
    kind = 'sensor_msgs/msg/JointState'
    fewer = {'name': ['other', 'finger'], 'position': [0.08]}
    arm = {'name': list(ARM), 'position': [0.08, 0.08]}
    good = {'name': ['finger', 'other'], 'position': [0.02, 0.08]}
    alone = {'name': ['other'], 'position': [0.04]}
    openings, notes = gripper(kind, [fewer, arm, good, alone])
    assert openings == [0.25, 0.5]
    assert '1 message on /c left out: 2 names and 1 numbers' in notes
    assert any("it tells shoulder, elbow, expected gripper_joint 'finger'" in note
               for note in notes)
    assert gripper('std_msgs/msg/Float64MultiArray', [{'data': [0.02, 0.08]}])[0] == [0.25]
