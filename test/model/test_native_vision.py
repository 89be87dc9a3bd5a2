# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A vision block in one native call does what the plain block of model/vit.py does."""
import copy
import dataclasses
import logging

from block_answers import attend_in_floats
from kernel_layers import force_level, needs_level
import pytest
from small_models import make_model, make_oft
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.kernels.native_float import NativeFloat
from sqap_vla_ros.model import native_layers
from sqap_vla_ros.model.native_layers import VARIABLE
from sqap_vla_ros.model.native_vision import use_native_vision
from sqap_vla_ros.model.vit import FusedViTConfig, make_vision, ViTConfig, ViTMLP
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch
from torch import nn
from torch.nn import functional as F

SMALL = ViTConfig(image_size=56, width=32, depth=2, heads=2, mlp_width=64)
FORMS = {
    'as SigLIP': SMALL,
    'as DINOv2, with factors': dataclasses.replace(
        SMALL, class_token=True, registers=2, layer_scale=True),
    'few tokens and odd widths': dataclasses.replace(
        SMALL, image_size=28, width=20, mlp_width=27, layer_scale=True),
    'two side by side': FusedViTConfig(SMALL, dataclasses.replace(SMALL, width=64, heads=4)),
}


@pytest.fixture(autouse=True)
def needs_native(monkeypatch):
    needs_level()
    attend_in_floats(monkeypatch)


class Holder(nn.Module):
    """What use_native_vision takes: something with an encoder."""

    def __init__(self, config):
        super().__init__()
        torch.manual_seed(0)
        self.vision = make_vision(config).eval().requires_grad_(False)
        for parameter in self.vision.parameters():
            parameter.data += torch.randn_like(parameter) * 0.1


def pixels(config, batch=2):
    generator = torch.Generator().manual_seed(0)
    side = config.image_size
    return torch.randn(batch, config.channels, side, side, generator=generator)


