# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/pruning answers with some patches, held against answers with all of them."""
import numpy as np
from pruning.replies import reply, TREATMENTS
from pruning.states import Look
import pytest
from tiny_policies import observation


@pytest.fixture
def asked(load):
    """Return a policy and its reply to one look."""
    policy, seen = load('chunk'), observation('chunk')
    look = Look(0, 0, 0, seen.image, seen.instruction, seen.state, np.zeros((3, 2)), 'far')
    return policy, seen, reply(policy, look)


def test_an_answer_with_all_patches_is_the_policys(asked):
    policy, seen, replied = asked
    expected = policy.infer(seen).actions
    found = policy._outputs.actions(replied.whole)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('treatment', TREATMENTS)
def test_all_patches_kept_change_nothing_and_fewer_do(asked, treatment):
    policy, _, replied = asked
    every = np.arange(policy.config.model.num_visual)
    assert np.allclose(replied.answers(every, treatment), replied.whole, atol=1e-5)
    some = replied.answers(every[::3], treatment)
    assert some.shape == replied.whole.shape and not np.allclose(some, replied.whole, atol=1e-5)


def test_a_kept_patch_counts_for_those_that_are_nearest_to_it(asked):
    """The log of the sizes raises logits: another answer than that of patches that are gone."""
    _, _, replied = asked
    kept = np.array([0, 1])
    assert not np.allclose(replied.answers(kept, 'log-size'), replied.answers(kept), atol=1e-6)
