# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""When stages run, are captured and are replayed; a recorder without a GPU stands for one."""
import logging
import threading

from pretend_recorder import PretendRecorder
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.inference.capture import Recorder, Recording
import torch


def make(recorder):
    calls = []
    stages = {name: lambda name=name: calls.append(name) for name in 'abc'}
    return Recording(recorder, 'a test', stages, lambda: calls.append('forget')), calls


def test_the_first_run_is_an_ordinary_one_and_the_second_is_captured():
    recorder = PretendRecorder()
    recording, calls = make(recorder)
    recording.run()
    assert calls == ['a', 'b', 'c', 'forget'] and not recording.is_captured
    recording.run()
    assert recording.is_captured and recorder.captures == 1
    assert calls[4:] == ['a', 'b', 'c', 'forget', 'a', 'b', 'c']  # captured, then replayed
    recording.run()
    assert recorder.captures == 1 and calls[11:] == ['a', 'b', 'c']


def test_stages_become_graphs_of_their_own_when_they_are_timed():
    recorder = PretendRecorder()
    recording, _ = make(recorder)
    assert len(recording.run(by_stage=True)) == len(recording.run(by_stage=True)) == 4
    assert recorder.captures == 3
    assert len(recording.run()) == 2 and recorder.captures == 4
    marks = recording.run(by_stage=True)
    assert recorder.captures == 4 and marks == sorted(marks)


def test_a_stage_that_waits_for_the_device_stands_between_two_graphs():
    recorder, calls = PretendRecorder(), []
    stages = {name: lambda name=name: calls.append(name) for name in 'abcd'}
    recording = Recording(recorder, 'a test', stages, on_host={'c'})
    recording.run()
    del calls[:]
    recording.run()
    assert calls == ['a', 'b', 'd', 'a', 'b', 'c', 'd'] and recorder.captures == 2
    recording.run(by_stage=True)
    assert calls[7:] == ['a', 'b', 'd', 'a', 'b', 'c', 'd'] and recorder.captures == 5


def test_a_run_that_fails_is_not_the_first_one():
    recorder = PretendRecorder()
    failing = [True]

    def stage():
        calls.append('stage')
        if failing:
            raise RuntimeError(failing.pop())
    calls = []
    recording = Recording(recorder, 'a test', {'a': stage}, lambda: calls.append('forget'))
    with pytest.raises(RuntimeError):
        recording.run()
    assert calls == ['stage', 'forget']
    recording.run()
    assert recorder.captures == 0 and not recording.problem
    recording.run()
    assert recorder.captures == 1


@pytest.mark.parametrize('error', [RuntimeError, ValueError, ConfigError])
def test_whatever_a_capture_raises_the_stages_run_and_the_memory_is_left_alone(error, monkeypatch):
    recorder = PretendRecorder()
    recording, calls = make(recorder)
    recording.run()

    def fail(functions):
        recorder._pool = recorder._anchor = 'spoilt'
        raise error('no')
    monkeypatch.setattr(recorder, 'graph_of', fail)
    for _ in range(2):
        recording.run()
    assert recording.problem == 'no' and recording.is_ready and calls[-4:-1] == ['a', 'b', 'c']
    assert recorder._pool is None and recorder._anchor is None


def test_what_cannot_be_captured_runs_all_the_same_and_says_why_once(caplog):
    recording, calls = make(PretendRecorder('a stage waits for the device'))
    for _ in range(3):
        recording.run()
    assert calls == ['a', 'b', 'c', 'forget', 'forget'] + ['a', 'b', 'c', 'forget'] * 2
    assert recording.problem == 'a stage waits for the device'
    warnings = [record.getMessage() for record in caplog.records
                if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and 'a test cannot be captured' in warnings[0]
    assert 'waits for the device' in warnings[0] and 'trace' not in warnings[0]


def test_a_thread_captures_only_what_it_has_run_before_but_replays_anything():
    recorder = PretendRecorder()
    recording, _ = make(recorder)

    def run_on_a_thread():
        thread = threading.Thread(target=recording.run)
        thread.start()
        thread.join()
    recording.run()
    run_on_a_thread()
    assert not recording.is_captured
    recording.run()
    recording.run()
    assert recorder.captures == 1
    run_on_a_thread()
    assert recorder.captures == 1 and recording.is_captured


def test_a_recorder_on_a_cpu_never_captures():
    recorder = Recorder(torch.device('cpu'))
    recording, calls = make(recorder)
    for _ in range(3):
        recording.run()
    assert not recorder.capture and not recording.is_captured and calls.count('a') == 3
