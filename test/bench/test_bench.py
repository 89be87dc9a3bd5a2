# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla bench`: sizes, pairing, ratios, and a whole run on tiny models."""
import argparse
import json

import numpy as np
import pytest
from sqap_vla_ros.bench import growth as curves, sides, sizes, tables as report, timing
from sqap_vla_ros.commands import bench
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.float_layers import PlainLinear
from sqap_vla_ros.loading import machines
from sqap_vla_ros.model import llama
from sqap_vla_ros.model.bfloat16_vision import in_bfloat16
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.quant import QuantLinear
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(autouse=True)
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(bench, 'has_fast_bfloat16', lambda: False)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(sizes._DECODERS, 'tiny', (64, 128, 3, 2, 1))
    return sizes.size_config('tiny')


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize('name', sizes.SIZES[1:])
def test_the_vision_encoder_takes_nearly_its_share(name):
    count = sizes.operations(sizes.size_config(name), all_rows=True)
    assert 0.09 < count['vision'] / count['backbone'] <= 0.10


def test_openvla_oft_has_the_tokens_of_two_images_a_state_and_a_chunk():
    config = sizes.size_config('openvla-7b', 'oft')
    assert sizes.sequence_length(config) == 590 and config.num_visual == 512
    assert sizes.usual_keep(config) == 308 and sizes.usual_keep(sizes.size_config('w256')) == 154
    assert config.attention == 'full' and config.head.width == config.llm.hidden_size == 4096
    plain = sizes.operations(sizes.size_config('openvla-7b', 'tokens'))
    assert sizes.operations(config)['vision'] == 2 * plain['vision']
    for name in ('smollm2-135m', 'tinyllama-1.1b'):
        count = sizes.operations(sizes.size_config(name, 'oft'), all_rows=True)
        assert 0.08 < count['vision'] / count['backbone'] <= 0.10


def test_a_size_that_this_machine_has_no_memory_for_is_refused(monkeypatch):
    monkeypatch.setattr(bench, 'machine', lambda: {'memory_gib': 16.0})
    monkeypatch.setattr(sides, 'float32_model', None)
    with pytest.raises(ConfigError, match=r'openvla-7b takes 3\d\.\d GiB .* has 16\.0'):
        bench.run(parsed('--sizes', 'openvla-7b', '--head', 'oft'))


def test_the_largest_size_has_a_billion_parameters():
    assert 1e9 < sizes.parameters(sizes.size_config('tinyllama-1.1b')) < 1.2e9


def test_operations_are_those_that_torch_counts():
    config = sizes.size_config('bundled')  # a convolutional stem and grouped queries
    counted = {}
    with torch.device('meta'), torch.inference_mode():
        model, length = VLA(config), sizes.sequence_length(config)
        inputs = {
            'vision': (model.vision, torch.empty(1, 3, *(config.vision.image_size,) * 2)),
            'backbone': (model.llm, torch.empty(1, length, config.llm.hidden_size),
                         torch.arange(length))}
        for part, (module, *arguments) in inputs.items():
            with FlopCounterMode(display=False) as counter:
                module(*arguments)
            counted[part] = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            model.llm.run(*inputs['backbone'][1:], 0, 4, read=config.head_rows(length))
        with FlopCounterMode(display=False) as pruned:
            model.llm.run(*inputs['backbone'][1:], 0, 2)
            few = torch.empty(1, length - 102, config.llm.hidden_size)
            model.llm.run(few, torch.arange(length - 102), 2, 4,
                          read=config.head_rows(length - 102))
    assert pruned.get_total_flops() == sizes.operations(config, keep=154)['backbone']
    assert sizes.pruned_share(config) == pruned.get_total_flops() / counter.get_total_flops()
    assert counted == sizes.operations(config, all_rows=True)
    assert counter.get_total_flops() == sizes.operations(config)['backbone']


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ConfigError, match='smollm2-135m'):
        sizes.size_config('7b')


class FakeSide:

    def __init__(self, name, order, ms):
        self.name, self.order, self.ms = name, order, ms

    def infer(self, clock=None):
        if clock is not None:
            self.order.append(self.name)
        return dict.fromkeys(sides.STAGES, self.ms)


