# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: a tiny run of the whole program, and comparisons that find what is wrong."""
from importlib import import_module
import json
import os
from pathlib import Path
import subprocess
import sys

import cuda_interpreter  # noqa: F401  before anything imports triton
import numpy as np
import pytest
from sqap_vla_ros.kernels.cuda import gemv, linear
from sqap_vla_ros.tokens import triton_choice
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'benchmarks/gpu/run.sh'
sys.path.insert(0, str(ROOT / 'benchmarks'))

checks, floors, golden, layers, results, shapes, sides = (
    import_module(f'gpu.{name}') for name in (
        'checks', 'floors', 'golden', 'layers', 'results', 'shapes', 'sides'))
CPU = torch.device('cpu')


def run(*arguments, **changes):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, 'PYTHON': sys.executable, **changes})


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_machine_without_cuda_is_told_of_the_tiny_run(tmp_path):
    done = run('--out', tmp_path / 'found.json')
    assert done.returncode == 2 and '--tiny' in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_python_without_torch_is_told_what_to_install(tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    done = run('--tiny', PYTHON=str(python))
    assert done.returncode == 2 and 'missing: torch' in done.stderr


def test_the_whole_program_runs_in_the_interpreter(tmp_path):
    out = tmp_path / 'tiny.json'
    done = run('--tiny', '--out', out, OMP_NUM_THREADS='1')
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    found = content['sections']
    assert list(found) == ['checks', 'golden', 'cogact', 'oft', 'layers']
    assert all(section['ok'] and 'error' not in section for section in found.values())
    assert content['tiny'] and 'interpreted' in content['machine']['device']
    names = ' '.join(row['name'] for row in found['checks']['checks'])
    for part in ('selection, sqap', 'int_linear w4', 'skinny_linear w8a8', 'skinny_linear w4a16',
                 'rotary', 'quantize', 'decoder block w4a4', 'full attention'):
        assert part in names
    for section in (found['cogact'], found['oft']):
        assert set(section['ms']) == {'eager bf16', 'bf16', 'sqap'} == set(section['memory_gib'])
        assert all(set(rows) == set(sides.ROWS) for rows in section['ms'].values())
        assert set(section['ratio']) == {'eager bf16', 'bf16'}
        assert set(section['reached']['sqap']) == {'vision', 'prefill_1', 'prefill_2', 'head'}
    points = {point['side'] for point in found['layers']['points'] if 'us' in point}
    assert {'fp', 'w8a8', 'w4a16', 'w4a4'} <= points
    assert '| sqap |' in done.stdout and 'nothing failed' in done.stdout


def comparisons(case):
    """Return the comparisons of one of the tiny plan's cases."""
    return list(checks.cases(shapes.TINY, CPU, torch.float32)[case]())


@pytest.mark.parametrize('case, module, name', [
    ('int_linear w4, float32', linear, 'int_linear'),
    ('skinny_linear w8a8, float32', linear, 'skinny_linear'),
    ('skinny_linear w4a16, float32', gemv, 'skinny_linear')])
def test_a_product_that_is_a_little_wrong_is_found(case, module, name, monkeypatch):
    assert all(row['ok'] for row in comparisons(case))
    working = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *rest, **named: working(*rest, **named) * 1.0001)
    assert not all(row['ok'] for row in comparisons(case))


def test_a_token_that_is_chosen_otherwise_is_found(monkeypatch):
    working = triton_choice.select_tokens_cuda

    def wrong(scores, *rest):
        working(-scores, *rest)
    monkeypatch.setattr(triton_choice, 'select_tokens_cuda', wrong)
    assert not comparisons('selection, sqap')[0]['ok']


def test_what_is_not_finite_or_of_another_shape_is_infinitely_far():
    expected = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert checks.row_error(expected, expected) == 0.0
    assert checks.row_error(torch.tensor([[3.0, 4.4], [0.0, 0.0]]), expected) == pytest.approx(0.1)
    for wrong in (expected + float('nan'), expected[:1], torch.ones(2, 2)):
        assert checks.row_error(wrong, expected) == float('inf')
    assert not checks.row(float('nan'), 1.0)['ok']


def test_every_configuration_is_run_and_one_that_asks_for_too_much_left_out(monkeypatch):
    tried = []

    def call():
        index, = checks.tuning.choices('kernel', 1, {})
        tried.append(index)
        if index == 1:
            raise RuntimeError('out of resources')
        return index
    monkeypatch.setattr(checks.tuning, 'choices', lambda *_: [0, 1, 2])
    monkeypatch.setattr(checks.tuning, 'is_interpreted', lambda: False)
    assert list(checks.every_choice(call)) == [0, 2] and tried == [0, 1, 2]
    monkeypatch.setattr(checks.tuning, 'choices', lambda *_: [1])
    with pytest.raises(RuntimeError, match='none of 1'):
        list(checks.every_choice(call))


