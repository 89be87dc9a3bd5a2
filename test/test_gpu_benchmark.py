# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: floors, sections, tables, and the whole program at a tiny size on a CPU."""
from importlib import import_module
import json
import os
from pathlib import Path
import subprocess
import sys
import time

import cuda_interpreter  # noqa: F401  before anything imports triton
import pytest
from sqap_vla_ros.kernels.cuda.capability import table
from sqap_vla_ros.model.vla import VLA
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
SCRIPT, DOCUMENT = ROOT / 'benchmarks/gpu/run.sh', ROOT / 'docs/performance.md'
sys.path.insert(0, str(ROOT / 'benchmarks'))

program, budget, document, engine, floors, golden, pairs, precompile, render, shapes = (
    import_module(f'gpu.{name}') for name in (
        '__main__', 'budget', 'document', 'engine', 'floors', 'golden', 'pairs', 'precompile',
        'render', 'shapes'))
ROWS, STAGES = engine.ROWS, engine.STAGES
TEN = floors.Card('ten', 10.0, 20.0, 5.0, 'made up')


def test_operations_are_those_that_torch_counts():
    config = shapes.TINY.models['openvla']
    works = floors.stages(config, shapes.Variant('bf16'))
    found = {stage: sum(work.ops * (2 if work.name == 'attention' and 'prefill' in stage else 1)
                        for work in works[stage]) for stage in STAGES if stage in works}
    found['vision'] += sum(work.ops for work in works['projector'])
    length = 1 + config.num_visual + config.text_length
    with torch.device('meta'), torch.inference_mode():
        model = VLA(config)
        hidden = torch.empty(1, length, config.llm.hidden_size)
        calls = {
            'vision': lambda: model.encode_image(torch.empty(1, 6, 42, 42)),
            'prefill_1': lambda: model.prefill_full(hidden, None, False),
            'prefill_2': lambda: model.prefill_kept(hidden, None)}
        for stage, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            assert counter.get_total_flops() == found[stage], stage


def linear_ops(variant):
    works = floors.stages(shapes.OPENVLA, variant)
    return sum(work.ops for stage in ('prefill_1', 'prefill_2') for work in works[stage]
               if work.name != 'attention')


def test_the_backbone_of_the_7b_model_is_as_large_as_it_should_be():
    assert linear_ops(shapes.Variant('bf16')) == pytest.approx(3.63e12, rel=0.002)
    assert linear_ops(shapes.Variant('sqap', 'w4a4', 154)) == pytest.approx(2.39e12, rel=0.002)
    size = floors.weight_bytes(shapes.OPENVLA, shapes.Variant('bf16')) / 2
    assert size == pytest.approx(7.5e9, rel=0.02)  # parameters


def test_decoding_reads_every_weight_once_a_token():
    head = floors.stages(shapes.OPENVLA, shapes.Variant('bf16'))['head']
    read = sum(work.size for work in head if work.name not in ('attention', 'lm_head'))
    block = sum(work.size for work in floors.decoder_block(shapes.OPENVLA.llm, 1, 'fp'))
    assert read == 6 * 32 * block
    assert sum(work.name == 'lm_head' for work in head) == 7


def test_a_kernel_takes_the_longer_of_its_operations_and_bytes():
    assert floors.Work('', 100.0, 'bf16', 10.0).seconds(TEN) == 10.0
    assert floors.Work('', 100.0, 'int8', 40.0).seconds(TEN) == 8.0


def test_every_variant_lowers_the_floor_where_it_should():
    card = floors.CARDS[0]
    least = {variant.name: floors.floor_ms(shapes.COGACT, variant, card)
             for variant in (*shapes.variants(), *shapes.options())}
    assert least['sqap']['backbone'] < least['w4a4']['backbone'] < least['bf16']['backbone']
    assert least['prune only']['prefill_1'] == least['bf16']['prefill_1']
    assert least['prune from layer 1']['backbone'] < least['sqap']['backbone']
    assert least['5 diffusion steps']['head'] == pytest.approx(
        least['sqap']['head'] / 2, rel=0.05)
    assert least['int8 vision']['vision'] < least['sqap']['vision']
    assert least['all three']['total'] == min(row['total'] for row in least.values())