def test_sides_run_in_turn_and_each_begins_as_often():
    order = []
    fakes = [FakeSide('a', order, 4.0), FakeSide('b', order, 1.0)]
    times = timing.time_sides(fakes, rounds=4, seconds=60)
    assert order == ['a', 'b', 'b', 'a', 'a', 'b', 'b', 'a']
    assert times['a']['total'].tolist() == [20.0] * 4
    assert times['b']['backbone'].tolist() == [2.0] * 4


def test_rounds_end_with_the_time_but_not_before_five():
    times = timing.time_sides([FakeSide('a', [], 1.0)], rounds=100, seconds=0)
    assert len(times['a']['total']) == 5


def test_the_ratio_is_paired_so_that_common_load_cancels():
    load = np.random.default_rng(0).uniform(1, 10, 40)
    found = timing.paired_ratio(3.0 * load, load)
    assert found == pytest.approx({'ratio': 3.0, 'low': 3.0, 'high': 3.0})
    noisy = timing.paired_ratio(3.0 * load, load * np.random.default_rng(1).normal(1, 0.1, 40))
    assert noisy['low'] < 3.0 < noisy['high']


def test_all_blocks_have_memory_of_their_own(tiny):
    for model in (sides.random_model(tiny), sides.random_model(tiny, 'w4a4')):
        assert len(model.llm.layers) == 3
        weights = [layer.mlp.down_proj.weight for layer in model.llm.layers]
        assert len({weight.data_ptr() for weight in weights}) == 3


def test_scores_are_only_computed_where_tokens_are_selected(tiny, monkeypatch):
    model, inputs = sides.random_model(tiny), sides.Inputs.random(tiny)
    monkeypatch.setattr(llama.Attention, 'scores', None)  # a call would fail
    sides.Side('all', model, inputs).infer()
    with pytest.raises(TypeError):
        sides.Side('selected', model, inputs, SelectionConfig(40)).infer()


def test_every_side_can_be_timed_with_all_rows_too(tiny, tmp_path, capsys):
    out = tmp_path / 'bench.json'
    assert bench.run(parsed('--sizes', 'tiny', '--rounds', '1', '--seconds', '0', '--keep', '40',
                            '--all-rows', '--out', str(out))) == 0
    found = json.loads(out.read_text())['sizes']['tiny']
    sides = ['float32', 'float32+40', 'w4a4', 'sqap w4a4+40']
    assert list(found['ms']) == sides + [f'{side}, all rows' for side in sides]
    assert list(found['few_rows']) == sides and found['few_rows']['w4a4']['backbone']['low'] > 0
    assert 'of w4a4, all rows' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, has_it, is_timed', [
    ((), False, False), ((), True, True), (('--bfloat16',), False, True),
    (('--bfloat16', 'off'), True, False), (('--bfloat16', 'auto'), True, True)])
def test_bfloat16_is_timed_where_the_processor_has_it(
        arguments, has_it, is_timed, tiny, monkeypatch):
    monkeypatch.setattr(bench, 'has_fast_bfloat16', lambda: has_it)
    made = bench._sides(tiny, parsed('--keep', '40', *arguments), {})
    assert [side.name for side in made] == ['float32', 'float32+40'] + ['bfloat16'] * is_timed


def test_encoders_of_several_types_are_timed_in_turn_and_unknown_ones_refused(tiny):
    sides = bench._sides(tiny, parsed('--vision', 'fp,bfloat16,w8a8', '--keep', '40'), ['w4a4'])
    assert [side.name for side in sides[2:]] == [
        'w4a4, fp', 'sqap w4a4+40, fp', 'w4a4, bfloat16', 'sqap w4a4+40, bfloat16', 'w4a4, w8a8',
        'sqap w4a4+40, w8a8']
    plain, rounded, quantized = (
        side.model.vision.blocks[0].attn.qkv for side in sides[2::2])
    assert type(plain) is PlainLinear and not in_bfloat16(plain)
    assert in_bfloat16(rounded) and type(quantized) is QuantLinear
    assert in_bfloat16(sides[4].model.projector[0]) and sides[4].infer()
    for text, message in (('fp,bf16', "expected fp, bfloat16, .* not 'bf16'"),
                          ('fp,fp', '--vision fp,fp names one twice')):
        with pytest.raises(ConfigError, match=message):
            bench.run(parsed('--vision', text))


