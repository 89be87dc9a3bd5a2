# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Outputs that tell joints, over real topics, with a gantry that follows what it is told."""
from types import SimpleNamespace

from geometry_msgs.msg import PoseArray
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import KnownPolicy, SPEED, World
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.sim.joint_trajectory import read_trajectory, TrajectoryFollower
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

pytest.importorskip('pinocchio')
pytestmark = pytest.mark.ros
JOINTS = ('slide_x', 'slide_y', 'slide_z')
START = (0.1, 0.0, 1.0)
RATE = 50
FASTEST = 0.3  # of the slides, m/s
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def gantry():
    """Return the URDF of three slides along x, y and z, from base to end_effector."""
    links = ('base', 'cart', 'beam', 'end_effector')
    joints = ''.join(
        f'<joint name="{name}" type="prismatic"><parent link="{parent}"/><child link="{child}"/>'
        f'<axis xyz="{axis}"/><limit lower="-2" upper="2" velocity="{FASTEST}" effort="9"/>'
        '</joint>'
        for name, parent, child, axis in zip(
            JOINTS, links, links[1:], ('1 0 0', '0 1 0', '0 0 1')))
    return '<robot name="gantry">' + ''.join(
        f'<link name="{name}"/>' for name in links) + joints + '</robot>'


class JointPolicy(KnownPolicy):
    """Tells where the slides are to be: SPEED m/s along x from where they begin."""

    def __init__(self, config):
        super().__init__(config)
        self.config = SimpleNamespace(action_space=ActionSpace(
            kind='joint_position', names=JOINTS, execute_steps=4, dt=0.05))
        rows = np.arange(1, 9) * SPEED * 0.05
        self.actions = np.float32(np.stack(
            [START[0] + rows, 0 * rows, np.full(8, START[2])], 1))


class Controller:
    """A controller of the gantry's, on the robot's node: the slides are where they are told."""

    def __init__(self, robot, output):
        self.messages, self.heard_ns, self._robot = [], [], robot
        robot.place, robot.positions = START, dict(zip(JOINTS, START))
        robot.publishes.add('joints')
        self._follower = TrajectoryFollower(START) if output == 'joint_trajectory' else None
        kind, topic = ((JointTrajectory, 'joint_trajectory') if self._follower
                       else (Float64MultiArray, 'joint_commands'))
        self.subscription = robot.create_subscription(kind, topic, self._heard, 10)

    def _heard(self, message):
        self.messages.append(message)
        self.heard_ns.append(self._robot.now_ns())
        if self._follower is None:
            self._go(message.data)
        else:
            now_ns = self._robot.now_ns()
            self._follower.replace(
                read_trajectory(message, JOINTS, now_ns), now_ns, self.at(now_ns), np.zeros(3))

    def at(self, now_ns):
        """Return where the slides are."""
        return (np.array(self._robot.place) if self._follower is None
                else self._follower.at(now_ns)[0])

    def _go(self, place):
        self._robot.place = tuple(place)
        self._robot.positions = dict(zip(JOINTS, place))

    def look(self):
        """Let the robot publish what its camera, TF and joints tell now."""
        self._go(self.at(self._robot.now_ns()))
        self._robot.look()


@pytest.fixture
def world_of():
    """Return a function that makes a World with a gantry, closed at the test's end."""
    worlds = []

    def make(output, policy=KnownPolicy, urdf=None, **parameters):
        world = World(policy, {
            'output': output, 'control_rate': float(RATE), 'position_only': True,
            'max_joint_acceleration': 0.0, 'robot_description_timeout': 5.0, **parameters})
        worlds.append(world)
        world.description = world.robot.create_publisher(String, 'robot_description', LATCHED)
        world.description.publish(String(data=gantry() if urdf is None else urdf))
        world.controller = Controller(world.robot, output)
        return world
    yield make
    for world in worlds:
        world.close()


def started(world, count=1):
    """Start a world and show it images until it has commanded so often; returns the messages."""
    world.start()
    world.robot.say()
    messages = world.controller.messages
    world.until(lambda: len(messages) >= count, meanwhile=world.controller.look, period_s=0.02)
    return messages


def times_s(message):
    """Return the times of a trajectory's points."""
    return np.array([point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
                     for point in message.points])


def places(message):
    """Return the positions [N, 3] of a trajectory's points."""
    return np.array([point.positions for point in message.points])


@pytest.mark.parametrize('policy', [KnownPolicy, JointPolicy])
def test_joint_commands_begin_at_the_measured_joints_and_go_on_at_the_speed(world_of, policy):
    world = world_of('joint_position', policy)
    messages = started(world, 12)
    (dimension,) = messages[0].layout.dim
    assert (dimension.label, dimension.size, dimension.stride) == ('joints', 3, 3)
    told = np.array([message.data for message in messages])
    assert told[0] == pytest.approx([START[0] + SPEED / RATE, 0, START[2]], abs=1e-6)
    # each is a period ahead, so that a turn may be two of them
    assert np.abs(np.diff(told[:, 0])).max() < 2 * FASTEST / RATE + 1e-6
    assert told[3:6, 0].min() > told[0, 0]
    assert told[:, 1:] == pytest.approx(np.tile(START[1:], (len(told), 1)), abs=1e-6)


