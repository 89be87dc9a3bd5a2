# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose the backend of a quantized linear layer.

The native one (native.py) is taken wherever it can be compiled and runs.  Elsewhere the backends
that torch's libraries offer are checked for exactness and timed.  Either way the choice is made
once for each shape, bit widths, row count and thread count, takes some milliseconds, and is
logged with the times of all candidates and of a plain float32 layer at its fastest.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
import logging
import subprocess
import time

import torch
from torch.nn import functional as F

from .base import Kernel, LinearSpec, Unavailable
from .cpu import INTEGER_KERNELS, onednn_linear, WEIGHT_ONLY_KERNELS
from .cuda import unavailable
from .cuda.tuning import without_tuning
from .native import library, NativeKernel
from .reference import ReferenceKernel
from ..errors import ConfigError

__all__ = ['Choice', 'choose', 'Kernel', 'LinearSpec', 'make_kernel', 'Unavailable']

_log = logging.getLogger(__name__)
_LARGEST_TIMED = 2048
_ROUNDS = 5
# of a kernel that is not for this machine; compilers may fail in their own process
_FAILURES = (Unavailable, RuntimeError, NotImplementedError, OSError, subprocess.SubprocessError)


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


def extreme_inputs(in_features: int, bits: int, rows_random: int = 2) -> torch.Tensor:
    """Return float integers [4 + rows, K]: all lowest, all highest, alternating, random."""
    low, high = -2 ** (bits - 1), 2 ** (bits - 1) - 1
    generator = torch.Generator().manual_seed(0)
    alternating = torch.full((in_features,), float(high))
    alternating[::2] = low
    rows = [torch.full((in_features,), float(low)), torch.full((in_features,), float(high)),
            alternating, -alternating.clamp(-high, high)]
    rows += [torch.randint(low, high + 1, (in_features,), generator=generator).float()
             for _ in range(rows_random)]
    return torch.stack(rows)


@lru_cache(maxsize=None)
def check_exact(kernel: type[Kernel], in_features: int, weight_bits: int, act_bits: int,
                device: str = 'cpu') -> str:
    """Return '' if the kernel's integer product equals the reference's, else the reason."""
    weight = extreme_inputs(in_features, weight_bits, 12).to(device, torch.int8)  # [16, K]
    spec = LinearSpec(in_features, len(weight), weight_bits, act_bits)
    ones = torch.ones(len(weight), device=device)
    grid = extreme_inputs(in_features, min(act_bits, 8)).to(device)
    for rows in (grid, grid.repeat(2, 1)):  # a few, and more than a kernel for few takes
        try:
            with without_tuning():  # the result is the same, and nobody needs this shape again
                found = kernel(spec, weight, ones).product(rows.clone())
        except _FAILURES as error:
            return (str(error) or type(error).__name__).splitlines()[0]
        expected = ReferenceKernel(spec, weight, ones).product(rows)
        if not torch.equal(found, expected):
            off = (found - expected).abs().max().item()
            return f'its integer product is off by up to {off:g} (int16 saturation without VNNI?)'
    return ''


def _seconds(function, x, limit: float) -> float:
    function(x)
    best = float('inf')
    for done in range(_ROUNDS):
        start = time.perf_counter()
        function(x)
        best = min(best, time.perf_counter() - start)
        if done and best > limit:
            break
    return best


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
    if not native_reason() and not check_exact(NativeKernel, *_integer_part(spec)):
        return (NativeKernel,)
    return NativeKernel, *(WEIGHT_ONLY_KERNELS if spec.act_bits == 16 else INTEGER_KERNELS)


def _integer_part(spec: LinearSpec) -> tuple[int, int, int]:
    return spec.in_features, spec.weight_bits, spec.act_bits


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
    seconds = _seconds(lambda x: F.linear(x, weight), x, float('inf'))
    try:
        return min(seconds, _seconds(onednn_linear(weight, len(x)), x, float('inf')))
    except Unavailable:
        return seconds


