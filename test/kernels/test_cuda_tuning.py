# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tuning of the CUDA kernels: what is measured, kept, shared, and survived."""
import json
import logging
import multiprocessing
import threading

import pytest
from sqap_vla_ros.kernels.base import Unavailable
from sqap_vla_ros.kernels.cuda import choices, tuning
import torch

CANDIDATES = [{'block': 64, 'warps': 4}, {'block': 128, 'warps': 4}, {'block': 256, 'warps': 8}]
FACTS = {'device': 'NVIDIA Test 1', 'triton': '3.6.0', 'sources': 'abc'}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(choices, 'identity', lambda: FACTS)
    new_process()
    yield tmp_path / 'sqap_vla_ros' / 'tuning'
    new_process()


def new_process():
    """Forget what a process knows; what is in the file stays."""
    tuning._chosen.clear()
    choices._files.clear()
    tuning._share.clear()
    choices.warn.cache_clear()


class Stopwatch:
    """Gives each candidate a time, and counts how often it was asked."""

    def __init__(self, *times):
        self.times, self.asked = dict(zip((64, 128, 256), times)), []

    def __call__(self, candidate):
        self.asked.append(candidate['block'])
        found = self.times[candidate['block']]
        if isinstance(found, Exception):
            raise found
        return found


def test_the_fastest_is_taken_and_measured_once():
    measure = Stopwatch(3.0, 1.0, 2.0)
    for _ in range(2):
        assert tuning.tuned('gemm', (280, 4096), CANDIDATES, measure) is CANDIDATES[1]
    assert measure.asked == [64, 128, 256]


def test_every_kernel_and_key_has_a_choice_of_its_own():
    assert tuning.tuned('gemm', (1,), CANDIDATES, Stopwatch(1, 2, 3))['block'] == 64
    assert tuning.tuned('gemm', (2,), CANDIDATES, Stopwatch(2, 1, 3))['block'] == 128
    assert tuning.tuned('gemv', (1,), CANDIDATES, Stopwatch(3, 2, 1))['block'] == 256


def test_another_process_reads_the_choice(cache):
    tuning.tuned('gemm', (280, 'int8'), CANDIDATES, Stopwatch(3.0, 1.0, 2.0))
    new_process()
    measure = Stopwatch(1.0, 2.0, 3.0)
    assert tuning.tuned('gemm', (280, 'int8'), CANDIDATES, measure) is CANDIDATES[1]
    assert measure.asked == []
    [file] = cache.glob('*.json')
    assert file.name.startswith('nvidia-test-1-')
    content = json.loads(file.read_text())
    assert content['device'] == FACTS
    assert content['choices']['gemm [280, "int8"]'] == {'config': CANDIDATES[1], 'ms': 1.0}


@pytest.mark.parametrize('changed', sorted(FACTS))
def test_another_device_version_or_source_is_measured_again(changed, monkeypatch):
    tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3.0, 1.0, 2.0))
    new_process()
    monkeypatch.setattr(choices, 'identity', lambda: {**FACTS, changed: 'other'})
    assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(1.0, 2.0, 3.0)) is CANDIDATES[0]


def test_a_choice_that_is_no_candidate_any_more_is_measured_again():
    tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3.0, 1.0, 2.0))
    for forget in (lambda: None, new_process):
        forget()
        measure = Stopwatch(3.0, 1.0, 2.0)
        left = [CANDIDATES[0], CANDIDATES[2]]
        assert tuning.tuned('gemm', (280,), left, measure) is CANDIDATES[2]


def test_a_candidate_that_asks_for_too_much_is_skipped():
    measure = Stopwatch(RuntimeError('PassManager::run failed'), 2.0, float('nan'))
    assert tuning.tuned('gemm', (280,), CANDIDATES, measure) is CANDIDATES[1]


def test_out_of_resources_is_skipped():
    errors = pytest.importorskip('triton.runtime.errors', reason='triton is not installed')
    full = errors.OutOfResources(300_000, 232_448, 'shared memory')
    assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(2.0, full, full)) is CANDIDATES[0]


