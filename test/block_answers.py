# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Small networks whose blocks run natively or plain, and how answers are compared."""
from sqap_vla_ros.quant import prepare_kernels, quantize_model
import torch


def quantized(model, precision='w4a8', **options):
    if precision != 'fp':
        quantize_model(model, precision, **options)
        prepare_kernels(model)
    return model


def random(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(found, expected, limit=1e-5):
    if expected is None or expected.dtype == torch.int64:
        assert found is expected or torch.equal(found, expected)
    else:
        assert (found - expected).abs().max() <= limit * expected.abs().max().clamp(min=1.0)