@pytest.mark.parametrize('policy', [KnownPolicy, JointPolicy])
def test_a_trajectory_tells_the_rows_that_are_left_at_times_that_increase(world_of, policy):
    world = world_of('joint_trajectory', policy)
    message = started(world)[0]
    assert tuple(message.joint_names) == JOINTS
    assert message.header.stamp.sec == message.header.stamp.nanosec == 0
    assert times_s(message) == pytest.approx(0.05 * np.arange(1, len(message.points) + 1))
    assert 7 <= len(message.points) <= 9
    ways = places(message)[:, 0] - START[0]
    assert ways[:6] == pytest.approx(SPEED * times_s(message)[:6], abs=1e-5)
    assert ways[-1] == pytest.approx(SPEED * 0.4, abs=1e-3)
    assert not message.points[0].velocities


def test_a_spline_has_velocities_and_ends_at_rest(world_of):
    world = world_of('joint_trajectory', trajectory_velocities='spline')
    message = started(world)[0]
    velocities = np.array([point.velocities for point in message.points])
    assert velocities[:4, 0] == pytest.approx(SPEED, rel=0.05)
    assert not velocities[-1].any()


def test_one_trajectory_a_chunk_is_enough_while_nothing_changes(world_of):
    world = world_of('joint_trajectory')
    messages = started(world)
    world.until(lambda: len(world.robot.chunks) >= 6, meanwhile=world.controller.look)
    # of ten commands a chunk; a machine that is busy elsewhere is late with several
    assert len(messages) <= 6 * len(world.robot.chunks)
    starts = [places(message)[0, 0] for message in messages]
    assert starts[-1] > starts[0]


def test_a_change_of_speed_is_told_at_once(world_of):
    world = world_of('joint_trajectory')
    messages = started(world)
    world.policy.gate.clear()  # no further chunk
    count = len(messages)
    world.node.set_parameters([Parameter('speed_scale', value=0.25)])
    world.until(lambda: any(
        np.median(np.diff(places(message)[:, 0])) == pytest.approx(0.25 * SPEED * 0.05, rel=0.1)
        for message in messages[count:]), meanwhile=world.controller.look)


@pytest.mark.parametrize('output', ['joint_trajectory', 'joint_position'])
def test_a_stop_holds_the_joints_where_they_were_told_to_be_and_then_is_silent(world_of, output):
    world = world_of(output)
    messages = started(world, 2)
    world.call('stop')
    world.until(lambda: held(world), meanwhile=world.controller.look)
    told = held(world)
    place = world.controller.at(world.robot.now_ns() + 10**9)
    assert place == pytest.approx(told, abs=1e-9)
    count = len(messages)
    world.spin(1.2, world.controller.look)
    assert all(list(told) == list(held_of(message)) for message in messages[count:])
    count = len(messages)
    world.spin(0.3, world.controller.look)
    assert len(messages) == count


@pytest.mark.parametrize('output, step_s', [
    ('joint_trajectory', 5), ('joint_trajectory', -5), ('joint_position', 5)])
def test_a_clock_that_was_set_keeps_no_stop_from_being_told(world_of, output, step_s):
    world = world_of(output)
    started(world, 2)
    control = world.node._control
    was = control.now_ns
    control.now_ns = lambda: was() + step_s * 10**9
    world.call('stop')
    world.until(lambda: held(world), meanwhile=world.controller.look)


@pytest.mark.parametrize('output', ['joint_trajectory', 'joint_position'])
def test_an_arm_is_not_to_follow_a_dry_run_but_what_comes_after_it(world_of, output):
    world = world_of(output, dry_run=True, joint_tracking_error=0.01)
    world.start()
    world.robot.say()
    look = world.controller.look
    world.until(lambda: len(world.robot.chunks) >= 10, meanwhile=look)
    assert world.node._control.gate.fault is None and not world.controller.messages
    world.node.set_parameters([Parameter('dry_run', value=False)])
    world.call('resume')
    world.until(lambda: world.controller.messages, meanwhile=look)
    world.controller._go = lambda place: None  # it is blocked from now on
    world.until(lambda: world.says('commands', 'the arm does not follow'), meanwhile=look)


def held_of(message):
    """Return where a message lets the joints stay, None if it moves them on."""
    if isinstance(message, Float64MultiArray):
        return list(message.data)
    return list(message.points[0].positions) if len(message.points) == 1 else None


def held(world):
    """Return where the last two messages let the joints stay, None if they do not."""
    last = [held_of(message) for message in world.controller.messages[-2:]]
    return last[1] if last[0] == last[1] else None


