# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Clocks and cameras that stop, or that disagree about the time: no motion, and a way back."""

import pytest
from ros_harness import KnownPolicy, World


@pytest.fixture
def world(request):
    """Return an active node; a test's parameter `world` gives the node's parameters."""
    world = World(KnownPolicy, getattr(request, 'param', {}))
    world.start()
    yield world
    world.close()


def test_a_camera_that_falls_silent(world):
    world.move()
    world.until(lambda: world.says('commands', 'no image on /image for more than 0.4 s'))
    world.stays_still()


def test_a_camera_whose_clock_is_behind_or_ahead(world):
    world.robot.say()
    for offset_s, text in ((-1.0, 's old when they come in'), (1.0, 'in the future')):
        def look():
            world.robot.look(world.robot.now_ns() + int(offset_s * 1e9))
        world.until(lambda: world.says('commands', text), meanwhile=look)
        world.stays_still(meanwhile=look)


def test_one_image_from_the_future_does_not_silence_those_after_it(world):
    world.move()
    world.robot.image.publish(world.robot.picture(world.robot.now_ns() + int(60e9)))
    world.until(lambda: world.says('commands', 'in the future'))
    world.until(world.is_moving, meanwhile=world.robot.look)
    world.spin(0.6, meanwhile=world.robot.look)
    assert world.says('commands', 'moving')


@pytest.mark.parametrize('world', [{'use_sim_time': True}], indirect=True)
def test_a_clock_that_dies_while_images_go_on(world):
    time_ns = [int(100e9)]

    def look(step_ns=int(20e6)):
        time_ns[0] += step_ns
        if step_ns:
            world.robot.tick(time_ns[0])
        world.robot.look(time_ns[0])
    world.robot.say()
    world.until(world.is_moving, meanwhile=look)
    world.until(lambda: world.says('commands', 'the action chunk is over by wall time'),
                meanwhile=lambda: look(0))
    world.stays_still(meanwhile=lambda: look(0))
    world.until(world.is_moving, meanwhile=look)


def test_a_clock_that_is_set_back_does_not_silence_the_camera(world):
    world.move()
    world.node._control.player.asked_ns += int(3600e9)  # as if now were an hour earlier
    seen = len(world.policy.observations)
    world.until(lambda: len(world.policy.observations) > seen + 1, meanwhile=world.robot.look)
    world.until(world.is_moving, meanwhile=world.robot.look)
