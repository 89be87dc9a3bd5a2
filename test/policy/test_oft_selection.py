# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which tokens of two cameras' images an OpenVLA-OFT policy keeps, and what it answers then."""
import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.observation import CameraView, Observation, PROTECTED, ProtectedPoints
from sqap_vla_ros.tokens.choice import SelectionConfig

GRID = (16, 16)


@pytest.fixture(scope='module')
def policy():
    return golden_oft.load('oft_tiny')


def infer(policy, selection, observation=None, noise=None):
    other = policy.twin(selection)
    return other.infer(observation or golden_oft.observation('oft_tiny', 0), noise)


def counts(chunk):
    return [len(chunk.selection.of_image(image).kept) for image in range(2)]


def protected(u, v):
    """Return the point (u, v) of an image to protect, without uncertainty."""
    return ProtectedPoints(np.array([[u, v]]), np.zeros(1), ('hand',))


def patches(chunk, image):
    """Return (row, col) of what is protected in an image."""
    chosen = chunk.selection.of_image(image)
    return set(zip(*np.divmod(chosen.kept[chosen.reason == PROTECTED], GRID[1])))


@pytest.mark.parametrize('main', ['full', 'wrist'])
def test_each_camera_protects_its_own_patches_whichever_is_the_main_one(policy, main):
    images = golden_oft.pictures('oft_tiny', 0)
    size = images['full'].shape[0]
    views = {'full': CameraView(images['full'], 0, protected(0.95 * size, 0.05 * size)),
             'wrist': CameraView(images['wrist'], 0, protected(0.05 * size, 0.95 * size))}
    given = golden_oft.observation('oft_tiny', 0)
    seen = Observation(views[main].image, 0, given.instruction, views[main].protected,
                       given.state, main, {name: view for name, view in views.items()
                                           if name != main})
    chunk = infer(policy, SelectionConfig(308, preserve=False), seen)
    assert (0, 15) in patches(chunk, 0) and (15, 0) in patches(chunk, 1)
    assert all(row < 3 and col > 12 for row, col in patches(chunk, 0))
    assert all(row > 12 and col < 3 for row, col in patches(chunk, 1))
    plain = infer(policy, SelectionConfig(308, preserve=False))
    assert not patches(plain, 0) and not patches(plain, 1)


def test_budgets_are_joint_or_the_same_for_each_camera(policy):
    for budget in ('joint', 'each'):
        for method in ('sqap', 'random'):
            chunk = infer(policy, SelectionConfig(
                307, method=method, ties='even', budget=budget))
            assert chunk.selection.images == 2 and sum(counts(chunk)) == 307
            assert min(counts(chunk)) >= 307 // 4 and np.isfinite(chunk.actions).all()
            assert budget == 'joint' or counts(chunk) == [154, 153]


@pytest.mark.parametrize('variant, steps', [
    ('oft_tiny', {}), ('oft_tiny_diffusion', {'ddim_steps': 2})])
def test_all_tokens_kept_answer_as_without_pruning(variant, steps):
    other = golden_oft.load(variant, **steps)
    seen, noise = golden_oft.observation(variant, 1), golden_oft.noise(variant, 1)
    total = other.config.model.num_visual
    whole, half, expected = (
        infer(other, selection, seen, noise).actions
        for selection in (SelectionConfig(total), SelectionConfig(total // 2), None))
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-5)
    assert np.abs(half - expected).max() > 1e-3


def test_later_denoising_steps_keep_the_tokens_of_the_first():
    other = golden_oft.load('oft_tiny_diffusion', ddim_steps=3, keep=300)
    lengths = []
    for layer in other.model.llm.layers:
        layer.register_forward_hook(lambda _, inputs, output: lengths.append(inputs[0].shape[1]))
    other.infer(golden_oft.observation('oft_tiny_diffusion', 1),
                golden_oft.noise('oft_tiny_diffusion', 1))
    whole, prune = lengths[0], other.config.model.prune_layer
    each = [whole] * prune + [whole - 512 + 300] * (len(other.model.llm.layers) - prune)
    assert lengths == 3 * each
