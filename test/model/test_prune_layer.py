# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The decoder layer from which pruned tokens are left out may be chosen when loading."""
import numpy as np
import pytest
from sqap_vla_ros.convert.conversion import convert, Task
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import QuantScheme
from tiny_policies import HEADS, load_head, observation

OWN = 2  # the layer that all of these checkpoints prune at
KEEP = 20


def tokens_by_layer(policy, head):
    """Return how many tokens each decoder layer sees of one observation, decoding apart."""
    seen = {}

    def look(layer, inputs):
        seen.setdefault(layer, inputs[0].shape[1])
    handles = [layer.register_forward_pre_hook(look) for layer in policy.model.llm.layers]
    policy.infer(observation(head))
    for handle in handles:
        handle.remove()
    return [seen[layer] for layer in policy.model.llm.layers]


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('asked, first', [(None, OWN), (1, 1), (3, 3)])
def test_layers_from_the_chosen_one_on_see_the_kept_tokens_only(tiny, head, asked, first):
    policy = load_head(tiny, head, keep=KEEP, prune_layer=asked)
    seen, pruned = tokens_by_layer(policy, head), policy.grid[0] * policy.grid[1] - KEEP
    whole = seen[0]
    assert first < len(seen), 'the checkpoint is too small to show anything'
    assert seen == [whole] * first + [whole - pruned] * (len(seen) - first)


@pytest.mark.parametrize('head', HEADS)
def test_the_layer_of_the_checkpoint_changes_nothing_and_another_one_does(tiny, head):
    plain, same, other = (
        load_head(tiny, head, keep=KEEP, prune_layer=layer).infer(observation(head))
        for layer in (None, OWN, 1))
    np.testing.assert_array_equal(same.actions, plain.actions)
    np.testing.assert_array_equal(same.selection.kept, plain.selection.kept)
    assert list(other.selection.kept) != list(plain.selection.kept)


def test_a_quantized_checkpoint_can_be_pruned_at_another_layer_than_it_was_made_with(
        tiny, tmp_path):
    converted = tmp_path / 'converted'
    convert(Task(open_checkpoint(tiny), QuantScheme('w4a4'), 'float32'), converted)
    options = PolicyOptions(precision='w4a4', keep=KEEP, prune_layer=1)
    stored, here = (load_policy(path, options) for path in (converted, tiny))
    assert tokens_by_layer(stored, 'chunk') == tokens_by_layer(here, 'chunk')
    first, second = (policy.infer(observation('chunk')) for policy in (stored, here))
    np.testing.assert_array_equal(first.selection.kept, second.selection.kept)
    np.testing.assert_allclose(first.actions, second.actions, atol=1e-5)
