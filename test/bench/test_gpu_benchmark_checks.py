# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu: its comparisons find a kernel that is wrong, and let a right one by."""
import contextlib
import copy
import dataclasses
from importlib import import_module
from pathlib import Path
import sys
from types import SimpleNamespace

import cuda_interpreter  # noqa: F401  before anything imports triton
import pytest
from sqap_vla_ros.inference import plan as plans
from sqap_vla_ros.kernels import Unavailable
from sqap_vla_ros.kernels.cuda import gemv, quantize, small, workspace
from sqap_vla_ros.kernels.cuda.gemm import candidates
from sqap_vla_ros.model import fused_blocks as block
from sqap_vla_ros.tokens import triton_choice as select
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.runtime.errors import OutOfResources

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))

(agreement, check_blocks, check_splits, checks, closeness, compare, engine, golden, libraries,
 models, rivals, shapes) = (import_module(f'gpu.{name}') for name in (
     'agreement', 'check_blocks', 'check_splits', 'checks', 'closeness', 'compare', 'engine',
     'golden', 'libraries', 'models', 'rivals', 'shapes'))
CPU, SEED = torch.device('cpu'), 3
CONFIG = shapes.TINY.models['cogact']


def case(name, dtype=torch.float32):
    """Return the comparisons of one case of the tiny plan."""
    torch.manual_seed(SEED)
    return checks.run(name, checks.cases(shapes.TINY, CPU, dtype)[name])


def wrong(rows):
    return [row['name'] for row in rows if not row['ok']]


# what to break, and the case that must find it
BROKEN = {
    'rotary, bfloat16': (block, 'rotate', lambda f: lambda qkv, cos, sin, *rest: f(
        qkv, cos, -sin, *rest)),
    'rotary into a cache, float32': (block, 'rotate', lambda f: lambda qkv, cos, sin, *rest: f(
        qkv, cos.roll(1, 0), sin.roll(1, 0), *rest)),
    'norm, bfloat16': (quantize, 'transform_rows', lambda f: lambda x, norm_weight, **rest: f(
        x, norm_weight.roll(1), **rest)),
    'SwiGLU and Hadamard, float32': (quantize, 'quantize_rows', lambda f: lambda x, bits, gate,
                                     **rest: f(gate, bits, gate=x, **rest)),
    'no transform, bfloat16': (quantize, 'quantize_rows', lambda f: lambda *given, **rest: tuple(
        part * factor for part, factor in zip(f(*given, **rest), (1, 1.02)))),
    'skinny_linear w4a8, 1 rows, bfloat16': (gemv, 'skinny_linear', lambda f: lambda *given: f(
        *given[:5], None, *given[6:])),
    'small_linear, float32': (small, 'small_linear', lambda f: lambda x, w, b, eps, gelu, r: f(
        x, w, b, eps, False, r)),
    'selection, sqap': (select, 'select_tokens_cuda', lambda f: lambda *given: tuple(
        part.flip(0) for part in f(*given)))}


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_kernel_is_found(name, monkeypatch):
    module, attribute, breaking = BROKEN[name]
    monkeypatch.setattr(module, attribute, breaking(getattr(module, attribute)))
    rows = case(name)
    assert wrong(rows) and all(row['reason'] for row in rows)


def test_a_case_that_raises_is_wrong_and_what_is_not_run_fails_the_section(monkeypatch):
    def raises():
        raise RuntimeError('an illegal memory access')
    monkeypatch.setattr(checks, 'cases', lambda *rest: {'a': raises, 'b': lambda: []})
    found = checks.measure(shapes.TINY, CPU, torch.float32, 60, lambda content: None)
    assert not found['ok'] and 'illegal memory' in found['checks'][0]['name']
    found = checks.measure(shapes.TINY, CPU, torch.float32, -1, lambda content: None)
    assert not found['ok'] and found['not_run'] == ['a', 'b']


def test_every_configuration_is_tried_and_those_that_do_not_fit_are_left_out(monkeypatch):
    monkeypatch.setattr(compare, 'is_interpreted', lambda: False)
    module = SimpleNamespace(pick=None)

    def call(candidates):
        config = module.pick('name', (), candidates, None)
        if config == 'large':
            raise OutOfResources(2, 1, 'shared memory')
        return config
    assert list(compare.every_choice(module, lambda: call(['a', 'large', 'b']))) == ['a', 'b']
    assert list(compare.every_choice(module, lambda: call(['large', 'a', 'b']), 1)) == ['a']
    assert module.pick is None
    with pytest.raises(Unavailable, match='none of 1'):
        list(compare.every_choice(module, lambda: call(['large'])))


def test_rows_are_judged_by_their_own_size_and_nothing_infinite_is_near():
    expected = torch.tensor([[0.0, 0.0], [1e-6, 2e-6], [100.0, 0.0]])
    assert compare.row_error(expected, expected) == 0.0
    assert compare.row_error(expected + torch.tensor([[0.0], [2e-7], [0.0]]),
                             expected) == pytest.approx(0.1, rel=1e-3)
    assert compare.row_error(expected + 1e-9, expected) == float('inf')
    assert compare.row_error(expected * float('nan'), expected) == float('inf')
    assert not compare.worst('', [0.0, float('nan')], 1.0, '')['ok']
    assert not compare.worst('', [], 1.0, '')['ok']


