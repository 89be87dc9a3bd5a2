# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Kernels for NVIDIA GPUs, in Triton; nothing here imports triton before a kernel is tried.

gemm.py (many tokens) and gemv.py (up to 8) multiply packed weights (pack.py), quantize.py makes
integers of tokens, linear.py is a layer of both, tuning.py has the rule when configurations are
timed, trial.py what happens where a kernel does not work.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
import logging

import torch

from .capability import Capability, capability
from .trial import why_not
from .tuning import is_interpreted

_log = logging.getLogger(__name__)


def unavailable(device: torch.device | str) -> str:
    """
    Return why the kernels cannot run on a device, and what to do; '' if they can.

    The first call for a device compiles and runs a small kernel.  Raises RuntimeError if that is
    in the capture of a CUDA graph.
    """
    device = torch.device(device)
    if find_spec('triton') is None:
        return 'triton is not installed: pip install triton (docs/jetson.md for a Jetson)'
    if is_interpreted():
        return ''
    if device.type != 'cuda' or torch.version.hip:
        return f'the Triton kernels are for NVIDIA devices, not for {device}'
    return capability(device).reason or _broken(device)


def _broken(device: torch.device) -> str:
    """Return what to do where Triton cannot start a kernel, '' where it can; tried once."""
    def run():
        from .quantize import quantize_rows
        quantize_rows(torch.ones(1, 16, device=device), 8)
    reason = why_not(('unavailable', device.index or 0), run, device)
    return reason and (
        f'Triton cannot run a kernel here ({reason}).  It needs a C compiler and the headers of '
        'Python (apt-get install gcc python3-dev), a TRITON_CACHE_DIR that can be written, and '
        'the triton that belongs to this torch')


@lru_cache(maxsize=None)
def announce(device='cuda') -> Capability:
    """Log a device once, with a warning where there is one; return its capability."""
    found = capability(device)
    reason = unavailable(device)
    _log.info('%s: compute capability %d.%d, %.1f GiB, quantized layers by %s', found.name,
              *found.number, found.memory_bytes / 2 ** 30, 'torch' if reason else 'Triton')
    if reason:
        reason += ": quantized layers run on torch's own products, which is slower"
    for text in filter(None, (reason, found.note)):
        _log.warning('%s: %s', found.name, text)
    return found


def shared_bytes(device: torch.device) -> int:
    """Return the most shared memory of a block."""
    return capability(device).shared_bytes if device.type == 'cuda' else 99 * 1024