def test_the_document_shows_what_the_programs_count():
    assert document.part(DOCUMENT, 'floors') == floors.tables(), (
        'run: PYTHONPATH=.:benchmarks python3 -m gpu.floors --document docs/performance.md')
    assert document.part(DOCUMENT, 'capability') == table()
    assert 'ot yet measured' in document.part(DOCUMENT, 'measured') or list(
        (ROOT / 'benchmarks/gpu/results').glob('*.json'))


def test_a_part_of_a_document_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / 'a.md'
    path.write_text('before\n<!-- begin x -->\nold\n<!-- end x -->\nafter\n')
    document.replace_part(path, 'x', 'new')
    assert path.read_text() == 'before\n<!-- begin x -->\nnew\n<!-- end x -->\nafter\n'
    with pytest.raises(ValueError, match="no part 'y'"):
        document.replace_part(path, 'y', 'new')


def results(tmp_path):
    return budget.Results(tmp_path / 'out' / 'found.json', {'networks': []})


def test_the_file_is_whole_after_every_section(tmp_path):
    found, time_left = results(tmp_path), budget.Budget(60)

    def measure(seconds, keep):
        keep({'first': 1})
        assert json.loads(found.path.read_text())['sections']['a'] == {'first': 1}
        return {'second': 2}
    time_left.run(found, 'a', 10, measure)
    section = json.loads(found.path.read_text())['sections']['a']
    assert section['first'] == 1 and section['second'] == 2 and section['seconds'] >= 0
    assert found.failed == []


def test_a_section_that_fails_keeps_what_it_has_and_the_next_runs(tmp_path, capsys):
    found, time_left = results(tmp_path), budget.Budget(60)

    def fails(seconds, keep):
        keep({'first': 1})
        raise RuntimeError('an illegal memory access')
    time_left.run(found, 'a', 10, fails)
    time_left.run(found, 'b', 10, lambda seconds, keep: {'ok': False})
    time_left.run(found, 'c', 10, lambda seconds, keep: {'ok': True})
    assert found.get('a')['first'] == 1 and 'illegal memory' in found.get('a')['error']
    assert found.failed == ['a', 'b']
    assert 'Traceback' in capsys.readouterr().err


def test_sections_without_time_are_skipped_and_others_get_what_is_left(tmp_path):
    found = results(tmp_path)
    given = []
    budget.Budget(6).run(found, 'a', 10, lambda seconds, keep: given.append(seconds) or {})
    assert 5 < given[0] <= 6
    budget.Budget(1).run(found, 'b', 10, None)
    assert '10' in found.get('b')['skipped'] and found.failed == []


class FakeSide:

    def __init__(self, name, order, ms):
        self.name, self._order, self._ms = name, order, ms

    def laps(self):
        self._order.append(self.name)
        return dict.fromkeys(ROWS, self._ms)


def test_sides_run_in_turn_and_each_begins_as_often():
    order = []
    sides = [FakeSide('a', order, 4.0), FakeSide('b', order, 2.0)]
    times = pairs.in_turn(sides, 4, 60)
    assert order == ['a', 'b', 'b', 'a', 'a', 'b', 'b', 'a']
    assert pairs.ratios(times, 'a')['b']['total'] == {'ratio': 2.0, 'low': 2.0, 'high': 2.0}
    assert len(pairs.in_turn(sides, 100, 0)['a']['total']) == 5


def test_the_distance_to_the_floor_is_that_of_this_cards_ceilings():
    works = floors.stages(shapes.TINY.models['cogact'], shapes.Variant('bf16'))
    times = pairs.in_turn([FakeSide('a', [], 1e9)], 1, 60)['a']
    found = pairs.distances(works, times, TEN)
    assert set(found) == {'vision', 'prefill_1', 'prefill_2', 'head', 'backbone', 'total'}
    least = 1e3 * sum(work.seconds(TEN) for part in works.values() for work in part)
    assert found['total']['floor_ms'] == pytest.approx(least)
    assert found['total']['reached'] == pytest.approx(least / 1e9)


