# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA stage by stage against what the official code computes; see golden/README.md."""
from functools import lru_cache

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.policy import load_policy

KEYS = ('bridge_orig', 'libero_spatial_no_noops')
TOLERANCE = {'pixel_values': 1e-6, 'dino_features': 1e-4, 'siglip_features': 1e-4,
             'projected': 1e-4, 'hidden_states': 1e-4, 'logits_last': 1e-4}


@lru_cache(maxsize=2)
def policy(key='bridge_orig'):
    return load_policy(golden_data.openvla(), unnorm_key=key)


@lru_cache(maxsize=2)
def found(case):
    """Return all stages, thinned like the expected ones."""
    return golden_data.stages(policy(), case)


@pytest.mark.parametrize('stage', TOLERANCE)
@pytest.mark.parametrize('case', golden_data.CASES)
def test_a_stage_equals_the_official_one(case, stage):
    expected = golden_data.expected(f'openvla_case{case}')[stage]
    assert found(case)[stage].shape == expected.shape
    np.testing.assert_allclose(found(case)[stage], expected, rtol=0, atol=TOLERANCE[stage])


@pytest.mark.parametrize('case', golden_data.CASES)
def test_prompt_and_generated_tokens_are_the_official_ones(case):
    expected = golden_data.expected(f'openvla_case{case}')
    for name in ('input_ids', 'generated_ids'):
        np.testing.assert_array_equal(found(case)[name], expected[name])


@pytest.mark.parametrize('case', golden_data.CASES)
def test_every_step_of_cached_decoding_gives_the_official_logits(case):
    expected = golden_data.expected(f'openvla_case{case}')
    logits = []
    hook = policy().model.head.register_forward_hook(
        lambda module, inputs, output: logits.append(output[0].numpy()))
    policy().infer(golden_data.observation(case))
    hook.remove()
    logits = np.stack(logits)
    np.testing.assert_allclose(
        logits[:, 31744:32000], expected['step_logits_action_range'], rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        np.take_along_axis(logits, expected['step_top16_ids'], axis=1),
        expected['step_top16_logits'], rtol=0, atol=1e-4)


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('case', golden_data.CASES)
def test_actions_are_the_official_ones(case, key):
    expected = golden_data.expected(f'openvla_case{case}')
    with StageRecorder(policy(key)) as recorder:
        chunk = policy(key).infer(golden_data.observation(case))
    stages = recorder.stages()
    np.testing.assert_allclose(
        stages['normalized_actions'], expected['normalized_actions'], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        stages['actions'], expected[f'actions_{key}'], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(chunk.actions, stages['actions'][None].astype(np.float32))


def test_every_token_is_decoded_as_the_official_code_does():
    expected = golden_data.expected('decode_cases')
    head = TokenHeadConfig()
    np.testing.assert_allclose(
        head.values(expected['token_ids']), expected['normalized'], rtol=0, atol=1e-12)
    np.testing.assert_allclose(head.centres, expected['bin_centers'], rtol=0, atol=1e-12)
