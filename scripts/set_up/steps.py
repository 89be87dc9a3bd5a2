# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Steps that run only when their inputs have changed, some side by side, with a log."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import hashlib
import os
from pathlib import Path
import re
import threading
import time

from display import display
from processes import terminate_all
from target import Target

PERIOD_S = 0.5


@dataclass(frozen=True)
class Step:
    """
    A piece of the set-up, repeated when an input changes or an output is gone.

    after: names of steps that must be done before; others may run at the same time.  mend: run
    first where the step was begun and never ended, to remove what it may have left half done.
    """

    name: str
    run: Callable[[], None]
    inputs: Sequence[Path | str]  # contents of files, and plain values
    outputs: Sequence[Path] = ()
    after: Sequence[str] = ()
    mend: Callable[[], None] = lambda: None

    def digest(self) -> str:
        """Return a hash over the inputs."""
        value = hashlib.sha256()
        for item in self.inputs:
            value.update(item.read_bytes() if isinstance(item, Path) else item.encode())
            value.update(b'\0')
        return value.hexdigest()

    def stamp(self, target: Target) -> Path:
        """Return the file (in the environment) that holds the digest of what is done."""
        return target.environment / 'set_up_stamps' / self.name.replace(' ', '_')

    def is_done(self, target: Target) -> bool:
        """Return whether it was done with these inputs, and its outputs are there."""
        stamp = self.stamp(target)
        done = stamp.is_file() and stamp.read_text() == self.digest()
        return done and all(path.exists() for path in self.outputs)


def pending(target: Target, steps: Sequence[Step]) -> list[Step]:
    """Return the steps that are still to be done."""
    return [step for step in steps if not step.is_done(target)]


def run_steps(target: Target, steps: Sequence[Step]) -> None:
    """
    Run the steps that are not done, each as soon as those before it are.

    Raises the first error when all that ran has ended.
    """
    run = _Run(target, steps)
    attend(run.goes_on)
    if run.error:
        raise run.error


def run_work(work: Callable[[], None]) -> None:
    """Do a single piece of work, shown and interrupted as steps are."""
    errors = []

    def do() -> None:
        try:
            work()
        except BaseException as error:  # a thread's top frame: raised below
            errors.append(error)
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    attend(thread.is_alive)
    if errors:
        raise errors[0]


def attend(goes_on: Callable[[], bool]) -> None:
    """Show what is done for as long as something is; Ctrl-C ends what runs."""
    try:
        while goes_on():
            display.show()
            time.sleep(PERIOD_S if display.is_live else PERIOD_S / 5)
    except BaseException:  # nothing that was started is left, whatever it is
        terminate_all()
        raise
    finally:
        display.clear()


class _Run:
    """The threads of one run: one for each step that is under way."""

    def __init__(self, target: Target, steps: Sequence[Step]):
        self._target, self._steps = target, steps
        self._todo, self._left = list(steps), {step.name for step in steps}
        self._threads: list[threading.Thread] = []
        self.error: BaseException | None = None

    def goes_on(self) -> bool:
        """Begin what can begin; returns whether anything is under way."""
        for step in list(self._todo) if self.error is None else ():
            if not self._left & set(step.after):
                self._todo.remove(step)
                self._begin(step)
        return any(thread.is_alive() for thread in self._threads)

    def _begin(self, step: Step) -> None:
        if step.is_done(self._target):
            self._left.discard(step.name)
            return
        thread = threading.Thread(target=self._try, args=(step,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _try(self, step: Step) -> None:
        try:
            self._do(step)
            self._left.discard(step.name)
        except BaseException as error:  # a thread's top frame: run_steps raises it
            self.error = self.error or error
            terminate_all()

    def _do(self, step: Step) -> None:
        stamp = step.stamp(self._target)
        begun = stamp.with_suffix('.begun')
        place = f'[{self._steps.index(step) + 1}/{len(self._steps)}]'
        with display.progress(f'{place} {step.name}'):
            if begun.exists():
                step.mend()
            stamp.unlink(missing_ok=True)
            if stamp.parent.is_dir():
                begun.touch()
            step.run()
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(step.digest())
            begun.unlink(missing_ok=True)


@contextmanager
def locked(target: Target) -> Iterator[None]:
    """
    Let only one set-up of a target run at a time.

    What it starts inherits the lock: should the set-up be killed, the next one waits for pip.
    """
    target.build.mkdir(exist_ok=True)
    (target.build / 'COLCON_IGNORE').touch()
    with (target.build / 'set_up.lock').open('a+') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = re.sub(r'\D', '', lock.read())
            print(f'another set-up of this directory is running (process {other or "unknown"}): '
                  'waiting for it', flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f'{os.getpid()}\n')
        lock.flush()
        os.set_inheritable(lock.fileno(), True)
        for left in target.build.glob('output_*'):  # of a set-up that was killed
            left.unlink()
        yield
