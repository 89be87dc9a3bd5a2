# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tokens that are all zeros, whose own scale would be 0, in every backend on a CPU.

OpenVLA-OFT's placeholders are such rows; test_cuda_zero_rows.py has the Triton kernels.
"""
from kernel_layers import NATIVE, random_layer, usable
import pytest
from small_models import make_model
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.cpu import FbgemmKernel, FloatKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
from sqap_vla_ros.numerics.int4 import quantize_activation
from sqap_vla_ros.quant import prepare_kernels, quantize_model
from sqap_vla_ros.quant.qk import QKQuantizer
import torch

ZERO, REST = [0, 4, 5, 12], [1, 2, 3, 6, 7, 8, 9, 10, 11]
TYPES = [torch.float32, torch.bfloat16, torch.float16]
kinds = pytest.mark.parametrize(
    'kind', (*NATIVE, TorchKernel, FbgemmKernel, FloatKernel, ReferenceKernel),
    ids=lambda kind: kind.name)


def some_zero(width, dtype=torch.float32):
    """Return tokens [13, K] of which ZERO are zeros, of both signs."""
    x = torch.randn(13, width, generator=torch.Generator().manual_seed(3))
    x[ZERO] = 0.0
    x[ZERO[1]] *= -1.0
    return x.to(dtype)


@kinds
@pytest.mark.parametrize('dtype', TYPES, ids=str)
@pytest.mark.parametrize('block', [1, 64])
@pytest.mark.parametrize(('weight_bits', 'act_bits'), [(4, 4), (4, 8), (8, 8), (4, 16)])
@torch.inference_mode()
def test_a_zero_row_gives_the_bias_and_changes_no_other(kind, weight_bits, act_bits, block, dtype):
    spec = LinearSpec(128, 40, weight_bits, act_bits, block)
    weight, scale, bias = random_layer(spec)
    kernel, x = usable(kind, spec)(spec, weight, scale, bias), some_zero(128, dtype)
    y = kernel(x)
    assert torch.equal(y[ZERO], bias.to(dtype).expand(len(ZERO), -1))
    assert torch.allclose(y[REST], kernel(x[REST]), rtol=1e-5, atol=1e-5)
    bare = kind(spec, weight, scale)
    assert torch.equal(bare(torch.zeros_like(x)), torch.zeros(13, 40, dtype=dtype))


@kinds
@pytest.mark.parametrize(('weight_bits', 'act_bits'), [(4, 4), (8, 8)])
@torch.inference_mode()
def test_with_one_scale_for_all_rows_zeros_are_zeros_too(kind, weight_bits, act_bits):
    spec = LinearSpec(128, 40, weight_bits, act_bits, 64, per_token=False)
    layer = random_layer(spec)
    kernel = usable(kind, spec)(spec, *layer)
    for x in (some_zero(128), torch.zeros(13, 128)):
        assert torch.equal(kernel(x)[ZERO], layer[2].expand(len(ZERO), -1))


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('dtype', TYPES, ids=str)
def test_zero_activations_have_a_scale_that_can_be_divided_by(bits, dtype):
    integers, scale = quantize_activation(some_zero(64, dtype), bits)
    assert scale.dtype == torch.float32 and (scale > 0).all() and scale.isfinite().all()
    assert not integers[ZERO].any() and integers[REST].any(dim=1).all()


@pytest.mark.parametrize('bits', [4, 8])
@pytest.mark.parametrize('dtype', TYPES, ids=str)
def test_queries_and_keys_of_zeros_stay_zeros(bits, dtype):
    x = some_zero(16, dtype)[None, None]
    found = QKQuantizer(bits)(x)
    assert found.dtype == dtype and not found[0, 0, ZERO].any()
    assert found[0, 0, REST].isfinite().all() and found[0, 0, REST].any(dim=1).all()


@pytest.mark.parametrize('backend', [None, 'torch', 'reference'])
@pytest.mark.parametrize('precision', ['w4a4', 'w4a8', 'w8a8', 'w4a16'])
@torch.no_grad()
def test_a_decoder_takes_rows_of_zeros(precision, backend):
    model = make_model('chunk')
    x = torch.randn(1, 30, 64, generator=torch.Generator().manual_seed(1))
    x[:, -8:] = 0.0
    expected = model.llm(x, torch.arange(30))
    quantize_model(model, precision, rotate=False, qk_bits=8)
    prepare_kernels(model, backend=backend)
    found = model.llm(x, torch.arange(30))
    assert found.isfinite().all()
    near = torch.nn.functional.cosine_similarity(found[0], expected[0], dim=-1)
    assert near[-8:].min() > 0.7 and near.mean() > 0.8
