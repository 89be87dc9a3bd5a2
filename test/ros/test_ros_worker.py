# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The inference thread outlives whatever a policy raises."""

from contextlib import closing
import threading
from types import SimpleNamespace

import pytest
from sqap_vla_ros.inference import device
from sqap_vla_ros.ros.vla.node import VlaNode
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


def test_a_thread_that_is_left_behind_has_not_ended():
    going_on, begun = threading.Event(), threading.Event()
    worker = Worker(lambda text: None)
    worker.call(lambda: (begun.set(), going_on.wait(WAIT_S)))
    assert begun.wait(WAIT_S)
    worker.close(timeout_s=0.01)
    assert not worker.has_ended
    going_on.set()
    worker.close()
    assert worker.has_ended


@pytest.mark.parametrize('has_ended', [True, False])
def test_memory_is_let_go_of_unless_a_load_is_left_behind_that_may_hold_an_import(
        has_ended, monkeypatch):
    freed = []
    monkeypatch.setattr(device, 'free_memory', lambda: freed.append(True))
    node = SimpleNamespace(_worker=SimpleNamespace(has_ended=has_ended), _run=SimpleNamespace(),
                           _stop_parts=lambda: None)
    VlaNode.take_apart(node)
    VlaNode.take_apart(node)  # again at the end of the process
    assert freed == [True] * has_ended
