# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a CUDA device has, which path each precision takes on it, and why.

    python -c 'from sqap_vla_ros.kernels.cuda.capability import main; main()'

prints the table of all known compute capabilities, and the paths of the device that is there.
Shared memory and MMA types are those of the CUDA C++ Programming Guide and the PTX ISA.  Which
instruction an int8 product becomes is what the compiler makes of our kernels, without a GPU:

    python -m sqap_vla_ros.kernels.cuda.ahead --cards 80 86 87 89 90 100 103 110 120 121

compiles all that are registered there, in representative configurations, and prints it.  Triton
3.7.1 does so without spills for all of these cards, 3.6.0 for all but 110, which its assembler
does not know.  The tests compile all kernels for 87 and 90 and some for each of the others.
Nothing here imports triton before a CUDA device is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
import logging
import os

import torch

from .generations import BY_TORCH, find_generation, Generation, GENERATIONS
from ...errors import ConfigError
from ...numerics.precision import parse_precision, PRECISIONS

_log = logging.getLogger(__name__)
PHASES = ('prefill', 'decode')


@dataclass(frozen=True)
class Capability:
    """
    One device.

    generation: what is known of its compute capability, or of the nearest older one; None for
    devices that are older than all known.  shared_bytes: most that a block may use.  broken: why
    Triton cannot be used here, '' if it can.  warning: what a user should know, '' if all is
    well.
    """

    name: str
    number: tuple[int, int]
    generation: Generation | None
    multiprocessors: int = 0
    memory_bytes: int = 0
    shared_bytes: int = 0
    broken: str = ''
    warning: str = ''

    @property
    def has_kernels(self) -> bool:
        """Whether the Triton kernels run here."""
        return self.generation is not None and bool(self.generation.int8) and not self.broken

    @property
    def float_type(self) -> torch.dtype:
        """Return the 16-bit type of activations."""
        mma = self.generation.mma if self.generation else ()
        return torch.bfloat16 if 'bf16' in mma else torch.float16


@dataclass(frozen=True)
class Path:
    """
    The way of one precision: who multiplies, in which arithmetic, and why.

    backend: 'torch' (cuBLAS; kernels/torch_gpu.py where it is quantized) or 'triton'.
    """

    backend: str
    arithmetic: str
    reason: str


@lru_cache(maxsize=None)
def capability(device='cuda') -> Capability:
    """
    Return what a CUDA device is and has; raise ConfigError for other devices.

    A Triton that is missing or cannot start a kernel, which is tried, is part of the warning,
    since it takes the kernels away.  Raises RuntimeError if that is asked first while a CUDA
    graph is captured.
    """
    device = torch.device(device)
    if device.type != 'cuda' or torch.version.hip:
        raise ConfigError(f'{device} is no NVIDIA CUDA device: it has no compute capability')
    if not torch.cuda.is_available():
        raise ConfigError('torch finds no CUDA device here (nvidia-smi shows the driver)')
    facts = torch.cuda.get_device_properties(device)
    generation, warning = find_generation((facts.major, facts.minor))
    shared = getattr(facts, 'shared_memory_per_block_optin', 0)
    if not shared and generation is not None:
        shared = generation.shared_kib * 1024
    served = generation is not None and generation.int8
    broken = missing_triton() or (broken_triton(device) if served else '')
    return Capability(facts.name, (facts.major, facts.minor), generation,
                      facts.multi_processor_count, facts.total_memory, shared, broken,
                      '; '.join(filter(None, (warning, broken))))


def missing_triton() -> str:
    """Return what to do where triton is not installed, '' where it is."""
    if find_spec('triton') is None:
        return (f'triton is not installed: {BY_TORCH}, which is expected to be slower; '
                'pip install triton (docs/jetson.md for a Jetson)')
    return ''


def is_interpreted() -> bool:
    """Return whether kernels are interpreted on the CPU."""
    return os.environ.get('TRITON_INTERPRET') == '1'


def broken_triton(device: torch.device) -> str:
    """Return what to do where Triton cannot start a kernel, '' where it can; tried once."""
    if is_interpreted():
        return ''
    return _tried(torch.cuda.current_device() if device.index is None else device.index)


@lru_cache(maxsize=None)
def _tried(index: int) -> str:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(f'the kernels for device {index} were never tried before a CUDA graph '
                           'was captured: call kernels.cuda.unavailable(device) before')
    try:
        from .probe import failure
        reason = failure(torch.device('cuda', index))
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = f'triton cannot be imported ({type(error).__name__}: {error})'
    return reason and (
        f'Triton cannot run a kernel here, and slower code serves: {reason}.  It needs a C '
        "compiler and Python's headers (apt-get install gcc python3-dev), a TRITON_CACHE_DIR "
        'that can be written, and the triton that belongs to this torch')


