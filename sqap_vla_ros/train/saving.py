# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The resumable state of a training on the disk, and stopping without losing it."""

from __future__ import annotations

from contextlib import contextmanager
import io
from pathlib import Path
import pickle
import signal

from ..errors import ConfigError
from ..support.files import saving_to, write_whole

LAST_SAVE = 'what was saved last is whole'


def write_state(path: Path, state: dict) -> None:
    """Write a training's state whole; raise ConfigError, and keep the older one, if it fails."""
    import torch
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with saving_to(path.parent, len(buffer.getvalue()), LAST_SAVE):
        write_whole(path, buffer.getvalue())


def read_state(path: Path, device: str) -> dict:
    """Return a training's state; raise ConfigError for a truncated or damaged file."""
    import torch
    try:
        state = torch.load(path, weights_only=True, map_location=device)
        if not isinstance(state, dict):
            raise EOFError(f'it holds a {type(state).__name__}')
        return state
    except (OSError, RuntimeError, EOFError, KeyError, ValueError,
            pickle.UnpicklingError) as error:
        cause = str(error).strip().split('\n')[0][:120] or type(error).__name__
        raise ConfigError(
            f'{path} is truncated or damaged ({cause}): delete it to begin anew, '
            f'with --init {path.parent / "checkpoint"} from the weights that were saved with it'
        ) from error


@contextmanager
def stop_signals():
    """Yield a list of the SIGINTs and SIGTERMs so far, looked at between steps; a second stops."""
    received: list[int] = []

    def note(number, _frame):
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
