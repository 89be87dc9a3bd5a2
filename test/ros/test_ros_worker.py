# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The inference thread outlives whatever a policy raises."""

from contextlib import closing
import threading

import pytest
from sqap_vla_ros.ros.vla.worker import Worker

WAIT_S = 30.0


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_job_that_raises_is_told_and_the_next_one_runs(error):
    told, heard, ran = [], threading.Event(), threading.Event()

    def fail():
        raise error('from a policy')

    def on_bug(text):
        told.append(text)
        heard.set()
    with closing(Worker(on_bug)) as worker:
        worker.offer(fail)
        assert heard.wait(WAIT_S)
        worker.offer(ran.set)
        assert ran.wait(WAIT_S)
    assert len(told) == 1 and f'{error.__name__}: from a policy' in told[0]


def test_a_policy_that_exits_while_it_is_loaded_fails_the_load_and_not_the_process():
    def leave():
        raise SystemExit(2)
    with closing(Worker(lambda text: None)) as worker:
        with pytest.raises(RuntimeError, match=r'ended by SystemExit\(2\)'):
            worker.call(leave).result(WAIT_S)
        assert worker.call(lambda: 7).result(WAIT_S) == 7
