# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Token selection in one native call, for the configuration that runs on robots."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p
from functools import lru_cache

import numpy as np
import torch

from .choice import SelectionConfig, tie_order
from ..kernels import native_reason
from ..kernels.native import library

_LARGEST_KEY = 2 ** 31  # squared distance times patches


class _Selection(ctypes.Structure):
    """Mirror of sqap::Selection in native/sqap_kernels.h."""

    _fields_ = [
        ('scores', c_void_p), ('distance', c_void_p), ('rank', c_void_p), ('kept', c_void_p),
        ('reason', c_void_p), ('rows', c_int64), ('cols', c_int64), ('keep', c_int64),
        ('most_preserved', c_int64), ('preserve', c_int32), ('protect', c_int32)]


def native_select(scores, distance, grid: tuple[int, int], config: SelectionConfig):
    """
    Return what model.selection.select does for tensors on the CPU, or None.

    scores: [N].  distance: numpy [N] or None.  None comes back for what is left to
    tokens.select_tokens: other configurations, shapes or numbers that cannot be used, and
    machines without the native kernels.
    """
    rows, cols = grid
    total = rows * cols
    if (config.method != 'sqap' or not config.sample or config.keep > total
            or total * (rows ** 2 + cols ** 2 + 1) >= _LARGEST_KEY or native_reason()
            or scores.shape != (total,)
            or (distance is not None and np.shape(distance) != (total,))):
        return None
    scores = scores.float().contiguous()
    if distance is not None:
        distance = np.ascontiguousarray(distance, np.float64)
    kept = torch.empty(config.keep, dtype=torch.int64)
    reason = torch.empty(total, dtype=torch.uint8)
    call = _Selection(
        scores.data_ptr(), None if distance is None else distance.ctypes.data,
        _rank(rows, cols, config.ties).ctypes.data, kept.data_ptr(), reason.data_ptr(), rows, cols,
        config.keep, config.preserve_top_k, config.preserve, config.protect)
    return None if library().sqap_select(ctypes.byref(call)) else (kept, reason[:config.keep])


@lru_cache(maxsize=8)
def _rank(rows: int, cols: int, ties: str) -> np.ndarray:
    return tie_order(rows, cols, ties).astype(np.int32)
