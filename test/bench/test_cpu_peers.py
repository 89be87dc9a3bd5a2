# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark beside other libraries: one network on all sides, and what it makes of laps."""
import io
import json
import sys

import cpu_peers
import numpy as np
from peers import parts, sides, worker
import pytest
from small_peers import small_peer
from sqap_vla_ros.bench import sizes
from sqap_vla_ros.bench.sides import random_model
import torch

FLOAT32, INT8, SELECTED = 'float32', 'ONNX Runtime int8', 'w4a4+154'


@pytest.fixture
def given(monkeypatch):
    """Return a small network as peers run it, and what it is given."""
    return small_peer(monkeypatch, (64, 128, 4, 2, 1))


@torch.no_grad()
def test_peers_compute_our_network(given, monkeypatch):
    plain, found = given
    monkeypatch.undo()
    torch.manual_seed(0)
    ours = random_model(plain.config)
    x = ours.embed(ours.project(found.features), found.inputs.token_ids)
    assert x.shape[1] == 280
    for selects, kept in ((False, None), (True, found.kept)):
        hidden = ours.prefill_kept(ours.prefill_full(x)[0], kept)
        torch.testing.assert_close(found.raw[selects], ours.answer(hidden, 280))
    assert not torch.allclose(found.raw[False], found.raw[True], rtol=1e-3)
    assert len(found.kept) == sizes.KEEP


@torch.no_grad()
def test_both_ways_to_cut_a_network_answer_alike(given):
    model, found = given
    whole = parts.parts(model, found, has_vision=True, selects=False)
    cut = parts.parts(model, found, has_vision=False, selects=True)
    assert list(whole) == ['vision', 'backbone'] and list(cut) == ['first', 'second']
    (backbone, (visual,)), (second, (x, kept)) = whole['backbone'], cut['second']
    torch.testing.assert_close(backbone(visual), second(x, torch.arange(256)))
    torch.testing.assert_close(second(x, kept), found.raw[True])


def test_weights_and_inputs_are_the_same_in_every_process(given):
    model, found = given
    again = parts.plain_model(model.config)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    other = parts.Given.of(again)
    assert torch.equal(found.raw[True], other.raw[True])
    assert torch.equal(found.inputs.pixels, other.inputs.pixels)


def test_a_worker_answers_each_line_and_tells_its_error(given, tmp_path, monkeypatch, capsys):
    worker.write_given('tiny', tmp_path)
    monkeypatch.setattr(sys, 'stdin', io.StringIO('load\nlap\nlap\nend\n'))
    monkeypatch.setattr(sys, 'stdout', sys.stdout)
    threads = torch.get_num_threads()
    worker.main('w4a4+154', 'tiny', 1, 'wall', tmp_path)
    torch.set_num_threads(threads)
    load, first, second, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert 0.001 < load['error'] < sides.limit('w4a4+154')
    assert first['vision'] < 0.05 < first['prefill'] <= first['total']
    assert first != second and end['memory_mib'] > 0


def test_what_is_missing_is_told_with_what_brings_it(monkeypatch):
    assert sides.Library(None, ('json',), 1.0).why_not() == ''
    monkeypatch.setattr(sides, 'missing', lambda modules: ['openvino'])
    reason = sides.PEERS['OpenVINO int8'].why_not()
    assert 'has no module openvino' in reason and "pip install -e '.[peers]'" in reason
    monkeypatch.undo()
    bfloat16 = sides.Library(None, (), 1.0, needs_bfloat16=True)
    monkeypatch.setattr(sides, 'has_fast_bfloat16', lambda: False)
    assert 'no instructions for bfloat16' in bfloat16.why_not()
    monkeypatch.setattr(sides, 'has_fast_bfloat16', lambda: True)
    assert bfloat16.why_not() == bfloat16.why_not('amx') == ''
    assert bfloat16.why_not('avx2') == 'held to avx2, which has no bfloat16'
    monkeypatch.setattr(sides, 'missing', lambda modules: [])
    assert sides.PEERS[INT8].why_not() == ''
    assert sides.PEERS[INT8].why_not('avx2') == 'it cannot be held to avx2'


def test_sides_are_held_to_a_level():
    held = sides.held_to('avx2')
    assert held['SQAP_VLA_CPU_LEVEL'] == 'avx2' and held['ONEDNN_MAX_CPU_ISA'] == 'AVX2'
    assert held['ATEN_CPU_CAPABILITY'] == 'avx2'
    assert held['MKL_ENABLE_INSTRUCTIONS'] == 'AVX2'
    vnni = sides.held_to('avx512_vnni')
    assert (vnni['ATEN_CPU_CAPABILITY'], vnni['MKL_ENABLE_INSTRUCTIONS']) == ('avx512', 'AVX512')
    assert 'ATEN_CPU_CAPABILITY' not in sides.held_to('amx').keys() - set(sides.held_to(None))


