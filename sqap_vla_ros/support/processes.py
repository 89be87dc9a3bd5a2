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
from queue import Empty
import signal
import sys
import threading
from typing import NoReturn

POLL_S = 0.1


def run_jobs(function: Callable, jobs: Iterable, processes: int,
             heard: Callable | None = None) -> Iterator[tuple]:
    """
    Yield (job, function(job)) for every job, in the order in which they end.

    function and jobs are pickled; a process is kept from job to job.  heard: called, on a thread
    of this process, with what running jobs `tell`.  Close the generator (contextlib.closing) to
    stop early: running jobs are given up.  Ctrl-C reaches the caller alone.  Raises what a job
    raises, and RuntimeError when a process dies.
    """
    context, ended = multiprocessing.get_context('spawn'), False
    others = set(multiprocessing.active_children())
    news = context.Queue()
    with _listening(news, heard), ProcessPoolExecutor(
            processes, context, _begin, (news,)) as pool:
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


def tell(news) -> None:
    """Let the caller of run_jobs hear something of the job that runs in this process."""
    if _news is not None:
        _news.put(news)


_news = None  # where a process of run_jobs tells its news


@contextmanager
def _listening(news, heard: Callable | None):
    """Call heard with the news of all processes, until the last is heard or they are given up."""
    over = threading.Event()

    def listen():
        """Hear news until the last, or until there is none and it is over."""
        while True:
            try:
                item = news.get(timeout=POLL_S)
            except Empty:
                if over.is_set():
                    return
            else:
                heard(item)
    thread = threading.Thread(target=listen, daemon=True)
    if heard is not None:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if heard is not None:
            thread.join(5 * POLL_S)  # it waits for ever for the rest of what a killed one told


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


def _begin(news) -> None:
    """Keep where to tell news; let the parent's death, however it came, end this process too."""
    global _news
    _news = news
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
