# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Hadamard and orthogonal matrices against SciPy."""
from hypothesis import given, strategies as st
import numpy as np
import pytest
from scipy.linalg import hadamard as scipy_hadamard
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.hadamard import (
    hadamard_matrix, hadamard_transform, largest_power_of_two, random_orthogonal, Rotation)
import torch


@pytest.mark.parametrize('size', [1, 2, 16, 64, 256, 1024])
def test_matrix_is_scipys_normalised(size):
    expected = scipy_hadamard(size) / np.sqrt(size)
    assert np.allclose(hadamard_matrix(size, torch.float64).numpy(), expected)


@pytest.mark.parametrize(('width', 'block'), [
    (4, 4), (64, 64), (2048, 2048), (96, 32), (11008, 256), (1536, 512), (576, 64), (7, 1)])
def test_block_transform_is_scipys_block_diagonal_product(width, block):
    assert largest_power_of_two(width) == block
    x = torch.randn(3, 2, width, dtype=torch.float64)
    expected = x.numpy().reshape(-1, block) @ (scipy_hadamard(block) / np.sqrt(block))
    assert np.allclose(hadamard_transform(x).numpy(), expected.reshape(x.shape))


@given(heads=st.sampled_from([1, 2, 8, 32]), head_dim=st.integers(1, 24))
def test_strided_transform_mixes_heads(heads, head_dim):
    x = torch.randn(2, heads * head_dim, dtype=torch.float64)
    matrix = np.kron(scipy_hadamard(heads) / np.sqrt(heads), np.eye(head_dim))
    assert np.allclose(hadamard_transform(x, heads, head_dim).numpy(), x.numpy() @ matrix)


def test_heads_then_head_dims_is_the_transform_of_the_whole_width():
    x = torch.randn(5, 128)
    parts = hadamard_transform(hadamard_transform(x, 32), 4, stride=32)
    assert torch.allclose(parts, hadamard_transform(x, 128), atol=1e-5)


def test_transform_is_its_own_inverse_and_takes_non_contiguous_input():
    x = torch.randn(64, 6).t()
    assert torch.allclose(hadamard_transform(hadamard_transform(x)), x, atol=1e-5)


@pytest.mark.parametrize(('block', 'stride'), [(3, 1), (0, 1), (32, 1), (4, 8)])
def test_blocks_that_do_not_tile_are_refused(block, stride):
    with pytest.raises(ConfigError, match='does not tile'):
        hadamard_transform(torch.zeros(2, 48 if block == 32 else 24), block, stride)


def test_no_matrix_where_the_size_is_no_power_of_two():
    with pytest.raises(ConfigError, match='power of two'):
        hadamard_matrix(12)


@pytest.mark.parametrize('size', [48, 192])
def test_random_rotations_are_orthogonal_and_follow_their_seed(size):
    q = random_orthogonal(size, seed=3)
    assert torch.allclose(q @ q.t(), torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert torch.equal(q, random_orthogonal(size, seed=3))
    assert not torch.equal(q, random_orthogonal(size, seed=4))


@pytest.mark.parametrize(('size', 'kind'), [
    (64, 'hadamard'), (4096, 'hadamard'), (48, 'orthogonal'), (576, 'orthogonal')])
def test_a_rotation_keeps_lengths_and_angles_and_spreads_an_outlier(size, kind):
    rotation = Rotation(size, seed=3)
    assert rotation.kind == kind
    x = torch.randn(3, 2, size, dtype=torch.float64)
    x[..., 5] += 100
    y = rotation.apply(x)
    assert torch.allclose(y.flatten(0, 1) @ y.flatten(0, 1).t(),
                          x.flatten(0, 1) @ x.flatten(0, 1).t(), rtol=1e-9)
    assert y.abs().max() < 0.6 * x.abs().max()
    assert torch.equal(y, Rotation(size, seed=3).apply(x))
    assert not torch.allclose(y, Rotation(size, seed=4).apply(x))
