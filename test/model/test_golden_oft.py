# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA-OFT stage by stage against what the official code computes; see golden/README.md."""
from dataclasses import replace
from functools import lru_cache
import hashlib

import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.inference.inputs import far_from_bounds
from sqap_vla_ros.inference.outputs import unnormalise
from sqap_vla_ros.model.diffusion import (
    clipped_ddim_steps, leading_times, noise_schedule, rounded_schedule)
from sqap_vla_ros.model.heads import ParallelTokenHead
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vla import VLAConfig
import torch

TOLERANCE = {
    'input_ids': 0, 'proprio_normalized': 0, 'proprio_embedding': 1e-5,
    'film_mean_language_embedding': 1e-6, 'vision_features': 1e-4, 'hidden_states': 1e-4,
    'hidden_states_first': 1e-4, 'hidden_states_last': 1e-3, 'last_layer_prenorm': 1e-4,
    'action_hidden_states': 1e-4, 'timesteps': 0, 'timestep_embedding': 1e-5, 'x': 1e-3,
    'noise_pred': 1e-3, 'normalized_actions': 1e-4, 'actions': 1e-4}
DIFFUSING = 'oft_tiny_diffusion'


@lru_cache(maxsize=4)
def found(variant, case):
    """Return all stages, thinned like the expected ones."""
    return golden_oft.stages(golden_oft.loaded(variant), variant, case)


def given(variant, case, name):
    return torch.from_numpy(golden_oft.expected(variant, case)[name])


@pytest.mark.parametrize(('variant', 'case'), golden_oft.CASES)
def test_every_stage_equals_the_official_one(variant, case):
    errors = golden_oft.errors(found(variant, case), golden_oft.expected(variant, case))
    assert not {name: error for name, error in errors.items() if error > TOLERANCE.get(name, 0)}
    assert {'vision_features', 'normalized_actions', 'actions'} <= errors.keys()
    assert ('x' if variant == DIFFUSING else 'hidden_states') in errors


@pytest.mark.parametrize(('variant', 'case'), golden_oft.CASES)
def test_pixels_are_the_official_ones_to_the_last_bit(variant, case):
    pixels = found(variant, case)['pixel_values']
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == str(
        golden_oft.expected(variant, case)['pixel_values_sha256'])


@pytest.mark.parametrize(('variant', 'case'), golden_oft.CASES)
def test_a_chunk_is_what_the_robot_is_sent(variant, case):
    chunk = golden_oft.loaded(variant).infer(
        golden_oft.observation(variant, case), golden_oft.noise(variant, case))
    np.testing.assert_allclose(chunk.actions, golden_oft.expected(variant, case)['actions'],
                               rtol=0, atol=1e-4)


def test_a_state_far_from_the_training_data_is_clipped_as_officially_and_told():
    policy = golden_oft.loaded('oft_tiny')
    low, high = (policy.statistics[f'state_{side}'] for side in ('low', 'high'))
    bound, ranged = low + 0.0, high - low
    bound[1] = high[1]
    far = bound + [-0.51, 0.51, -0.49, 0, 0, 0, 0, 0] * ranged
    assert not policy.inputs.state_doubts(bound) and not policy.inputs.state_doubts(high)
    seen = golden_oft.observation('oft_tiny', 0)
    plain, told = (policy.infer(replace(seen, state=state)) for state in (bound, far))
    np.testing.assert_array_equal(told.actions, plain.actions)
    assert not plain.doubts and len(told.doubts) == 2
    for axis, doubt in enumerate(told.doubts):
        assert doubt.startswith(
            f'the state has {policy.state_names[axis]} {far[axis]:.4g}, far outside the training '
            f'data ({low[axis]:.4g} .. {high[axis]:.4g}), and is clipped: ')


def test_a_value_that_never_changes_or_is_not_normalised_is_not_doubted():
    stats = {'state_low': np.zeros(3), 'state_high': np.array([0.0, 1.0, 1.0]),
             'state_mask': np.array([True, False, True])}
    doubt, = far_from_bounds('abc', np.full(3, 9.0), stats)
    assert 'has c 9, ' in doubt


@pytest.mark.parametrize('variant', ['oft_tiny', 'oft_tiny_aloha'])
@torch.inference_mode()
def test_the_head_alone_equals_the_official_one_so_closely_that_its_epsilon_shows(variant):
    head = golden_oft.loaded(variant).model.head
    actions = head(given(variant, 1, 'action_hidden_states')[None])[0]
    wanted = given(variant, 1, 'normalized_actions')
    assert (actions - wanted).abs().max() < 4e-6


@pytest.mark.parametrize('case', [0, 1])
@torch.inference_mode()
def test_ids_are_the_official_ones_where_the_language_model_answers(case):
    config = OFTHeadConfig(reads='tokens')
    head = ParallelTokenHead(config, 64, 32064)
    source = open_checkpoint(golden_oft.directory('oft_tiny')).with_key(None)
    head.lm_head.weight = torch.nn.Parameter(
        golden_oft.output_layer(golden_oft.directory('oft_tiny')), requires_grad=False)
    ids = head(given('oft_tiny', case, 'action_hidden_states')[None])
    wanted = golden_oft.expected('oft_tiny', case)
    np.testing.assert_array_equal(ids[0], wanted['discrete_ids'])
    actions = unnormalise(head.normalised(ids), source.statistics())
    np.testing.assert_allclose(actions, wanted['discrete_actions'], rtol=0, atol=1e-9)


def test_the_schedule_is_the_official_one():
    wanted = golden_oft.expected(DIFFUSING, 1)
    np.testing.assert_array_equal(noise_schedule(50)[0].astype(np.float32), wanted['betas'])
    np.testing.assert_array_equal(rounded_schedule(50), wanted['alphas_cumprod'])
    assert leading_times(50, 10) == tuple(wanted['timesteps'])
    assert leading_times(50, 50) == tuple(range(49, -1, -1))
    assert leading_times(50, 30) == tuple(range(29, -1, -1))


def test_every_denoising_step_is_the_official_one():
    x, noise = (given(DIFFUSING, 1, name) for name in ('x', 'noise_pred'))
    steps = list(clipped_ddim_steps(lambda _, step: noise[step], x[0], 50, 10))
    wanted = [*x[1:], given(DIFFUSING, 1, 'normalized_actions')]
    for found_x, wanted_x in zip(steps, wanted, strict=True):
        assert (found_x - wanted_x).abs().max() < 1e-5


@torch.inference_mode()
def test_scores_are_the_attention_of_the_rows_that_are_asked(monkeypatch):
    policy = golden_oft.loaded('oft_tiny')
    monkeypatch.setattr(VLAConfig, 'score_rows', lambda config, length: config.head_rows(length))
    model, inputs = policy.model, policy.inputs
    seen, images = (golden_oft.observation('oft_tiny', 1), golden_oft.pictures('oft_tiny', 1))
    x = model.embed(model.encode_image(inputs.pixels(*images.values())),
                    inputs.token_ids(seen.instruction), inputs.state(seen.state))
    _, scores = model.prefill_full(x)
    wanted = given('oft_tiny', 1, 'attn_patches_action_mean')[model.config.prune_layer - 1]
    assert (scores[0, ::4] - wanted).abs().max() < 1e-6
