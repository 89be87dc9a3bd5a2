# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Random quantized layers, and the native kernels of every instruction set, for tests."""
import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.kernels import attention, levels, native
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


def needs_level(level: int = 1):
    """Skip a test where the native kernels of levels.NAMES[level] cannot run."""
    if kernels.native_reason():
        pytest.skip(f'no native kernels here: {kernels.native_reason()}')
    if level not in levels.usable(native.library()):
        pytest.skip(f'{levels.NAMES[level]}: {levels.missing(native.library(), level)}')


def force_level(monkeypatch, level: int):
    """Let all native kernels that are made from now on be of a level; skip without it."""
    needs_level(level)
    for module in (native, attention):
        monkeypatch.setattr(module, 'best_level', lambda: level)


def _at_level(level: int):
    class AtLevel(native.NativeKernel):
        """The native kernel in the instructions of a level."""

        name = f'native {levels.NAMES[level]}'

        def __init__(self, *layer):
            if level not in levels.usable(native.library()):
                raise kernels.Unavailable(levels.missing(native.library(), level))
            super().__init__(*layer)
    AtLevel.level = level
    return AtLevel


NATIVE = tuple(map(_at_level, range(1, len(levels.NAMES))))


def usable(kind, spec):
    """Return a kind of kernel, or skip the test where this machine has not got it."""
    reason = kernels.check_exact(kind, *kernels.integer_part(spec))
    if reason:
        assert kind.name not in ('float', 'torch'), reason  # they are for every machine
        pytest.skip(f'{kind.name} is not offered on this machine: {reason}')
    return kind
