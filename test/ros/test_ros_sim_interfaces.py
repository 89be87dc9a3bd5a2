# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator takes poses, trajectories and joint positions, in lockstep and in real time."""
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.messages import nanoseconds_of, positions_message, tick_of, time_message
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from sqap_vla_ros.sim.sensors import JOINT_NAMES
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ARM = JOINT_NAMES[:7]
START = np.arange(7.0)  # of a PointEnv's joints
POSE, TRAJECTORY, POSITION = (
    (PoseStamped, 'target_pose'), (JointTrajectory, 'joint_trajectory'),
    (Float64MultiArray, 'joint_commands'))


def pose_message(stamp, place=(0.0, 0.0, 0.0), frame='base', turn=(1.0, 0.0, 0.0, 0.0)):
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, frame
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = map(float, place)
    orientation.x, orientation.y, orientation.z, orientation.w = turn
    return message


def trajectory_message(stamp, *rows, names=ARM, period_ms=50):
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = stamp
    message.points = [JointTrajectoryPoint(
        positions=list(map(float, row)),
        time_from_start=Duration(nanosec=(number + 1) * period_ms * 10**6))
        for number, row in enumerate(rows)]
    return message


def joints_at_ends(node):
    """Return the joints wanted at the end of each step, [N, 7]."""
    return np.array([setpoint.positions for setpoint, _ in node.env.followed])


@pytest.mark.parametrize('interface, topic, answer', [
    ('pose', POSE, lambda stamp, count, image: pose_message(stamp, (0.01 * (count + 1), 0, 0))),
    ('joint_trajectory', TRAJECTORY,
     lambda stamp, count, image: trajectory_message(stamp, START + 0.01 * (count + 1))),
    ('joint_position', POSITION, lambda stamp, count, image: positions_message(
        START + 0.01 * (count + 1), nanoseconds_of(stamp)))])
def test_in_lockstep_each_tick_is_answered_by_what_is_reached_at_its_end(
        simulator, policy, interface, topic, answer):
    policy(answer, kind=topic[0], topic=topic[1])
    node = simulator(max_steps=5, command_interface=interface)
    record, = node.run()
    assert (record.steps, record.refused, record.repeated_ticks) == (5, {}, 0)
    ends = [setpoint.pose[0, 3] for setpoint, _ in node.env.followed] if interface == 'pose' \
        else (joints_at_ends(node) - START).mean(axis=1)
    np.testing.assert_allclose(ends, 0.01 * np.arange(1, 6), atol=1e-9)


@pytest.mark.parametrize('interface, topic, answer', [
    ('pose', POSE, lambda stamp, count, image: pose_message(stamp, (0.01 * (count + 1), 0, 0))),
    ('joint_position', POSITION, lambda stamp, count, image: positions_message(
        START + 0.01 * (count + 1), nanoseconds_of(stamp)))])
def test_a_clock_that_jumps_back_moves_nothing_else(simulator, policy, interface, topic, answer):
    policy(answer, kind=topic[0], topic=topic[1])
    node = simulator(max_steps=5, command_interface=interface, faults=['clock_jump:-0.4@0.1'])
    starts = []
    follow = node.env.follow

    def watched(reference, gripper_open, duration_s):
        begins = reference(0.0)
        starts.append(begins.pose[0, 3] if interface == 'pose' else begins.positions[0])
        return follow(reference, gripper_open, duration_s)
    node.env.follow = watched
    node.run()
    np.testing.assert_allclose(np.diff(starts)[1:], 0.01, atol=1e-9)


def test_a_pose_is_turned_to_and_succeeds_by_the_environments_predicate(simulator, policy):
    policy(lambda stamp, count, image: pose_message(stamp, (0.05 * count, 0, 0)), kind=POSE[0],
           topic=POSE[1])
    node = simulator(max_steps=20, command_interface='pose')
    record, = node.run()
    assert record.success and record.steps == 3
    np.testing.assert_allclose(node.env.followed[-1][0].pose[:3, :3], np.diag([1, -1, -1]),
                               atol=1e-12)


