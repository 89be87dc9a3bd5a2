# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The last block computes the rows that somebody reads, and nothing else changes."""
import dataclasses

import numpy as np
import pytest
from small_models import answer, make_model, make_oft, oft_answer
from sqap_vla_ros.inference import plan as plans
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import PRECISIONS, prepare_kernels, quantize_model
from sqap_vla_ros.quant.linear import are_joined, prepare_joint, QuantLinear
from tiny_policies import observation
import torch

KEEP = torch.tensor([0, 3, 4, 9])


def quantized(kind='chunk', precision='fp', **options):
    model = make_model(kind)
    if precision != 'fp':
        quantize_model(model, precision, **options)
        prepare_kernels(model, backend='reference')
    return model


@pytest.fixture
def both_ways(monkeypatch):
    """Return what a function gives as it is, and where the last block computes all rows."""
    def run(function):
        found = function()
        for name in ('prefill_full', 'prefill_kept'):
            method = getattr(VLA, name)
            monkeypatch.setattr(VLA, name, lambda self, *given, method=method, **named: method(
                self, *given, **named, all_rows=True))
        return found, function()
    return run


def close(found, expected, limit=1e-6):
    if expected.dtype == torch.int64:
        assert torch.equal(found, expected)
    else:
        assert (found - expected).abs().max() <= limit * expected.abs().max().clamp(min=1.0)


@pytest.mark.parametrize('keep', [None, KEEP], ids=['all', 'pruned'])
@pytest.mark.parametrize('kind', ['chunk', 'tokens', 'diffusion'])
def test_every_head_answers_as_with_all_rows(kind, keep, both_ways):
    model = make_model(kind)
    for found, expected in zip(*both_ways(lambda: answer(model, keep=keep))):
        close(found, expected)


@pytest.mark.parametrize('precision', PRECISIONS[1:])
def test_every_precision_answers_as_with_all_rows(precision, both_ways):
    model = quantized('tokens', precision)
    for found, expected in zip(*both_ways(lambda: answer(model, keep=KEEP))):
        close(found, expected, 1e-5)


def test_quantized_queries_and_keys_are_those_of_their_rows(both_ways):
    model = quantized('chunk', 'w4a4t8', qk_bits=8)
    close(*(hidden for hidden, _ in both_ways(lambda: answer(model))), 1e-5)


@pytest.mark.parametrize('prune_layer', [2, 4])
@pytest.mark.parametrize('reads', ['regression', 'diffusion', 'tokens'])
def test_openvla_oft_reads_rows_in_front_of_its_last(reads, prune_layer, both_ways):
    """In all denoising steps, and where the block that scores is the last one."""
    model = make_oft(reads)
    model.config = dataclasses.replace(model.config, prune_layer=prune_layer)
    found, expected = both_ways(lambda: oft_answer(model, KEEP))
    for name in expected:
        close(found[name], expected[name])


def test_a_block_that_scores_may_be_the_last(both_ways):
    model = make_model('tokens')
    model.config = dataclasses.replace(model.config, prune_layer=3)
    x = torch.randn(1, 22, 64)

    @torch.no_grad()
    def run():
        return model.prefill_full(x, model.make_caches())
    (last, scores), (_, expected) = both_ways(run)
    assert last.shape == (1, 1, 64)
    close(scores, expected)


def seen_rows(model, run):
    """Return how many rows each linear layer of the first and the last block was given."""
    rows = {}
    handles = [layer.register_forward_pre_hook(
        lambda _, given, name=name: rows.__setitem__(name, given[0].shape[1]))
        for name, layer in model.llm.layers.named_modules()
        if isinstance(layer, torch.nn.Linear)]
    run()
    for handle in handles:
        handle.remove()
    return rows


def test_the_last_block_multiplies_no_other_rows():
    model = make_model('chunk')
    rows = seen_rows(model, lambda: answer(model, keep=KEEP))
    names = 'self_attn.q_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'
    assert {rows[f'2.{name}'] for name in names} == {3}
    assert rows['2.self_attn.k_proj'] == rows['2.self_attn.v_proj'] == 1 + 4 + 5 + 3
    assert {count for name, count in rows.items() if not name.startswith('2.')} == {1 + 16 + 8}


@torch.no_grad()
@pytest.mark.parametrize('precision', ['fp', 'w4a4t8'])
@pytest.mark.parametrize('causal', [True, False])
@pytest.mark.parametrize('read', [range(4, 9), range(19, 20), range(0, 2)], ids=str)
def test_rows_anywhere_are_those_of_all(read, causal, precision):
    """Some of them visual, in two sequences side by side."""
    model = quantized('chunk', precision)
    for layer in model.llm.layers:
        layer.self_attn.causal = causal
    x, places = torch.randn(2, 20, 64), torch.arange(20)
    visual = VisualRows(20, 1, 6)
    some, _ = model.llm.run(x, places, 0, 3, visual=visual, read=read)
    every, _ = model.llm.run(x, places, 0, 3, visual=visual)
    close(some, every[:, read.start:read.stop], 1e-5)
    text, _ = model.llm.run(x, places, 0, 3, read=read)
    assert torch.allclose(text, some) == (precision == 'fp')


