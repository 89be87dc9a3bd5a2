# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The sides of benchmarks/cpu_peers.py, by name, and what may keep one from running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
import os

from sqap_vla_ros.bench.sizes import BUNDLED, KEEP
from sqap_vla_ros.support.machine import has_fast_bfloat16
from sqap_vla_ros.support.requirements import cure, missing

GIVEN = 'given.pickle'  # what every side is given, in the directory that they share
SELECTED = f'+{KEEP}'  # behind the name of a side that keeps so many visual tokens
# what both sides are held to: SQAP_VLA_CPU_LEVEL, ONEDNN_MAX_CPU_ISA
LEVELS = {'avx2': 'AVX2', 'avx_vnni': 'AVX2_VNNI', 'avx512_vnni': 'AVX512_CORE_VNNI',
          'amx': 'AVX512_CORE_AMX'}


@dataclass(frozen=True)
class Library:
    """
    Another library at one precision.

    modules: that it needs.  limit: relative error of its answers against float32's, above which
    it is not the same network.  needs_bfloat16: told by has_fast_bfloat16.  obeys: whether it can
    be held to a level of instructions.  whole: whether it takes a decoder as a whole only.
    """

    runtime: Callable
    modules: Sequence[str]
    limit: float
    needs_bfloat16: bool = False
    obeys: bool = True
    whole: bool = False

    def why_not(self, level: str | None = None) -> str:
        """Return why it cannot run here, held to a level, with what brings it; '' if it can."""
        gone = missing(self.modules)
        if gone:
            return cure(gone[0])
        if level is not None and not self.obeys:
            return f'it cannot be held to {level}'
        if self.needs_bfloat16 and level not in (None, 'amx'):
            return f'held to {level}, which has no bfloat16'
        if self.needs_bfloat16 and not has_fast_bfloat16():
            return 'this processor has no instructions for bfloat16 (AMX, AVX512-BF16)'
        return ''


def _made(kind: str, *arguments, file: str = 'runtimes') -> Callable:
    """Return what makes a class of a file here, which imports torch, when it is called."""
    def make():
        return getattr(import_module(f'.{file}', __package__), kind)(*arguments)
    return make


EXACT, ROUNDED, QUANTIZED = 1e-3, 0.05, 0.6
ENCODER = ', vision '  # behind the name of one of ours, and in front of its encoder's type
OURS = {'float32': EXACT, 'w4a4': 0.8, 'w4a8': 0.8, 'w8a8': QUANTIZED,  # limit of the error
        f'w4a8{ENCODER}bfloat16': QUANTIZED, f'w4a8{ENCODER}int8': QUANTIZED}
PEERS = {
    'OpenVINO float32': Library(_made('OpenVINO', 'f32'), ('openvino',), EXACT),
    'OpenVINO bfloat16': Library(_made('OpenVINO', 'bf16'), ('openvino',), ROUNDED, True),
    'OpenVINO int8': Library(_made('OpenVINO', 'f32', True), ('openvino', 'nncf'), QUANTIZED),
    'OpenVINO int8, rest bfloat16': Library(
        _made('OpenVINO', 'bf16', True), ('openvino', 'nncf'), QUANTIZED, True),
    'torch.compile float32': Library(_made('TorchCompile', 'float32'), (), EXACT),
    'torch.compile bfloat16': Library(_made('TorchCompile', 'bfloat16'), (), ROUNDED, True),
    'ONNX Runtime int8': Library(
        _made('OnnxRuntime'), ('onnx', 'onnxruntime'), QUANTIZED, obeys=False),
    **{f'llama.cpp {kind}': Library(
        _made('LlamaCpp', kind, file='llama_cpp_runtime'), ('llama_cpp', 'gguf'), limit,
        obeys=False, whole=True) for kind, limit in (('Q4_0', 0.8), ('Q8_0', QUANTIZED))}}
TIMED = 'openvino', 'onnxruntime', 'llama_cpp'  # modules that a timed process holds


def split(side: str) -> tuple[str, bool]:
    """Return a side's precision or library, and whether it selects tokens."""
    return side.removesuffix(SELECTED), side.endswith(SELECTED)


def limit(side: str) -> float:
    """Return the relative error above which a side's answers are not the same network's."""
    name, _ = split(side)
    return OURS[name] if name in OURS else PEERS[name].limit


def default_sides(size: str, level: str | None = None) -> list[str]:
    """
    Return what is timed of a size, held to a level.

    Peers select tokens in the bundled policy only; ours have its encoder in 8 bits, too, or in
    bfloat16 where the processor multiplies that.
    """
    names = ['w4a4', 'w4a8']
    if size == BUNDLED:
        in_halves = level in (None, 'amx') and has_fast_bfloat16()
        names.append(f'w4a8{ENCODER}' + ('bfloat16' if in_halves else 'int8'))
    ours = ['float32', *(name + end for name in names for end in ('', SELECTED))]
    ends = ('', SELECTED) if size == BUNDLED else ('',)
    return ours + [name + end for name, library in PEERS.items() for end in ends
                   if size != BUNDLED or not library.whole]


def held_to(level: str | None) -> dict[str, str]:
    """Return the environment that holds all sides to a level of instructions; None for none."""
    found = dict(os.environ)
    if level is not None:
        found |= {'SQAP_VLA_CPU_LEVEL': level, 'ONEDNN_MAX_CPU_ISA': LEVELS[level]}
        if level != 'amx':
            vectors = 'avx512' if level.startswith('avx512') else 'avx2'
            found |= {'ATEN_CPU_CAPABILITY': vectors, 'MKL_ENABLE_INSTRUCTIONS': vectors.upper()}
    return found
