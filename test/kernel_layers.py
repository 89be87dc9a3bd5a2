# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Random quantized layers for the tests of all backends."""
import torch


def random_layer(spec, seed=0):
    """Return integers [N, K], scales and a bias [N] for a kernels.LinearSpec."""
    generator = torch.Generator().manual_seed(seed)
    low = -2 ** (spec.weight_bits - 1)
    weight = torch.randint(low, -low, (spec.out_features, spec.in_features),
                           generator=generator).to(torch.int8)
    groups = (spec.in_features // spec.group_size,) if spec.group_size else ()
    scale = torch.rand(spec.out_features, *groups, generator=generator) + 0.1
    return weight, scale, torch.randn(spec.out_features, generator=generator)
