# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that a step runs: their output in the log, their failure as one that can be mended."""
from collections.abc import Sequence
import os
from pathlib import Path
import re
import signal
import subprocess
import tempfile
import threading

from causes import cause_of
from display import display, Follower
from target import SetUpError, Target

NOISE = re.compile(r'^\s*$|WARNING: (Location|Ignoring)|\[notice\]')
LAST_LINES = 12
PATIENCE_S = 10.0
_running: set[subprocess.Popen] = set()
_lock = threading.Lock()
_stopping = threading.Event()


class Stopped(Exception):
    """Ctrl-C or a signal has ended the set-up."""


def execute(
    target: Target, command: Sequence[str], environment: dict[str, str] | None = None,
) -> None:
    """
    Run a command, its output in the log.

    Raises SetUpError with what a failure means and what to do, or, where its output is nothing
    usual, with the last lines; Stopped after terminate_all().
    """
    target.log.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile('w+', dir=target.build, prefix='output_',
                                     encoding='utf-8', errors='replace') as output:
        output.write(f'\n$ {" ".join(command)}\n')
        output.flush()
        start = output.tell()
        follower = Follower(Path(output.name), start, target.environment)
        try:
            status = _run(target, command, environment, output, follower)
        finally:
            output.seek(0)
            text = output.read()
            with _lock, target.log.open('a', encoding='utf-8') as log:
                log.write(text)
    if _stopping.is_set():
        raise Stopped
    if status:
        raise SetUpError(_failure(target, command, text.partition('\n$ ')[2], status))


def terminate_all() -> None:
    """Interrupt what runs, as Ctrl-C does, and kill what does not end by that."""
    _stopping.set()
    with _lock:
        running = list(_running)
    for process in running:
        process.send_signal(signal.SIGINT)
    for process in running:
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _run(target, command, environment, output, follower) -> int:
    """Return the exit status of a command, negative of a signal."""
    inherited = {**(os.environ if environment is None else environment), 'COLUMNS': '200'}
    try:
        with _lock:
            if _stopping.is_set():
                raise Stopped
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=inherited, cwd=target.root, close_fds=False)
            _running.add(process)
    except OSError as error:
        raise SetUpError(f'{command[0]} can not be started: {error.strerror}') from error
    try:
        with display.doing(follower.now):
            return process.wait()
    finally:
        with _lock:
            _running.discard(process)


def _failure(target: Target, command: Sequence[str], output: str, status: int) -> str:
    """Return what to tell of a command that failed."""
    where = f'The whole output is in {target.log}; the next run goes on from here'
    cause = cause_of(output, status)
    if cause:
        return f'{cause}\n{where}'
    lines = [line.rstrip() for line in output.splitlines()[1:] if not NOISE.search(line)]
    tail = '\n'.join(f'    {line}' for line in lines[-LAST_LINES:])
    return f'{command[0]} failed (status {status}):\n{tail}\n{where}'
