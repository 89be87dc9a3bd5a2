# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every way out over real topics: what moves the robot, what stops it, and who must listen."""
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray, PoseStamped, TwistStamped
import pytest

np = pytest.importorskip('numpy')
pytest.importorskip('rclpy')
from ros_harness import KnownPolicy, SPEED, World  # noqa: E402
from sqap_vla_ros.control.action_space import ActionSpace, POSE_NAMES  # noqa: E402
from sqap_vla_ros.ros.messages import nanoseconds_of  # noqa: E402

pytestmark = pytest.mark.ros
LIMIT = 0.25  # max_linear_speed as it is by default
START = (0.1, 0.0, 1.0)  # of the end effector, as the harness publishes it
TOPICS = {'twist': 'delta_twist_cmds', 'pose': 'target_pose'}
ERROR = DiagnosticStatus.ERROR


@pytest.fixture
def world_of():
    """Return a function that makes a World which the test closes at its end."""
    worlds = []

    def make(kind, topic, **parameters):
        world = World(parameters=parameters)
        worlds.append(world)
        world.heard = []
        world.controller = world.robot.create_subscription(
            kind, topic, lambda message: follow(world, message), 10)
        return world
    yield make
    for world in worlds:
        world.close()


def follow(world, message):
    """Let the end effector be where it is told to be."""
    world.heard.append(message)
    world.robot.place = tuple(place(message))


def place(message):
    """Return where a PoseStamped is."""
    p = message.pose.position
    return np.array([p.x, p.y, p.z])


def started(world):
    """Start a world and show it images until it commands on its output's topic."""
    world.start()
    world.robot.say()
    world.until(lambda: len(world.heard) > 5, meanwhile=world.robot.look, period_s=0.03)
    return world


def test_poses_begin_where_the_arm_is_and_go_on_at_the_speed_that_was_asked_for(world_of):
    world = started(world_of(PoseStamped, 'target_pose', output='pose', control_rate=50.0))
    message = world.heard[0]
    assert message.header.frame_id == 'base'
    assert abs(nanoseconds_of(message.header.stamp) - world.robot.now_ns()) < 5e9
    assert place(message) == pytest.approx([START[0] + SPEED / 50, 0, 1], abs=1e-9)
    turn = message.pose.orientation
    assert [turn.x, turn.y, turn.z, turn.w] == pytest.approx([0, 0, 0, 1])
    ways = np.array([place(message)[0] for message in world.heard])
    assert ways[3:6].min() > ways[0] and np.abs(np.diff(ways)).max() < LIMIT / 50 + 1e-9
    assert not world.robot.twists


def test_a_stopped_arm_is_told_to_stay_where_it_was_sent_and_then_left_alone(world_of):
    world = started(world_of(PoseStamped, 'target_pose', output='pose', idle_zeros=True))
    world.call('stop')
    world.until(lambda: len(world.heard) > 1 and place(world.heard[-2])[0] == (
        place(world.heard[-1])[0]), meanwhile=world.robot.look)
    held = place(world.heard[-1])[0]
    assert held > START[0]
    world.heard.clear()
    world.until(lambda: len(world.heard) >= 3, meanwhile=world.robot.look)
    assert {place(message)[0] for message in world.heard} == {held}
    world.spin(1.0, world.robot.look)
    world.heard.clear()
    world.spin(0.3, world.robot.look)
    assert not world.heard


def test_no_pose_is_told_while_it_is_not_known_where_the_arm_is(world_of):
    world = world_of(PoseStamped, 'target_pose', output='pose', require_localization=False)
    world.robot.publishes = {'image', 'info'}
    world.start()
    world.robot.say()
    world.until(lambda: world.says('commands', 'pose of the end effector is not known'),
                meanwhile=world.robot.look)
    assert not world.heard
    world.robot.publishes.add('tf')
    world.until(lambda: world.heard, meanwhile=world.robot.look)


def test_twists_without_units_are_what_servo_multiplies_to_the_speed(world_of):
    world = World(parameters={'twist_units': 'unitless', 'max_angular_speed': 0.8})
    try:
        world.start()
        world.move()
        assert world.robot.twists[-1].twist.linear.x * 0.4 == pytest.approx(SPEED)
    finally:
        world.close()


def test_nothing_moves_while_nothing_listens_nor_after_the_controller_has_gone(world_of):
    world = world_of(PoseStamped, 'target_pose', output='pose')
    world.robot.destroy_subscription(world.controller)
    world.start()
    world.robot.say()
    world.until(lambda: world.says('output', 'nothing listens on /target_pose')
                and world.robot.said('output')[0] == ERROR, meanwhile=world.robot.look)
    world.spin(0.3, world.robot.look)
    assert not world.policy.observations
    world.controller = world.robot.create_subscription(
        PoseStamped, 'target_pose', world.heard.append, 10)
    world.until(lambda: len(world.heard) > 2, meanwhile=world.robot.look)
    world.robot.destroy_subscription(world.controller)
    world.until(lambda: world.says('commands', 'nothing listens'), meanwhile=world.robot.look)
    assert world.node._control.player.stamp_ns is None


class PosePolicy(KnownPolicy):
    """Tells where the end effector is to be: SPEED m/s along x from where it begins."""

    def __init__(self, config):
        super().__init__(config)
        self.config = SimpleNamespace(action_space=ActionSpace(
            kind='pose', names=POSE_NAMES, execute_steps=4, dt=0.05))
        rows = np.arange(1, 9) * SPEED * 0.05
        self.actions = np.zeros((8, 6), np.float32)
        self.actions[:, 0], self.actions[:, 2] = START[0] + rows, START[2]


def test_an_absolute_action_without_a_measured_start_is_a_reason_to_stand_and_no_bug():
    world = World(PosePolicy, {'require_localization': False})
    try:
        world.robot.publishes = {'image', 'info'}
        world.start()
        world.robot.say()
        world.until(lambda: world.says('commands', 'no transform base -> end_effector'),
                    meanwhile=world.robot.look)
        assert not world.says('commands', 'bug') and not world.is_moving()
        world.robot.publishes.add('tf')
        world.until(world.is_moving, meanwhile=world.robot.look)
        assert 0 < world.robot.twists[-1].twist.linear.x <= LIMIT
    finally:
        world.close()


@pytest.mark.parametrize('output, kind', [('twist', TwistStamped), ('pose', PoseStamped)])
def test_what_is_planned_is_shown_as_poses_to_those_who_subscribe(output, kind):
    world = World(parameters={'output': output})
    try:
        world.robot.create_subscription(kind, TOPICS[output], lambda _: None, 10)
        planned = []
        world.robot.create_subscription(
            PoseArray, 'vla_node/planned_trajectory', planned.append, 10)
        world.start()
        world.robot.say()
        world.until(lambda: planned and planned[-1].poses, meanwhile=world.robot.look)
        first = planned[0]
        assert first.header.frame_id == 'base' and 4 <= len(first.poses) <= 8
        ways = [pose.position.x for pose in first.poses]
        assert ways[:3] == pytest.approx(
            START[0] + SPEED * 0.05 * np.arange(1, 4), abs=SPEED * 0.05)
        assert np.diff(ways[:4]) == pytest.approx(SPEED * 0.05, abs=1e-6)
        assert first.poses[0].position.z == pytest.approx(START[2])
    finally:
        world.close()