@torch.no_grad()
def test_rows_that_score_are_found_among_those_that_are_read():
    model = make_model('chunk')
    x, places = torch.randn(1, 20, 64), torch.arange(20)
    _, found = model.llm.run(x, places, 0, 2, range(14, 18), read=range(12, 18))
    _, expected = model.llm.run(x, places, 0, 2, range(14, 18))
    close(found, expected)


def test_the_rows_that_are_read_may_lie_beside_the_visual_ones():
    visual = VisualRows(20, 3, 5)
    assert visual.part(range(8, 20)) is None and visual.part(range(0, 3)) is None
    assert visual.part(range(0, 20)) == visual
    assert visual.part(range(5, 10)) == VisualRows(5, 0, 3)
    assert visual.part(range(1, 4)) == VisualRows(3, 2, 1)


def test_heads_read_no_visual_rows():
    for model in (*map(make_model, ('chunk', 'tokens', 'diffusion')), make_oft('regression')):
        length = 60
        rows = model.config.head_rows(length)
        assert model.visual_rows(length).part(rows) is None


@torch.no_grad()
def test_only_the_last_block_has_queries_apart_and_all_rows_still_go_through_it():
    model = make_model('chunk')
    quantize_model(model, 'w4a4')
    expected, x, places = [], torch.randn(1, 20, 64), torch.arange(20)
    for release in (False, True):
        prepare_kernels(model, backend='reference', release=release)
        for block in model.llm.layers:
            attention = block.self_attn
            layers = attention.q_proj, attention.k_proj, attention.v_proj
            is_last = block is model.llm.layers[-1]
            assert are_joined(layers) != is_last and are_joined(layers[1:]) == is_last
        expected += [model.llm.run(x, places, 0, 3)[0],
                     model.llm.run(x, places, 0, 3, read=range(17, 20))[0]]
    assert torch.equal(expected[0], expected[2]) and torch.equal(expected[1], expected[3])
    close(expected[1], expected[0][:, 17:], 1e-5)


@torch.no_grad()
def test_a_joint_kernel_of_all_three_serves_the_rows_that_are_read_too():
    model = make_model('chunk')
    quantize_model(model, 'w8a8')
    attention = model.llm.layers[-1].self_attn
    layers = attention.q_proj, attention.k_proj, attention.v_proj
    prepare_joint(layers, backend='reference', release=True)
    x, places = torch.randn(1, 20, 64), torch.arange(20)
    some, _ = model.llm.run(x, places, 0, 3, read=range(15, 20))
    close(some, model.llm.run(x, places, 0, 3)[0][:, 15:], 1e-5)


def test_a_loaded_checkpoint_has_its_kernels_in_these_groups(tiny):
    policy = load_policy(tiny, PolicyOptions(precision='w4a4'))
    groups = [are_joined([block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj])
              for block in policy.model.llm.layers]
    assert groups == [True] * (len(groups) - 1) + [False]
    assert all(layer.weight is None for layer in policy.model.modules()
               if isinstance(layer, QuantLinear))


def test_who_watches_sees_all_rows_and_the_answer_stays(tiny, monkeypatch):
    policy, lengths = load_policy(tiny, PolicyOptions()), []
    policy.model.llm.layers[-1].register_forward_hook(
        lambda layer, given, output: lengths.append((given[0].shape[1], output[0].shape[1])))
    plain = policy.infer(observation('chunk'))
    with StageRecorder(policy) as recorder:
        watched = policy.infer(observation('chunk'))
    (whole, few), (_, every) = lengths
    assert few == len(policy.model.config.head_rows(whole)) and every == whole
    assert recorder.stages()['hidden_states'].shape[1] == whole
    np.testing.assert_allclose(watched.actions, plain.actions, atol=1e-6)


@pytest.mark.parametrize('all_rows', [False, True])
@torch.inference_mode()
def test_a_plan_may_ask_for_all_rows(all_rows):
    model, rows = make_model('chunk'), []
    model.llm.layers[-1].register_forward_hook(
        lambda layer, given, output: rows.append(output[0].shape[1]))
    pixels = torch.zeros(1, 3, 56, 56)
    plan = plans.Plan(model, lambda image: pixels, torch.device('cpu'), 6, all_rows=all_rows)
    plan.fill(np.zeros((1, 56, 56, 3), np.uint8), torch.ones(1, 6, dtype=torch.int64))
    plan.inputs.upload()
    for stage in plan.stages.values():
        stage()
    assert rows == [1 + 16 + 5 + 3 if all_rows else 3]
