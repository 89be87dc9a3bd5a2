# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs in several processes of their own, for simulators that cannot share one; how one ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from typing import NoReturn


def run_jobs(function: Callable, jobs: Iterable, processes: int) -> Iterator[tuple]:
    """
    Yield (job, function(job)) for every job, in the order in which they end.

    function and jobs are pickled; a process is kept from job to job.  Close the generator
    (contextlib.closing) to stop early: running jobs are given up.  Ctrl-C reaches the caller
    alone.  Raises what a job raises, and RuntimeError when a process dies.
    """
    context, ended = multiprocessing.get_context('spawn'), False
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, context, _end_with_parent) as pool:
        try:
            with _without_interrupts():  # the processes inherit it
                jobs_of = {pool.submit(function, job): job for job in jobs}
            for future in as_completed(jobs_of):
                yield jobs_of[future], future.result()
            ended = True
        except BrokenProcessPool as error:
            raise RuntimeError('a process died (out of memory?); its message stands '
                               'above') from error
        finally:
            if not ended:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()


def leave(status: int) -> NoReturn:
    """
    End this process at once, with an exit status and what was printed; nothing else is undone.

    A process that imported torch takes Python seconds to take to pieces, more than `ros2 launch`
    waits after Ctrl-C; and a thread that is left behind (a checkpoint that is still loading)
    would be unwound through the frames of a C++ library, which aborts.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # what C libraries have printed
    os._exit(status)


@contextmanager
def _without_interrupts():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with_parent() -> None:
    """Let the parent's death, however it came, end this process too."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