def test_what_does_not_fit_is_left_out_and_named_and_the_pair_that_matters_goes_first(monkeypatch):
    made = []

    class Fake:

        def __init__(self, variant, model, *rest):
            self.variant, self.name = variant, variant.name

        def warm_up(self):
            made.append(self.name)

    def ready_model(config, variant, *rest):
        if variant.precision == 'w8a8':
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 8 GiB')
    monkeypatch.setattr(pairs, 'Side', Fake)
    monkeypatch.setattr(pairs, 'ready_model', ready_model)
    variants = shapes.variants()
    sides, memory, left_out = pairs.make_sides(
        variants, shapes.OPENVLA, torch.device('cpu'), torch.float32, lambda name: None)
    assert made[:2] == ['bf16', 'sqap']
    assert [side.name for side in sides] == [
        variant.name for variant in variants if variant.name != 'w8a8']
    assert set(left_out) == {'w8a8'} and 'out of memory' in left_out['w8a8']
    assert set(memory) == set(made)


def test_compilation_covers_every_number_of_tokens_that_is_timed(monkeypatch):
    run = set()

    class Fake:

        def __init__(self, variant, model, config, *rest):
            run.add((variant.precision, variant.keep, config.text_length))
            assert variant.eager

        def infer(self):
            pass
    monkeypatch.setattr(engine, 'Side', Fake)
    monkeypatch.setattr(import_module('gpu.models'), 'ready_model', lambda *rest: None)
    monkeypatch.setattr(
        import_module('sqap_vla_ros.kernels.cuda.tuning'), '_share', [])
    precompile.compile_share(shapes.FULL, 0, 4, torch.device('cpu'))
    for precision in ('w8a8', 'w4a16', 'w4a4'):
        assert {(precision, None, 23), (precision, 154, 23)} <= run
    assert {('w4a4', keep, 23) for keep in shapes.FULL.kept} <= run
    assert {('w4a4', 154, text) for text in shapes.FULL.texts} <= run
    small = precompile.small_decoder(shapes.FULL)
    assert small.num_visual == 256 and small.llm.num_layers == small.prune_layer + 1
    assert small.llm.intermediate_size == 11008


def test_an_answer_is_judged_by_what_the_reference_thinks_of_it():
    logits = [torch.tensor([[0.0, 4.0, 3.999, 1.0]]), torch.tensor([[9.0, 0.0, 0.0, 0.0]])]
    expected = {'raw': torch.tensor([[1.0, 0.0]]), 'logits': logits}
    assert golden.error({'raw': torch.tensor([[1.0, 0.0]])}, expected) == 0.0
    assert golden.error({'raw': torch.tensor([[2.0, 3.0]])}, expected) < 1e-3  # as good as equal
    assert golden.error({'raw': torch.tensor([[3.0, 0.0]])}, expected) > 1.0
    assert golden.error({'raw': torch.tensor([[1.0, 3.0]])}, expected) > 1.0
    sample = torch.zeros(1, 2, 7)
    assert golden.error({'raw': sample + 0.25}, {'raw': sample}) == 0.25


def test_what_was_not_measured_says_so(tmp_path):
    content = {'machine': dict.fromkeys(
        ('device', 'capability', 'torch', 'cuda', 'triton', 'driver', 'date', 'revision'), '?'),
        'networks': ['cogact'], 'sections': {'cogact': {'error': 'RuntimeError: out of memory'}}}
    text = render.markdown(content)
    assert text.count('not measured') == 8 and 'out of memory' in text
    assert not render.picture(content, tmp_path / 'none.png')