def paths(capability: Capability) -> dict[str, Path]:
    """Return the path of each 'prefill_PRECISION' and 'decode_PRECISION'."""
    return {f'{phase}_{precision}': _path(capability, phase, precision)
            for phase in PHASES for precision in PRECISIONS}


def _path(device: Capability, phase: str, precision: str) -> Path:
    bits = parse_precision(precision)
    float_name = str(device.float_type).split('.')[1]
    if bits.weight_bits == 16:
        return Path('torch', f'{float_name} cuBLAS',
                    'reads every weight in 16 bits' if phase == 'decode' else 'not quantized')
    if not device.has_kernels:
        return _torch_path(device, bits.weight_bits, bits.act_bits)
    if phase == 'decode':
        return _decode_path(bits.weight_bits, bits.act_bits)
    if bits.act_bits == 16:
        return Path('triton', f'{float_name} MMA', 'the tokens stay floats; weights leave memory '
                    'in 4 bits and become floats in registers')
    return _integer_path(device.generation, bits.weight_bits, bits.act_bits)


def _torch_path(device: Capability, weight_bits: int, act_bits: int) -> Path:
    """Return the path of a quantized layer without the Triton kernels; the warning says why."""
    arithmetic = 'int8 cuBLASLt, sums in int32'
    if act_bits == 16:
        arithmetic = f'{str(device.float_type).split(".")[1]} cuBLAS'
    elif device.generation is None:
        arithmetic = 'int8 cuBLASLt if a trial finds it exact, else float64'
    return Path('torch', arithmetic, 'weights leave memory in 4 bits and are opened before each '
                'product' if weight_bits == 4 else 'the integers are multiplied as they are')


def _decode_path(weight_bits: int, act_bits: int) -> Path:
    arithmetic = ('float32 (4 to 8 tokens: MMA where the tuner finds it faster)'
                  if act_bits == 16 else 'int8 dp4a, sums in int32')
    return Path('triton', arithmetic, 'up to 8 tokens are expected to wait for memory: each '
                f'weight is read once, in {weight_bits} bits')


def _integer_path(generation: Generation, weight_bits: int, act_bits: int) -> Path:
    """Return the path of a prefill with integer activations."""
    arithmetic = f'int8 {generation.int8}, sums in int32'
    if weight_bits == 8:
        return Path('triton', arithmetic, 'the integers are multiplied as they are')
    reason = 'weights leave memory in 4 bits and become int8 in registers'
    if act_bits == 4:
        reason = f'Triton has no int4 MMA; {reason}'
        if 'int4' in generation.mma:
            reason += '; this chip has int4 MMA at twice the rate, for a CUTLASS kernel to use'
        else:
            reason += '; nor does this chip'
    return Path('triton', arithmetic, reason)


def describe(device: Capability) -> str:
    """Return the text that is printed at load: the device and the path of each precision."""
    label = '.'.join(map(str, device.number))
    lines = [f'{device.name}: compute capability {label}, {device.multiprocessors} '
             f'multiprocessors, {device.memory_bytes / 2 ** 30:.1f} GiB, '
             f'{device.shared_bytes // 1024} KiB shared memory a block']
    lines += [f'  {name:14} {path.backend:9} {path.arithmetic}: {path.reason}'
              for name, path in paths(device).items()]
    return '\n'.join(lines)


@lru_cache(maxsize=None)
def announce(device='cuda') -> Capability:
    """Log a device's paths once, with a warning where there is one; return its capability."""
    found = capability(device)
    _log.info('%s', describe(found))
    if found.warning:
        _log.warning('%s: %s', found.name, found.warning)
    return found


def table() -> str:
    """Return all known compute capabilities as a Markdown table."""
    lines = ['| capability | such as | shared memory a block | MMA types '
             '| W4A4, W4A8, W8A8 prefill | W4A16 prefill | decode |',
             '|---|---|---|---|---|---|---|']
    for known in GENERATIONS:
        device = Capability(known.examples, known.number, *find_generation(known.number)[:1])
        if device.has_kernels:
            prefill, floats = f'int8 `{known.int8}`', 'bfloat16 MMA'
            decode = 'int8 `dp4a`, or float32'
        else:
            prefill, floats = 'torch: int8 cuBLASLt (warns)', 'torch: float16 cuBLAS (warns)'
            decode = 'as prefill (warns)'
        lines.append(f'| {known.label} | {known.examples} | {known.shared_kib} KiB | '
                     f'{", ".join(known.mma)} | {prefill} | {floats} | {decode} |')
    return '\n'.join(lines)


def main() -> None:
    """Print the table, and what is chosen for the device of this machine."""
    print(table())
    if torch.cuda.is_available():
        print(f'\n{describe(capability())}\n{capability().warning}')
