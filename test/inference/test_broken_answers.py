# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A network that overflows must never look like one that answers."""
import math

import golden_data
import pytest
from small_models import answer, make_model
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.model.heads import BROKEN
import torch


@pytest.mark.parametrize('keep', [None, 100])
@pytest.mark.parametrize('head', ['openvla', 'cogact'])
def test_a_network_that_overflows_does_not_answer(head, keep):
    policy = golden_data.load(head, keep=keep)
    norm = policy.model.llm.layers[0].input_layernorm
    norm.weight.data = torch.full_like(norm.weight, math.nan)
    message = 'non-finite' if keep is None else 'scores are not finite'
    with pytest.raises(ObservationError, match=message):
        policy.infer(golden_data.observation(0))


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_one_broken_logit_breaks_its_token_and_no_other(bad):
    model, calls = make_model('tokens'), []

    def break_the_third(module, inputs, logits):
        calls.append(logits)
        if len(calls) == 3:
            logits[0, 5] = bad
    model.head.register_forward_hook(break_the_third)
    _, ids = answer(model)
    assert (ids == BROKEN).tolist() == [[False, False, True, False]]
    with pytest.raises(ObservationError, match='non-finite logits'):
        model.head.normalised(ids)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
@pytest.mark.parametrize('column', [0, 6])  # 6 is the gripper, which is rounded
def test_a_sample_that_is_not_finite_is_not_clipped_into_an_action(column, bad):
    raw = torch.zeros(1, 5, 7)
    raw[0, 2, column] = bad
    with pytest.raises(ObservationError, match='non-finite actions'):
        make_model('diffusion').head.normalised(raw)