def test_if_none_works_the_error_says_why(cache):
    full = RuntimeError('out of resource: shared memory')
    with pytest.raises(Unavailable, match=r'none of the 3 configurations of gemm \[280\].*shared'):
        tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(full, full, full))
    assert not cache.exists()


def test_a_bug_in_a_kernel_is_not_skipped():
    with pytest.raises(TypeError):
        tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(TypeError('no argument x'), 1.0, 2.0))


def test_a_single_candidate_is_not_measured_and_none_is_an_error():
    assert tuning.tuned('gemm', (280,), CANDIDATES[:1], None) is CANDIDATES[0]
    with pytest.raises(ValueError, match='no candidates'):
        tuning.tuned('gemm', (280,), [], None)


@pytest.mark.parametrize('content', ['', '{', '[]', '{"choices": {"gemm [280]": 3}}', '{"a": 1}',
                                     '{"choices": {"gemm [280]": {"config": [64]}}}'])
def test_a_damaged_file_is_ignored_with_a_warning_and_replaced(content, cache, caplog):
    cache.mkdir(parents=True)
    choices.cache_file().write_text(content)
    with caplog.at_level(logging.WARNING):
        assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3, 2, 1)) is CANDIDATES[2]
    assert 'tuned again' in caplog.text
    new_process()
    assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(1, 2, 3)) is CANDIDATES[2]


def test_a_cache_that_cannot_be_written_is_only_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    with caplog.at_level(logging.WARNING):
        for key in ((1,), (2,)):
            assert tuning.tuned('gemm', key, CANDIDATES, Stopwatch(3, 2, 1)) is CANDIDATES[2]
    assert 'XDG_CACHE_HOME' in caplog.text


def test_a_user_without_a_home_is_only_warned(monkeypatch, caplog):
    def homeless():
        raise Unavailable('Could not determine home directory.')
    monkeypatch.setattr(choices, 'cache_directory', homeless)
    assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3, 2, 1)) is CANDIDATES[2]
    assert 'not kept' in caplog.text


def test_while_a_graph_is_captured_nothing_is_measured_or_kept(monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(tuning, '_is_capturing', lambda: True)
        assert tuning.tuned('gemm', (280,), CANDIDATES, None) is CANDIDATES[0]
    assert 'compiled now and not tuned: warm up first' in caplog.text
    assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3, 2, 1)) is CANDIDATES[2]


def test_a_capture_takes_what_an_earlier_run_chose(monkeypatch):
    tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3, 2, 1))
    new_process()
    monkeypatch.setattr(tuning, '_is_capturing', lambda: True)
    assert tuning.tuned('gemm', (280,), CANDIDATES, None) is CANDIDATES[2]


def test_once_settled_the_choice_for_the_nearest_number_of_rows_serves(caplog):
    for rows, times in ((64, (1, 2, 3)), (320, (3, 2, 1))):
        tuning.tuned('gemm', (rows, 4096, 'int8'), CANDIDATES, Stopwatch(*times))
    tuning.tuned('gemm', (96, 11008, 'int8'), CANDIDATES, Stopwatch(2, 1, 3))
    with tuning.settled():
        assert tuning.tuned('gemm', (96, 4096, 'int8'), CANDIDATES, None) is CANDIDATES[0]
        assert tuning.tuned('gemm', (288, 4096, 'int8'), CANDIDATES, None) is CANDIDATES[2]
        assert tuning.tuned('gemm', (32, 11008, 'int8'), CANDIDATES, None) is CANDIDATES[1]
        assert tuning.tuned('gemm', (320, 4096, 'int8'), CANDIDATES, None) is CANDIDATES[2]
    assert 'tuned for 320 rows and not for 288' in caplog.text
    assert len(caplog.records) == 3
    measure = Stopwatch(2, 1, 3)  # and it is tuned as soon as there is time again
    assert tuning.tuned('gemm', (96, 4096, 'int8'), CANDIDATES, measure) is CANDIDATES[1]


