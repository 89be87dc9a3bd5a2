# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder that multiplies in 8 bits has the features of the plain one, nearly."""
import copy

from kernel_layers import force_level
import pytest
from small_models import make_oft
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.kernels.native import NativeKernel
from sqap_vla_ros.model import int8_vision
from sqap_vla_ros.model.int8_vision import use_int8_vision
from sqap_vla_ros.model.native_stem import NativeProjector, NativeStem
from sqap_vla_ros.model.vit import LinearStem, ViT
from sqap_vla_ros.quant import QuantLinear
from test_bfloat16_vision import distance, FORMS, network
import torch
from torch import nn


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@pytest.mark.parametrize('name', FORMS)
@torch.no_grad()
def test_every_form_stays_near_at_every_level(monkeypatch, name, level):
    force_level(monkeypatch, level)
    model = network(FORMS[name])
    x = torch.randn(2, model.config.vision.channels, 56, 56)
    exact, llm = model.encode_image(x), copy.deepcopy(model.llm.state_dict())
    parts = model.vision, model.projector
    layers = [module for part in parts for module in part.modules()
              if isinstance(module, (nn.Linear, nn.Conv2d))]
    strided = [module for module in model.vision.modules() if isinstance(module, LinearStem)]
    assert use_int8_vision(model) == len(layers) - len(strided)
    stems = [module.patch_embed for module in model.vision.modules() if isinstance(module, ViT)]
    assert len(stems) == len(strided) + sum(isinstance(stem, NativeStem) for stem in stems)
    found = model.encode_image(x)
    assert found.dtype == torch.float32 and 1e-4 < distance(found, exact) < 0.03
    left = [module for part in parts for module in part.modules() if type(module) is nn.Linear]
    assert not left and type(model.projector) is NativeProjector
    assert all(module.weight is None and isinstance(module.kernel, NativeKernel)
               for module in model.vision.modules() if isinstance(module, QuantLinear))
    assert all(torch.equal(model.llm.state_dict()[name], tensor) for name, tensor in llm.items())


@torch.no_grad()
def test_blocks_in_one_call_are_those_layer_by_layer(monkeypatch):
    force_level(monkeypatch, 1)  # AMX would round what is between products
    name = 'with heads of whole tiles'
    model, plain, x = network(FORMS[name]), network(FORMS[name]), torch.randn(2, 3, 56, 56)
    use_int8_vision(model)
    monkeypatch.setenv('SQAP_VLA_CPU_BLOCKS', 'plain')
    use_int8_vision(plain)
    assert all(block.native is not None for block in model.vision.blocks)
    assert all(block.native is None for block in plain.vision.blocks)
    assert distance(model.encode_image(x), plain.encode_image(x)) < 0.002
    two, one = model.encode_image(x), model.encode_image(x[:1])
    torch.testing.assert_close(one, two[:1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_without_native_kernels_torchs_serve_and_convolutions_stay(monkeypatch):
    monkeypatch.setattr(int8_vision, 'native_reason', lambda: 'not here')
    name = 'convolutional, without a norm'
    model, x = network(FORMS[name]), torch.randn(1, 3, 56, 56)
    exact = model.encode_image(x)
    assert use_int8_vision(model) == 3 * 4 + 2
    assert not isinstance(model.vision.patch_embed, NativeStem)
    assert 1e-4 < distance(model.encode_image(x), exact) < 0.03


@torch.no_grad()
def test_two_images_and_a_prompt_that_modulates_the_blocks_do_as_well():
    model = make_oft('regression', film=True).requires_grad_(False)
    pixels, ids = torch.randn(1, 6, 56, 56), torch.arange(1, 9)[None]
    exact = model.encode_image(pixels, condition=model.condition(ids))
    assert use_int8_vision(model) == 4 * 2 + 2
    assert type(model.vision.blocks[0].scale) is nn.Linear
    found = model.encode_image(pixels, condition=model.condition(ids))
    assert found.shape == exact.shape and 1e-4 < distance(found, exact) < 0.03