@pytest.mark.parametrize('interface, topic, reason, bad', [
    ('pose', POSE, 'wrong_frame', lambda stamp: pose_message(stamp, frame='tool0')),
    ('pose', POSE, 'non_finite', lambda stamp: pose_message(stamp, (np.nan, 0, 0))),
    ('pose', POSE, 'no_rotation', lambda stamp: pose_message(stamp, turn=(0.0,) * 4)),
    ('pose', POSE, 'late', lambda stamp: pose_message(time_message(0))),
    ('joint_trajectory', TRAJECTORY, 'joints',
     lambda stamp: trajectory_message(stamp, START[:6], names=ARM[:6])),
    ('joint_trajectory', TRAJECTORY, 'times',
     lambda stamp: trajectory_message(stamp, START, START, period_ms=0)),
    ('joint_trajectory', TRAJECTORY, 'wrong_stamp',
     lambda stamp: trajectory_message(time_message(nanoseconds_of(stamp) + 1), START)),
    ('joint_position', POSITION, 'sizes',
     lambda stamp: positions_message(START[:6], nanoseconds_of(stamp))),
    ('joint_position', POSITION, 'non_finite',
     lambda stamp: positions_message(START + np.inf, nanoseconds_of(stamp))),
    ('joint_position', POSITION, 'wrong_stamp', lambda stamp: positions_message(START))])
def test_a_bad_command_is_refused_counted_and_not_executed(
        simulator, policy, interface, topic, reason, bad):
    good = {'pose': pose_message, 'joint_trajectory': lambda stamp: trajectory_message(
        stamp, START), 'joint_position': lambda stamp: positions_message(
            START, nanoseconds_of(stamp))}[interface]
    policy(lambda stamp, count, image: (good if count else bad)(stamp), kind=topic[0],
           topic=topic[1])
    node = simulator(max_steps=2, repeat_s=0.1, command_interface=interface)
    record, = node.run()
    assert record.refused == {reason: 1} and record.steps == 2
    if interface != 'pose':
        np.testing.assert_allclose(joints_at_ends(node), [START] * 2, atol=1e-9)


def test_in_real_time_a_trajectory_is_followed_to_its_end_and_held(simulator, policy):
    double = policy(kind=TRAJECTORY[0], topic=TRAJECTORY[1])
    node = simulator(lockstep=False, max_steps=12, command_interface='joint_trajectory')

    def command(message):
        if len(double.messages['/tf']) == 2:
            double.twists.publish(trajectory_message(
                time_message(0), START + 0.1, START + 0.2, period_ms=100))
    double.hooks['/tf'] = command
    record, = node.run()
    ends = joints_at_ends(node) - START
    assert len(ends) == 5 * 12, 'commands are looked for five times in a step'
    assert (ends[:4] == 0).all() and ends[-1] == pytest.approx([0.2] * 7)
    steps = np.diff(ends[:, 0])
    if not record.late_steps:  # a busy machine is late, and catches up at once
        assert (steps[steps > 1e-9] < 0.015).all(), 'no jump: 1 rad/s, 10 ms a slice'
    assert record.idle_steps < 12


def test_in_real_time_joint_positions_are_held_when_no_more_come(simulator, policy):
    double = policy(kind=POSITION[0], topic=POSITION[1])
    node = simulator(lockstep=False, max_steps=10, command_interface='joint_position')

    def command(message):
        if len(double.messages['/tf']) == 2:
            double.twists.publish(positions_message(START + 0.1))
    double.hooks['/tf'] = command
    record, = node.run()
    ends = joints_at_ends(node) - START
    assert ends[-1] == pytest.approx([0.1] * 7)
    if not record.late_steps:  # a busy machine is late, and catches up at once
        assert 0 < ends[ends[:, 0] > 1e-9][0, 0] < 0.05, 'approached evenly'
    assert record.idle_steps >= 4, 'it goes on, and the record says that nothing was heard'


def test_in_real_time_a_pose_from_long_ago_is_refused(simulator, policy):
    double = policy(kind=POSE[0], topic=POSE[1])
    node = simulator(lockstep=False, max_steps=6, command_interface='pose')

    def send(message):
        now = double.node.get_clock().now().to_msg()
        now.sec -= 5
        double.twists.publish(pose_message(now, (1.0, 0, 0)))
    double.hooks['/tf'] = send
    record, = node.run()
    assert record.refused['late'] and record.idle_steps == 6 and not record.success


def test_a_tick_stands_in_the_label_of_positions():
    assert tick_of(positions_message(START, 150)) == 150
    assert tick_of(positions_message(START)) is None
    assert tick_of(Float64MultiArray(data=[1.0])) is None
    assert list(positions_message(START).data) == START.tolist()


def test_an_unknown_interface_is_refused():
    with pytest.raises(ConfigError, match="parameter command_interface is 'wrench': use one of"):
        SimSettings(command_interface='wrench')


def test_the_arms_urdf_is_latched_with_the_frames_of_tf(simulator, policy):
    double = policy(kind=POSITION[0], topic=POSITION[1])
    node = simulator(base_frame='world', max_steps=1, lockstep=False)
    node.run()
    told, = double.wait_for('robot_description')
    assert '<parent link="world"/>' in told.data and 'panda_joint7' in told.data
