# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Time a kernel's candidate configurations once a device, and remember the fastest.

    config = tuned('int_gemm', (bucket(m), n, k), CANDIDATES, lambda config: milliseconds(
        lambda: launch(config)))

choices.py keeps the choices.  Nothing here imports triton before a kernel has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
import json
import logging
import math
import threading

import torch

from .choices import cache_file, remember, remembered, warn
from ..base import Unavailable

_log = logging.getLogger(__name__)
_WARM_UP_MS, _REPEAT_MS = 5, 25
_chosen: dict[tuple, dict] = {}  # by device, kernel and key
_share: list[slice] = []  # of the candidates, where this process only compiles
_one_at_a_time = threading.RLock()  # what two threads time at once is slower for both
_thread = threading.local()  # its mode is 'settled' or 'first' in the blocks of that name
_BUCKET = 32  # rows


def bucket(rows: int) -> int:
    """Return the number of rows (tokens) that a configuration is chosen for."""
    return -(-rows // _BUCKET) * _BUCKET


def covering(rows: Sequence[Sequence[int]]) -> list[int]:
    """
    Return which cases are to be run so that all their choices are made.

    rows: of each case, the numbers of rows that its products have.
    """
    met, found = set(), []
    for index, case in enumerate(rows):
        wanted = {bucket(count) for count in case}
        if not wanted <= met:
            met |= wanted
            found.append(index)
    return found


def tuned(name: str, key: Sequence, candidates: Sequence[dict],
          measure: Callable[[dict], float]) -> dict:
    """
    Return the candidate with the least measure(candidate), in milliseconds.

    name: of the kernel.  key: what the choice depends on, such as shapes and types; its first
    part is the number of rows, or else a number.  key and candidates hold JSON's values.  A
    candidate that cannot be compiled or launched is skipped; one that stands alone is returned as
    it is.  Nothing is timed while a CUDA graph is captured, nor in `settled`: then what the file
    has serves, or, with a warning, the choice for the nearest number of rows, which is compiled
    already, or the first candidate.

    Raises Unavailable if no candidate works, with the reasons, and ValueError for none at all.
    """
    if not candidates:
        raise ValueError(f'{name} was given no candidates')
    if len(candidates) == 1 or _mode() == 'first':
        return candidates[0]
    place = (_current_device(), name, *key)
    if _chosen.get(place) not in candidates:
        if not _share and (_is_capturing() or _mode() == 'settled'):
            return _stand_in(place, candidates)
        _chosen[place] = _choose(_entry(name, key), candidates, measure)
    return _chosen[place]


def _stand_in(place: tuple, candidates) -> dict:
    """Return a choice without timing anything, and say so once."""
    device, name, rows, *rest = place
    kept = _from_file(_entry(name, (rows, *rest)), candidates)
    if kept is not None:
        return kept
    near = [known for known in list(_chosen)  # another thread may add to it
            if known[:2] == (device, name) and [*known[3:]] == rest]
    if near:
        nearest = min(near, key=lambda known: (_chosen[known] not in candidates,
                                               abs(known[2] - rows)))
        warn(f'{name} was tuned for {nearest[2]} rows and not for {rows}, which is right and may '
             'be slower: warm up with such a prompt')
        return _chosen[nearest]
    warn(f'{name} {[rows, *rest]} is compiled now and not tuned: warm up first')
    return candidates[0]


def _entry(name: str, key: Sequence) -> str:
    return f'{name} {json.dumps(list(key))}'


def compile_share(index: int, count: int) -> None:
    """
    Only compile from now on: every `count`-th candidate, from number `index` on.

    So many processes that run the same kernels, each with a share of its own, fill Triton's cache
    side by side for one that tunes after them.
    """
    _share[:] = [slice(index, None, count)]


def settled():
    """Time nothing on this thread in this block: what was not tuned before it is not now."""
    return _in_mode('settled')


def without_tuning():
    """Take every kernel's first candidate on this thread in this block, and remember nothing."""
    return _in_mode('first')


@contextmanager
def _in_mode(mode: str) -> Iterator[None]:
    before, _thread.mode = _mode(), mode
    try:
        yield
    finally:
        _thread.mode = before


def _mode() -> str:
    return getattr(_thread, 'mode', '')


def milliseconds(launch: Callable[[], object]) -> float:
    """Return the median time of a launch, with a cold L2 cache as between a model's layers."""
    from triton.testing import do_bench
    return do_bench(launch, warmup=_WARM_UP_MS, rep=_REPEAT_MS, return_mode='median')


def _current_device() -> int:
    """Return the device's number; -1 before there is one."""
    return torch.cuda.current_device() if torch.cuda.is_initialized() else -1


def _is_capturing() -> bool:
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _choose(entry: str, candidates, measure) -> dict:
    """Return the candidate that the file names, else measure them."""
    if _share:
        return _compiled(candidates, measure)
    known = _from_file(entry, candidates)
    if known is not None:
        return known
    with _one_at_a_time:
        return _measured(entry, candidates, measure)


def _from_file(entry: str, candidates) -> dict | None:
    """Return the candidate that an earlier run chose, or None."""
    known = remembered(cache_file()).get(entry, {}).get('config')
    return next((candidate for candidate in candidates if _plain(candidate) == known), None)


def _measured(entry: str, candidates, measure) -> dict:
    """Return the fastest candidate, and write it down."""
    try:
        best, least_ms = _fastest(entry, candidates, measure)
    except torch.cuda.OutOfMemoryError as error:
        warn(f'{entry} is not tuned, and may be slower: there is no memory left to time it '
             f'({str(error).splitlines()[0]})')
        torch.cuda.empty_cache()
        return candidates[0]
    _log.info('%s: %s, %.4f ms', entry, best, least_ms)
    remember(cache_file(), entry, {'config': _plain(best), 'ms': least_ms})
    return best


def _compiled(candidates, measure) -> dict:
    """Run this process's share of the candidates and return the first of all."""
    for candidate in candidates[_share[0]]:
        try:
            measure(candidate)
        except failures() as error:
            _log.debug('%s cannot be used: %s', candidate, error)
    return candidates[0]


def _plain(value):
    """Return a value as JSON gives it back: tuples as lists."""
    return json.loads(json.dumps(value))


def _fastest(entry: str, candidates, measure) -> tuple[dict, float]:
    best, least, reasons = None, math.inf, []
    for candidate in candidates:
        try:
            found = measure(candidate)
        except torch.cuda.OutOfMemoryError:
            raise
        except failures() as error:
            reasons.append(f'{candidate}: {type(error).__name__} {error}'.splitlines()[0])
            _log.debug('%s cannot use %s', entry, reasons[-1])
            continue
        if found < least:
            best, least = candidate, found
    if best is None:
        raise Unavailable(
            f'none of the {len(candidates)} configurations of {entry} works on this device: '
            + '; '.join(reasons or ['none of their times is a number']))
    return best, least


@lru_cache(maxsize=1)
def failures() -> tuple[type[Exception], ...]:
    """Return what a kernel raises that asks for too much; other errors are bugs."""
    try:
        from triton.errors import TritonError
    except ImportError:
        return (Unavailable, RuntimeError)
    return (TritonError, Unavailable, RuntimeError)
