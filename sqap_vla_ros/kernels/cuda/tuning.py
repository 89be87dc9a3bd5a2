# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Time a kernel's candidate configurations once a device, and remember the fastest.

    config = tuned('int_gemm', (m, n, k), CANDIDATES, lambda config: milliseconds(launch(config)))

Choices stand in a JSON file in the user's cache (`~/.cache/sqap_vla_ros/tuning`, or below
XDG_CACHE_HOME), one file for each device, driver, Triton and version of the kernels' sources.
Several processes may share it.  Nothing here imports triton before a kernel has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import fcntl
from functools import lru_cache
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
import logging
import math
from pathlib import Path
import platform
import re

import torch

from ..base import Unavailable
from ..build import library_path
from ...files import write_whole

_log = logging.getLogger(__name__)
_DRIVER = Path('/sys/module/nvidia/version')  # a Jetson's driver comes with its kernel instead
_WARM_UP_MS, _REPEAT_MS = 5, 25
_chosen: dict[tuple, dict] = {}  # by device, kernel and key
_files: dict[Path | None, dict] = {}  # what was read, by file
_share: list[slice] = []  # of the candidates, where this process only compiles


def tuned(name: str, key: Sequence, candidates: Sequence[dict],
          measure: Callable[[dict], float]) -> dict:
    """
    Return the candidate with the least measure(candidate), in milliseconds.

    name: of the kernel.  key: what the choice depends on, such as shapes and types.  key and
    candidates hold JSON's values.  A candidate that cannot be compiled or launched is skipped;
    one that stands alone is returned as it is.  While a CUDA graph is captured nothing can be
    timed: then, with a warning, the first candidate is returned and not remembered.

    Raises Unavailable if no candidate works, with the reasons, and ValueError for none at all.
    """
    if not candidates:
        raise ValueError(f'{name} was given no candidates')
    if len(candidates) == 1:
        return candidates[0]
    place = (_current_device(), name, *key)
    if _chosen.get(place) not in candidates:
        entry = f'{name} {json.dumps(key)}'
        if _is_capturing() and not _share and _from_file(entry, candidates) is None:
            _warn(f'{entry} was not run before a CUDA graph of it was captured, and is not tuned: '
                  'warm up first')
            return candidates[0]
        _chosen[place] = _choose(entry, candidates, measure)
    return _chosen[place]


def compile_share(index: int, count: int) -> None:
    """
    Only compile from now on: every `count`-th candidate, from number `index` on.

    So many processes that run the same kernels, each with a share of its own, fill Triton's cache
    side by side for one that tunes after them.
    """
    _share[:] = [slice(index, None, count)]


@contextmanager
def without_tuning() -> Iterator[None]:
    """Take every kernel's first candidate in this block, and forget it afterwards."""
    before, chosen = _share[:], dict(_chosen)
    _chosen.clear()
    _share[:] = [slice(0)]
    try:
        yield
    finally:
        _share[:] = before
        _chosen.clear()
        _chosen.update(chosen)


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
    return _measured(entry, candidates, measure) if known is None else known


def _from_file(entry: str, candidates) -> dict | None:
    """Return the candidate that an earlier run chose, or None."""
    known = _remembered(cache_file()).get(entry, {}).get('config')
    return next((candidate for candidate in candidates if _plain(candidate) == known), None)


def _measured(entry: str, candidates, measure) -> dict:
    """Return the fastest candidate, and write it down."""
    best, least_ms = _fastest(entry, candidates, measure)
    _log.info('%s: %s, %.4f ms', entry, best, least_ms)
    _remember(cache_file(), entry, {'config': _plain(best), 'ms': least_ms})
    return best


def _compiled(candidates, measure) -> dict:
    """Run this process's share of the candidates and return the first of all."""
    for candidate in candidates[_share[0]]:
        try:
            measure(candidate)
        except _failures() as error:
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
        except _failures() as error:
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
def _failures() -> tuple[type[Exception], ...]:
    """Return what a candidate raises that asks for too much; other errors are bugs."""
    try:
        from triton.errors import TritonError
    except ImportError:
        return (Unavailable, RuntimeError)
    return (TritonError, Unavailable, RuntimeError)


def identity() -> dict[str, str]:
    """Return everything that a choice depends on, besides the kernel and its key."""
    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        'device': facts.name, 'capability': f'{facts.major}.{facts.minor}',
        'multiprocessors': str(facts.multi_processor_count),
        'driver': _DRIVER.read_text().strip() if _DRIVER.is_file() else platform.release(),
        'triton': triton_version(), 'sources': source_digest()}


def triton_version() -> str:
    """Return Triton's version without importing it, '' where it is not installed."""
    for package in ('triton', 'pytorch-triton'):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ''


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Return a digest of the kernels' sources."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_file() -> Path | None:
    """Return where the choices for this device belong; None for a user without a home."""
    facts = identity()
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    slug = re.sub(r'[^a-z0-9]+', '-', facts['device'].lower()).strip('-')
    try:
        folder = library_path().parent
    except Unavailable as reason:
        _warn(f'tuned configurations are not kept: {reason}')
        return None
    return folder / 'tuning' / f'{slug}-{digest}.json'


@lru_cache(maxsize=None)
def _warn(text: str) -> None:
    """Say something once."""
    _log.warning('%s', text)


def _remembered(path: Path | None) -> dict[str, dict]:
    """Return the choices of a file, read once a process."""
    if path not in _files:
        _files[path] = {} if path is None else _read(path)
    return _files[path]


def _read(path: Path) -> dict[str, dict]:
    """Return a file's choices; what cannot be used is ignored with a warning."""
    try:
        choices = json.loads(path.read_text())['choices']
        if not all(isinstance(choice['config'], dict) for choice in choices.values()):
            raise TypeError('a configuration is no object')
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _warn(f'{path} cannot be used ({type(error).__name__}: {error}): kernels are tuned again')
        return {}
    return choices


def _remember(path: Path | None, entry: str, choice: dict) -> None:
    """Keep a choice, in the file too if it can be written."""
    _remembered(path)[entry] = choice
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix('.lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # else two processes would lose each other's
            content = {'device': identity(), 'choices': {**_read(path), entry: choice}}
            write_whole(path, f'{json.dumps(content, indent=1)}\n'.encode())
    except OSError as error:
        _warn(f'{path} cannot be written ({error}): kernels will be tuned again; set '
              'XDG_CACHE_HOME to a directory that can')