@pytest.mark.parametrize('name', FORMS)
@torch.no_grad()
def test_every_form_gives_the_features_of_plain_blocks(name):
    model, x = Holder(FORMS[name]), pixels(FORMS[name])
    expected = model.vision(x)
    blocks = sum(hasattr(module, 'native') for module in model.vision.modules())
    assert use_native_vision(model) == blocks > 0
    assert (model.vision(x) - expected).abs().max() < 1e-5


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@torch.no_grad()
def test_every_level_gives_the_features_of_plain_blocks(monkeypatch, level):
    force_level(monkeypatch, level)
    model, x = Holder(SMALL), pixels(SMALL)
    expected = model.vision(x)
    assert use_native_vision(model)
    assert (model.vision(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
def test_the_approximate_gelu_is_torchs_too():
    model = Holder(SMALL)
    for block in model.vision.blocks:
        mlp, block.mlp = block.mlp, ViTMLP(SMALL, 'tanh')
        block.mlp.load_state_dict(mlp.state_dict())
    exact, x = Holder(SMALL).vision(pixels(SMALL)), pixels(SMALL)
    expected = model.vision(x)
    use_native_vision(model)
    assert (model.vision(x) - expected).abs().max() < 1e-5
    assert (model.vision(x) - exact).abs().max() > 1e-5, 'both GELUs are alike here'


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
@torch.no_grad()
def test_gelu_is_right_far_out(approximate):
    """Through an up projection that makes any value of a normed row, and one that adds nothing."""
    model = Holder(SMALL)
    block = model.vision.blocks[0]
    block.mlp.approximate = approximate
    for layer in (block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        layer.weight.zero_()
        layer.bias.zero_()
    values = torch.cat([torch.linspace(-12, 12, 60), torch.tensor([-1e4, -88.0, 88.0, 1e4])])
    block.mlp.fc1.bias.copy_(values)
    block.mlp.fc2.weight[:, :32] = torch.eye(32)
    block.mlp.fc2.weight[:, 32:] = 64 * torch.eye(32)
    x = torch.zeros(1, 16, 32)
    use_native_vision(model)
    expected = F.gelu(values, approximate=approximate)
    found = block(x)[0, 0]
    assert torch.allclose(found, expected[:32] + 64 * expected[32:], rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@pytest.mark.parametrize('precision', ['w4a8', 'w4a16'])
@torch.no_grad()
def test_quantized_encoders_run_natively_as_well(monkeypatch, precision, level):
    force_level(monkeypatch, level)
    model = make_model('chunk')
    quantize_model(model, 'w4a8', overrides={'vision': precision})
    prepare_kernels(model)
    x = pixels(SMALL)
    expected = model.vision(x)
    assert use_native_vision(model) == 1
    apart = (model.vision(x) - expected).abs()
    is_exact = precision == 'w4a16' or levels.NAMES[level] in ('avx2', 'avx_vnni')
    # elsewhere GELU is within 3e-5 before a rounding, which takes few values to the next step
    assert apart.max() < 1e-5 if is_exact else apart.median() < 1e-5 and apart.mean() < 1e-3


@torch.no_grad()
def test_an_encoder_that_the_prompt_modulates_stays_plain(caplog):
    model = make_oft('regression', film=True)
    with caplog.at_level(logging.DEBUG, native_layers.__name__):
        assert use_native_vision(model) == 0
    assert 'the prompt modulates it' in caplog.text
    assert all(type(block.attn.qkv) is nn.Linear for block in model.vision.blocks)


@torch.no_grad()
def test_threads_change_no_bit_and_copies_are_plain():
    model, x, before = Holder(SMALL), pixels(SMALL), torch.get_num_threads()
    use_native_vision(model)
    assert all(block.native is None for block in copy.deepcopy(model).vision.blocks)
    try:
        torch.set_num_threads(1)
        expected = model.vision(x)
        torch.set_num_threads(2)
        assert torch.equal(model.vision(x), expected)
    finally:
        torch.set_num_threads(before)


def test_gradients_are_left_to_the_plain_block():
    model = Holder(SMALL)
    use_native_vision(model)
    block, x = model.vision.blocks[0], torch.randn(1, 16, 32, requires_grad=True)
    assert not block.native.serves(x)
    with pytest.raises(RuntimeError, match='wants a gradient'):  # and none that would be wrong
        block(x)
    with torch.no_grad():
        assert (block(x) - block.native(x)).abs().max() == 0 and block.native.serves(x)


@torch.no_grad()
@pytest.mark.parametrize('outputs, inputs', [(64, 64), (70, 33), (1, 5), (200, 300)])
def test_float_weights_multiply_as_torchs(outputs, inputs):
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(rows, inputs, generator=generator) for rows in (outputs, 7))
    found = NativeFloat(weight, torch.ones(outputs))(x)
    assert (found - x @ weight.t()).abs().max() < 1e-4 and found.shape == (7, outputs)
    wide = torch.randn(7, inputs + 3, generator=generator)
    assert torch.equal(NativeFloat(weight)(wide[:, 3:]), NativeFloat(weight)(wide[:, 3:].clone()))
    with pytest.raises(RuntimeError, match=f'a layer of {inputs} inputs'):
        NativeFloat(weight)(torch.ones(2, inputs + 1))


def test_a_loaded_policy_has_them_unless_the_variable_says_plain(tiny, monkeypatch):
    for way, served in (('native', True), ('plain', False)):
        monkeypatch.setenv(VARIABLE, way)
        blocks = load_policy(tiny, PolicyOptions()).model.vision.blocks
        assert [block.native is not None for block in blocks] == [served] * len(blocks)


@pytest.mark.parametrize('x', [torch.ones(1, 16, 31), torch.ones(16, 32),
                               torch.ones(1, 16, 32).double()], ids=lambda x: str(x.shape))
@torch.no_grad()
def test_what_does_not_fit_is_an_error_before_the_library_reads_it(x):
    model = Holder(SMALL)
    use_native_vision(model)
    with pytest.raises(RuntimeError, match='width 32|float32 on the cpu'):
        model.vision.blocks[0].native._kernel(x)
    with pytest.raises(RuntimeError, match='float32 on the cpu'):
        model.vision.blocks[0].attn.qkv(torch.ones(2, 32).double())


@pytest.mark.parametrize('change', [
    lambda block: setattr(block.norm2, 'bias', nn.Parameter(torch.zeros(32))),
    lambda block: setattr(block.ls1, 'gamma', nn.Parameter(torch.zeros(32))),
    lambda block: setattr(block.norm1, 'eps', 0.1), lambda block: setattr(block.attn, 'heads', 1),
    lambda block: setattr(block.mlp, 'approximate', 'tanh')])
@torch.no_grad()
def test_a_block_with_another_part_is_not_served_by_the_old_one(change):
    model = Holder(FORMS['as DINOv2, with factors'])
    use_native_vision(model)
    block, x = model.vision.blocks[0], torch.ones(1, 16, 32)
    assert block.native.serves(x)
    change(block)
    assert not block.native.serves(x)
