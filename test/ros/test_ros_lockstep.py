# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Lockstep: one answer a tick, stamped with it, whatever is lost, late or repeated."""

import numpy as np
import pytest
from ros_harness import KnownPolicy, SPEED, speed
from sensor_msgs.msg import Image

DT_NS = 50_000_000
EVERY = 4
LOCKSTEP = {'lockstep': True, 'use_sim_time': True, 'image_timeout': 0.2}


class CountingPolicy(KnownPolicy):
    """Commands, in row r of the n-th chunk, (n + r / 100) / 100 m/s along x."""

    def infer(self, observation):
        rows = np.arange(8) / 100 + len(self.observations) + 1
        self.actions[:, 0] = rows / 100
        return super().infer(observation)


@pytest.fixture
def world(make_world):
    """Return an active node in lockstep that knows its instruction."""
    world = make_world(CountingPolicy, LOCKSTEP)
    world.start()
    world.until(lambda: world.node.count_subscribers('/clock') >= 2)
    world.until(lambda: world.robot.clock_publisher.get_subscription_count() >= 2)
    world.robot.say()
    world.until(lambda: world.says('commands', 'no image'))
    return world


def show(world, tick):
    """Publish everything of a tick."""
    if tick % EVERY == 0:
        world.robot.look(tick * DT_NS)
    world.robot.tick(tick * DT_NS)


def answers(world, tick):
    """Return the twists that answer a tick."""
    return [twist for twist in world.robot.twists
            if twist.header.stamp.sec * 10**9 + twist.header.stamp.nanosec == tick * DT_NS]


def play(world, tick):
    """Show a tick and return its answer's speed, as the simulator would."""
    show(world, tick)
    world.until(lambda: answers(world, tick))
    return speed(answers(world, tick)[0])


def test_each_tick_is_answered_once_with_its_own_row(world):
    speeds = [play(world, tick) for tick in range(4, 13)]
    expected = [(chunk + row / 100) / 100 for chunk in (1, 2) for row in range(EVERY)]
    assert speeds[:8] == pytest.approx(expected)
    assert len(world.policy.observations) == 3
    assert [len(answers(world, tick)) for tick in range(4, 13)] == [1] * 9
    world.until(lambda: len(world.robot.grippers) == 9)


def test_a_repeated_tick_gets_the_same_answer_and_no_second_inference(world):
    first = play(world, 4)
    for _ in range(3):
        count = len(answers(world, 4))
        show(world, 4)
        world.until(lambda: len(answers(world, 4)) > count)
    assert {speed(twist) for twist in answers(world, 4)} == {first}
    assert len(world.policy.observations) == 1


def test_a_tick_waits_for_its_transforms_and_time_stands_still(world):
    world.robot.publishes.remove('tf')
    show(world, 4)
    world.until(lambda: world.says('commands', 'no transform base -> '))
    world.spin(0.3)
    assert not world.robot.twists
    world.robot.publishes.add('tf')
    assert play(world, 4) == pytest.approx(0.01)


def test_an_old_transform_is_not_taken_for_the_tick(world):
    play(world, 4)
    world.robot.publishes.remove('tf')
    show(world, 8)
    world.until(lambda: world.says('commands', 'no transform base -> '))
    assert not answers(world, 8)


def test_a_fault_answers_every_tick_with_zero_so_that_time_goes_on(world):
    play(world, 4)
    world.call('stop')
    assert [play(world, tick) for tick in range(5, 10)] == [0.0] * 5
    world.call('resume')
    assert play(world, 12) > 0


def test_non_finite_actions_answer_with_zero(world):
    world.policy.actions[3, 1] = np.nan
    assert play(world, 4) == 0.0
    world.until(lambda: world.says('commands', 'not finite'))


def test_an_instruction_that_comes_late_lets_the_waiting_tick_go_on(world):
    world.robot.say('')
    world.until(lambda: world.says('commands', 'no instruction'))
    show(world, 4)
    world.spin(0.1)
    assert not answers(world, 4)
    world.robot.say()
    world.until(lambda: answers(world, 4))


def test_a_node_that_joins_between_images_lets_time_go_on(world):
    show(world, 5)
    world.until(lambda: answers(world, 5), meanwhile=lambda: show(world, 5), period_s=0.1)
    assert speed(answers(world, 5)[0]) == 0.0
    assert play(world, 8) == pytest.approx(SPEED / 10)


def test_time_that_jumps_back_starts_over(world):
    for tick in range(400, 404):
        play(world, tick)
    world.until(lambda: answers(world, 4), meanwhile=lambda: show(world, 4), period_s=0.2)
    assert speed(answers(world, 4)[0]) == pytest.approx(0.02)


def test_reset_drops_the_chunk_and_the_next_episode_begins_with_an_image(world):
    play(world, 4)
    resets = world.policy.resets
    assert world.call('reset').success
    assert play(world, 24) == pytest.approx(0.02)
    assert world.policy.resets == resets + 1


def test_rows_are_not_played_while_there_are_two_cameras_or_no_instruction(world):
    assert play(world, 4) > 0
    second = world.robot.create_publisher(Image, 'image', 1)
    world.until(lambda: world.says('commands', 'which camera is it?'))
    assert play(world, 5) == 0.0
    world.robot.destroy_publisher(second)
    world.until(lambda: world.says('commands', 'moving'))
    assert play(world, 8) == pytest.approx(0.02)  # the first row of a new chunk
    world.robot.say('')
    world.until(lambda: world.says('commands', 'no instruction'))
    world.until(lambda: answers(world, 9), meanwhile=lambda: show(world, 9))
    assert not any(map(speed, answers(world, 9)))


@pytest.mark.parametrize('how', ['resume', 'instruction'])
def test_a_stopped_arm_begins_again_with_an_image_taken_after_the_stop(world, how):
    assert play(world, 4) == pytest.approx(0.01)
    if how == 'resume':
        world.call('stop')
        world.call('resume')
    else:
        world.policy.instructions += ('another',)
        world.robot.say('another')
        world.until(lambda: world.node._control.instructions.text == 'another')
    world.until(lambda: answers(world, 5), meanwhile=lambda: show(world, 5))
    assert speed(answers(world, 5)[0]) == 0  # row 1 of the old chunk
    assert play(world, 8) > 0.019


def test_a_tick_that_is_repeated_after_a_stop_is_answered_with_zero(world):
    assert play(world, 4) > 0
    world.call('stop')
    count = len(answers(world, 4))
    world.until(lambda: len(answers(world, 4)) > count, meanwhile=lambda: show(world, 4))
    assert not any(map(speed, answers(world, 4)[count:]))


def test_a_clock_that_dies_stops_the_arm_once_and_answers_no_tick(world):
    assert play(world, 4) > 0
    world.until(lambda: world.says('commands', '/clock is silent'))
    world.spin(0.5)
    assert len(answers(world, 4)) == 1 and len(world.robot.twists) == 2
    assert world.stands_still()
    assert play(world, 5) > 0


def test_an_answer_for_the_old_instruction_is_dropped_and_the_tick_asked_again(world):
    world.policy.instructions += ('another',)
    world.policy.gate.clear()
    show(world, 4)
    world.until(lambda: world.policy.observations)
    world.robot.say('another')
    world.until(lambda: world.node._control.instructions.text == 'another')
    world.policy.gate.set()
    world.until(lambda: answers(world, 4))
    assert [seen.instruction for seen in world.policy.observations][1:] == ['another']
    world.spin(0.1)
    assert len(answers(world, 4)) == 1
    world.until(lambda: world.robot.chunks)
    assert {chunk.instruction for chunk in world.robot.chunks} == {'another'}
