# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers of a policy that are no action chunks: each stops the arm and says what was found."""

from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticStatus
import numpy as np
import pytest

ANSWERS = [
    ({'actions': np.zeros((0, 7), np.float32)}, 'actions have shape (0, 7), expected [T, 7]'),
    ({'actions': np.zeros((8, 6), np.float32)}, 'actions have shape (8, 6), expected [T, 7]'),
    ({'actions': np.full((8, 7), 'fast')}, 'actions are of type <U4, expected [T, 7] numbers'),
    ({'dt': 0.0}, 'the dt of an action chunk is 0.0 s, expected 0.001..2.0'),
    ({'dt': np.nan}, 'the dt of an action chunk is nan s, expected 0.001..2.0')]


def test_an_answer_that_is_no_chunk_stops_until_resume_with_what_it_is(world):
    infer = world.policy.infer
    for changes, text in ANSWERS:
        world.policy.infer = infer
        world.move()
        world.policy.infer = lambda observation: replace(infer(observation), **changes)
        world.until(lambda: world.says('commands', text), meanwhile=world.robot.look)
        assert world.robot.said('commands')[0] == DiagnosticStatus.ERROR
        assert world.says('commands', 'call ~/resume')
        world.stays_still(0.2, world.robot.look)
        world.policy.infer = infer
        assert world.call('resume').success
        world.until(world.is_moving, meanwhile=world.robot.look)


@pytest.mark.parametrize('answer', [None, 'a chunk'])
def test_an_answer_of_another_type_is_a_crash_of_the_policy(world, answer):
    world.move()
    world.policy.infer = lambda observation: answer
    world.until(lambda: world.says('commands', 'the policy crashed'), meanwhile=world.robot.look)
    world.stays_still(0.2, world.robot.look)
