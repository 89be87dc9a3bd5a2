# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Blending chunks, against the official ensemble and by the images' stamps."""
import dataclasses
from types import SimpleNamespace

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.control.blending import blend, EnsemblePolicy
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import ActionChunk

START_NS = 1_790_000_000_123_456_789
DT_NS = 60_000_000


class Told:
    """A policy that answers with the chunks it was told, one after another."""

    def __init__(self, chunks, dt=DT_NS * 1e-9):
        self.chunks, self.dt, self.resets, self.selection = list(chunks), dt, 0, None

    def infer(self, observation):
        return ActionChunk(np.asarray(self.chunks.pop(0)), self.dt, (), observation.stamp_ns, {})

    def reset(self):
        self.resets += 1


def answers(policy, *steps):
    """Return the blended actions for images that lie so many steps behind the first."""
    found = [policy.infer(SimpleNamespace(stamp_ns=START_NS + round(step * DT_NS)))
             for step in steps]
    assert all(chunk.actions.shape[0] == 1 for chunk in found)
    return [chunk.actions[0] for chunk in found]


@pytest.mark.parametrize('dt', [DT_NS * 1e-9, float('nan')])
@pytest.mark.parametrize('horizon', [2, 7])
def test_blends_are_the_official_ones(horizon, dt):
    expected = golden_data.expected('adaptive_ensemble')
    chunks = expected['chunks']
    policy = EnsemblePolicy(Told([*chunks, *chunks], dt), horizon)
    for round_ in range(2):
        policy.reset()  # forgets everything
        np.testing.assert_allclose(answers(policy, *range(len(chunks))), expected[f'h{horizon}'],
                                   rtol=0, atol=1e-6)


def test_the_row_meant_for_now_follows_from_stamps_however_odd_the_steps_between_them():
    """11 times 1.33 steps are 14.67 and not 11, and roundings do not add up."""
    count, step = 12, 4 / 3
    chunks = [np.full((20, 2), 100.0 + i) + np.arange(20)[:, None] for i in range(count)]
    found = answers(EnsemblePolicy(Told(chunks), count), *(i * step for i in range(count)))
    ages = [round((count - 1 - i) * step) for i in range(count)]
    rows = np.array([chunk[age] for chunk, age in zip(chunks, ages) if age < 20])
    assert ages[0] == 15
    np.testing.assert_allclose(found[-1], blend(rows), rtol=1e-6)


def test_a_chunk_that_has_run_out_has_no_say():
    policy = EnsemblePolicy(Told([np.ones((4, 2)), np.full((4, 2), 9.0)]), 3)
    np.testing.assert_allclose(answers(policy, 0, 4)[1], 9.0)


def test_time_that_jumps_back_is_another_episode():
    policy = EnsemblePolicy(Told([np.ones((4, 2)), np.full((4, 2), 9.0)]), 3)
    np.testing.assert_allclose(answers(policy, 5, 0)[1], 9.0)


def test_the_gripper_is_thresholded_after_blending():
    """Two of three plans open: the blend lies between, what is sent is one or the other."""
    space = ActionSpace(kind='delta', names=(*DELTA_NAMES, 'gripper'), dt=0.2, execute_steps=1,
                        gripper_threshold=0.5, rotation='rotvec', frame='base')
    closed, opened = np.zeros((4, 7)), np.zeros((4, 7))
    opened[:, 6] = 1.0
    policy = EnsemblePolicy(Told([closed, opened, opened], 0.2), 3)
    blends = [policy.infer(SimpleNamespace(stamp_ns=START_NS + step * 200_000_000)).actions
              for step in range(3)]
    assert 0.5 < blends[2][0, 6] < 0.9
    assert [space.commands(blends[step])[0].gripper for step in (0, 2)] == [0.0, 1.0]


def test_a_wrapper_is_a_policy_that_hands_all_else_on():
    told = Told([np.ones((4, 2))])
    policy = EnsemblePolicy(told, 2)
    policy.selection = 'chosen'
    policy.reset()
    assert told.selection == policy.selection == 'chosen' and told.resets == 1
    assert policy.dt == told.dt
    with pytest.raises(AttributeError, match='precision'):
        policy.precision
    seen = dataclasses.replace(policy.infer(SimpleNamespace(stamp_ns=5)), stamp_ns=5)
    assert seen.stamp_ns == 5


def test_a_horizon_below_one_is_refused():
    with pytest.raises(ConfigError, match='ensemble is 0'):
        EnsemblePolicy(Told([]), 0)
