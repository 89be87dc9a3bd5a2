# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a kernel works on this machine: it is run once, and what it raises is a reason.

Not every kernel compiles, or fits, on every device and with every Triton, which also needs a C
compiler of its own.  One that does not work must end in a slower path and a warning when a policy
is made ready, and not in an exception while a robot is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
import subprocess

import torch

from .tuning import without_tuning
from ..base import Unavailable

_LONGEST = 200  # letters of an error
_reasons: dict[Hashable, str] = {}  # of what was tried


@lru_cache(maxsize=1)
def failures() -> tuple[type[Exception], ...]:
    """Return what a kernel raises that is not for this machine; other errors are bugs."""
    # of the compilers (also for a missing libcuda), the cache, the extension, a wrong version
    found = (Unavailable, RuntimeError, subprocess.SubprocessError, OSError, ImportError,
             AssertionError, AttributeError)
    try:
        from triton.errors import TritonError
    except ImportError:
        return found
    return (TritonError, *found)


def why_not(key: Hashable, run: Callable[[], object], device: torch.device) -> str:
    """
    Return why run() fails on a device, '' if it does not; a key is tried once.

    Missing memory is no reason for another kernel.  Nothing is timed for it, unless only a slower
    configuration works.  Raises RuntimeError if the first time is in the capture of a CUDA graph.
    """
    if key not in _reasons:
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            raise RuntimeError('a kernel is captured in a CUDA graph before it was ever tried: '
                               'run what is captured once before')
        with without_tuning():
            reason = _tried(run, device)
        _reasons[key] = reason and _tried(run, device)  # the tuner knows others
    return _reasons[key]


@torch.inference_mode()
def _tried(run, device: torch.device) -> str:
    try:
        run()
        if device.type == 'cuda':
            torch.cuda.current_stream(device).synchronize()
    except torch.cuda.OutOfMemoryError:
        raise
    except failures() as error:
        return short(error)
    return ''


def short(error: Exception) -> str:
    """Return an error in a line: that of the assembler where it has one, or the first."""
    lines = str(error).splitlines() or ['']
    said = next((line for line in lines if line.startswith('ptxas')), lines[0])
    return f'{type(error).__name__}: {said[:_LONGEST]}'
