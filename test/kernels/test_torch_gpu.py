# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Layers by torch's own products: what a GPU asks of them, besides what all backends owe."""
import copy

from kernel_layers import random_layer
import pytest
from small_models import answer, make_model, relative
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch
from torch.utils._python_dispatch import TorchDispatchMode

SPECS = [LinearSpec(256, 40, 4, 4, 128), LinearSpec(256, 37, 4, 8, 8, 32),
         LinearSpec(200, 40, 8, 8), LinearSpec(256, 40, 4, 4, 128, per_token=False),
         LinearSpec(192, 24, 4, 16, 64), LinearSpec(256, 21, 4, 16, 64, group_size=64),
         LinearSpec(256, 24, 8, 16)]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('spec', SPECS, ids=str)
@torch.inference_mode()
def test_layers_of_any_type_equal_the_reference(spec, dtype):
    layer = random_layer(spec)
    x = torch.randn(33, spec.in_features, generator=torch.Generator().manual_seed(1)).to(dtype)
    before = x.clone()
    found, expected = TorchKernel(spec, *layer)(x), ReferenceKernel(spec, *layer)(x)
    assert found.dtype == dtype and torch.equal(x, before)
    # weights and, behind a Hadamard, tokens are rounded to 16 bits where they stay floats
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-3}[dtype]
    assert (found - expected).float().norm() <= tolerance * expected.float().norm()


@pytest.mark.parametrize('rows', [1, 17, 40])
@pytest.mark.parametrize('spec', [spec for spec in SPECS if spec.act_bits != 16], ids=str)
@torch.inference_mode()
def test_a_gpu_would_take_the_product(spec, rows, monkeypatch):
    """More than 16 rows, and widths of multiples of 8, are what torch._int_mm asks for there."""
    multiply, asked = torch._int_mm, []

    def int_mm(x, weight):
        asked.append((*x.shape, weight.shape[1]))
        assert x.is_contiguous() and weight.t().is_contiguous()
        return multiply(x, weight)
    monkeypatch.setattr(torch, '_int_mm', int_mm)
    y = TorchKernel(spec, *random_layer(spec))(torch.randn(rows, spec.in_features))
    (padded, inputs, outputs), = asked
    assert padded > 16 and inputs % 8 == outputs % 8 == 0
    assert y.shape == (rows, spec.out_features) and torch.isfinite(y).all()


class _NoDoubles(TorchDispatchMode):

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        assert not torch.is_tensor(found) or found.dtype != torch.float64, function
        return found


@pytest.mark.parametrize('spec', SPECS, ids=str)
@torch.inference_mode()
def test_no_value_is_read_on_the_host_and_nothing_is_done_in_float64(spec):
    kernel = TorchKernel(spec, *(part.to('meta') for part in random_layer(spec)))
    x = torch.randn(9, spec.in_features, device='meta', dtype=torch.float16)
    kernel(x)  # a constant may be made in float64
    with _NoDoubles():  # on this device a value that is asked for is an error
        assert kernel(x).shape == (9, spec.out_features)


def test_sums_that_may_overflow_are_refused():
    with pytest.raises(Unavailable, match='at most 131071 inputs'):
        TorchKernel(LinearSpec(2 ** 17, 1, 4, 4), torch.zeros(1, 2 ** 17, dtype=torch.int8),
                    torch.ones(1))


@pytest.mark.parametrize('precision', ['w4a4', 'w8a8', 'w4a16'])
def test_a_network_answers_as_with_the_reference(precision):
    model = make_model('chunk')
    quantize_model(model, precision)
    again = copy.deepcopy(model)
    prepare_kernels(model, backend='reference')
    prepare_kernels(again, backend='torch', release=True)
    # a value on the edge between two integers may fall either way behind a Hadamard
    assert relative(answer(again)[0], answer(model)[0]) < 0.01
