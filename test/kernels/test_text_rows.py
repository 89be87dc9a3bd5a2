# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Activation bits by kind of row: every backend against layers that have one kind alone."""
import dataclasses

from kernel_layers import NATIVE, random_layer, usable
import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.cpu import FbgemmKernel, FloatKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
from sqap_vla_ros.numerics.visual_rows import VisualRows
import torch

kinds = pytest.mark.parametrize(
    'kind', (*NATIVE, TorchKernel, FbgemmKernel, FloatKernel, ReferenceKernel),
    ids=lambda kind: kind.name)
CALLS = {  # rows of a call, and which of them are visual
    'one sequence': (21, VisualRows(21, 1, 16)), 'a batch of two': (26, VisualRows(13, 1, 9)),
    'a batch of rows': (6, VisualRows(1, 0, 1)), 'all visual': (14, VisualRows(7, 0, 7)),
    'none visual': (14, VisualRows(7, 1, 0)), 'decoding': (1, None), 'a prompt': (12, None),
    'one row': (1, VisualRows(1, 0, 1)), 'two rows': (2, VisualRows(2, 1, 1)),
    'three rows': (3, VisualRows(3, 1, 1)), 'a text of some tokens': (3, VisualRows(21, 1, 16))}


def is_visual(rows, visual):
    """Return of each row whether it is visual, counted one by one."""
    if visual is None:
        return torch.zeros(rows, dtype=torch.bool)
    return torch.tensor([visual.first <= row % visual.length < visual.first + visual.count
                         for row in range(rows)])


def by_kind(spec, layer, x, visual):
    """Return the reference's output of layers that have only the one or the other bits."""
    few, many = (ReferenceKernel(dataclasses.replace(spec, act_bits=bits, text_bits=0), *layer)(x)
                 for bits in (spec.act_bits, spec.text_bits))
    return torch.where(is_visual(len(x), visual)[:, None], few, many)


@pytest.mark.parametrize(('rows', 'visual'), CALLS.values(), ids=CALLS)
def test_the_mask_is_what_counting_gives(rows, visual):
    if visual is not None:
        assert torch.equal(visual.mask(rows), is_visual(rows, visual))


@kinds
@pytest.mark.parametrize('spec', [LinearSpec(250, 70, 4, 4, text_bits=8),
                                  LinearSpec(64, 6, 8, 8, text_bits=4)], ids=str)
@pytest.mark.parametrize(('rows', 'visual'), CALLS.values(), ids=CALLS)
@torch.inference_mode()
def test_each_row_has_the_bits_of_its_kind(kind, spec, rows, visual):
    layer = random_layer(spec)
    x = torch.randn(rows, spec.in_features, generator=torch.Generator().manual_seed(rows))
    found = usable(kind, spec)(spec, *layer)(x, visual)
    assert torch.equal(found, by_kind(spec, layer, x, visual))


@kinds
@pytest.mark.parametrize('width', [2, 64, 40000])
@torch.inference_mode()
def test_extreme_values_are_exact_in_both_kinds(kind, width):
    """The largest sums that there are: whole rows at the largest and the smallest value."""
    spec = LinearSpec(width, 16, 4, 4, text_bits=8)
    layer = (kernels.extreme_inputs(width, 4, 12).to(torch.int8), torch.ones(16), None)
    x = kernels.extreme_inputs(width, 8, 12)
    x[5], x[6], x[7] = 0.0, x[7] * 1e30, x[7] * 1e-35
    visual = VisualRows(4, 1, 2)
    found = usable(kind, spec)(spec, *layer)(x, visual)
    expected = by_kind(spec, layer, x, visual)
    assert torch.equal(found, expected) and torch.isfinite(found).all()
    assert not expected[5].any()


@kinds
@torch.inference_mode()
def test_a_hadamard_comes_before_the_bits(kind):
    spec = LinearSpec(256, 40, 4, 4, 128, text_bits=8)
    layer, visual = random_layer(spec), VisualRows(11, 1, 7)
    x = torch.randn(77, 256, generator=torch.Generator().manual_seed(1))
    expected = by_kind(spec, layer, x, visual)
    found = usable(kind, spec)(spec, *layer)(x, visual)
    # a value on the edge between two integers may fall either way after the transform
    close = torch.isclose(found, expected, rtol=1e-4, atol=1e-2).all(dim=1)
    assert close.float().mean() > 0.9
    assert (found - expected).norm() < 0.01 * expected.norm()


@kinds
@torch.inference_mode()
def test_a_product_of_integers_takes_those_of_the_wider_kind(kind):
    spec = LinearSpec(64, 16, 4, 4, text_bits=8)
    weight = kernels.extreme_inputs(64, 4, 12).to(torch.int8)
    grid = kernels.extreme_inputs(64, 8, 12)
    expected = (grid.long() @ weight.long().t()).float()
    kernel = usable(kind, spec)(spec, weight, torch.ones(16))
    assert torch.equal(kernel.product(grid.clone()), expected)


@kinds
@torch.inference_mode()
def test_a_broken_row_of_either_kind_stays_visible_and_alone(kind):
    spec = LinearSpec(64, 8, 4, 4, text_bits=8)
    x = torch.randn(6, 64, generator=torch.Generator().manual_seed(0))
    x[1, 5], x[4, 7] = float('nan'), float('inf')
    y = usable(kind, spec)(spec, *random_layer(spec))(x, VisualRows(3, 0, 2))
    assert torch.isfinite(y[[0, 2, 3, 5]]).all()
    assert not torch.isfinite(y[[1, 4]]).any()


def test_a_name_tells_the_bits():
    assert LinearSpec(64, 8, 4, 4, text_bits=8).precision == 'w4a4t8'
    assert LinearSpec(64, 8, 4, 16).precision == 'w4a16'


@pytest.mark.parametrize(('options', 'message'), [
    ({'act_bits': 4, 'text_bits': 8, 'per_token': False}, 'a scale for each token'),
    ({'act_bits': 16, 'text_bits': 8}, 'text_bits 8 beside act_bits 16'),
    ({'act_bits': 4, 'text_bits': 3}, '3 bits are not supported'),
    ({'act_bits': 4, 'text_bits': 16}, '16 bits are not supported')])
def test_bits_by_kind_need_integers_and_a_scale_a_row(options, message):
    with pytest.raises(ConfigError, match=message):
        LinearSpec(64, 8, 4, **options)
