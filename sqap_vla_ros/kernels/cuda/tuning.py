# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Triton's autotuner, kept to the rule that nothing is compiled or timed while an arm may move.

    @autotuned(configs, key=['bucket', 'N'], prune=fitting)
    @triton.jit(do_not_specialize=['bucket'])
    def kernel(x, N, bucket, BLOCK: tl.constexpr): ...

    launch(kernel, grid, bucket(rows), x=x, N=N)

Triton times the configurations once for each key, and keeps the times in its own cache on disk
where its version does.  In a block of `settled()` the one for the nearest bucket serves instead,
whose kernel is compiled already.  Nothing here imports triton before a kernel has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
import inspect
import logging
import os
import threading

import torch

_log = logging.getLogger(__name__)
_BUCKET = 32  # rows
_chosen: dict[tuple, dict[int, object]] = {}  # by device, kernel and key: bucket to configuration
_one_at_a_time = threading.Lock()  # what two threads time at once is slower for both
_thread = threading.local()  # its mode is 'settled' or 'first' in the blocks of that name


@lru_cache(maxsize=None)
def warn(text: str) -> None:
    """Say something once."""
    _log.warning('%s', text)


def is_interpreted() -> bool:
    """Return whether kernels are interpreted on the CPU."""
    return os.environ.get('TRITON_INTERPRET') == '1'


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


def autotuned(configs: Sequence, key: list[str], prune: Callable | None = None) -> Callable:
    """
    Return triton.autotune's decorator, with its cache on disk where this Triton has one.

    key: names of arguments, 'bucket' among them.  prune: (configs, named_args, **arguments) to
    those configurations that fit, the likeliest first.
    """
    import triton
    options = {} if prune is None else {'prune_configs_by': {'early_config_prune': prune}}
    if 'cache_results' in inspect.signature(triton.autotune).parameters:
        options['cache_results'] = True
    return triton.autotune(list(configs), key, **options)


def launch(kernel, grid, rows: int, /, **arguments) -> None:
    """
    Launch an autotuned kernel for a bucket of rows in the configuration that was fastest.

    arguments: all of the kernel's but `bucket` and what configurations hold.  The interpreter,
    which says nothing about speed, and blocks of `without_tuning` take the first configuration.
    """
    config = _config(kernel, grid, rows, arguments)
    kernel.fn[grid](bucket=rows, **arguments, **config.all_kwargs())


def _config(kernel, grid, rows: int, arguments: dict):
    if is_interpreted() or _mode() == 'first':
        return choices(kernel, rows, arguments)[0]
    key = [arguments[name] for name in kernel.keys if name != 'bucket']
    key += [str(value.dtype) for value in arguments.values() if isinstance(value, torch.Tensor)]
    name = kernel.base_fn.__name__
    known = _chosen.setdefault((torch.cuda.current_device(), name, *key), {})
    if rows not in known and _mode() == 'settled':
        return _stand_in(kernel, rows, arguments, known, f'{name} {key}')
    if rows not in known:
        with _one_at_a_time:
            kernel.cache.clear()  # it does not tell devices apart
            kernel[grid](bucket=rows, **arguments)
            known[rows] = kernel.best_config
            _log.info('%s %s, %d rows: %s', name, key, rows, known[rows])
    return known[rows]


def _stand_in(kernel, rows: int, arguments: dict, known: dict, name: str):
    """Return a configuration without timing anything, and say so once."""
    if not known:
        warn(f'{name} is compiled now and not tuned: warm up first')
        return choices(kernel, rows, arguments)[0]
    nearest = min(list(known), key=lambda other: abs(other - rows))  # a thread may add to it
    warn(f'{name} was tuned for {nearest} rows and not for {rows}, which is right and may be '
         'slower: warm up with such a prompt')
    return known[nearest]


def choices(kernel, rows: int, arguments: dict) -> list:
    """Return the configurations that are tried for a launch, the likeliest first."""
    prune = kernel.early_config_prune
    return (kernel.configs if prune is None
            else prune(kernel.configs, {}, bucket=rows, **arguments))


def settled():
    """Time nothing on this thread in this block: what was not tuned before it is not now."""
    return _in_mode('settled')


def without_tuning():
    """Take every kernel's first configuration on this thread in this block."""
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
