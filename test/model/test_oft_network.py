# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The network of OpenVLA-OFT: its sequence, several images, pruning, denoising, and bad input."""
import dataclasses

import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.formats.undeclared import UndeclaredActionSpace
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.loading.chosen_options import with_options
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vit import ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.observation import CameraView, Observation
from sqap_vla_ros.options import PolicyOptions
import torch

HEAD = OFTHeadConfig(chunk_length=2, action_dim=3, width=32, ddim_steps=4, vocab_end=40, bins=8)
TINY = VLAConfig(
    vision=ViTConfig(image_size=28, patch_size=14, width=16, depth=2, heads=2, mlp_width=32),
    llm=LlamaConfig(48, 32, 48, num_layers=3, num_heads=4, num_kv_heads=2), head=HEAD,
    text_length=0, state_dim=5, images=2, attention='full', state_hidden=24)
PATCHES, IDS = 8, (1, 7, 8, 9, 10, 2)  # the stop token last


def network(reads='regression', **changes):
    torch.manual_seed(0)
    head = dataclasses.replace(HEAD, reads=reads)
    return VLA(dataclasses.replace(TINY, head=head, **changes)).eval().requires_grad_(False)


def inputs(images=2):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(1, 3 * images, 28, 28, generator=generator), torch.tensor([IDS]),
            torch.randn(1, 5, generator=generator, dtype=torch.float64))


def hidden_of(model, kept=None, noisy=None):
    pixels, ids, state = inputs(model.config.images)
    x = model.embed(model.encode_image(pixels, condition=model.condition(ids)), ids, state, noisy)
    x, scores = model.prefill_full(x)
    return model.prefill_kept(x, kept), scores


def test_a_sequence_has_state_time_and_placeholders_where_oft_has_them():
    model = network('diffusion')
    pixels, ids, state = inputs()
    noisy = torch.randn(1, 2, 3)
    visual = model.encode_image(pixels)
    x = model.embed(visual, ids, state, noisy, step=1)[0]
    words = model.llm.embed_tokens(ids)[0]
    assert torch.equal(x[0], words[0])
    assert torch.equal(x[1:9], visual[0])
    assert torch.equal(x[9], model.state_embed(state.float())[0])
    time = 24  # of 36, 24, 12, 0
    half = time * 10000.0 ** (-torch.arange(16) / 15)
    torch.testing.assert_close(x[10], torch.cat([half.sin(), half.cos()]), rtol=0, atol=1e-4)
    assert torch.equal(x[11:15], words[1:5])
    torch.testing.assert_close(x[15:21], model.head.noisy(noisy.reshape(6, 1)))
    assert torch.equal(x[21], words[5]) and len(x) == 22
    assert model.config.head_rows(len(x)) == range(14, 20)


def test_placeholders_of_a_head_that_regresses_are_zeros():
    model = network()
    pixels, ids, state = inputs()
    x = model.embed(model.encode_image(pixels), ids, state)[0]
    assert len(x) == 21 and not x[14:20].any() and x[13].any() and x[20].any()


def test_a_later_token_changes_the_rows_in_front_of_it_and_each_image_has_its_place():
    model = network()
    pixels, ids, state = inputs()
    before, _ = hidden_of(model)
    visual = model.encode_image(pixels)
    one_by_one = torch.cat([model.projector(model.vision(image))
                            for image in pixels.split(3, dim=1)], dim=1)
    torch.testing.assert_close(visual, one_by_one)
    other = ids.clone()
    other[0, -1] = 5  # the stop token stands behind all that is read
    x, _ = model.prefill_full(model.embed(visual, other, state))
    assert (model.prefill_kept(x, None) - before).abs().max() > 1e-3


def test_prompt_and_read_rows_score_the_patches_by_a_softmax_over_all():
    model = network()
    pixels, ids, state = inputs()
    assert model.config.score_rows(21) == range(10, 19)
    assert network('diffusion').config.score_rows(22) == range(11, 20)
    x = model.embed(model.encode_image(pixels), ids, state)
    _, row = model.llm.run(x, model._rotary(x, range(21)), 0, 2, range(10, 14))
    torch.testing.assert_close(row.sum(), torch.tensor(1.0))
    assert row[0, 14:].min() > 0  # also over what stands behind


@pytest.mark.parametrize('reads', ['regression', 'diffusion', 'tokens'])
def test_keeping_all_patches_is_not_pruning_and_dropped_ones_are_not_seen(reads):
    model = network(reads)
    noisy = torch.randn(1, 2, 3) if reads == 'diffusion' else None
    everything, _ = hidden_of(model, torch.arange(PATCHES), noisy)
    torch.testing.assert_close(everything, hidden_of(model, None, noisy)[0])
    few, _ = hidden_of(model, torch.tensor([0, 3, 6]), noisy)
    assert few.shape == (1, 6, 32) and (few - everything).abs().max() > 1e-4