def test_a_workspace_that_is_not_clear_is_found():
    run, = check_splits.cases(CONFIG, (13,), CPU).values()
    assert not wrong(run())
    dirty = max(workspace.buffers().values(), key=len)
    dirty[3] = 2 ** 20
    try:
        found = wrong(run())
        assert len(found) >= 1 and 'configurations' in found[0]
        dirty.zero_()
        dirty[-1] = 1
        assert [name.split(': ')[1] for name in wrong(run())] == ['workspaces behind it']
    finally:
        dirty.zero_()


class PretendGraph:
    """A graph that replays what it has."""

    def replay(self):
        pass


def test_products_in_two_streams_are_each_compared_with_their_own(monkeypatch):
    weight = compare.integers(4, 24, 512, device=CPU)
    residual = torch.zeros(13, 24)
    pair = [check_splits._Product(13, weight, check_splits.pack_weight(weight, 4), residual, seed)
            for seed in (1, 2)]
    for name, pretend in {'Stream': lambda device: object(), 'CUDAGraph': PretendGraph,
                          'stream': contextlib.nullcontext,
                          'graph': lambda graph, stream: contextlib.nullcontext()}.items():
        monkeypatch.setattr(torch.cuda, name, pretend)
    split = [config for config in candidates(pair[0].dense, pair[0].packed) if config['SPLIT']]
    assert check_splits.side_by_side(pair, split[:1], CPU) == 0
    pair[1].expected[0, 0] += 1
    assert check_splits.side_by_side(pair, split[:1], CPU) == (
        check_splits._IN_GRAPH * check_splits._REPLAYS)


def test_a_scale_that_is_wrong_in_a_fused_block_is_found(monkeypatch):
    """In its prefill and in its decoding step."""
    original = block.FusedDecoderLayer

    def fused(plain):
        plain.self_attn.o_proj.kernel.scale *= 2
        return original(plain)
    monkeypatch.setattr(block, 'FusedDecoderLayer', fused)
    rows = list(check_blocks.decoder_block(CONFIG.llm, 'w8a8', 2, CPU, torch.bfloat16))
    assert len(wrong(rows)) == 2, rows


@pytest.fixture(scope='module')
def reference():
    """Return a golden policy of true size, its blocks' inputs and outputs, and its answers."""
    sys.path.insert(0, str(ROOT / 'test'))
    policy = golden.reference_policy('cogact', 'w8a8', 154, {})
    with golden.recorded(policy.model.llm) as blocks:
        expected = golden.answers(policy, 'cogact', (0,))
    return policy, blocks, expected


def judged(reference, dtype=torch.float32, precision='w8a8', is_captured=False):
    policy, blocks, expected = reference
    found = golden.compared(policy, 'cogact', (0,), expected, blocks, CPU, torch.float32,
                            is_captured)
    return closeness.verdict({'precision': precision, **found}, dtype, True)


def test_the_golden_network_agrees_with_itself(reference):
    assert judged(reference)['ok'] and judged(reference, torch.bfloat16)['ok']
    row = judged(reference, is_captured=True)
    assert row['over'] == [] and row['problems'] == ['nothing was captured'] and not row['ok']


