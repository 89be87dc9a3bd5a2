# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can show: captured graphs answer as the CPU does."""
import threading

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.graphs.resize import DeviceTransform
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.observation import ProtectedPoints
from sqap_vla_ros.policy import STAGES
import torch

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device: run this on a machine with one')
HEADS = ('openvla', 'cogact')
HAND = ProtectedPoints(np.array([[40.0, 60.0]]), np.zeros(1), ('hand',))


def seen(case, **changes):
    return golden_data.observation(case, protected=HAND, **changes)


def difference(policy, found, expected):
    """Return the median difference in units of -1..1."""
    half = 0.5 * (policy.statistics['high'] - policy.statistics['low'])
    return np.median(np.abs(found - expected) / np.maximum(half, 1e-6))


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
            assert difference(cpu, found.actions, expected.actions) < 0.02
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
    found, other = [], torch.zeros(1000, device='cuda')
    stop = threading.Event()

    def infer():
        for _ in range(4):
            policy.reset()
            found.append(policy.infer(seen(0)).actions)
        stop.set()
    thread = threading.Thread(target=infer)
    thread.start()
    while not stop.is_set():  # another thread works on the GPU meanwhile
        other += torch.randn(1000).cuda()
    thread.join()
    assert policy.runner.captured == 1 and not policy.runner.problems
    for actions in found[1:]:
        np.testing.assert_allclose(actions, found[0], atol=1e-6)


def test_little_more_memory_is_used_than_the_weights_take():
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    policy = golden_data.load('openvla', precision='w4a4', device='cuda')
    held = torch.cuda.memory_allocated() - before
    peak = torch.cuda.max_memory_allocated() - before
    assert peak < held + 64 * 2 ** 20
    assert policy.model.llm.embed_tokens.weight.device.type == 'cuda'
