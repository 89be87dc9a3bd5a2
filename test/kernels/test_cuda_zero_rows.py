# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens that are all zeros in the Triton kernels, in Triton's interpreter."""
import cuda_interpreter  # noqa: F401, I100, I202
from kernel_layers import random_layer
import pytest
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.cuda.linear import TritonKernel
from sqap_vla_ros.kernels.cuda.quantize import quantize_rows, transform_rows
import torch

SPECS = [LinearSpec(128, 40, 4, 4, 64), LinearSpec(128, 40, 4, 8),
         LinearSpec(128, 40, 8, 8, 8, 16), LinearSpec(128, 40, 4, 16, group_size=64),
         LinearSpec(128, 40, 4, 4, per_token=False)]


def some_zero(rows, width):
    """Return tokens, the first and the last of which are zeros, and their places."""
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(3))
    x[[0, -1]] = 0.0
    return x, [0, rows - 1]


@pytest.mark.parametrize('rows', [3, 13])  # by the kernel for few, and for many
@pytest.mark.parametrize('spec', SPECS, ids=str)
@torch.inference_mode()
def test_a_zero_row_gives_bias_and_residual(spec, rows):
    weight, scale, bias = random_layer(spec)
    x, zero = some_zero(rows, spec.in_features)
    kernel, residual = TritonKernel(spec, weight, scale, bias), torch.randn(rows, 40)
    y = kernel(x)
    assert y.isfinite().all() and torch.equal(y[zero], bias.expand(2, -1))
    assert torch.allclose(kernel(x, residual=residual)[zero], bias + residual[zero], atol=1e-6)
    assert torch.equal(kernel(torch.zeros_like(x)), bias.expand(rows, -1))


@pytest.mark.parametrize('block', [1, 32])
def test_zero_rows_are_zero_behind_a_norm_and_a_gate(block):
    x, zero = some_zero(5, 96)
    for options in ({'norm_weight': torch.ones(96), 'eps': 1e-6}, {'gate': torch.zeros(5, 96)},
                    {'gate': torch.randn(5, 96)}):
        integers, scale = quantize_rows(x, 4, block=block, **options)
        assert not integers[zero].any() and (scale > 0).all() and scale.isfinite().all()
        assert not transform_rows(x, block=block, **options)[zero].any()
