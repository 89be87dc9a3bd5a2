# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Hadamard and random orthogonal matrices, and the transform without the matrix.

All Hadamard matrices here are Sylvester's, divided by sqrt(n): orthogonal and symmetric, so
each is its own inverse.
"""

from __future__ import annotations

import torch

from .powers_of_two import is_power_of_two, largest_power_of_two
from .shared_tensors import constant
from ..errors import ConfigError

_RADIX = 16


@constant
def hadamard_matrix(size: int, dtype=torch.float32, device='cpu') -> torch.Tensor:
    """
    Return the normalised matrix [size, size], shared between callers: do not write to it.

    Raises ConfigError unless size is a power of two.
    """
    if not is_power_of_two(size):
        raise ConfigError(f'a Hadamard matrix of size {size} is not available: '
                          'use a power of two')
    matrix = torch.ones(1, 1, dtype=torch.float64)
    step = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    while matrix.shape[0] < size:
        matrix = torch.kron(step, matrix)
    return (matrix / size ** 0.5).to(device=device, dtype=dtype)


def check_block(width: int, block: int, stride: int = 1) -> None:
    """Raise ConfigError unless blocks of `block` x `stride` channels tile the width."""
    if not is_power_of_two(block) or stride < 1 or width % (block * stride):
        raise ConfigError(
            f'a Hadamard block of {block} channels with stride {stride} does not tile a width '
            f'of {width}: use a power of two whose product with the stride divides it')


def left_multiply(x: torch.Tensor, block: int, stride: int) -> torch.Tensor:
    """
    Transform groups of `block` channels that stand `stride` apart, in factors of 16.

    x: contiguous floats [..., K] with block * stride dividing K; a new tensor of the same
    shape comes back (x itself for block 1).
    """
    shape = x.shape
    while block > 1:
        factor = min(block, _RADIX)
        matrix = hadamard_matrix(factor, x.dtype, str(x.device))
        x = torch.matmul(matrix, x.reshape(-1, factor, stride))
        block, stride = block // factor, stride * factor
    return x.reshape(shape)


def hadamard_transform(x: torch.Tensor, block: int | None = None, stride: int = 1):
    """
    Multiply the last axis of x [..., K] by a normalised (block) Hadamard matrix.

    block: power of two; None takes the largest that divides K / stride.  stride: distance
    between the channels of one block; with stride d and block H, x [..., H * d] is mixed over
    the H heads.  The transform is its own inverse.  Raises ConfigError for sizes that do not
    fit.
    """
    if block is None:
        block = largest_power_of_two(x.shape[-1] // stride)
    check_block(x.shape[-1], block, stride)
    return left_multiply(x, block, stride)


def random_orthogonal(size: int, seed: int) -> torch.Tensor:
    """
    Return a random orthogonal matrix float64 [size, size], the same for the same seed.

    It is uniformly distributed: the Q of a Gaussian matrix with the signs of R's diagonal.
    """
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(size, size, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()


def rotation_kind(size: int) -> str:
    """Return which Rotation a width has: 'hadamard' or 'orthogonal'."""
    return 'hadamard' if is_power_of_two(size) else 'orthogonal'


class Rotation:
    """
    A random rotation Q of vectors of one width, the same for the same seed.

    A Hadamard matrix whose rows have random signs where the width is a power of two (it spreads
    an outlier most evenly, and is applied without the matrix), else a uniformly random one.
    """

    def __init__(self, size: int, seed: int):
        """Draw the rotation of a width of `size`."""
        self.kind = rotation_kind(size)
        generator = torch.Generator().manual_seed(seed)
        self._signs = torch.randint(0, 2, (size,), generator=generator).double() * 2 - 1
        self._matrix = None if self.kind == 'hadamard' else random_orthogonal(size, seed)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Q as float64 for x [..., size]."""
        x = x.double()
        if self._matrix is not None:
            return x @ self._matrix.to(x.device)
        return hadamard_transform(x * self._signs.to(x.device))
