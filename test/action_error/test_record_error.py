# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla error --record`: what an encoder in 8 bits does, beside the weights."""
import json
import shutil
from types import SimpleNamespace

import pytest
from sqap_vla_ros.action_error import record
from sqap_vla_ros.cli import main
from sqap_vla_ros.kernels import levels, native_reason
from sqap_vla_ros.kernels.native import best_level
from sqap_vla_ros.loading.encoder_error import LARGEST
from training_data import save_checkpoint_and_data

TEXT = 'put the bowl on the stove'


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Return (a checkpoint of 64 tokens, shards of 10 episodes)."""
    return save_checkpoint_and_data(tmp_path_factory.mktemp('recorded'), TEXT)


@pytest.mark.skipif(bool(native_reason()), reason=native_reason() or 'there')
def test_the_error_of_an_encoder_in_8_bits_is_left_beside_the_weights(tiny, tmp_path, capsys):
    checkpoint, data = tmp_path / 'tiny', tiny[1]
    shutil.copytree(tiny[0], checkpoint)
    command = ['error', str(checkpoint), '--samples', str(data), '--record', '--variants', 'w8a8']
    assert main([*command, '--frames', '16']) == 1
    assert 'vision_dtype is auto: add --vision-dtype int8' in capsys.readouterr().err
    command += ['--vision-dtype', 'int8']
    assert main([*command, '--frames', '1']) == 1
    told = capsys.readouterr()
    assert 'samples of 1 episodes give none' in told.err and 'fp-repeat' not in told.out
    assert not (checkpoint / 'encoder_error.json').exists()
    assert main([*command, '--frames', '16', '--out', str(tmp_path / 'out')]) == 0
    found = json.loads((tmp_path / 'out' / 'error.json').read_text())
    assert found['vision_dtype'] == 'int8'
    repeated = next(row for row in found['table'] if row['name'] == 'fp-repeat')
    error, written = repeated['error'], json.loads(
        (checkpoint / 'encoder_error.json').read_text())
    assert [written[name] for name in ('error', 'low', 'high')] == [
        error[name] for name in ('mean', 'low', 'high')]
    assert written['frames'] == 16 and written['episodes'] == found['episodes']
    told = capsys.readouterr().out
    assert f'encoder in 8 bits: error {written["error"]:.4f} (' in told
    assert str(checkpoint / 'encoder_error.json') in told
    assert ('auto takes int8 with avx2' in told) is (written['high'] <= LARGEST)
    assert written['level'] == levels.NAMES[best_level()]


@pytest.mark.parametrize('level, served', [
    ('avx2', 'with avx2 ('), ('amx', 'with avx2 ('),
    ('avx512_vnni', 'with avx2, avx_vnni, avx512_vnni (')])
def test_it_is_told_where_auto_goes_by_it(monkeypatch, level, served):
    numbers = [0] * 6
    monkeypatch.setattr(record, '_sources', lambda options: [])
    monkeypatch.setattr(record, 'best_level', lambda: levels.NAMES.index(level))
    told = record.record(SimpleNamespace(
        options=None, samples=SimpleNamespace(samples=numbers), resampling=SimpleNamespace(
            episodes=6), table=[{'name': 'fp-repeat', 'control': 'none', 'error': {
                'mean': 0.001, 'low': 0.0, 'high': 0.002}}]))
    assert f'measured with {level}, so that vision_dtype auto takes int8 {served}' in told


def test_what_cannot_be_recorded_is_told_before_any_work(tiny, monkeypatch, capsys):
    checkpoint, data = tiny
    command = ['error', str(checkpoint), '--samples', str(data), '--record', '--vision-dtype',
               'int8']
    monkeypatch.setattr(record, 'native_reason', lambda: 'no compiler')
    assert main(command) == 1
    assert 'the native kernels, which are not there: no compiler' in capsys.readouterr().err
    monkeypatch.setattr(record, 'native_reason', lambda: '')
    monkeypatch.setenv('SQAP_VLA_CPU_BLOCKS', 'plain')
    assert main(command) == 1 and 'SQAP_VLA_CPU_BLOCKS' in capsys.readouterr().err
    monkeypatch.delenv('SQAP_VLA_CPU_BLOCKS')
    monkeypatch.setattr(record, 'error_file', lambda source: checkpoint / 'nowhere' / 'file')
    assert main(command) == 1
    assert '--record' in (told := capsys.readouterr().err) and 'nowhere' in told
