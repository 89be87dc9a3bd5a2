# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose the backend of a quantized linear layer on a GPU.

The first of these serves that is exact and runs, and a warning tells of any but the first: the
Triton kernels (cuda/linear.py), torch's own products (torch_gpu.py), the reference.
"""

from __future__ import annotations

from functools import lru_cache
import logging

import torch

from .base import Kernel, Unavailable
from .cuda import unavailable
from .cuda.capability import capability
from .cuda.trial import why_not
from .exact import check_exact, integer_part
from .reference import ReferenceKernel
from .torch_gpu import TorchKernel

_log = logging.getLogger(__name__)


@lru_cache(maxsize=None)
def _warn_slower(device: str, name: str, reason: str) -> None:
    speed = ('right and very slow, not for a robot' if name == ReferenceKernel.name else
             'expected to be slower than the Triton kernels')
    _log.warning('backend %r serves quantized layers on device %s, which is %s: %s', name, device,
                 speed, reason)


def triton_kernel(device: torch.device) -> type[Kernel]:
    """Return the class, whose module needs triton; raise Unavailable where that cannot run."""
    reason = unavailable(device)
    if reason:
        raise Unavailable(reason)
    from .cuda.linear import TritonKernel
    return TritonKernel


def _working(kind: type[Kernel], layer: tuple, rows: int, dtype: torch.dtype | None) -> Kernel:
    """Make a kernel that is exact and runs for one row and for many; raise Unavailable else."""
    spec, device = layer[0], layer[1].device
    if dtype is None:
        is_nvidia = device.type == 'cuda' and not torch.version.hip
        dtype = capability(device).float_type if is_nvidia else torch.float32
    reason = check_exact(kind, *integer_part(spec), str(device))
    if reason:
        raise Unavailable(reason)
    kernel = kind(*layer)

    def run():
        for count in (1, rows):
            kernel(torch.zeros(count, spec.in_features, dtype=dtype, device=device))
    key = kind, spec, kernel.bias is None, str(device), rows, dtype
    reason = why_not(key, run, device)
    if reason:
        raise Unavailable(reason)
    return kernel


def make_on_device(layer: tuple, rows: int, dtype: torch.dtype | None) -> Kernel:
    """Make the fastest kernel that works for a layer, with a warning if it is not the first."""
    device, reasons = layer[1].device, []
    for find in (triton_kernel, lambda device: TorchKernel):
        try:
            kernel = _working(find(device), layer, rows, dtype)
            break
        except Unavailable as error:
            reasons.append(str(error))
    else:
        kernel = ReferenceKernel(*layer)
    if reasons:
        _warn_slower(device.type, kernel.name, '; '.join(reasons))
    return kernel
