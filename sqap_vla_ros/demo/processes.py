# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo's processes: started together, watched, and never left behind.

Each child leads a session of its own, so a Ctrl-C in the terminal reaches the demo alone,
which then stops the children in order. Should the demo be killed outright, the kernel kills
the children (PR_SET_PDEATHSIG).
"""
from collections.abc import Mapping
import ctypes
from dataclasses import dataclass
import os
from pathlib import Path
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
GRACE_S = 8.0
LAST_LINES = 25
_libc = ctypes.CDLL(None)


class ChildDied(RuntimeError):
    """A child process ended before the demo was over; the message holds its last lines."""


@dataclass
class Child:
    """A running process, its log file, and the most memory that it was seen to use (MiB)."""

    name: str
    process: subprocess.Popen
    log: Path
    rss_mb: float = 0.0
    peak_mb: float = 0.0

    def measure_memory(self) -> None:
        """Read resident memory now and at its peak; nothing for a process that has ended."""
        try:
            lines = Path(f'/proc/{self.process.pid}/status').read_text().splitlines()
        except OSError:
            return
        fields = dict(line.split(':', 1) for line in lines if ':' in line)
        if 'VmRSS' in fields:  # a zombie has no memory
            self.rss_mb = int(fields['VmRSS'].split()[0]) / 1024
            self.peak_mb = int(fields['VmHWM'].split()[0]) / 1024

    def last_lines(self) -> str:
        """Return the end of its log."""
        return '\n'.join(self.log.read_text(errors='replace').splitlines()[-LAST_LINES:])


class Children:
    """
    The processes of one demo, as a context manager that stops all of them.

    environment: variables of each; logs: directory for NAME.log.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path):
        self._environment, self._logs = dict(environment), logs
        self._children: dict[str, Child] = {}

    def __enter__(self) -> 'Children':
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __iter__(self):
        return iter(self._children.values())

    def start(self, name: str, command: list[str], piped: bool = False) -> Child:
        """Start a child; its stdout goes to its log, or with `piped` to child.process.stdout."""
        log = self._logs / f'{name}.log'
        parent = os.getpid()
        with log.open('wb') as file:
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stderr=file,
                stdout=subprocess.PIPE if piped else file, start_new_session=True,
                preexec_fn=lambda: _die_with(parent))
        child = self._children[name] = Child(name, process, log)
        return child

    def check(self) -> None:
        """Raise ChildDied if a child has ended with an error, or at all unless it may."""
        for child in self:
            status = child.process.poll()
            if status is not None and not (child.name == 'simulator' and status == 0):
                raise ChildDied(
                    f'{child.name} ended with {_status_text(status)}; the last lines of '
                    f'{child.log}:\n{child.last_lines()}')

    def stop(self) -> None:
        """Interrupt all, give them GRACE_S, then kill what is left; a signal skips the grace."""
        impatient = []
        old = {number: signal.signal(number, lambda *_: impatient.append(True))
               for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for child in self:
                _signal_group(child, signal.SIGINT)
            give_up_at = time.monotonic() + GRACE_S
            while not impatient and time.monotonic() < give_up_at and any(
                    child.process.poll() is None for child in self):
                time.sleep(0.02)
            for child in self:
                _signal_group(child, signal.SIGKILL)
                child.process.wait()
                if child.process.stdout is not None:
                    child.process.stdout.close()
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends (runs in the child)."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def _signal_group(child: Child, number: int) -> None:
    if child.process.poll() is None or number == signal.SIGKILL:
        try:
            os.killpg(child.process.pid, number)
        except ProcessLookupError:  # the whole group has ended
            pass


def _status_text(status: int) -> str:
    return f'signal {signal.Signals(-status).name}' if status < 0 else f'status {status}'
