# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies of every head whose dropped tokens follow those that are kept."""
import numpy as np
import pytest
from sqap_vla_ros.tokens.choice import SelectionConfig
from tiny_policies import HEADS, load_head, observation

KEEP = 12


@pytest.mark.parametrize('head', [*HEADS, 'oft_tiny_diffusion'])
def test_the_same_tokens_are_kept_and_the_others_are_still_seen(tiny, head):
    policy, seen = load_head(
        tiny, head, keep=KEEP, dropped='follow', prune_layer=2), observation(head)
    assert policy.selection.dropped == 'follow'
    total = policy.config.model.num_visual

    def infer(selection):
        policy.selection = selection
        policy.reset()
        return policy.infer(seen)
    followed = infer(policy.selection)
    gone, whole, everything = map(infer, (
        SelectionConfig(KEEP, ties='even'), SelectionConfig(total, dropped='follow'), None))
    np.testing.assert_array_equal(followed.selection.kept, gone.selection.kept)
    np.testing.assert_allclose(whole.actions, everything.actions, rtol=0, atol=1e-5)
    if head != 'openvla':  # its ids are the same whatever is dropped
        for other in (gone, everything):
            assert np.abs(followed.actions - other.actions).max() > 1e-4
