# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Kernels for NVIDIA GPUs, in Triton.

Nothing here imports triton; quantize, gemm, float_gemm and the other modules that define kernels
do.  Configurations are dicts of a kernel's compile-time arguments, num_warps and num_stages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .capability import capability, is_interpreted, missing_triton
from .tuning import milliseconds, tuned


def __getattr__(name: str) -> bool:
    """Return INTERPRETED as a module that defines kernels finds it: then Triton reads it too."""
    if name != 'INTERPRETED':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return is_interpreted()


def unavailable(device: torch.device | str) -> str:
    """
    Return why the kernels cannot run on a device, and what to do; '' if they can.

    The first call for a device compiles and runs a tiny kernel.  Raises RuntimeError if that is
    in the capture of a CUDA graph.
    """
    device = torch.device(device)
    if missing_triton() or is_interpreted():
        return missing_triton()
    if device.type != 'cuda' or torch.version.hip:
        return f'the Triton kernels are for NVIDIA devices, not for {device}'
    found = capability(device)
    return '' if found.has_kernels else found.warning


def pick(name: str, key: Sequence, candidates: Sequence[dict],
         launch: Callable[[dict], object]) -> dict:
    """
    Return the fastest of a kernel's configurations, which is measured once a device.

    launch(config) runs the kernel on the caller's tensors.  In the interpreter, which says
    nothing about speed, the first candidate is taken.
    """
    if is_interpreted():
        return candidates[0]
    return tuned(name, key, candidates, lambda config: milliseconds(lambda: launch(config)))


def multiprocessors(device: torch.device) -> int:
    """Return how many blocks run side by side at least; a small number in the interpreter."""
    return 4 if is_interpreted() else capability(device).multiprocessors


def shared_bytes(device: torch.device) -> int:
    """Return the most shared memory of a block."""
    return 99 * 1024 if is_interpreted() else capability(device).shared_bytes