@lru_cache(maxsize=None)
def _choose(spec: LinearSpec, rows: int, max_bits: int | None, threads: int) -> Choice:
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
        bits = kernel.bits_for(spec)
        if max_bits is not None and bits > max_bits:
            rejected[kernel.name] = f'{bits} bits a weight in memory'
            continue
        reason = check_exact(kernel, *_integer_part(spec))
        if reason:
            rejected[kernel.name] = reason
            continue
        seconds = _seconds(kernel(timed, weight, scale), x, 3 * best)
        best = min(best, seconds)
        times[kernel.name], kinds[kernel.name] = seconds * 1e3, kernel
    if not times:
        times, kinds = {'reference': float('nan')}, {'reference': ReferenceKernel}
    name = min(times, key=times.get)
    return Choice(kinds[name], times, float32 * 1e3, rejected)


@lru_cache(maxsize=None)
def _report(spec: LinearSpec, rows: int, max_bits: int | None, threads: int) -> None:
    """Log a choice once; warn where it is slower than plain float32 or only the reference."""
    choice = _choose(spec, rows, max_bits, threads)
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


def choose(spec: LinearSpec, rows: int = 256, max_bits: int | None = None) -> Choice:
    """
    Return the native backend, or where it cannot be used the fastest one that is exact.

    rows: about how many tokens a call brings (rounded to a power of two for the timing).
    max_bits: most bits a weight may take in memory (8 excludes the float backends).
    """
    rows = 2 ** max(0, round(torch.tensor(float(max(rows, 1))).log2().item()))
    spec = dataclasses.replace(spec, hadamard_block=1, hadamard_stride=1)  # the same for all
    key = (spec, rows, max_bits, torch.get_num_threads())
    _report(*key)
    return _choose(*key)


@lru_cache(maxsize=None)
def _warn_reference(device: str, reason: str) -> None:
    _log.warning('the slow reference backend serves device %s: %s', device, reason)


def _triton_kernel() -> type[Kernel]:
    """Return the class, whose module needs triton."""
    from .cuda.linear import TritonKernel
    return TritonKernel


def _on_device(spec: LinearSpec, q_weight, scale, bias) -> Kernel:
    """Make the GPU kernel of a layer, or with a warning the reference."""
    device = q_weight.device
    reason = unavailable(device) or check_exact(
        _triton_kernel(), *_integer_part(spec), str(device))
    try:
        if not reason:
            return _triton_kernel()(spec, q_weight, scale, bias)
    except Unavailable as error:
        reason = str(error)
    _warn_reference(device.type, reason)
    return ReferenceKernel(spec, q_weight, scale, bias)


def make_kernel(spec: LinearSpec, q_weight, scale, bias=None, rows: int = 256,
                max_bits: int | None = None, backend: str | None = None) -> Kernel:
    """
    Make the kernel of one layer on the device of q_weight.

    q_weight: int8 [N, K].  scale: float32 [N], or [N, K / group_size].  bias: [N] or None.
    backend: a name, instead of the choice.  Raises ConfigError for a backend that does not
    exist or is not exact here.
    """
    if backend is not None:
        kind = _named_kernel(backend, spec, q_weight.device)
        return kind(spec, q_weight, scale, bias)
    if q_weight.device.type != 'cpu':
        return _on_device(spec, q_weight, scale, bias)
    return choose(spec, rows, max_bits).kernel(spec, q_weight, scale, bias)


def _named_kernel(name: str, spec: LinearSpec, device: torch.device) -> type[Kernel]:
    kinds = {kind.name: kind
             for kind in (ReferenceKernel, NativeKernel, *INTEGER_KERNELS, *WEIGHT_ONLY_KERNELS)}
    reason = unavailable(device) if name == 'triton' else ''
    if name == 'triton' and not reason:
        kinds[name] = _triton_kernel()
    if name not in kinds and not reason:
        raise ConfigError(f'kernel backend {name!r} is unknown: use one of '
                          f"{sorted([*kinds, 'triton'])}")
    reason = reason or check_exact(kinds[name], *_integer_part(spec), str(device))
    if reason:
        raise ConfigError(f'kernel backend {name!r} cannot be used here: {reason}')
    return kinds[name]
