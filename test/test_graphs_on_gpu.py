# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can show: captured graphs answer as the CPU does."""
from concurrent.futures import ThreadPoolExecutor

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.graphs.resize import DeviceTransform
from sqap_vla_ros.kernels.cuda import tuning
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.observation import ProtectedPoints
from sqap_vla_ros.policy import STAGES
import torch

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device: run this on a machine with one')
HEADS = ('openvla', 'cogact')
# an activation beside a rounding boundary may fall to either side of it
TOLERANCE = {'fp': 2e-3, 'w4a16': 2e-3, 'w8a8': 5e-2, 'w4a4': 1e-1}
HAND = ProtectedPoints(np.array([[40.0, 60.0]]), np.zeros(1), ('hand',))


def seen(case, **changes):
    return golden_data.observation(case, protected=HAND, **changes)


def differences(policy, found, expected):
    """Return the differences [T, A] in units of -1..1."""
    half = 0.5 * (policy.statistics['high'] - policy.statistics['low'])
    return np.abs(found - expected) / np.maximum(half, 1e-6)


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('image_size', [(480, 640), (224, 224), (97, 311)])
def test_pixels_are_those_of_the_cpu_to_the_last_bit(head, image_size):
    inputs = golden_data.loaded(head).inputs
    image = np.random.default_rng(0).integers(0, 256, (*image_size, 3), np.uint8)
    device = torch.device('cuda', 0)
    small = DeviceTransform(inputs.image_transform, image_size, device)(
        torch.from_numpy(image).to(device))
    assert torch.equal(inputs.normalised(small).cpu(), inputs.pixels(image))


@pytest.mark.parametrize('keep', [None, 154])
@pytest.mark.parametrize('precision', ['fp', 'w8a8', 'w4a16', 'w4a4'])
@pytest.mark.parametrize('head', HEADS)
def test_replayed_graphs_answer_as_the_cpu_does_in_float32(head, precision, keep):
    cpu = golden_data.loaded(head, precision, keep)
    gpu = golden_data.load(head, precision=precision, keep=keep, device='cuda', dtype='float32')
    for _ in range(3):  # an ordinary run, the capture, a replay
        for case in golden_data.CASES:
            cpu.reset()
            gpu.reset()
            expected, found = cpu.infer(seen(case)), gpu.infer(seen(case))
            off = differences(cpu, found.actions, expected.actions)
            if head == 'cogact':
                assert off.max() < TOLERANCE[precision]
            else:  # of two tokens that are as good as equal either may come, and what follows it
                assert (off > 0.02).sum() <= (0 if precision in ('fp', 'w4a16') else 1)
            if keep:
                common = np.intersect1d(found.selection.kept, expected.selection.kept)
                assert len(common) > 0.9 * keep
    assert gpu.runner.captured == 1 and not gpu.runner.problems


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
    assert plain.runner.captured == 0 and captured.runner.captured == 1


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
    policies = [golden_data.load('cogact', precision='w4a4', keep=154, device='cuda')
                for _ in range(2)]

    def infer(policy, case):
        policy.warm_up(instruction=seen(case).instruction, image_size=seen(case).image.shape[:2])
        answers = []
        for _ in range(20):
            policy.reset()
            answers.append(policy.infer(seen(case)).actions)
        return answers
    alone = [infer(policy, case)[0] for case, policy in enumerate(policies)]
    with ThreadPoolExecutor(2) as threads:
        together = threads.map(infer, policies, range(2))
        for expected, answers in zip(alone, together):
            for actions in answers:
                np.testing.assert_allclose(actions, expected, atol=1e-6)


def test_a_policy_that_was_made_ready_tunes_and_captures_nothing_while_it_infers(monkeypatch):
    policy = golden_data.load('openvla', precision='w4a4', keep=154, device='cuda')
    policy.warm_up()
    policy.make_ready(seen(0).instruction, seen(0).image.shape[:2])
    captured = policy.runner.captured
    monkeypatch.setattr(tuning, 'milliseconds', lambda launch: pytest.fail('a kernel is timed'))
    for text in ('go', seen(0).instruction, 'move it ' * 60):
        policy.infer(seen(0, instruction=text))
    assert policy.runner.captured == captured and not policy.runner.problems


def test_little_more_memory_is_used_than_the_weights_take():
    golden_data.load('openvla', precision='w4a4', device='cuda')  # the kernels' own buffers
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    policy = golden_data.load('openvla', precision='w4a4', device='cuda')
    held = torch.cuda.memory_allocated() - before
    peak = torch.cuda.max_memory_allocated() - before
    assert peak < 1.5 * held  # loaded twice it would be 2
    assert policy.model.llm.embed_tokens.weight.device.type == 'cuda'
