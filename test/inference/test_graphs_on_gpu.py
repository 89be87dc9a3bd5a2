# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What only a GPU can show: captured graphs answer as the CPU does.

Tests of single kernels have Triton interpret them, for the whole process; in such a run the tests
here are run by the last one, in a process of their own.
"""
from concurrent.futures import ThreadPoolExecutor
import gc
from importlib import import_module
import os
from pathlib import Path
import subprocess
import sys

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.observation import ProtectedPoints
from sqap_vla_ros.policy import STAGES
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))
golden = import_module('gpu.golden')

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device: run this on a machine with one')
WHOLE = 'test_all_of_these_in_a_process_of_their_own'
HEADS, GRIPPER = ('openvla', 'cogact'), 6
HAND = ProtectedPoints(np.array([[40.0, 60.0]]), np.zeros(1), ('hand',))


@pytest.fixture(autouse=True)
def compiled(request):
    """Leave out what this process would have Triton interpret."""
    if os.environ.get('TRITON_INTERPRET') == '1' and request.node.name != WHOLE:
        pytest.skip(f'kernels are interpreted in this process: {WHOLE} runs this in another')


def prompt_lengths(policy):
    """Return the numbers of tokens of the golden prompts."""
    return {policy.inputs.token_ids(seen(case).instruction).shape[1] for case in golden_data.CASES}


def seen(case, **changes):
    return golden_data.observation(case, protected=HAND, **changes)


def differences(policy, found, expected):
    """Return the differences [T, A] in units of -1..1."""
    half = 0.5 * (policy.statistics['high'] - policy.statistics['low'])
    return np.abs(found - expected) / np.maximum(half, 1e-6)


@pytest.mark.parametrize('head', HEADS)
def test_pixels_are_those_of_the_cpu_to_the_last_bit(head):
    inputs = golden_data.loaded(head).inputs
    small = torch.from_numpy(inputs.image_transform.apply(seen(0).image))[None]
    assert torch.equal(inputs.normalised(small.cuda()).cpu(), inputs.normalised(small))


@pytest.mark.parametrize('keep', [None, 154])
@pytest.mark.parametrize('precision', ['fp', 'w8a8', 'w4a16', 'w4a4'])
@pytest.mark.parametrize('head', HEADS)
def test_replayed_graphs_answer_as_the_cpu_does_in_float32(head, precision, keep):
    cpu = golden_data.loaded(head, precision, keep)
    gpu = golden_data.load(head, precision=precision, keep=keep, device='cuda', dtype='float32')
    limits = golden.LIMITS[torch.float32][precision]
    for _ in range(3):  # an ordinary run, the capture, a replay
        for case in golden_data.CASES:
            cpu.reset()
            gpu.reset()
            expected, found = cpu.infer(seen(case)), gpu.infer(seen(case))
            off = differences(cpu, found.actions, expected.actions)
            if head == 'cogact':
                assert off[:, :GRIPPER].max() < limits.sample[0]
                assert np.median(off) < limits.sample[1]
            elif precision in ('fp', 'w4a16'):  # else the first bit that differs changes the rest
                assert off.max() < 1e-6
            if keep:
                others = np.setdiff1d(found.selection.kept, expected.selection.kept)
                assert len(others) <= limits.kept
    assert gpu.runner.captured == len(prompt_lengths(gpu)) and not gpu.runner.problems


@pytest.mark.parametrize('head', HEADS)
def test_a_replay_equals_the_same_stages_kernel_by_kernel(head):
    options = {'precision': 'w4a4', 'keep': 154, 'device': 'cuda'}
    plain, captured = (golden_data.load(head, capture=capture, **options)
                       for capture in (False, True))
    for case in (0, 1, 0, 1):
        plain.reset()
        captured.reset()
        first, second = plain.infer(seen(case)), captured.infer(seen(case))
        np.testing.assert_array_equal(first.selection.kept, second.selection.kept)
        np.testing.assert_allclose(first.actions, second.actions, atol=1e-6)
    assert plain.runner.captured == 0
    assert captured.runner.captured == len(prompt_lengths(captured))


def test_other_prompt_lengths_and_stages_do_not_disturb_each_other():
    policy = golden_data.load('openvla', keep=154, device='cuda')
    texts, expected = ['go', 'pick up the cup', 'move it near the blue bottle'], {}
    for by_stage in (False, False, False, True, True, False):
        policy.runner.by_stage = by_stage
        for text in texts:
            policy.reset()
            chunk = policy.infer(seen(0, instruction=text))
            np.testing.assert_array_equal(
                chunk.actions, expected.setdefault(text, chunk.actions))
            assert not by_stage or set(chunk.timings) == set(STAGES)
    assert policy.runner.captured == 3 and not policy.runner.problems
    assert isinstance(policy.config.model.head, TokenHeadConfig)


def test_graphs_are_captured_and_replayed_on_an_inference_thread():
    policy = golden_data.load('cogact', keep=154, device='cuda')
    other = torch.zeros(1000, device='cuda')

    def infer():
        actions = []
        for _ in range(4):
            policy.reset()
            actions.append(policy.infer(seen(0)).actions)
        return actions
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(infer)
        while not future.done():  # another thread works on the GPU meanwhile
            other += torch.randn(1000).cuda()
        found = future.result()
    assert policy.runner.captured == 1 and not policy.runner.problems
    for actions in found[1:]:
        np.testing.assert_allclose(actions, found[0], atol=1e-6)


def test_two_policies_on_two_threads_do_not_disturb_each_other():
    """Both capture while the other infers."""
    def infer(case):
        policy = golden_data.load('cogact', precision='w4a4', keep=154, device='cuda')
        policy.warm_up(instruction=seen(case).instruction, image_size=seen(case).image.shape[:2])
        answers = []
        for number in range(20):
            if number == 10:  # once more, beside the other's replays
                policy.make_ready('move it near the blue bottle', (97, 311))
            policy.reset()
            answers.append(policy.infer(seen(case)).actions)
        assert not policy.runner.problems
        return answers
    alone = [infer(case)[0] for case in range(2)]
    with ThreadPoolExecutor(2) as threads:
        for expected, answers in zip(alone, threads.map(infer, range(2))):
            for actions in answers:
                np.testing.assert_allclose(actions, expected, atol=1e-6)


def test_a_policy_that_was_made_ready_tunes_and_captures_nothing_while_it_infers(monkeypatch):
    policy = golden_data.load('openvla', precision='w4a4', keep=154, device='cuda')
    policy.warm_up()
    policy.make_ready(seen(0).instruction, seen(0).image.shape[:2])
    captured = policy.runner.captured
    compiled_before = compilations()
    from triton.runtime.autotuner import Autotuner
    monkeypatch.setattr(Autotuner, '_bench', lambda *_, **named: pytest.fail('a kernel is timed'))
    for text in ('go', seen(0).instruction, 'move it ' * 60):
        policy.infer(seen(0, instruction=text))
    assert policy.runner.captured == captured and not policy.runner.problems
    assert compilations() == compiled_before


def compilations():
    """Return how many kernels are loaded, by kernel."""
    modules = [module for name, module in sys.modules.items()
               if name.startswith('sqap_vla_ros.kernels.cuda.')]
    found = {}
    for module in modules:
        for name, value in vars(module).items():
            # of a triton.JITFunction, perhaps in an Autotuner
            caches = getattr(getattr(value, 'fn', value), 'device_caches', None)
            if caches is not None:
                found[module.__name__, name] = sum(len(cache[0]) for cache in caches.values())
    assert found
    return found


def test_little_more_memory_is_used_than_the_weights_take():
    golden_data.load('openvla', precision='w4a4', device='cuda')  # the kernels' own buffers
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    policy = golden_data.load('openvla', precision='w4a4', device='cuda')
    held = torch.cuda.memory_allocated() - before
    peak = torch.cuda.max_memory_allocated() - before
    assert peak < 1.5 * held  # loaded twice it would be 2
    assert policy.model.llm.embed_tokens.weight.device.type == 'cuda'


@pytest.mark.skipif(os.environ.get('TRITON_INTERPRET') != '1', reason='this is that process')
def test_all_of_these_in_a_process_of_their_own():
    environment = {name: value for name, value in os.environ.items() if name != 'TRITON_INTERPRET'}
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-rs', __file__],
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert 'interpreted' not in done.stdout
