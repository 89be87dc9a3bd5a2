# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The file that tuned configurations are kept in, from one process to the next.

It is JSON in the user's cache (`~/.cache/sqap_vla_ros/tuning`, or below XDG_CACHE_HOME), one file
for each device, driver, Triton and version of the kernels' sources.  Several processes may share
it.
"""

from __future__ import annotations

import fcntl
from functools import lru_cache
import hashlib
from importlib.metadata import PackageNotFoundError, version
import json
import logging
from pathlib import Path
import platform
import re

import torch

from ..base import Unavailable
from ..build import cache_directory
from ...support.files import write_whole

_log = logging.getLogger(__name__)
_DRIVER = Path('/sys/module/nvidia/version')  # a Jetson's driver comes with its kernel instead
_files: dict[Path | None, dict] = {}  # what was read, by file


@lru_cache(maxsize=None)
def warn(text: str) -> None:
    """Say something once."""
    _log.warning('%s', text)


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
        folder = cache_directory()
    except Unavailable as reason:
        warn(f'tuned configurations are not kept: {reason}')
        return None
    return folder / 'tuning' / f'{slug}-{digest}.json'


def remembered(path: Path | None) -> dict[str, dict]:
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
        warn(f'{path} cannot be used ({type(error).__name__}: {error}): kernels are tuned again')
        return {}
    return choices


def remember(path: Path | None, entry: str, choice: dict) -> None:
    """Keep a choice, in the file too if it can be written."""
    remembered(path)[entry] = choice
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_suffix('.lock'), 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # else two processes would lose each other's
            content = {'device': identity(), 'choices': {**_read(path), entry: choice}}
            write_whole(path, f'{json.dumps(content, indent=1)}\n'.encode())
    except OSError as error:
        warn(f'{path} cannot be written ({error}): kernels will be tuned again; set '
             'XDG_CACHE_HOME to a directory that can')