def test_what_is_faster_of_the_plain_networks_is_the_baseline():
    times = {name: {'total': np.array([ms, ms, 50.0])}
             for name, ms in (('float32', 9.0), ('bfloat16', 8.0), ('w4a4', 1.0))}
    assert report.fastest_plain(times) == 'bfloat16'
    times['bfloat16']['total'] *= 2
    assert report.fastest_plain(times) == 'float32'
    del times['bfloat16']
    assert report.fastest_plain(times) == 'float32'


@pytest.mark.parametrize('head', ['chunk', 'tokens', 'diffusion', 'oft'])
@pytest.mark.parametrize('vision', ['fp', 'w8a8'])
def test_a_run_prints_and_writes_all_stages_and_ratios(tiny, tmp_path, capsys, head, vision):
    out = tmp_path / 'bench.json'
    assert bench.run(parsed('--sizes', 'tiny', '--rounds', '2', '--seconds', '0', '--keep', '40',
                            '--head', head, '--vision', vision, '--bfloat16',
                            '--out', str(out))) == 0
    found = json.loads(out.read_text())['sizes']['tiny']
    assert set(found['ms']) == {'float32', 'float32+40', 'w4a4', 'sqap w4a4+40', 'bfloat16'}
    for rows in found['ms'].values():
        assert set(rows) == set(timing.ROWS)
    assert set(found['ratio']) == set(found['ms']) - {found['faster_than']}
    assert found['ratio']['sqap w4a4+40']['total']['ratio'] > 0
    printed = capsys.readouterr().out
    assert 'sqap w4a4+40' in printed and f'of {found["faster_than"]}' in printed
    assert f'in {vision}' in printed


def test_several_precisions_are_timed_in_turn_and_auto_is_one_of_them(
        tiny, tmp_path, capsys):
    out = tmp_path / 'bench.json'
    bench.run(parsed('--sizes', 'tiny', '--rounds', '1', '--seconds', '0', '--keep', '40',
                     '--precision', 'w4a16,auto', '--out', str(out)))
    found = json.loads(out.read_text())['sizes']['tiny']
    chosen = machines.auto_precision(tiny, {}, torch.device('cpu'))
    assert set(found['ms']) == {'float32', 'float32+40'} | {
        side for name in ('w4a16', chosen.precision) for side in (name, f'sqap {name}+40')}
    assert f'precision {chosen}\n' in capsys.readouterr().out


def test_growth_is_drawn_along_three_axes(monkeypatch):
    pytest.importorskip('matplotlib')
    for name, value in (('WIDTH', 64), ('LAYERS', 2), ('KEPT', (64, 256)), ('DEPTHS', (2, 3)),
                        ('WIDTHS', (64, 128))):
        monkeypatch.setattr(curves, name, value)
    found = curves.growth('w4a4', keep=64, rounds=1, seconds=0, clock='wall')
    assert list(found) == ['kept visual tokens', 'layers', 'width']
    for by_side in found.values():
        assert all(len(points) == 2 for points in by_side.values()) and len(by_side) == 2
    assert report.curves_png(found).startswith(b'\x89PNG')


@pytest.mark.parametrize(('arguments', 'message'), [
    (('--clock', 'cpu', '--threads', '2'), 'one thread only'),
    (('--keep', '300'), r'1\.\.256'),
    (('--out', '/no/such/directory/bench.json'), 'make it first'),
    (('--sizes', '7b'), 'is unknown'), (('--precision', 'Auto'), "'Auto' is unknown"),
    (('--precision', 'w4a8,w4a4,w4a8'), 'one twice'),
])
def test_bad_options_stop_before_any_work(arguments, message, monkeypatch):
    monkeypatch.setattr(sides, 'float32_model', None)
    with pytest.raises(ConfigError, match=message):
        bench.run(parsed(*arguments))
