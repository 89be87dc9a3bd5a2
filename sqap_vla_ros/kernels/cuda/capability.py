# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a CUDA device has, and whether the kernels are for it; nothing here imports triton."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from ...errors import ConfigError

_LEAST_SHARED = 99 * 1024  # bytes, of all cards that the kernels are for
_FIRST = 8, 0  # the oldest card for which Triton (3.3 and newer) multiplies int8
_LEGACY = ("Triton multiplies int8 by mma.sync here, not by this chip's own tcgen05.mma, which "
           'cuBLAS has for floats: compare w4a4 with w4a16 and fp by benchmarks/gpu/run.sh')


@dataclass(frozen=True)
class Capability:
    """
    One device.

    shared_bytes: most that a block may use.  reason: why the kernels are not for it, '' if they
    are.  note: what else a user should know.
    """

    name: str
    number: tuple[int, int]
    memory_bytes: int = 0
    shared_bytes: int = _LEAST_SHARED
    reason: str = ''
    note: str = ''

    @property
    def float_type(self) -> torch.dtype:
        """Return the 16-bit type of activations."""
        return torch.bfloat16 if self.number >= _FIRST else torch.float16


@lru_cache(maxsize=None)
def capability(device='cuda') -> Capability:
    """Return what a CUDA device is and has; raise ConfigError for other devices."""
    device = torch.device(device)
    if device.type != 'cuda' or torch.version.hip:
        raise ConfigError(f'{device} is no NVIDIA CUDA device: it has no compute capability')
    if not torch.cuda.is_available():
        raise ConfigError('torch finds no CUDA device here (nvidia-smi shows the driver)')
    facts = torch.cuda.get_device_properties(device)
    number, reason = (facts.major, facts.minor), ''
    if number < _FIRST:
        reason = (f'Triton has no matrix products for compute capability {facts.major}.'
                  f"{facts.minor} (8.0 and newer): compare the times of precision 'fp' (float16)")
    return Capability(
        facts.name, number, facts.total_memory,
        getattr(facts, 'shared_memory_per_block_optin', 0) or _LEAST_SHARED, reason,
        _LEGACY if (10, 0) <= number < (12, 0) else '')
