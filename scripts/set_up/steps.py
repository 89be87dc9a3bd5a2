# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Steps that run only when their inputs have changed, with progress for people and a log."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
from pathlib import Path
import re
import subprocess
import sys
import time

from target import SetUpError, Target

NOISE = re.compile(r'^\s*$|WARNING: (Location|Ignoring)|\[notice\]')


@dataclass(frozen=True)
class Step:
    """A piece of the set-up, repeated when an input changes or an output is gone."""

    name: str
    run: Callable[[], None]
    inputs: Sequence[Path | str]  # contents of files, and plain values
    outputs: Sequence[Path] = ()

    def digest(self) -> str:
        """Return a hash over the inputs."""
        value = hashlib.sha256()
        for item in self.inputs:
            value.update(item.read_bytes() if isinstance(item, Path) else item.encode())
            value.update(b'\0')
        return value.hexdigest()


def run_steps(target: Target, steps: Sequence[Step]) -> None:
    """Run those steps whose stamp (in the environment) is missing or not that of the inputs."""
    stamps = target.environment / 'set_up_stamps'
    for number, step in enumerate(steps, start=1):
        stamp = stamps / step.name.replace(' ', '_')
        digest = step.digest()
        done = stamp.is_file() and stamp.read_text() == digest
        if done and all(path.exists() for path in step.outputs):
            continue
        stamp.unlink(missing_ok=True)
        with progress(f'[{number}/{len(steps)}] {step.name}'):
            step.run()
        stamps.mkdir(exist_ok=True)
        stamp.write_text(digest)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Print one line for a piece of work: its name, then the seconds that it took."""
    started = time.monotonic()
    print(f'{text} ... ', end='', flush=True)
    yield
    print(f'{time.monotonic() - started:.0f} s', flush=True)


def execute(
    target: Target, command: Sequence[str], environment: dict[str, str] | None = None,
) -> None:
    """Run a command, its output in the log; raise SetUpError with the last lines if it fails."""
    target.log.parent.mkdir(exist_ok=True)
    with target.log.open('a+', encoding='utf-8', errors='replace') as log:
        log.write(f'\n$ {" ".join(command)}\n')
        log.flush()
        start = log.tell()
        try:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=target.root)
        except FileNotFoundError as error:
            raise SetUpError(f'there is no command {command[0]!r} to run') from error
        try:
            _wait(process)
        except KeyboardInterrupt:
            process.wait()  # the terminal has sent it the same signal
            raise
        log.seek(start)
        lines = [line.rstrip() for line in log if not NOISE.search(line)]
    if process.returncode:
        tail = '\n'.join(f'    {line}' for line in lines[-25:])
        raise SetUpError(f'{command[0]} failed:\n{tail}\nThe whole output is in {target.log}')


def _wait(process: subprocess.Popen) -> None:
    """Wait for a process; on a terminal, show the seconds as they pass."""
    started = time.monotonic()
    while True:
        try:
            process.wait(timeout=1.0)
            return
        except subprocess.TimeoutExpired:
            if sys.stdout.isatty():
                text = f'({time.monotonic() - started:.0f} s) '
                print(text + '\b' * len(text), end='', flush=True)


@contextmanager
def locked(target: Target) -> Iterator[None]:
    """Let only one set-up of a target run at a time."""
    target.build.mkdir(exist_ok=True)
    (target.build / 'COLCON_IGNORE').touch()
    with (target.build / 'set_up.lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('another set-up of this directory is running; waiting for it', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