def test_being_settled_belongs_to_one_thread_and_ends_with_an_error():
    found = []
    with pytest.raises(KeyError), tuning.settled():
        thread = threading.Thread(target=lambda: found.append(
            tuning.tuned('gemm', (1,), CANDIDATES, Stopwatch(3, 2, 1))))
        thread.start()
        thread.join()
        raise KeyError
    assert found == [CANDIDATES[2]]
    assert tuning.tuned('gemm', (2,), CANDIDATES, Stopwatch(3, 1, 2)) is CANDIDATES[1]


def test_the_cases_that_are_run_cover_all_choices():
    rows = [(256 + tokens, 154 + tokens) for tokens in range(18, 65)]
    picked = tuning.covering(rows)
    assert {tuning.bucket(count) for index in picked for count in rows[index]} == {
        tuning.bucket(count) for case in rows for count in case}
    assert 2 <= len(picked) <= 5 and picked[0] == 0
    assert tuning.covering([(280,)] * 3) == [0]


def test_once_settled_the_file_comes_before_a_neighbour(caplog):
    tuning.tuned('gemm', (96,), CANDIDATES, Stopwatch(3, 1, 2))
    new_process()
    tuning.tuned('gemm', (64,), CANDIDATES, Stopwatch(1, 2, 3))
    with tuning.settled():
        assert tuning.tuned('gemm', (96,), CANDIDATES, None) is CANDIDATES[1]
    assert not caplog.records


def test_without_memory_to_time_it_a_kernel_runs_untuned_and_says_so(cache, caplog):
    full = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 256.00 MiB')
    for _ in range(2):
        assert tuning.tuned('gemm', (280,), CANDIDATES, Stopwatch(3, full, 1)) is CANDIDATES[0]
    assert 'no memory left to time it' in caplog.text and len(caplog.records) == 1
    assert not cache.exists()


def test_a_choice_may_need_another_one():
    def measure(candidate):
        inner = tuning.tuned('inner', (280,), CANDIDATES, Stopwatch(3, 2, 1))
        return candidate['block'] + inner['block']
    assert tuning.tuned('outer', (280,), CANDIDATES, measure) is CANDIDATES[0]


def test_processes_can_share_the_compilation(cache):
    full = RuntimeError('out of resource: shared memory')
    asked = []
    for index in range(2):
        new_process()
        tuning.compile_share(index, 2)
        measure = Stopwatch(1.0, full, 0.5)
        for _ in range(2):
            assert tuning.tuned('gemm', (280,), CANDIDATES, measure) is CANDIDATES[0]
        asked.append(measure.asked)
    assert asked == [[64, 256], [128]]
    assert not cache.exists()


def test_a_block_may_go_without_tuning_and_leaves_nothing(cache):
    tuning.tuned('gemm', (1,), CANDIDATES, Stopwatch(3.0, 2.0, 1.0))
    with tuning.without_tuning():
        for key in ((1,), (2,)):
            assert tuning.tuned('gemm', key, CANDIDATES, None) is CANDIDATES[0]
    assert tuning.tuned('gemm', (1,), CANDIDATES, None) is CANDIDATES[2]
    assert tuning.tuned('gemm', (2,), CANDIDATES, Stopwatch(3.0, 1.0, 2.0)) is CANDIDATES[1]


def _tune_many(first):
    for key in range(first, first + 20):
        tuning.tuned('gemm', (key,), CANDIDATES, Stopwatch(3, 2, 1))


def test_processes_that_tune_at_once_lose_nothing(cache):
    fork = multiprocessing.get_context('fork')
    workers = [fork.Process(target=_tune_many, args=(20 * number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(choices._read(choices.cache_file())) == 60
    assert not list(cache.glob('*.part'))


def test_the_sources_digest_is_that_of_all_kernels(monkeypatch, tmp_path):
    choices.source_digest.cache_clear()
    monkeypatch.setattr(choices, '__file__', str(tmp_path / 'choices.py'))
    digests = []
    for text in ('a', 'b'):
        (tmp_path / 'gemm.py').write_text(text)
        digests.append(choices.source_digest())
        choices.source_digest.cache_clear()
    assert digests[0] != digests[1]
