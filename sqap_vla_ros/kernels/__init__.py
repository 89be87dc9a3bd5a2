# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose the backend of a quantized linear layer, by rule: the first that is exact here and runs.

On a CPU the native one (native.py), else what torch brings along (cpu.py); on a GPU the Triton
kernels (cuda/linear.py), else torch's own products (torch_gpu.py); at last the reference.  What
serves is logged, and a warning tells of any but the first, why, and what to do.
"""

from __future__ import annotations

from functools import lru_cache
import logging

import torch

from .base import Kernel, LinearSpec, Unavailable
from .cpu import FbgemmKernel, FloatKernel
from .exact import check_exact, extreme_inputs, integer_part
from .native import library, NativeKernel
from .on_device import make_on_device, triton_kernel
from .reference import ReferenceKernel
from .torch_gpu import TorchKernel
from ..errors import ConfigError

__all__ = ['check_exact', 'cpu_kernel', 'extreme_inputs', 'integer_part', 'Kernel', 'LinearSpec',
           'make_kernel', 'serving_kernel', 'Unavailable']

_log = logging.getLogger(__name__)
_ON_CPU = NativeKernel, FbgemmKernel, FloatKernel, ReferenceKernel


@lru_cache(maxsize=None)
def native_reason() -> str:
    """Return why the native kernels cannot be used, '' if they can; warn once."""
    try:
        library()
    except Unavailable as reason:
        _log.warning("attention and quantized layers run on torch's kernels, which are slower: "
                     '%s', reason)
        return str(reason)
    return ''


def cpu_kernel(spec: LinearSpec) -> type[Kernel]:
    """Return what serves a layer on a CPU: the first backend that is exact here."""
    kind = serving_kernel(*integer_part(spec))
    _tell(spec.precision, kind.name, check_exact(NativeKernel, *integer_part(spec)))
    return kind


@lru_cache(maxsize=None)
def serving_kernel(in_features: int, weight_bits: int, act_bits: int) -> type[Kernel]:
    """Return what would serve such a layer on a CPU, and tell nobody."""
    return next(kind for kind in _ON_CPU
                if not check_exact(kind, in_features, weight_bits, act_bits))


@lru_cache(maxsize=None)
def _tell(precision: str, name: str, reason: str) -> None:
    """Log once what serves; warn where it isn't the native backend and nothing has said so."""
    if reason and not native_reason():
        _log.warning('%s layers run on backend %r, which is slower: %s', precision, name, reason)
    else:
        _log.info('%s layers run on backend %r', precision, name)


def make_kernel(spec: LinearSpec, q_weight, scale, bias=None, rows: int = 256,
                backend: str | None = None, dtype: torch.dtype | None = None) -> Kernel:
    """
    Make the kernel of one layer on the device of q_weight.

    q_weight: int8 [N, K].  scale: float32 [N], or [N, K / group_size].  bias: [N] or None.
    backend: a name, instead of the choice.  rows: about how many tokens a call brings, and dtype:
    of the layer's input (None is what the device takes by default), which it is tried with on a
    GPU.  Raises ConfigError for a backend that does not exist or is not exact here.
    """
    if backend is not None:
        kind = _named_kernel(backend, spec, q_weight.device)
    elif q_weight.device.type != 'cpu':
        return make_on_device((spec, q_weight, scale, bias), rows, dtype)
    else:
        kind = cpu_kernel(spec)
    return kind(spec, q_weight, scale, bias)


def _named_kernel(name: str, spec: LinearSpec, device: torch.device) -> type[Kernel]:
    kinds = {kind.name: kind for kind in (*_ON_CPU, TorchKernel)}
    if name not in (*kinds, 'triton'):
        raise ConfigError(f'kernel backend {name!r} is unknown: use one of '
                          f"{sorted([*kinds, 'triton'])}")
    try:
        kind = kinds[name] if name in kinds else triton_kernel(device)
        reason = check_exact(kind, *integer_part(spec), str(device))
    except Unavailable as error:
        reason = str(error)
    if reason:
        raise ConfigError(f'kernel backend {name!r} cannot be used here: {reason}')
    return kind
