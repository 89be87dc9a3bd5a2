# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which instruction set the native kernels use: the best there is, or the one that is asked for.

A level is one version of the code in native/, numbered from the oldest.  SQAP_VLA_CPU_LEVEL names
one, to compare them or to have what an older processor would do.  Results differ by rounding in
float32 and, where layers round anyway, by that of attention: in bfloat16 with AMX, to bytes with
VNNI.
"""

from __future__ import annotations

import ctypes
import os

from ..errors import ConfigError

NAMES = ('none', 'avx2', 'avx_vnni', 'avx512_vnni', 'amx')  # by number, see native/processor.h
VARIABLE = 'SQAP_VLA_CPU_LEVEL'
_AVX2, _AMX = NAMES.index('avx2'), NAMES.index('amx')
_AMX_STATES = ('', 'this processor has none, or a hypervisor hides it',
               'the system does not save its tiles (Linux 5.16 and later does, unless a '
               'hypervisor masks them)',
               'the system refuses this process its tiles (arch_prctl: a container or seccomp '
               'rule?)',
               'this processor has its tiles for int8, and none or no AVX-512 for bfloat16 '
               '(amx_bf16 and avx512_bf16 in /proc/cpuinfo), or a hypervisor hides that')
_NOT_COMPILED = ('the compiler that built the library knows no tiles: g++ 11 and later do, and '
                 'build it again once the file is removed')


def usable(loaded: ctypes.CDLL) -> tuple[int, ...]:
    """Return the levels that a library holds and this machine runs, the best last."""
    bits = loaded.sqap_levels()
    return tuple(level for level in range(_AVX2, len(NAMES)) if bits >> level & 1)


def chosen(loaded: ctypes.CDLL) -> int:
    """
    Return the level that serves: the best, or the one that SQAP_VLA_CPU_LEVEL names.

    Raises ConfigError for a word that is no level and for a level that cannot run here.  The
    library has one level at least.
    """
    word, there = os.environ.get(VARIABLE), usable(loaded)
    if not word:
        return there[-1]
    names = ', '.join(NAMES[level] for level in there)
    if word not in NAMES[_AVX2:]:
        raise ConfigError(f'{VARIABLE}={word} is no instruction set: set one of '
                          f'{", ".join(NAMES[_AVX2:])}, of which there are {names} here')
    if NAMES.index(word) not in there:
        raise ConfigError(f'{VARIABLE}={word} cannot run here: '
                          f'{missing(loaded, NAMES.index(word))}; there are {names}')
    return NAMES.index(word)


def missing(loaded: ctypes.CDLL, level: int) -> str:
    """Return why a level cannot run here."""
    state = loaded.sqap_amx_state() if level == _AMX else 0
    if state:
        return _AMX_STATES[state]
    if not loaded.sqap_compiled_levels() >> level & 1:
        return _NOT_COMPILED
    return 'this processor lacks it'


def tiles_missing(loaded: ctypes.CDLL) -> str:
    """Return why this process cannot use AMX's tiles, or shall not, '' where it can."""
    word = os.environ.get(VARIABLE)
    if word and word != NAMES[_AMX]:
        return f'{VARIABLE} is {word}'
    return _AMX_STATES[loaded.sqap_amx_state()]


def describe(loaded: ctypes.CDLL) -> str:
    """Return the name of the level that serves, and why a better one does not where that helps."""
    name = NAMES[chosen(loaded)]
    if os.environ.get(VARIABLE):
        return f'{name}, by {VARIABLE}'
    if loaded.sqap_amx_state() == 1 or _AMX in usable(loaded):
        return name
    return f'{name}, not amx: {missing(loaded, _AMX)}'
