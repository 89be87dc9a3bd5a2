# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A workspace needs to know where the arm is: where that is lost, who is told and what waits."""

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import KnownPolicy, SPEED, speed
from sensor_msgs.msg import CameraInfo

REASON = 'the pose of the end effector is not known'
BOX = {'workspace_low': [-5.0] * 3, 'workspace_high': [5.0] * 3, 'keep_tokens': 0}
SLOWING = {'max_linear_acceleration': 0.3}
TICK_NS = 50_000_000
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def started(make_world):
    """Return a maker of nodes that do not need TF but for the workspace."""
    def start(parameters):
        world = make_world(KnownPolicy, parameters)
        world.robot.create_subscription(CameraInfo, 'camera_info', lambda message: None, SENSOR)
        world.start()
        return world
    return start


@pytest.fixture
def world(started, request):
    """Return an active node with these parameters."""
    return started(request.param)


def lose_the_pose(world):
    """Let TF be lost in mid-motion, which the policy itself does not need."""
    world.robot.publishes.remove('tf')
    world.until(lambda: world.says('commands', REASON), meanwhile=world.robot.look)
    assert world.robot.said('commands')[0] == DiagnosticStatus.ERROR
    world.until(world.stands_still, meanwhile=world.robot.look)


@pytest.mark.parametrize('world', [BOX, {**BOX, **SLOWING}], indirect=True)
def test_a_pose_that_is_lost_is_told_and_motion_goes_on_when_it_is_back(world):
    world.move()
    lose_the_pose(world)
    world.stays_still(0.5, world.robot.look)
    assert world.says('commands', REASON)  # and not that a chunk is waited for
    world.robot.publishes.add('tf')
    world.until(world.is_moving, meanwhile=world.robot.look)
    world.until(lambda: world.says('commands', 'moving: '), meanwhile=world.robot.look)


@pytest.mark.parametrize('world', [
    {**BOX, 'require_resume': True}, {**BOX, **SLOWING, 'require_resume': True}], indirect=True)
def test_with_require_resume_nothing_moves_by_itself_when_the_pose_is_back(world):
    world.move()
    lose_the_pose(world)
    world.until(lambda: world.says('commands', 'call ~/resume'), meanwhile=world.robot.look)
    world.robot.publishes.add('tf')
    world.stays_still(0.7, world.robot.look)
    assert world.call('resume').success
    world.until(world.is_moving, meanwhile=world.robot.look)


@pytest.mark.parametrize('world', [{**BOX, 'require_resume': True}], indirect=True)
def test_a_pose_that_comes_a_little_late_at_first_is_waited_for(world):
    world.robot.publishes.remove('tf')
    world.robot.say()
    world.until(lambda: world.says('commands', REASON), meanwhile=world.robot.look)
    world.robot.publishes.add('tf')
    world.until(world.is_moving, meanwhile=world.robot.look)


@pytest.mark.parametrize('careful', [False, True])
def test_in_lockstep_the_pose_that_is_lost_is_told_and_time_goes_on(started, careful):
    world = started({**BOX, 'lockstep': True, 'use_sim_time': True, 'image_timeout': 0.12,
                     'require_resume': careful})
    world.until(lambda: world.robot.clock_publisher.get_subscription_count() >= 2)
    world.robot.say()
    world.until(lambda: world.says('commands', 'no image'))

    def play(tick):
        """Show a tick, with the first one an image and TF, and return its answer's speed."""
        world.robot.twists.clear()
        if tick == 4:
            world.robot.look(tick * TICK_NS)
        world.until(lambda: world.robot.twists, period_s=0.1,
                    meanwhile=lambda: world.robot.tick(tick * TICK_NS))
        return speed(world.robot.twists[-1])
    assert [play(tick) for tick in (4, 5, 6)] == pytest.approx([SPEED] * 3)
    assert play(7) == 0.0  # TF is 0.15 s old
    world.until(lambda: world.says('commands', REASON))
    assert world.says('commands', 'call ~/resume') is careful
