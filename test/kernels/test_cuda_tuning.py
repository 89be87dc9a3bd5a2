# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Triton's own autotuner behind the rule that nothing is timed while an arm may move."""
import threading

from cuda_interpreter import triton
import pytest
from sqap_vla_ros.kernels.cuda import gemm, tuning
import torch
import triton.language as tl


@triton.jit(do_not_specialize=['bucket'])
def _kernel(x, N, bucket, SIZE: tl.constexpr):
    """Write which configuration runs."""
    tl.store(x, SIZE)


class Tuner:
    """An autotuned kernel whose times are given: SIZE is fastest where it is the bucket."""

    def __init__(self):
        configs = [triton.Config({'SIZE': size}) for size in (32, 64, 320)]
        self.kernel = tuning.autotuned(configs, ['bucket', 'N'])(_kernel)
        self.kernel.do_bench, self.timed, self.broken = self.time, [], []

    def time(self, call, quantiles):
        x = self.x
        call()
        self.timed.append(x.item())
        if x.item() in self.broken:
            raise triton.runtime.errors.OutOfResources(2, 1, 'shared memory')
        return [abs(x.item() - self.rows)] * 3

    def launch(self, rows, N=8):
        """Return the SIZE that a launch for a bucket takes."""
        self.x, self.rows = torch.zeros(1, dtype=torch.int32), rows
        tuning.launch(self.kernel, (1,), rows, x=self.x, N=N)
        return self.x.item()


@pytest.fixture
def tuner(monkeypatch):
    monkeypatch.setattr(tuning, '_chosen', {})
    monkeypatch.setattr(tuning, 'is_interpreted', lambda: False)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    tuning.warn.cache_clear()
    return Tuner()


def test_every_bucket_and_shape_is_timed_once_and_its_fastest_serves(tuner):
    for _ in range(2):
        assert [tuner.launch(rows) for rows in (32, 320, 96)] == [32, 320, 64]
    assert tuner.timed == [32, 64, 320] * 3
    tuner.launch(32, N=16)
    assert len(tuner.timed) == 12


def test_another_device_is_timed_for_itself(tuner, monkeypatch):
    tuner.launch(32)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 1)
    tuner.launch(32)
    assert len(tuner.timed) == 6


def test_a_configuration_that_asks_for_too_much_is_left_out(tuner):
    tuner.broken = [64]
    assert tuner.launch(64) == 32


def test_once_settled_the_nearest_bucket_serves_and_nothing_is_timed(tuner, caplog):
    tuner.launch(32)
    tuner.launch(288)
    timed = len(tuner.timed)
    with tuning.settled():
        assert [tuner.launch(rows) for rows in (32, 96, 256, 256)] == [32, 32, 320, 320]
        assert tuner.launch(64, N=9) == 32  # the first one: no such shape was ever tuned
    assert len(tuner.timed) == timed
    texts = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert len(texts) == 3
    assert 'tuned for 288 rows and not for 256' in texts[1] and 'warm up first' in texts[2]
    assert tuner.launch(96) == 64  # and is not taken for a choice afterwards


def test_being_settled_belongs_to_one_thread_and_ends_with_an_error(tuner):
    modes = []
    with pytest.raises(KeyError), tuning.settled():
        thread = threading.Thread(target=lambda: modes.append(tuning._mode()))
        thread.start()
        thread.join()
        modes.append(tuning._mode())
        raise KeyError
    assert [*modes, tuning._mode()] == ['', 'settled', '']


def test_a_block_may_go_without_tuning_and_leaves_nothing(tuner):
    with tuning.without_tuning():
        assert tuner.launch(320) == 32
    assert not tuner.timed and tuner.launch(320) == 320


def test_the_interpreter_takes_the_first_configuration(tuner, monkeypatch):
    monkeypatch.setattr(tuning, 'is_interpreted', lambda: True)
    assert tuner.launch(320) == 32 and not tuner.timed


def test_as_few_prompts_as_can_be_cover_all_buckets():
    rows = [(256 + tokens, 154 + tokens) for tokens in range(18, 65)]
    picked = tuning.covering(rows)
    assert {tuning.bucket(count) for case in rows for count in case} == {
        tuning.bucket(count) for index in picked for count in rows[index]}
    assert len(picked) < 6 and tuning.covering([(280,)] * 3) == [0]


@pytest.mark.parametrize('rows', [9, 64, 178, 280, 1500])
@pytest.mark.parametrize('shared_kib', [99, 163, 227])
@pytest.mark.parametrize('packed', [True, False])
def test_there_are_tiles_for_all_cards_and_lengths_that_waste_little(
        rows, shared_kib, packed, monkeypatch):
    for tile in gemm.token_tiles(rows):
        assert -(-rows // sum(tile)) * sum(tile) < 1.15 * rows + 16
        configs = gemm.fitting(tile, packed, shared_kib * 1024)
        assert configs and all(config.num_stages >= 2 for config in configs)
    monkeypatch.setattr(gemm, 'shared_bytes', lambda device: shared_kib * 1024)
    found = tuning.choices(gemm.int_gemm_kernel, tuning.bucket(rows),
                           {'x': torch.empty(1), 'PACKED': packed})
    assert 1 <= len(found) <= 6
