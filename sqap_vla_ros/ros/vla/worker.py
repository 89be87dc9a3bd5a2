# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The one thread on which the policy is loaded, warmed up and run.

A policy is thread-confined, and a callback must never wait for one. Work is offered: while
the thread is busy, a newer job replaces the one that waits, for an old image is worth nothing.
"""

from concurrent.futures import Future
import threading
import time
import traceback

from sqap_vla_ros.support.timing import thread_clock


class Worker:
    """
    Runs calls in order, and of the jobs offered the newest.

    clock: of the thread's processor time, see time.clock_gettime.
    """

    def __init__(self, on_bug):
        """on_bug(text): gets the traceback of a job that raised; called on the thread."""
        self._on_bug = on_bug
        self._wake = threading.Condition()
        self._calls = []
        self._job = None
        self._closed = False
        self._busy_since = None
        self._thread = threading.Thread(target=self._run, name='inference', daemon=True)
        self._thread.start()
        self.clock = self.call(thread_clock).result()

    def call(self, function) -> Future:
        """Run a function before any job that is offered; its result or error is the future's."""
        future = Future()
        with self._wake:
            self._calls.append((function, future))
            self._wake.notify()
        return future

    def offer(self, job):
        """Run a job when the thread is free, unless a newer one is offered before that."""
        with self._wake:
            self._job = job
            self._wake.notify()

    def withdraw(self):
        """Forget the job that waits; one that runs already goes on."""
        with self._wake:
            self._job = None

    @property
    def has_waiting_job(self) -> bool:
        """Whether a job waits for the thread to become free."""
        return self._job is not None

    @property
    def busy_s(self) -> float:
        """How long the job in hand has been running, in seconds; 0 when there is none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def has_ended(self) -> bool:
        """Whether the thread is over; not so after close() where a job hangs or takes long."""
        return not self._thread.is_alive()

    def close(self, timeout_s: float = 2.0):
        """End the thread; one that hangs is left behind (it is a daemon)."""
        with self._wake:
            self._closed = True
            self._job = None
            while self._calls:
                self._calls.pop()[1].cancel()
            self._wake.notify()
        self._thread.join(timeout_s)

    def _run(self):
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._calls or self._job)
                if self._closed:
                    return
                if self._calls:
                    work, future = self._calls.pop(0)
                else:
                    work, future, self._job = self._job, None, None
            self._busy_since = time.monotonic() if future is None else None
            try:
                result = work()
            except BaseException as error:  # the thread's top frame: SystemExit comes here, too
                self._busy_since = None
                if future is None:
                    self._on_bug(traceback.format_exc())
                else:
                    future.set_exception(error if isinstance(error, Exception) else
                                         RuntimeError(f'ended by {error!r}'))
            else:
                self._busy_since = None
                if future is not None:
                    future.set_result(result)