def test_film_changes_the_patches_with_the_instruction():
    model = network(film=True)
    pixels, ids, _ = inputs()
    plain = network().encode_image(pixels)
    for index in (0, 1):  # equal to a network without it where both maps are zero
        for layer in (model.vision.blocks[index].scale, model.vision.blocks[index].shift):
            torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    model.load_state_dict(network().state_dict(), strict=False)
    torch.testing.assert_close(model.encode_image(pixels, condition=model.condition(ids)), plain)
    torch.nn.init.constant_(model.vision.blocks[1].scale.bias, 1.0)
    doubled = model.encode_image(pixels, condition=model.condition(ids))
    assert (doubled - plain).abs().max() > 1e-3
    torch.nn.init.normal_(model.vision.blocks[0].shift.weight)
    assert (model.encode_image(pixels, condition=model.condition(ids + 1)) - model.encode_image(
        pixels, condition=model.condition(ids))).abs().max() > 1e-3


def test_all_denoising_steps_run_on_the_tokens_that_the_first_chose():
    policy = golden_oft.load('oft_tiny_diffusion', keep=60, ddim_steps=3)
    seen = golden_oft.observation('oft_tiny_diffusion', 1)
    lengths = []
    hook = policy.model.llm.layers[-1].register_forward_hook(
        lambda layer, given, output: lengths.append(given[0].shape[1]))
    chunk = policy.infer(seen)
    hook.remove()
    full = 1 + 512 + 2 + policy.inputs.token_ids(seen.instruction).shape[1] - 1 + 56
    assert lengths == 3 * [full - 512 + 60]
    assert chunk.selection.images == 2 and len(chunk.selection.kept) == 60
    with StageRecorder(policy) as recorder:
        policy.reset()
        again = policy.infer(seen)
    np.testing.assert_array_equal(again.actions, chunk.actions)
    stages = recorder.stages()
    assert stages['hidden_states_kept_last'].shape[1] == lengths[0]
    assert stages['timesteps'].tolist() == [32, 16, 0] and stages['x'].shape == (3, 8, 7)


def test_a_policy_of_two_cameras_is_made_ready_and_needs_both_by_name():
    policy = golden_oft.load('oft_tiny')
    seen = golden_oft.observation('oft_tiny', 0)
    policy.warm_up(1, seen.instruction, (48, 64))
    policy.make_ready(seen.instruction, (48, 64))
    alone = dataclasses.replace(seen, views={})
    with pytest.raises(ObservationError, match=r'2 cameras, full, wrist, and wrist is missing.*'
                                               r'has those of full: give'):
        policy.infer(alone)
    nameless = Observation(seen.image, 0, seen.instruction, state=seen.state)
    with pytest.raises(ObservationError, match='full, wrist are missing.*without a name'):
        policy.infer(nameless)
    with pytest.raises(ObservationError, match='takes 2 images, found 3'):
        policy.runner([seen.image] * 3, policy.inputs.token_ids(seen.instruction),
                      policy.inputs.state(seen.state))
    other = dataclasses.replace(seen, views={'wrist': CameraView(seen.image, 0)})
    assert not np.allclose(policy.infer(seen).actions, policy.infer(other).actions, atol=1e-3)


@pytest.mark.parametrize(('images', 'names'), [
    (1, ()), (2, ('full', 'wrist')), (3, ('full', 'left_wrist', 'right_wrist')),
    (4, ('camera_1', 'camera_2', 'camera_3', 'camera_4'))])
def test_several_cameras_have_names_though_nobody_gave_them(images, names):
    model = dataclasses.replace(TINY, images=images)
    assert CheckpointConfig(model=model).cameras == names


def test_sampling_options_belong_to_the_head_that_has_them():
    unknown = UndeclaredActionSpace('tiny')
    config = CheckpointConfig(model=network('diffusion').config, action_space=unknown)
    assert with_options(config, PolicyOptions(ddim_steps=9)).model.head.ddim_steps == 9
    with pytest.raises(ConfigError, match='^guidance belong.*reads by diffusion'):
        with_options(config, PolicyOptions(ddim_steps=9, guidance=1.2))
    with pytest.raises(ConfigError, match='ddim_steps is 51, expected at most the 50'):
        with_options(config, PolicyOptions(ddim_steps=51))
    with pytest.raises(ConfigError, match='^ddim_steps belong.*reads by regression'):
        with_options(CheckpointConfig(model=TINY, action_space=unknown),
                     PolicyOptions(ddim_steps=9))


def test_an_answer_that_is_not_finite_or_not_of_actions_is_refused():
    raw = torch.zeros(1, 2, 3)
    raw[0, 1, 2] = torch.nan
    with pytest.raises(ObservationError, match='non-finite actions'):
        network().head.normalised(raw)
    head = network('tokens').head
    assert head.normalised(torch.full((1, 6), 35)).shape == (2, 3)
    with pytest.raises(ObservationError, match=r'tokens \[7\], which are words'):
        head.normalised(torch.tensor([[35, 36, 37, 38, 39, 7]]))
    with pytest.raises(ObservationError, match='non-finite logits'):
        head.normalised(head(torch.full((1, 6, 32), torch.nan)))


@pytest.mark.parametrize('changes', [{'attention': 'causal'}, {'head': TokenHeadConfig()}])
def test_attention_that_a_head_was_not_trained_with_is_refused(changes):
    with pytest.raises(ConfigError, match="attention is '(causal|full)', and the head is of"):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'reads': 'words'}, "reads is 'words'"), ({'ddim_steps': 60}, 'at most the 50'),
    ({'chunk_length': 0}, 'chunk_length')])
def test_a_head_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(HEAD, **changes)
