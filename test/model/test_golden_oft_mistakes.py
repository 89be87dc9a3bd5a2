# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Mistakes that an OpenVLA-OFT of one's own can make, each of which parity with the goldens shows.

Each is made on purpose in a policy that equals the official code, and must put a stage beyond the
tolerance that test_golden_oft.py holds.
"""
import dataclasses

import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.inference import inputs as model_inputs
from sqap_vla_ros.model import diffusion, oft_heads, vit
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vla import VLA
from test_golden_oft import TOLERANCE
import torch

CASE = 1
L1, FILM, DIFFUSING = 'oft_tiny', 'oft_tiny_aloha', 'oft_tiny_diffusion'
STAGES = ('vision_features', 'action_hidden_states', 'x', 'normalized_actions', 'actions')


def causal(patch, policy):
    for layer in policy.model.llm.layers:
        patch.setattr(layer.self_attn, 'causal', True)


def images_swapped(patch, policy):
    seen = policy._seen
    patch.setattr(policy, '_seen', lambda observation: [
        *seen(observation)[:-2], *reversed(seen(observation)[-2:])])


def no_state(patch, policy):
    patch.setitem(policy.model._modules, 'state_embed', None)


def raw_state(patch, policy):
    patch.setattr(model_inputs, 'within_bounds', lambda state, stats: state)


def no_clip(patch, policy):
    patch.setattr(model_inputs.np, 'clip', lambda values, low, high: values)


def other_statistics(policy):
    source = open_checkpoint(golden_oft.directory(L1)).with_key(None)
    config = dataclasses.replace(source.config, normalization='min_max')
    return dataclasses.replace(source, config=config).statistics()


def other_bounds_of_the_state(patch, policy):
    patch.setattr(policy.inputs, '_stats', other_statistics(policy))


def other_bounds_of_the_actions(patch, policy):
    patch.setattr(policy, '_stats', other_statistics(policy))


def read_one_row_later(patch, policy):
    rows = OFTHeadConfig.rows
    patch.setattr(OFTHeadConfig, 'rows', lambda head, length: range(
        rows(head, length).start + 1, rows(head, length).stop + 1))


def placeholders_not_zeroed(patch, policy):
    one = policy.model.llm.embed_tokens.weight[1].detach()
    around = oft_heads.around
    patch.setattr(oft_heads, 'around', lambda config, text: around(
        config, text, one.expand(len(text), config.placeholders, -1)))


def no_stop_token(patch, policy):
    around = oft_heads.around
    patch.setattr(oft_heads, 'around', lambda *parts: around(*parts)[:-1])
    patch.setattr(OFTHeadConfig, 'rows', lambda head, length: range(
        length - head.placeholders - 1, length - 1))


def dimension_major(patch, policy):
    config, forward = policy.model.config.head, oft_heads.OFTHead.forward
    shape = config.action_dim, config.chunk_length
    patch.setattr(oft_heads.OFTHead, 'forward', lambda head, hidden: forward(
        head, hidden.unflatten(1, shape).transpose(1, 2).flatten(1, 2)))


def encoders_swapped(patch, policy):
    patch.setattr(VLA, 'project', lambda model, features: model.projector(torch.cat(
        [features[..., 64:], features[..., :64]], dim=-1).reshape(1, -1, features.shape[-1])))


def tanh_gelu(patch, policy):
    for module in policy.model.vision.modules():
        if isinstance(module, vit.ViTMLP):
            patch.setattr(module, 'approximate', 'tanh')


def vision_eps(patch, policy):
    for module in policy.model.vision.modules():
        if isinstance(module, torch.nn.LayerNorm):
            patch.setattr(module, 'eps', 1e-5)


def decoder_eps(patch, policy):
    for module in policy.model.llm.modules():
        if hasattr(module, 'eps'):
            patch.setattr(module, 'eps', 1e-5)


def text_without_patches(patch, policy):
    renumbered(patch, lambda places, config: torch.cat([
        places[:1 + config.num_visual],
        places[1 + config.num_visual:] - config.num_visual]))


def restart_at_placeholders(patch, policy):
    renumbered(patch, lambda places, config: torch.cat([
        places[:-config.head.placeholders - 1],
        torch.arange(config.head.placeholders + 1)]))


def restart_at_every_image(patch, policy):
    def restarted(places, config):
        patches = config.num_visual // config.images
        return torch.cat([places[:1], 1 + torch.arange(config.num_visual) % patches,
                          places[1 + config.num_visual:]])
    renumbered(patch, restarted)


def renumbered(patch, change):
    """Give the decoder other positions than 0..L-1."""
    def rotary(model, x, places):
        rows = change(torch.arange(places.start, places.stop), model.config)
        return tuple(table[rows] for table in model.llm.rotary(places.stop, x))
    patch.setattr(VLA, '_rotary', rotary)


def means_in_place_of_transform(patch, policy):
    config = dataclasses.replace(
        policy.config, pixel_mean=(0.485, 0.456, 0.406, 0.5, 0.5, 0.5),
        pixel_std=(0.229, 0.224, 0.225, 0.5, 0.5, 0.5))
    patch.setitem(policy.inputs._constants, torch.device('cpu'),
                  policy.inputs._pixel_constants(config))


def film_without_start_and_stop(patch, policy):
    patch.setattr(VLA, 'condition', lambda model, ids: model.llm.embed_tokens(
        ids[:, 1:-1]).mean(dim=1))


def film_behind_feed_forward(patch, policy):
    def forward(block, x, condition=None):
        x = x + block.ls1(block.attn(block.norm1(x)))
        x = x + block.ls2(block.mlp(block.norm2(x)))
        return x * (1 + block.scale(condition)[:, None]) + block.shift(condition)[:, None]
    patch.setattr(vit.ViTBlock, 'forward', forward)


def not_clipped(patch, policy):
    patch.setattr(torch.Tensor, 'clamp', lambda tensor, low, high: tensor)


def cosines_first(patch, policy):
    tokens = oft_heads.time_tokens
    patch.setattr(oft_heads, 'time_tokens', lambda *sizes: tokens(*sizes).roll(32, -1))


def divided_by_half(patch, policy):
    tokens = oft_heads.time_tokens
    patch.setattr(oft_heads, 'time_tokens', lambda steps, width, *like: tokens(
        steps, width + 2, *like)[:, [*range(32), *range(33, 65)]])


def time_before_state(patch, policy):
    embed = VLA.embed

    def swapped(model, *parts):
        x = embed(model, *parts)
        state = 1 + model.config.num_visual
        return torch.cat([x[:, :state], x[:, [state + 1, state]], x[:, state + 2:]], dim=1)
    patch.setattr(VLA, 'embed', swapped)


def noise_again_behind_the_clip(patch, policy):
    def steps(predict_noise, x, training, count):
        kept = diffusion.rounded_schedule(training)
        times = diffusion.leading_times(training, count)
        for step, time in enumerate(times):
            now = kept[time]
            before = kept[times[step + 1]] if step + 1 < count else 1.0
            noise = predict_noise(x, step)
            clean = ((x - noise * (1 - now) ** 0.5) / now ** 0.5).clamp(-1.0, 1.0)
            noise = (x - clean * now ** 0.5) / (1 - now) ** 0.5
            x = clean * before ** 0.5 + noise * (1 - before) ** 0.5
            yield x
    patch.setattr(oft_heads, 'clipped_ddim_steps', steps)


MISTAKES = [
    *((variant, mistake) for mistake in (causal, images_swapped, no_state)
      for variant in (L1, FILM, DIFFUSING)),
    *((L1, mistake) for mistake in (
        raw_state, no_clip, other_bounds_of_the_state, other_bounds_of_the_actions,
        read_one_row_later, no_stop_token, placeholders_not_zeroed, dimension_major,
        encoders_swapped, tanh_gelu, vision_eps, decoder_eps, text_without_patches,
        restart_at_placeholders, restart_at_every_image, means_in_place_of_transform)),
    (FILM, film_without_start_and_stop), (FILM, film_behind_feed_forward),
    *((DIFFUSING, mistake) for mistake in (
        not_clipped, cosines_first, divided_by_half, time_before_state,
        noise_again_behind_the_clip))]


@pytest.mark.parametrize(('variant', 'mistake'), MISTAKES)
def test_parity_tells_the_mistake(monkeypatch, variant, mistake):
    policy = golden_oft.loaded(variant)
    with monkeypatch.context() as patch:
        mistake(patch, policy)
        found = golden_oft.stages(policy, variant, CASE)
    errors = golden_oft.errors(found, golden_oft.expected(variant, CASE))
    beyond = {name: errors[name] for name in STAGES
              if name in errors and errors[name] > TOLERANCE[name]}
    assert beyond and np.isfinite(list(beyond.values())).all()
    assert max(error / TOLERANCE[name] for name, error in beyond.items()) > 2


@torch.inference_mode()
def test_the_wrong_epsilon_in_the_head_shows_where_only_the_head_is_run(monkeypatch):
    head = golden_oft.loaded(L1).model.head
    hidden, wanted = (torch.from_numpy(golden_oft.expected(L1, CASE)[name]) for name in (
        'action_hidden_states', 'normalized_actions'))
    for module in head.modules():
        if isinstance(module, torch.nn.LayerNorm):
            monkeypatch.setattr(module, 'eps', 1e-6)
    assert (head(hidden[None])[0] - wanted).abs().max() > 4e-6