@pytest.mark.parametrize('layer', ['o_proj', 'down_proj'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_a_golden_block_with_a_scale_that_is_doubled_is_found_in_every_type(
        reference, layer, dtype):
    part = next(part for name, part in reference[0].model.llm.layers[1].named_modules()
                if name.endswith(layer))
    part.kernel.scale *= 2
    try:
        row = judged(reference, dtype)
        assert {'block', 'largest', 'median'} <= set(row['over'])
        assert 'block' in judged(reference, dtype, 'w4a4')['over']
    finally:
        part.kernel.scale /= 2


def test_a_kept_token_that_was_exchanged_for_another_is_found(reference, monkeypatch):
    original = plans.select

    def swapped(*given, **options):
        kept, why = original(*given, **options)
        others = sorted(set(range(256)) - set(kept.tolist()))
        kept = kept.clone()
        kept[77] = others[40]
        return kept.sort().values, why
    monkeypatch.setattr(plans, 'select', swapped)
    row = judged(reference, precision='fp')
    assert {'kept', 'largest', 'median'} <= set(row['over'])


def test_an_answer_is_judged_by_what_the_reference_thinks_of_it():
    logits = [torch.tensor([[0.0, 4.0, 3.999, 1.0]]), torch.tensor([[9.0, 0.0, 0.0, 0.0]])]
    expected = {'raw': torch.tensor([[1.0, 0.0]]), 'logits': logits}

    def replayed(*ids):
        return closeness.differences(
            {'raw': torch.tensor([ids], dtype=torch.float32), 'logits': []}, expected)[0]
    assert replayed(1, 0) == 0.0
    assert replayed(2, 3) < 1e-3  # as good as equal
    assert replayed(3, 0) > 1.0 and replayed(1, 3) > 1.0
    nearly = {'raw': expected['raw'], 'logits': [logits[0] + 0.5, logits[1]]}
    largest, median = closeness.differences(nearly, expected)
    assert largest == pytest.approx(0.5 / logits[0].std().item()) and 0 <= median < largest
    sample = torch.zeros(1, 2, 7)
    assert closeness.differences({'raw': sample + 0.25}, {'raw': sample}) == (0.25, 0.25)
    tipped = sample.clone()
    tipped[..., 6] = 1.0
    assert closeness.differences({'raw': tipped}, {'raw': sample}, gripper=6) == (0.0, 0.0)
    broken = closeness.differences({'raw': sample * float('nan')}, {'raw': sample})
    assert broken[0] == float('inf')


@pytest.mark.parametrize('name', ['cogact', 'openvla'])
def test_sides_that_disagree_are_found(name):
    config = shapes.TINY.models[name]
    right, _ = models.random_model(config, 'fp', 'fp', CPU, torch.bfloat16)
    broken = copy.deepcopy(right)
    broken.llm.norm.weight.mul_(-1.0)
    eager, graphed = (shapes.Variant(kind, eager=kind == 'eager') for kind in ('eager', 'graph'))
    for model, is_right in ((right, True), (broken, False)):
        sides = [engine.Side(eager, right, config, CPU, torch.bfloat16),
                 engine.Side(graphed, model, config, CPU, torch.bfloat16)]
        found = agreement.agreement(sides, CPU)['graph against eager']
        assert found['ok'] is is_right, found


def test_a_graph_is_compared_with_its_own_network_run_kernel_by_kernel():
    config = shapes.TINY.models['cogact']
    model, _ = models.random_model(config, 'fp', 'fp', CPU, torch.float32)
    side = engine.Side(shapes.Variant('graph', keep=6, ddim_steps=2), model, config, CPU,
                       torch.float32)
    (twin, same), = agreement._pairs([side], True)
    assert same is side and twin.variant == dataclasses.replace(side.variant, eager=True)
    assert twin.config == side.config and torch.equal(twin.infer().raw, side.infer().raw)


def test_a_library_is_timed_only_if_it_gives_what_it_has_to(monkeypatch):
    problem = rivals.Problem(20, 128, 24, 2, CPU, torch.float32)
    for make in (rivals.cublas_int8, rivals.our_int8, rivals.our_int8_layer, rivals.our_int4):
        found = libraries.timed(make, problem)
        assert found['us'] > 0 and found['error'] <= 1e-6, (make.__name__, found)
    right = torch._int_mm
    monkeypatch.setattr(torch, '_int_mm', lambda a, b: right(a, b) + 1)
    found = libraries.timed(rivals.cublas_int8, problem)
    assert 'us' not in found and 'off by' in found['reason']
    for make in (rivals.cublas_fp8, rivals.tinygemm, rivals.torchao_int8, rivals.gemlite_int4):
        assert 'us' not in libraries.timed(make, problem) and libraries.timed(
            make, problem)['reason']
    few = rivals.Problem(8, 128, 24, 1, CPU, torch.float32)
    assert '17 rows' in libraries.timed(rivals.cublas_int8, few)['reason']


def test_the_libraries_that_need_cuda_are_called_as_torch_declares_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (9, 0))
    monkeypatch.setattr(rivals, 'dequantize', lambda weight, scales: weight.float())
    problem = object.__new__(rivals.Problem)
    with FakeTensorMode():
        def empty(*shape, dtype=torch.float32):
            return torch.empty(shape, dtype=dtype, device='cuda')
        problem.device, problem.dtype, problem.copies = torch.device('cuda'), torch.bfloat16, 1
        problem.x, problem.tokens = empty(20, 256, dtype=torch.bfloat16), empty(
            20, 256, dtype=torch.int8)
        problem.bytes = problem.nibbles = [empty(32, 256, dtype=torch.int8)]
        problem.row_scale, problem.scale, problem.scales = empty(20), empty(32), empty(32, 2)
        for make in (rivals.cublas_fp8, rivals.tinygemm, rivals.cublas_int8):
            contender = make(problem)
            assert contender.calls[0]().shape == contender.expected.shape == (20, 32)


def test_tinygemm_gets_its_nibbles_in_the_order_that_torchs_own_tests_give_them(monkeypatch):
    problem, given = rivals.Problem(20, 128, 16, 1, CPU, torch.bfloat16), []
    problem.device = torch.device('cuda')
    monkeypatch.setattr(torch.ops.aten, '_convert_weight_to_int4pack',
                        lambda packed, tiles: given.append(packed))
    rivals.tinygemm(problem)
    above = problem.nibbles[0].int() + 8
    expected = (above[::, ::2] << 4 | above[::, 1::2]).to(torch.uint8)  # common_quantization.py
    assert torch.equal(given[0], expected)
