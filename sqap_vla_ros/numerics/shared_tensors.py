# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Tensors that depend on nothing but their sizes: made once, shared between callers, and kept.

    @constant
    def turns(rows, cols, device): ...

They are never dropped, however many sizes there are: a captured CUDA graph holds their address,
and would read whatever comes to lie there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
import threading

import torch


def constant(make: Callable) -> Callable:
    """
    Return a function that calls `make` once for all equal arguments, and keeps what it returns.

    make: returns a tensor, or a tuple of them; callers must not write to it.  It is finished when
    it comes back, so that any stream may read it.  The function raises RuntimeError while a CUDA
    graph is captured, if the tensor is not there yet: making it would only be recorded.
    """
    lock = threading.Lock()  # two threads that make the same one would leave only the second

    @wraps(make)
    def shared(*arguments, **named):
        with lock:
            return kept(*arguments, **named)

    @lru_cache(maxsize=None)  # captured graphs hold addresses
    def kept(*arguments, **named):
        """Make it, and finish it."""
        if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(f'{make.__name__}{arguments} is made in the capture of a CUDA '
                               'graph, and would stay empty: run what is captured once before')
        with torch.inference_mode(False):
            made = make(*arguments, **named)
        for tensor in made if isinstance(made, tuple) else (made,):
            _finish(tensor.device)
        return made
    shared.cache_clear, shared.cache_info = kept.cache_clear, kept.cache_info
    return shared


def _finish(device: torch.device) -> None:
    """Wait for what the current stream of a CUDA device has been given."""
    if device.type == 'cuda':
        torch.cuda.current_stream(device).synchronize()