def test_goals_stand_beside_what_was_found():
    ratio = {'bf16': {'sqap': {'backbone': {'ratio': 2.346}, 'total': {'ratio': 1.5}}}}
    content = {'machine': {'capability': '9.0'}, 'sections': {
        'cogact': {'ratio': ratio, 'memory_gib': {'sqap': {'peak': 5.25}}},
        'loading': {'peak_gib': 5.5}}}
    text = render.goals(content)
    assert '| cogact, backbone, against bf16 | 2.2x | 2.35x |' in text
    assert '| openvla, total, against bf16 | 2.8x | not measured |' in text
    assert '| 4.5 | 5.50 loaded from a file, 5.25 the least of all sides |' in text
    content['machine']['capability'] = '8.7'
    assert '| 2.56x | 2.35x |' in render.goals(content)


def test_the_sections_fit_into_nine_minutes():
    assert program.SECONDS <= 515 and set(program.SHARE) == set(program.SECTIONS)
    assert 'timeout --signal=INT --kill-after=5 535' in SCRIPT.read_text()


def run(*arguments, **changes):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, 'PYTHON': sys.executable, **changes})


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_machine_without_cuda_is_told_of_the_tiny_run(tmp_path):
    done = run('--out', tmp_path / 'found.json')
    assert done.returncode == 2 and '--tiny' in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_section_lists_the_known_ones(tmp_path):
    done = run('--only', 'speed')
    assert done.returncode == 2 and 'ceilings' in done.stderr


def test_a_python_without_torch_is_told_what_to_install(tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    done = run('--tiny', PYTHON=str(python))
    assert done.returncode == 2 and 'missing: torch' in done.stderr


@pytest.fixture(scope='module')
def tiny_run(tmp_path_factory):
    """Return what the whole program wrote and printed, and how long it took."""
    out = tmp_path_factory.mktemp('gpu') / 'tiny.json'
    start = time.perf_counter()
    done = run('--tiny', '--out', out, OMP_NUM_THREADS='1')
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text()), done.stdout, out, time.perf_counter() - start


def test_the_whole_program_runs_in_the_interpreter(tiny_run):
    content, printed, out, seconds = tiny_run
    assert list(content['sections']) == list(program.SECTIONS)
    for name, section in content['sections'].items():
        assert 'error' not in section and 'skipped' not in section, (name, section)
    assert content['tiny'] and 'interpreted' in content['machine']['device']
    assert 'nothing failed' in printed
    assert seconds < 150, 'the time of all sections together is limited'


def test_its_kernels_were_all_compared_with_the_reference(tiny_run):
    sections = tiny_run[0]['sections']
    for name in ('checks', 'golden'):
        assert sections[name]['ok'] and len(sections[name]['checks']) >= 3
    names = ' '.join(row['name'] for row in sections['checks']['checks'])
    for part in ('w8a8', 'w4a8', 'w4a4', 'w4a16', 'Hadamard', 'integer product', 'selection'):
        assert part in names


@pytest.mark.parametrize('name', ['cogact', 'openvla'])
def test_its_pairs_have_every_side_row_and_ratio(tiny_run, name):
    section = tiny_run[0]['sections'][name]
    sides = {variant.name for variant in shapes.variants(shapes.TINY.keep)}
    assert set(section['ms']) == sides == set(section['memory_gib'])
    assert all(set(rows) == set(ROWS) for rows in section['ms'].values())
    assert set(section['ratio']) == {'eager bf16', 'bf16'}
    assert set(section['ratio']['bf16']) == sides - {'bf16'}
    assert section['agreement'] and max(section['agreement'].values()) < 1e-4


def test_its_curves_and_points_are_drawn_and_tabulated(tiny_run):
    content, printed, out, _ = tiny_run
    curves = content['sections']['growth']['curves']
    assert set(curves) == {'kept visual tokens', 'prompt tokens', 'batch'}
    assert all(set(sides) == {'bf16', 'sqap'} for sides in curves.values())
    assert len(content['sections']['layers']['points']) == 4 * 4 * len(shapes.TINY.rows)
    assert '| sqap |' in printed and 'of the answers' in printed
    pytest.importorskip('matplotlib')
    assert out.with_suffix('.png').read_bytes().startswith(b'\x89PNG')