def test_a_case_that_raises_is_wrong_and_what_there_is_no_time_for_fails():
    every = {'broken': lambda: 1 / 0, 'right': lambda: [checks.row(0.0, 0.0)]}
    found = checks.run(every, 60.0, lambda content: None)
    assert [row['ok'] for row in found['checks']] == [False, True] and not found['ok']
    found = checks.run({'right': every['right']}, -1.0, lambda content: None)
    assert not found['ok'] and found['not_run'] == ['right']


@pytest.mark.parametrize('change, ok', [
    ({}, True), ({'normalized_actions': 3e-4}, False),
    ({'normalized_actions': float('nan')}, False),
    ({'kept': np.array([1, 3])}, False)])
def test_golden_answers_beyond_their_limits_are_found(change, ok):
    expected = {'normalized_actions': np.zeros((4, 7)), 'kept': np.array([1, 2])}
    found = {**expected, **{name: value if name == 'kept' else np.full((4, 7), value)
                            for name, value in change.items()}}
    assert golden.verdict(found, expected, golden.LIMITS[torch.float32]['fp'])['ok'] == ok


def test_a_section_that_fails_is_recorded_and_the_file_stays_whole(tmp_path):
    found = results.Results(tmp_path / 'out.json', {'machine': {}})

    def broken(seconds, keep):
        keep({'so_far': 1})
        raise ValueError('a bug')
    found.run('first', 1.0, broken)
    found.run('second', 1.0, lambda seconds, keep: {'ok': True})
    found.run('third', 1.0, lambda seconds, keep: {'ok': False})
    content = json.loads((tmp_path / 'out.json').read_text())['sections']
    assert content['first']['so_far'] == 1 and content['first']['error'] == 'ValueError: a bug'
    assert 'error' not in content['second'] and found.failed == ['first', 'third']


def test_floors_are_counted_from_shapes():
    """280 tokens of a 4096 wide q/k/v product, by hand."""
    work = floors.linear('qkv', 280, 4096, 3 * 4096, 'w4a4')
    assert work.ops == 2 * 280 * 4096 * 12288 and work.arithmetic == 'int8'
    assert work.size == 4096 * 12288 / 2 + 12288 * 4
    card = floors.CARDS[0]
    assert work.seconds(card) == max(work.ops / card.int8, work.size / card.bandwidth)
    document = (ROOT / 'docs/performance.md').read_text()
    for name, config in (('CogACT', shapes.COGACT), ('OpenVLA-7B', shapes.OPENVLA),
                         ('OpenVLA-OFT', shapes.OFT)):
        assert floors.stage_table(name, config) in document


def test_the_work_of_openvla_oft_is_counted_by_hand():
    """Two images and a state, as for LIBERO: 590 rows, all of which see each other."""
    config = shapes.OFT
    found = floors.stages(config, shapes.Variant('sqap', 'w4a4', 308))
    blocks = found['prefill_2'][:5]
    assert [work.ops for work in blocks] == [2 * 386 * size for size in (
        4096 * 3 * 4096, 4096 * 4096, 4096 * 2 * 11008, 11008 * 4096, 2 * 386 * 4096)]
    assert found['prefill_1'][2].ops == 2 * 590 * 4096 * 3 * 4096  # behind the state's two layers
    stem = found['vision'][0]
    assert stem.ops == 2 * 2 * 256 * 588 * 1024 and stem.size == 588 * 1024 * 2
    assert [work.name for work in found['head']] == ['unrotate', 'fc1', 'block', 'block', 'fc2']
    assert found['head'][0].ops == 2 * 56 * 4096 ** 2
    assert found['head'][1].ops == 2 * 8 * 7 * 4096 * 4096


def test_a_wrong_layer_of_ours_fails_and_a_missing_rival_does_not(monkeypatch):
    llm = shapes.TINY.models['cogact'].llm

    def broken(*_):
        raise NotImplementedError('only for CUDA')
    monkeypatch.setattr(layers, 'OURS', frozenset([broken]))
    assert layers.timed(broken, llm, 0, 4, CPU, torch.float32)['wrong']
    monkeypatch.setattr(layers, 'OURS', frozenset())
    found = layers.timed(broken, llm, 0, 4, CPU, torch.float32)
    assert not found['wrong'] and 'only for CUDA' in found['reason']