def test_a_policy_selects_tokens_in_other_libraries_too_and_decoders_in_ours(monkeypatch):
    assert 'OpenVINO int8+154' in sides.default_sides('bundled')
    assert 'OpenVINO int8+154' not in sides.default_sides('smollm2-135m')
    assert {'w4a4+154', 'w4a8', 'OpenVINO int8'} <= set(sides.default_sides('smollm2-135m'))
    monkeypatch.setattr(sides, 'has_fast_bfloat16', lambda: True)
    ours = {'w4a8, vision bfloat16', 'w4a8, vision bfloat16+154'}
    assert ours <= set(sides.default_sides('bundled')) & set(sides.default_sides('bundled', 'amx'))
    assert not ours & {*sides.default_sides('bundled', 'avx2'), *sides.default_sides('w512')}
    assert sides.split('w4a8, vision bfloat16+154') == ('w4a8, vision bfloat16', True)
    assert sides.split('w4a4+154') == ('w4a4', True) and sides.split('w4a4') == ('w4a4', False)
    assert sides.limit('OpenVINO int8+154') == sides.limit('OpenVINO int8')


def laps(ms):
    return [{'vision': 1.0, 'prefill': value, 'total': 1.0 + value} for value in ms]


def test_ratios_are_those_of_the_same_round_and_the_best_peer_is_told():
    load = np.array([1.0, 3.0, 1.0, 2.0, 1.0])
    timed = {FLOAT32: laps(60 * load), SELECTED: laps(20 * load), INT8: laps(30 * load),
             'OpenVINO int8': laps(25 * load)}
    facts = {side: {'error': 0.1, 'memory_mib': 10.0} for side in timed}
    found = cpu_peers.summary(timed, facts, {'OpenVINO float32': 'no module openvino'})
    ratio = found['faster'][SELECTED][INT8]['prefill']
    assert ratio['low'] == ratio['ratio'] == ratio['high'] == pytest.approx(1.5)
    assert set(found['faster']) == {FLOAT32, SELECTED}
    assert found['sides'][INT8]['ms']['total']['p50'] == 31 and found['rounds'] == 5
    text = cpu_peers.markdown('smollm2-135m', found)
    assert 'the best peer: OpenVINO int8' in text and '| 1.25x (1.25 .. 1.25) |' in text
    assert 'OpenVINO float32: not measured: no module openvino' in text


class Answers:
    """A worker whose answers are known."""

    def __init__(self, side, size, args, place):
        self.name, self.closed = side, False

    def ask(self, word):
        if word == 'load' and self.name == INT8:
            return {'error': 0.9}
        if word == 'load' and self.name == 'w4a8':
            raise cpu_peers.Failed('it ended')
        return {'load': {'error': 0.1 if self.name != FLOAT32 else 0.0}, 'prepare': {},
                'lap': laps([1.0])[0], 'end': {'memory_mib': 5.0}}[word]

    def close(self):
        self.closed = True


def test_what_answers_otherwise_or_fails_is_not_timed(monkeypatch):
    monkeypatch.setattr(cpu_peers, 'Worker', Answers)
    monkeypatch.setattr(cpu_peers, '_write_given', lambda size, args, place: None)
    monkeypatch.setattr(sides.Library, 'why_not', lambda self, level: '')
    args = cpu_peers.arguments(['--sides', FLOAT32, 'w4a4', 'w4a8', INT8, '--rounds', '5'])
    found = cpu_peers.measure('smollm2-135m', args)
    assert list(found['sides']) == [FLOAT32, 'w4a4']
    assert found['left_out']['w4a8'] == 'it ended'
    assert 'off by 0.9 of their size, expected at most 0.6' in found['left_out'][INT8]


def test_a_side_that_ends_while_it_is_timed_is_left_out(monkeypatch):
    asked = []

    def ask(self, word):
        asked.append(self.name)
        if word == 'lap' and self.name == 'w4a8' and asked.count('w4a8') > 3:
            raise cpu_peers.Failed('out of memory')
        return {'error': 0.0} if word == 'load' else Answers.ask(self, word)
    monkeypatch.setattr(cpu_peers, 'Worker', type('Dies', (Answers,), {'ask': ask}))
    monkeypatch.setattr(cpu_peers, '_write_given', lambda size, args, place: None)
    args = cpu_peers.arguments(['--sides', 'w4a4', 'w4a8', '--rounds', '5'])
    found = cpu_peers.measure('w256', args)
    assert list(found['sides']) == ['w4a4'] and found['rounds'] == 5
    assert found['left_out'] == {'w4a8': 'out of memory'}


def test_a_run_without_a_side_says_why(monkeypatch):
    monkeypatch.setattr(cpu_peers, 'Worker', Answers)
    monkeypatch.setattr(cpu_peers, '_write_given', lambda size, args, place: None)
    with pytest.raises(cpu_peers.Failed, match='w4a8: it ended'):
        cpu_peers.measure('w256', cpu_peers.arguments(['--sides', 'w4a8']))


def test_a_process_that_fails_is_told_by_its_last_line(tmp_path):
    args = cpu_peers.arguments([])
    with pytest.raises(cpu_peers.Failed, match="size 'no-size' is unknown"):
        cpu_peers._write_given('no-size', args, tmp_path)


@pytest.mark.parametrize('given, message', [
    (['--threads', '0'], 'expected at least 1'), (['--rounds', '4'], 'at least 5'),
    (['--threads', '2', '--clock', 'cpu'], 'expected 1'), (['--sides', 'onnx'], 'is unknown')])
def test_options_that_cannot_be_meant_are_refused(given, message, capsys):
    with pytest.raises(SystemExit):
        cpu_peers.arguments(given)
    assert message in capsys.readouterr().err
