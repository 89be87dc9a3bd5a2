# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether Triton can compile a kernel and start it: a tiny one is run to find out.

Triton builds a small extension module in C before the first launch in an account.  Without a C
compiler or Python's headers that fails with whatever they raise, which must end in a slower path
and a warning, not in a policy that stops.
"""

from __future__ import annotations

import subprocess

import torch
import triton
from triton.errors import TritonError
import triton.language as tl

from .trial import short
from ..base import Unavailable

_ANSWER = 42
# of the compilers (also for a missing libcuda), the cache, the extension module, a wrong version
FAILURES = (Unavailable, TritonError, RuntimeError, subprocess.SubprocessError, OSError,
            ImportError, AssertionError, AttributeError)


@triton.jit
def _probe_kernel(answer, VALUE: tl.constexpr):
    """Write VALUE to one int32."""
    tl.store(answer, VALUE)


def launch(device: torch.device) -> int:
    """Compile the kernel, run it, and return what it wrote."""
    answer = torch.zeros(1, dtype=torch.int32, device=device)
    with torch.cuda.device(device):
        _probe_kernel[(1,)](answer, VALUE=_ANSWER)
    return answer.item()


def failure(device: torch.device) -> str:
    """Return why a kernel cannot be run on a CUDA device, '' if it can."""
    try:
        answer = launch(device)
    except FAILURES as error:
        return short(error)
    return '' if answer == _ANSWER else f'a kernel wrote {answer} instead of {_ANSWER}'


def ahead_of_time() -> list[tuple]:
    """Return the kernel as ahead.py compiles it."""
    return [('probe', _probe_kernel, {'answer': '*i32:16'}, {'VALUE': _ANSWER}, {'num_warps': 4})]
