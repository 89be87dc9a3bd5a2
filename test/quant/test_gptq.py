# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""GPTQ against rounding to nearest, alone and in a model."""
import copy

import numpy as np
import pytest
from small_models import make_input, make_vla, relative
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.hadamard import hadamard_transform, Rotation
from sqap_vla_ros.numerics.int4 import quantize_weight, spread_scale
from sqap_vla_ros.quant import quantize_block, quantize_model, QuantLinear, QuantScheme
from sqap_vla_ros.quant.gptq import gptq_weight, input_hessians, inverse_factor
import torch
from torch import nn


def correlated(rows, width, seed=0):
    """Return inputs [rows, width] that live near a subspace, as activations do."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(width // 4, width, generator=torch.Generator().manual_seed(7))
    return (torch.randn(rows, width // 4, generator=generator) @ basis
            + 0.1 * torch.randn(rows, width, generator=generator))


def output_error(weight, quantized, x):
    integers, scale = quantized
    found = integers.float() * spread_scale(scale, weight.shape[1])
    return relative(x @ found.t(), x @ weight.t())


@pytest.mark.parametrize(('bits', 'group'), [(4, 0), (4, 16), (8, 0)])
@pytest.mark.parametrize('width', [64, 320])
def test_gptq_beats_rounding_to_nearest_on_the_distribution_it_saw(bits, group, width):
    weight = torch.randn(48, width, generator=torch.Generator().manual_seed(3))
    x, other = correlated(2048, width), correlated(512, width, seed=1)
    nearest = quantize_weight(weight, bits, group)
    found = gptq_weight(weight, x.t() @ x, bits, group)
    assert torch.equal(found[1], nearest[1])
    assert output_error(weight, found, x) < 0.7 * output_error(weight, nearest, x)
    assert output_error(weight, found, other) < 0.7 * output_error(weight, nearest, other)


def test_gptq_is_rounding_to_nearest_for_independent_inputs():
    weight = torch.randn(8, 64)
    integers, scale = gptq_weight(weight, torch.eye(64), 4)
    assert torch.equal(integers, quantize_weight(weight, 4)[0])


def test_one_channel_after_another_is_what_the_paper_says():
    """The blocked algorithm against the paper's update, written as it stands there."""
    weight, x = torch.randn(5, 160), correlated(600, 160)
    hessian = x.t() @ x
    found, scale = gptq_weight(weight, hessian, 4)
    order = hessian.diagonal().argsort(descending=True).numpy()
    damped = hessian.double().numpy()[np.ix_(order, order)]
    damped += 0.01 * np.diag(damped).mean() * np.eye(160)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, expected = weight.double().numpy()[:, order].copy(), np.zeros((5, 160))
    for i in range(160):
        expected[:, i] = np.clip(np.round(left[:, i] / scale.numpy()), -8, 7)
        error = (left[:, i] - expected[:, i] * scale.numpy()) / upper[i, i]
        left[:, i:] -= np.outer(error, upper[i, i:])
    # a value on the edge between two integers may fall either way
    assert (found.numpy()[:, order] == expected).mean() > 0.98


def test_channels_that_are_never_used_and_few_inputs_are_no_trouble():
    weight, x = torch.randn(8, 64), correlated(10, 64)
    x[:, 5:20] = 0
    integers, scale = gptq_weight(weight, x.t() @ x, 4)
    assert output_error(weight, (integers, scale), x) < 0.05
    zero = gptq_weight(weight, torch.zeros(64, 64), 4)
    assert torch.equal(zero[0], quantize_weight(weight, 4)[0])


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_values_that_are_not_finite_are_refused(bad):
    hessian = torch.eye(8)
    hessian[2, 2] = bad
    with pytest.raises(ConfigError, match='non-finite'):
        inverse_factor(hessian, torch.arange(8))
    with pytest.raises(ConfigError, match='non-finite'):
        gptq_weight(torch.full((2, 8), bad), torch.eye(8), 4)


def test_sums_are_those_of_what_each_layer_sees_after_its_hadamard():
    layers = {name: nn.Linear(32, 32, bias=False) for name in 'abc'}
    inputs = [torch.randn(2, 3, 32), torch.randn(1, 4, 32)]

    def run(x):
        layers['b'](x)
        layers['c'](layers['a'](x))

    found = input_hessians({'a': (layers['a'], 1, 1), 'b': (layers['b'], 1, 1),
                            'c': (layers['c'], 16, 2)}, inputs, run)
    rows = torch.cat([x.flatten(0, 1) for x in inputs])
    seen = hadamard_transform(layers['a'](rows), 16, 2)
    for name, expected in (('a', rows), ('b', rows), ('c', seen)):
        assert torch.allclose(found[name], expected.t() @ expected, atol=1e-3)
    assert not any(layer._forward_pre_hooks for layer in layers.values())


def calibration_of(model, batches=6):
    """Return decoder inputs of a plain VLA, and those of one more batch."""
    inputs = []
    for seed in range(batches + 1):
        generator = torch.Generator().manual_seed(seed)
        pixels, token_ids, state = make_input(model, batch=4)
        noise = torch.randn(pixels.shape, generator=generator)
        inputs.append(model.embed(model.encode_image(pixels + noise), token_ids, state))
    return inputs[:-1], inputs[-1]


@pytest.mark.parametrize('rotate', [True, False])
@torch.no_grad()
def test_gptq_makes_a_model_more_accurate_than_rounding_to_nearest(rotate):
    plain = make_vla(width=64)
    calibration, unseen = calibration_of(plain)
    positions = torch.arange(unseen.shape[1])
    expected, errors = plain.head(plain.llm(unseen, positions)), {}
    for gptq in (True, False):
        model = copy.deepcopy(plain)
        record = quantize_model(model, 'w4a16', calibration if gptq else None, rotate=rotate,
                                group_size=0)
        assert record['gptq'] is gptq
        x = unseen
        if rotate:
            x = Rotation(64, seed=0).apply(unseen).float()
        errors[gptq] = relative(model.head(model.llm(x, positions)), expected)
    assert errors[True] < 0.8 * errors[False]


@torch.no_grad()
def test_blocks_can_be_quantized_while_the_others_hold_no_memory():
    whole = make_vla(width=64)
    calibration, _ = calibration_of(whole, 2)
    streamed, inputs = copy.deepcopy(whole), [x.clone() for x in calibration]
    scheme = QuantScheme('w4a4', rotate=False)
    quantize_model(whole, scheme, calibration)
    originals = list(streamed.llm.layers)
    for index, layer in enumerate(originals):
        streamed.llm.layers[index] = copy.deepcopy(layer).to('meta')
    for index, layer in enumerate(originals):
        streamed.llm.layers[index] = layer
        quantize_block(streamed.llm, index, scheme, inputs)
        expected = dict(whole.llm.layers[index].named_modules())
        for name, module in layer.named_modules():
            if isinstance(module, QuantLinear):
                assert torch.equal(module.weight, expected[name].weight)
        streamed.llm.layers[index] = copy.deepcopy(layer).to('meta')
