# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose the backend of a quantized linear layer.

On a CPU the native one (native.py) is taken wherever it can be compiled and runs.  Elsewhere the
backends that torch's libraries offer are checked for exactness and timed.  Either way the choice
is made once for each shape, bit widths, row count and thread count, takes some milliseconds, and
is logged with the times of all candidates and of a plain float32 layer at its fastest.

On a GPU the first of these serves that is exact and runs, and a warning tells of any but the
first: the Triton kernels (cuda/linear.py), torch's own products (torch_gpu.py), the reference.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
import logging

import torch
from torch.nn import functional as F

from .base import Kernel, LinearSpec, Unavailable
from .cpu import INTEGER_KERNELS, onednn_linear, WEIGHT_ONLY_KERNELS
from .exact import check_exact, extreme_inputs, integer_part
from .native import library, NativeKernel
from .on_device import make_on_device, triton_kernel
from .reference import ReferenceKernel
from .torch_gpu import TorchKernel
from ..errors import ConfigError
from ..support.timing import best_seconds

__all__ = ['check_exact', 'Choice', 'choose', 'extreme_inputs', 'Kernel', 'LinearSpec',
           'make_kernel', 'Unavailable']

_log = logging.getLogger(__name__)
_LARGEST_TIMED = 2048


@dataclasses.dataclass(frozen=True)
class Choice:
    """
    The kernel class taken for a kind of layer, and why.

    times_ms: of every candidate that is exact.  float32_ms: of a plain float32 layer of the
    same (timed) size, at its fastest.  rejected: name to reason.
    """

    kernel: type[Kernel]
    times_ms: dict[str, float]
    float32_ms: float
    rejected: dict[str, str]

    @property
    def speedup(self) -> float:
        """Plain float32 time over the chosen kernel's."""
        return self.float32_ms / self.times_ms[self.kernel.name]


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


def _candidates(spec: LinearSpec) -> tuple[type[Kernel], ...]:
    """
    Return the backends to check and time, the native one first and if it can, alone.

    That it is taken by rule and never by a stopwatch keeps results equal from run to run,
    since its Hadamard rounds differently.
    """
    if not native_reason() and not check_exact(NativeKernel, *integer_part(spec)):
        return (NativeKernel,)
    return NativeKernel, *(WEIGHT_ONLY_KERNELS if spec.act_bits == 16 else INTEGER_KERNELS)


def _example(spec: LinearSpec, generator: torch.Generator):
    """Return random integers [N, K] and scales of a layer."""
    low = -2 ** (spec.weight_bits - 1)
    weight = torch.randint(low, -low, (spec.out_features, spec.in_features),
                           generator=generator).to(torch.int8)
    groups = spec.in_features // spec.group_size if spec.group_size else 1
    scale = torch.full((spec.out_features, groups), 0.01)
    return weight, scale if spec.group_size else scale[:, 0].contiguous()


def _plain_seconds(weight, x) -> float:
    """Return the time of a plain float32 layer at its fastest: by torch or by oneDNN."""
    seconds = best_seconds(lambda x: F.linear(x, weight), x)
    try:
        return min(seconds, best_seconds(onednn_linear(weight, len(x)), x))
    except Unavailable:
        return seconds


@lru_cache(maxsize=None)
def _choose(spec: LinearSpec, rows: int, threads: int) -> Choice:
    """Check and time the candidates on random weights; see choose."""
    group = spec.group_size or 1
    timed = dataclasses.replace(
        spec, out_features=min(spec.out_features, _LARGEST_TIMED),
        in_features=min(spec.in_features, max(group, _LARGEST_TIMED // group * group)))
    generator = torch.Generator().manual_seed(0)  # leave the caller's random numbers alone
    x = torch.randn(rows, timed.in_features, generator=generator)
    weight, scale = _example(timed, generator)
    float32 = _plain_seconds(weight.float(), x)
    times, kinds, rejected, best = {}, {}, {}, float('inf')
    for kernel in _candidates(spec):
        reason = check_exact(kernel, *integer_part(spec))
        if reason:
            rejected[kernel.name] = reason
            continue
        seconds = best_seconds(kernel(timed, weight, scale), x, limit_s=3 * best)
        best = min(best, seconds)
        times[kernel.name], kinds[kernel.name] = seconds * 1e3, kernel
    if not times:
        times, kinds = {'reference': float('nan')}, {'reference': ReferenceKernel}
    name = min(times, key=times.get)
    return Choice(kinds[name], times, float32 * 1e3, rejected)


@lru_cache(maxsize=None)
def _report(spec: LinearSpec, rows: int, threads: int) -> None:
    """Log a choice once; warn where it is slower than plain float32 or only the reference."""
    choice = _choose(spec, rows, threads)
    name = choice.kernel.name
    others = ', '.join(f'{other} {ms:.3f}' for other, ms in choice.times_ms.items())
    rejected = '; '.join(f'{other} rejected: {why}' for other, why in choice.rejected.items())
    _log.info(
        'w%da%d %dx%d, %d rows, %d threads: %s, %.2fx of float32 (ms: %s, float32 %.3f), '
        '%d bits a weight in memory%s', spec.weight_bits, spec.act_bits, spec.in_features,
        spec.out_features, rows, threads, name, choice.speedup, others, choice.float32_ms,
        choice.kernel.bits_for(spec), '; ' + rejected if rejected else '')
    if not choice.speedup >= 1.0 and spec.act_bits != 16:
        _log.warning(
            'w%da%d %dx%d runs at %.2fx of plain float32 on this CPU (%s)', spec.weight_bits,
            spec.act_bits, spec.in_features, spec.out_features, choice.speedup,
            rejected or 'every backend is slower')


def choose(spec: LinearSpec, rows: int = 256) -> Choice:
    """
    Return the native backend, or where it cannot be used the fastest one that is exact.

    rows: about how many tokens a call brings (rounded to a power of two for the timing).
    """
    rows = 2 ** max(0, round(torch.tensor(float(max(rows, 1))).log2().item()))
    spec = dataclasses.replace(spec, hadamard_block=1, hadamard_stride=1)  # the same for all
    key = (spec, rows, torch.get_num_threads())
    _report(*key)
    return _choose(*key)


def make_kernel(spec: LinearSpec, q_weight, scale, bias=None, rows: int = 256,
                backend: str | None = None, dtype: torch.dtype | None = None) -> Kernel:
    """
    Make the kernel of one layer on the device of q_weight.

    q_weight: int8 [N, K].  scale: float32 [N], or [N, K / group_size].  bias: [N] or None.
    backend: a name, instead of the choice.  dtype: of the layer's input, which it is tried with
    on a GPU; None is what that takes by default.  Raises ConfigError for a backend that does not
    exist or is not exact here.
    """
    if backend is not None:
        kind = _named_kernel(backend, spec, q_weight.device)
        return kind(spec, q_weight, scale, bias)
    if q_weight.device.type != 'cpu':
        return make_on_device((spec, q_weight, scale, bias), rows, dtype)
    return choose(spec, rows).kernel(spec, q_weight, scale, bias)


def _named_kernel(name: str, spec: LinearSpec, device: torch.device) -> type[Kernel]:
    kinds = {kind.name: kind for kind in (ReferenceKernel, NativeKernel, TorchKernel,
                                          *INTEGER_KERNELS, *WEIGHT_ONLY_KERNELS)}
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
