# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder that multiplies in bfloat16 has the features of the plain one, nearly."""
import copy
import dataclasses

import pytest
from small_models import make_oft
from sqap_vla_ros.kernels import native_reason
from sqap_vla_ros.kernels.native_bfloat16 import multiplies_halves as native_halves
from sqap_vla_ros.model import bfloat16_vision
from sqap_vla_ros.model.bfloat16_vision import Bfloat16Layer, use_bfloat16_vision
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.vit import FusedViTConfig, ViTConfig
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch
from torch import nn

SMALL = ViTConfig(image_size=56, width=32, depth=3, heads=2, mlp_width=64)
LLM = LlamaConfig(vocab_size=32, hidden_size=64, intermediate_size=96, num_layers=2, num_heads=4,
                  num_kv_heads=2)
FORMS = {
    'as SigLIP': SMALL, 'convolutional, without a norm': dataclasses.replace(
        SMALL, stem='conv', final_norm=False),
    'as DINOv2, with factors': dataclasses.replace(
        SMALL, class_token=True, registers=2, layer_scale=True),
    'with heads of whole tiles': dataclasses.replace(
        SMALL, width=64, class_token=True, registers=2, layer_scale=True, stem='conv'),
    'two side by side': FusedViTConfig(SMALL, dataclasses.replace(SMALL, width=64, heads=4)),
}


def multiplies_halves():
    return not native_reason() and native_halves()


def network(vision):
    torch.manual_seed(0)
    model = VLA(VLAConfig(vision, LLM)).eval().requires_grad_(False)
    for module in (model.vision, model.projector):
        for parameter in module.parameters():
            parameter.data += torch.randn_like(parameter) * 0.1
    return model


def distance(found, exact):
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize('name', FORMS)
@torch.no_grad()
def test_every_form_stays_near_and_only_its_products_are_rounded(name):
    model = network(FORMS[name])
    x = torch.randn(2, model.config.vision.channels, 56, 56)
    exact, llm = model.encode_image(x), copy.deepcopy(model.llm.state_dict())
    native = multiplies_halves()
    layers = [module for part in (model.vision, model.projector) for module in part.modules()
              if isinstance(module, (nn.Linear, nn.Conv2d))]
    assert use_bfloat16_vision(model) == len(layers)
    found = model.encode_image(x)
    assert found.dtype == torch.float32 and 1e-4 < distance(found, exact) < 0.02
    parameters = *model.vision.named_parameters(), *model.projector.named_parameters()
    assert not native or not any(parameter.ndim == 2 for _, parameter in parameters)  # packed
    for name, parameter in parameters:
        assert (parameter.dtype == torch.bfloat16) == ('.layer.' in name), name
    assert all(torch.equal(model.llm.state_dict()[name], tensor) for name, tensor in llm.items())


@torch.no_grad()
def test_a_layer_rounds_what_it_multiplies_once_and_sums_in_more_bits():
    torch.manual_seed(0)
    layer = nn.Linear(300, 40)
    exact, x = copy.deepcopy(layer).double(), torch.randn(7, 300)
    for parameter in exact.parameters():
        parameter.data = parameter.float().bfloat16().double()
    expected, found = exact(x.bfloat16().double()), Bfloat16Layer(layer)(x)
    assert found.dtype == torch.bfloat16
    assert ((found - expected).abs() <= 2 ** -8 * expected.abs() + 1e-3).all()


@torch.no_grad()
def test_the_stream_between_blocks_keeps_changes_that_bfloat16_would_lose():
    model = network(SMALL)
    block, x = model.vision.blocks[0], torch.full((1, 4, 32), 100.0)
    for layer in (block.attn.proj, block.mlp.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 0.0625)
    use_bfloat16_vision(model)
    assert torch.equal(block(x), x + 0.125) and (x + 0.125).bfloat16()[0, 0, 0] == 100


@pytest.mark.parametrize('name', ['as SigLIP', 'convolutional, without a norm'])
@torch.no_grad()
def test_native_blocks_serve_with_amx_and_torch_gives_nearly_the_same(name, monkeypatch):
    if not multiplies_halves():
        pytest.skip('native kernels multiply bfloat16 with AMX only, which is not to be had here')
    model, x = network(FORMS[name]), torch.randn(2, 3, 56, 56)
    exact, other = model.encode_image(x), copy.deepcopy(model)
    use_bfloat16_vision(model)
    monkeypatch.setattr(bfloat16_vision, 'multiplies_halves', lambda: False)
    use_bfloat16_vision(other)
    assert all(block.native is not None for block in model.vision.blocks)
    assert all(block.native is None for block in other.vision.blocks)
    found, by_torch = model.encode_image(x), other.encode_image(x)
    assert 1e-4 < distance(found, exact) < 0.01 and distance(found, by_torch) < 0.015
    plain = copy.deepcopy(model)  # which runs layer by layer, with attention in floats
    assert 0 < distance(plain.encode_image(x), found) < 0.01


@torch.no_grad()
def test_two_images_and_a_prompt_that_modulates_the_blocks_do_as_well():
    model = make_oft('regression', film=True).requires_grad_(False)
    pixels, ids = torch.randn(1, 6, 56, 56), torch.arange(1, 9)[None]
    exact = model.encode_image(pixels, condition=model.condition(ids))
    assert use_bfloat16_vision(model) == 4 * 2 + 1 + 2
    assert type(model.vision.blocks[0].scale) is nn.Linear
    found = model.encode_image(pixels, condition=model.condition(ids))
    assert found.shape == exact.shape and found.dtype == torch.float32
    assert 1e-4 < distance(found, exact) < 0.02
