# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: floors, pairs, what is compiled and loaded, and the tables."""
from importlib import import_module
from pathlib import Path
import shutil
import sys

import cuda_interpreter  # noqa: F401  before anything imports triton
import pytest
from sqap_vla_ros.kernels.cuda.capability import table
from sqap_vla_ros.model.vla import VLA
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / 'docs/performance.md'
sys.path.insert(0, str(ROOT / 'benchmarks'))

document, engine, floors, loading, pairs, precompile, render, shapes = (
    import_module(f'gpu.{name}') for name in (
        'document', 'engine', 'floors', 'loading', 'pairs', 'precompile', 'render', 'shapes'))
agreement, growth = (import_module(f'gpu.{name}') for name in ('agreement', 'growth'))
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
            self.variant, self.name, self.is_tuned = variant, variant.name, False

        def tune(self):
            self.is_tuned = True

        def warm_up(self):
            assert self.is_tuned, 'what tuning takes is no part of the peak'
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
    sides, _, left_out = pairs.make_sides(
        variants, shapes.OPENVLA, torch.device('cpu'), torch.float32, lambda name: None, 0.0)
    assert not sides and 'no time' in left_out['bf16']


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


def test_compilation_covers_every_product_that_a_residual_is_added_to():
    calls = precompile.products_with_residual(shapes.FULL, torch.device('meta'))
    assert precompile.token_counts(shapes.FULL) >= {280, 178, 1 + 64 + 23, 1 + 154 + 128}
    names = [call.func.__name__ for call in calls]
    assert set(names) == {'int_linear', 'float_linear'} and len(calls) > 20
    configs = [str((call.args[0].shape[1], call.args[2].dtype, call.args[-1])) for call in calls]
    assert len(set(configs)) == len(configs), 'none is compiled twice'


def test_all_shares_of_the_checks_and_golden_networks_are_run(monkeypatch):
    checks, golden = import_module('gpu.checks'), import_module('gpu.golden')
    cpu, run = torch.device('cpu'), []
    monkeypatch.setattr(checks, 'run', lambda name, case: run.append(name))
    for index in range(3):
        precompile.run_checks(shapes.TINY, index, 3, cpu)
    every = {**checks.cases(shapes.TINY, cpu, torch.bfloat16), **golden.cases(cpu, 6, False)}
    assert sorted(run) == sorted(set(every) - set(checks.split_cases(shapes.TINY, cpu)))


def test_what_was_not_measured_says_so(tmp_path):
    content = {'machine': dict.fromkeys(
        ('device', 'capability', 'torch', 'cuda', 'triton', 'driver', 'date', 'revision'), '?'),
        'networks': ['cogact'], 'sections': {'cogact': {'error': 'RuntimeError: out of memory'}}}
    text = render.markdown(content)
    assert text.count('not measured') == 10 and 'out of memory' in text
    assert not render.picture(content, tmp_path / 'none.png')


def test_goals_stand_beside_what_was_found():
    ratio = {'bf16': {'sqap': {'backbone': {'ratio': 2.346}, 'total': {'ratio': 1.5}}}}
    content = {'machine': {'capability': '9.0'}, 'sections': {
        'cogact': {'ratio': ratio, 'memory_gib': {'sqap': {'peak': 5.25}, 'bf16': {'peak': 1.0}}},
        'options': {'memory_gib': {'sqap': {'peak': 6.0}, 'int8 vision': {'peak': 4.25}}},
        'loading': {'kinds': {'packed': {'peak_gib': 5.5},
                              'packed, int8 vision': {'skipped': 'no time'}}}}}
    text = render.goals(content)
    assert '| cogact, backbone, against bf16 | 2.2x | 2.35x |' in text
    assert '| openvla, total, against bf16 | 2.8x | not measured |' in text
    assert 'of SQAP in GiB | 4.5 | 5.25 with random weights, 5.50 loaded from a file |' in text
    assert 'memory of SQAP with int8 vision in GiB | 4.5 | 4.25 with random weights |' in text
    content['machine']['capability'] = '8.7'
    assert '| 2.56x | 2.35x |' in render.goals(content)


def test_libraries_stand_beside_ours_and_what_cannot_run_says_why():
    place = {'layer': 'qkv', 'tokens': 280, 'kind': 'W8A8 product'}
    text = render.libraries({'comparisons': [
        {**place, 'library': 'fast', 'ours': {'us': 20.0}, 'theirs': {'us': 30.0}},
        {**place, 'library': 'gone', 'ours': {'us': 20.0}, 'theirs': {'reason': 'not there'}}]})
    assert '| qkv | 280 | W8A8 product | 20.0 | fast | 30.0 | 1.50 |' in text
    assert 'not compared: gone: not there' in text and '| gone |' not in text


def test_a_checkpoint_that_there_is_no_room_or_time_for_is_skipped(monkeypatch):
    def loaded(name, config, keep, device, dtype):
        return {'file_gib': 1.0, 'write_s': 1.0, 'load_s': 1.0}
    monkeypatch.setattr(loading, 'loaded', loaded)
    arguments = shapes.FULL, torch.device('cpu'), torch.float32
    room = shutil.disk_usage('/')._replace(free=8 * 2 ** 30)
    monkeypatch.setattr(loading.shutil, 'disk_usage', lambda path: room)
    found = loading.measure(*arguments, 60, lambda content: None)['kinds']
    assert [name for name, one in found.items() if 'skipped' in one] == ['full precision']
    assert list(found) == list(loading.KINDS)
    assert '8 GiB of disk were left' in found['full precision']['skipped']


def test_replays_must_give_every_token_and_others_the_first():
    expected = torch.arange(28).view(4, 7)
    found = expected.clone()
    found[0, 3] = -1
    assert agreement.judged(expected, found, is_replay=True)['ok']
    found[:, 3] = -1
    assert not agreement.judged(expected, found, is_replay=True)['ok']
    assert agreement.judged(expected, found)['ok']


def test_times_are_kept_whatever_becomes_of_the_agreement(monkeypatch):
    def broken(sides, device):
        raise RuntimeError('an illegal memory access')
    monkeypatch.setattr(pairs, 'agreement', broken)
    kept, plan = {}, shapes.TINY
    config = plan.models['cogact']
    with pytest.raises(RuntimeError, match='illegal'):
        pairs.measure(config, [shapes.Variant('bf16'), shapes.Variant('other')], plan, TEN,
                      torch.device('cpu'), torch.float32, 30, kept.update)
    assert kept['ms']['other']['total']['p50'] > 0 and kept['ratio']['bf16']['other']
    assert 'other' in render.pairs('cogact', kept)


def test_a_curve_that_ended_early_says_so():
    kept = {}
    growth.measure(shapes.TINY.models['cogact'], shapes.TINY, torch.device('cpu'), torch.float32,
                   -1.0, kept.update)
    assert len(kept['ended_early']) == 3
    text = render.growth({'curves': {'batch': {'bf16': [[1, 2.0]]}}, **kept})
    assert 'no time was left for batch from 2 on' in text
