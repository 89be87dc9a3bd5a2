# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""CogACT stage by stage against what the official code computes; see golden/README.md."""
from functools import lru_cache

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.commands.infer import cogact_logits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.model.diffusion import ddim_steps, ddim_times, noise_schedule
from sqap_vla_ros.model.dit import time_features
from sqap_vla_ros.policy import load_policy
import torch

KEYS = ('bridge_orig', 'fractal20220817_data')
SAMPLINGS = {'ddim10_cfg1.5': (10, 1.5), 'ddim10_cfg1.0': (10, 1.0), 'ddim5_cfg1.5': (5, 1.5),
             'ddim10_cfg3.0': (10, 3.0)}
STAGES = ('dino_features', 'siglip_features', 'projected', 'hidden_states', 'cognition_feature',
          'logits_last')


@lru_cache(maxsize=8)
def policy(key='bridge_orig', steps=10, guidance=1.5):
    return load_policy(golden_data.cogact(), unnorm_key=key, tokenizer=golden_data.openvla(),
                       ddim_steps=steps, guidance=guidance)


@lru_cache(maxsize=16)
def found(case, key='bridge_orig', steps=10, guidance=1.5):
    """Return all stages, thinned like the expected ones."""
    chosen = policy(key, steps, guidance)
    stages = golden_data.stages(chosen, case, golden_data.expected(f'cogact_case{case}')['noise'])
    return {**stages, **cogact_logits(stages['cognition_feature'], golden_data.cogact())}


def head_and_inputs(case):
    expected = golden_data.expected(f'cogact_case{case}')
    return policy().model.head, {name: torch.from_numpy(array) for name, array in expected.items()
                                 if array.dtype.kind in 'fi'}


@pytest.mark.parametrize('stage', STAGES)
@pytest.mark.parametrize('case', golden_data.CASES)
def test_a_stage_equals_the_official_one(case, stage):
    expected = golden_data.expected(f'cogact_case{case}')[stage]
    assert found(case)[stage].shape == expected.shape
    np.testing.assert_allclose(found(case)[stage], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize('case', golden_data.CASES)
def test_pixels_and_prompt_are_the_official_ones(case):
    np.testing.assert_allclose(
        found(case)['pixel_values'],
        golden_data.expected(f'openvla_case{case}')['pixel_values'], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        found(case)['input_ids'], golden_data.expected(f'cogact_case{case}')['input_ids'])


def guided_noise(head, x, time, condition, guidance):
    """Return the noise of one step as sampling works it out."""
    return head._guided(x, head._tokens(torch.tensor([time]), condition, guidance)[0], guidance)


@pytest.mark.parametrize('case', golden_data.CASES)
@torch.inference_mode()
def test_the_action_network_predicts_the_official_noise(case):
    head, given = head_and_inputs(case)
    time, x = given['dit_t'], given['dit_x']
    condition = given['cognition_feature'].expand(3, -1)
    nothing = head.z_embedder.uncondition.expand(3, -1)
    guided = torch.cat([guided_noise(head, x[[i]], int(time[i]), condition[[i]], 1.5)
                        for i in range(3)])
    for name, value in (
            ('dit_t_sinusoid', time_features(time)), ('dit_t_emb', head.t_embedder(time)),
            ('dit_z_emb', head.z_embedder(condition[:1])),
            ('dit_eps_cond', head.predict_noise(x, time, condition)),
            ('dit_eps_uncond', head.predict_noise(x, time, nothing)),
            ('dit_eps_cfg1.5', guided)):
        np.testing.assert_allclose(value.numpy(), given[name].numpy(), rtol=0, atol=5e-5,
                                   err_msg=name)


@pytest.mark.parametrize('case', golden_data.CASES)
@torch.inference_mode()
def test_every_denoising_step_is_the_official_one(case):
    head, given = head_and_inputs(case)
    condition = given['cognition_feature'][None]
    steps = list(ddim_steps(lambda x, time: guided_noise(head, x, time, condition, 1.5),
                            given['noise'], 10))
    for name, place in (('trajectory', 0), ('pred_xstart', 1)):
        value = torch.cat([step[place] for step in steps])
        np.testing.assert_allclose(
            value.numpy(), given[f'ddim10_cfg1.5_{name}'].numpy(), rtol=0, atol=2e-3)


def test_the_hundred_step_path_ends_at_the_official_sample():
    stored = golden_data.expected('ddpm_case0')
    noise = np.concatenate([stored['initial_noise'], stored['step_noise'][:99]])
    sampler = policy(steps=0)
    with StageRecorder(sampler) as recorder:
        sampler.infer(golden_data.observation(0), noise)
    np.testing.assert_allclose(recorder.stages()['ddim_raw'], stored['raw'], rtol=0, atol=2e-3)


@pytest.mark.parametrize('key', KEYS)
@pytest.mark.parametrize('sampling', SAMPLINGS)
@pytest.mark.parametrize('case', golden_data.CASES)
def test_samples_and_actions_are_the_official_ones(case, sampling, key):
    expected = golden_data.expected(f'cogact_case{case}')
    stages = found(case, key, *SAMPLINGS[sampling])
    np.testing.assert_allclose(stages['ddim_raw'], expected[f'{sampling}_raw'], rtol=0, atol=2e-3)
    normalised = expected[f'{sampling}_normalized']
    np.testing.assert_allclose(stages['normalized_actions'], normalised, rtol=0, atol=2e-3)
    np.testing.assert_array_equal(stages['normalized_actions'][:, 6], normalised[:, 6])
    np.testing.assert_allclose(
        stages['actions'], expected[f'{sampling}_actions_{key}'], rtol=0, atol=1e-4)


@pytest.mark.parametrize('case', golden_data.CASES)
def test_one_image_gives_what_the_official_batch_gave(case):
    np.testing.assert_allclose(
        found(case)['actions'], golden_data.expected('batch')['actions'][case], rtol=0, atol=1e-4)


def test_the_schedule_and_its_subsets_are_the_official_ones():
    expected = golden_data.expected('schedules')
    betas, kept = noise_schedule()
    np.testing.assert_allclose(betas, expected['ddpm100_betas'], rtol=0, atol=1e-14)
    np.testing.assert_allclose(kept, expected['ddpm100_alphas_cumprod'], rtol=0, atol=1e-14)
    for count in (2, 4, 5, 10, 20):
        assert list(ddim_times(count)) == list(expected[f'ddim{count}_timestep_map'])
    assert ddim_times(1) == (50,)
    for count in (0, 11, 101):
        with pytest.raises(ConfigError, match=f'{count} DDIM steps'):
            ddim_times(count)
