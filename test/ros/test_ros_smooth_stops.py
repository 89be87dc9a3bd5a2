# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What slows down within the acceleration limit, and what stops at once, over real topics."""
import time

import numpy as np
import pytest

ACCELERATION = 0.3  # m/s2, so that 0.1 m/s takes a third of a second
SOFT = {'max_linear_acceleration': ACCELERATION, 'control_rate': 50.0}
soft = pytest.mark.parametrize('world', [SOFT], indirect=True)


def at_full_speed(world):
    """Move until the arm is told its full speed, and forget what it was told before."""
    world.move()
    world.until(lambda: told(world)[-1] > 0.095, meanwhile=world.robot.look, period_s=0.03)
    first = np.array(told(world))
    world.robot.twists.clear()
    return first


def told(world):
    """Return the speeds along x that the arm was told."""
    return [message.twist.linear.x for message in world.robot.twists] or [0.0]


def steps(speeds):
    """Return the changes of speed; the first command of a chunk may come between two ticks."""
    return np.abs(np.diff(speeds))


@soft
def test_the_arm_gains_speed_and_a_camera_that_falls_silent_slows_it_down(world):
    largest = ACCELERATION / 50 * 1.001
    assert steps(at_full_speed(world)).max() <= largest
    world.until(world.stands_still)
    speeds = [0.1, *told(world)]
    assert steps(speeds).max() <= largest and len(set(speeds)) > 10


@pytest.mark.parametrize('rate', [0.0, 0.1])
@pytest.mark.parametrize('world', [
    {**SOFT, 'max_linear_acceleration': 0.1, 'use_sim_time': True}], indirect=True)
def test_a_clock_by_which_the_arm_would_never_slow_down_stops_it_at_once(world, rate):
    time_ns = [int(100e9)]

    def look(step_ns=20e6, sees=True):
        time_ns[0] += int(step_ns)
        world.robot.tick(time_ns[0])
        if sees:
            world.robot.look(time_ns[0])
    world.robot.say()
    world.until(lambda: told(world)[-1] > 0.05, meanwhile=look)
    begun_ns = time_ns[0]
    world.until(world.stands_still, meanwhile=lambda: look(rate * 20e6, False))
    assert time_ns[0] - begun_ns < 0.45e9  # of 0.5 s in which it would slow down
    world.stays_still(meanwhile=lambda: look(rate * 20e6, False))
    world.until(world.is_moving, meanwhile=look)


@soft
@pytest.mark.parametrize('stop', ['service', 'deactivate'])
def test_a_stop_of_somebody_is_a_zero_at_once(world, stop):
    at_full_speed(world)
    if stop == 'service':
        assert world.call('stop').success
    else:
        world.node.trigger_deactivate()
    world.until(world.stands_still)
    speeds = [speed for speed in told(world) if speed > 0]
    assert not speeds or min(speeds) > 0.05


@pytest.mark.parametrize('world', [
    {**SOFT, 'missed_chunks': 3, 'image_timeout': 1.0, 'inference_timeout': 2.0}], indirect=True)
def test_answers_that_come_too_late_again_and_again_stop_for_good(world):
    world.policy.infer, answer = lambda observation: (time.sleep(0.6), answer(observation))[1], \
        world.policy.infer
    world.robot.say()
    world.until(lambda: world.says('commands', '3 answers in a row came when the last one had'),
                meanwhile=world.robot.look, period_s=0.03)
    text = world.robot.said('commands')[1]
    assert '8 rows of 50 ms, asked about every 4, allow 200 ms' in text and '~/resume' in text
    world.stays_still(0.5, world.robot.look)
    assert world.call('resume').success
    world.until(world.is_moving, meanwhile=world.robot.look, period_s=0.03)