@pytest.mark.parametrize('urdf, message', [
    ('', r'URDF'),
    ('<robot', r'URDF'),
    ('<robot name="none"/>', 'has no joints'),
    (gantry().replace(f' velocity="{FASTEST}"', ''), 'no velocity limit'),
    (gantry().replace('end_effector', 'hand'), 'end_effector')])
def test_a_urdf_that_does_not_fit_is_refused_at_configure(world_of, urdf, message):
    world = world_of('joint_position', urdf=urdf)
    assert not world.node.start()
    assert message in world.node.problem


def test_without_a_urdf_twists_to_joints_are_refused_and_joints_need_speeds(world_of):
    world = world_of('joint_trajectory', robot_description_timeout=0.2)
    world.robot.destroy_publisher(world.description)
    assert not world.node.start()
    assert 'no URDF came on /robot_description within 0.2 s' in world.node.problem
    speedless = world_of('joint_trajectory', JointPolicy, robot_description_timeout=0.2)
    for other in (world, speedless):
        other.robot.destroy_publisher(other.description)
    assert not speedless.node.start()
    assert 'max_joint_speeds' in speedless.node.problem


def test_what_is_a_fault_can_be_changed_while_joints_are_commanded(world_of):
    world = world_of('joint_position', JointPolicy)
    world.start()
    for name, value, is_taken in (
            ('trip_shortened', 7, True), ('trip_window', 3.0, True), ('reject_factor', 2.0, True),
            ('first_action_angle', 0.3, True), ('max_linear_speed', 0.1, False),
            ('workspace_low', [0.0, -1.0, 0.0], False)):
        result, = world.node.set_parameters([Parameter(name, value=value)])
        assert result.successful == is_taken, name
        assert is_taken or 'policy tells joints' in result.reason
    limits = world.node._control.gate.limits
    assert (limits.trip_count, limits.trip_window_s, limits.reject_factor, limits.first) == (
        7, 3.0, 2.0, 0.3)
    assert limits.velocity == (FASTEST,) * 3


def test_joints_pass_straight_through_without_a_urdf_where_their_speeds_are_given(world_of):
    world = world_of('joint_position', JointPolicy, robot_description_timeout=0.0,
                     max_joint_speeds=[FASTEST])
    world.robot.destroy_publisher(world.description)
    assert started(world, 3)


@pytest.mark.parametrize('joints, why', [
    ({'other_1': 0.1, 'other_2': 0.0},
     "has not told the position of 'slide_x': they tell other_1, other_2"),
    ({'slide_x': 0.1, 'slide_y': 0.0}, "has not told the position of 'slide_z'"),
    ({**dict(zip(JOINTS, START)), 'slide_z': 2.5}, 'beyond its limits'),
    ({**dict(zip(JOINTS, START)), 'slide_z': 0.5}, 'disagree'),
    ({**dict(zip(JOINTS, START)), 'slide_z': float('nan')}, 'finite')])
def test_joint_states_that_cannot_be_this_arms_let_nothing_move_and_say_why(
        world_of, joints, why):
    world = world_of('joint_position')
    world.robot.positions = joints
    world.start()
    world.robot.say()
    world.until(lambda: world.says('commands', why), meanwhile=world.robot.look)
    assert not world.controller.messages


@pytest.mark.parametrize('rate', [5, 1000])
def test_joint_states_at_5_hz_and_at_1_khz_serve(world_of, rate):
    world = world_of('joint_position')
    world.robot.publishes.discard('joints')
    sent = [0]

    def look():
        """Publish joints as often as they are due, and an image."""
        now_ns = world.robot.now_ns()
        sent[0] = max(sent[0], now_ns - 10**9 // 10)
        while sent[0] < now_ns:
            sent[0] += 10**9 // rate
            world.robot.joints.publish(world.robot.joint_state(sent[0]))
        world.robot.look()
    world.start()
    world.robot.say()
    world.until(lambda: len(world.controller.messages) > 20, meanwhile=look)
    assert world.controller.messages[-1].data[0] > START[0]


def test_what_is_planned_is_shown_as_joints_where_joints_are_commanded(world_of):
    world = world_of('joint_position')
    planned, poses = [], []
    world.robot.create_subscription(
        JointTrajectory, 'vla_node/planned_trajectory', planned.append, 10)
    world.robot.create_subscription(PoseArray, 'vla_node/planned_poses', poses.append, 10)
    started(world)
    world.until(lambda: planned, meanwhile=world.controller.look)
    assert tuple(planned[0].joint_names) == JOINTS
    assert places(planned[0])[:, 1:] == pytest.approx(
        np.tile(START[1:], (len(planned[0].points), 1)), abs=1e-6)
    assert np.diff(places(planned[0])[:4, 0]) == pytest.approx(SPEED * 0.05, abs=1e-4)
    world.until(lambda: poses and poses[-1].poses, meanwhile=world.controller.look)
    assert poses[-1].header.frame_id == 'base'
    ways = [pose.position.x for pose in poses[-1].poses]
    assert np.diff(ways[:4]) == pytest.approx(SPEED * 0.05, abs=1e-3)
