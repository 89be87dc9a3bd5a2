# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far a kernel is from its reference, in all of its configurations, and how far it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

from sqap_vla_ros.kernels import Unavailable
from sqap_vla_ros.kernels.cuda.capability import is_interpreted
import torch

# of the largest in a row: the order of float32 sums of some thousand products
ORDER = 2e-5
_MOST, _MOST_INTERPRETED = 100, 1


def row(name: str, error: float, tolerance: float, reason: str) -> dict:
    """Return a comparison as the result file keeps it; a NaN is wrong."""
    return {'name': name, 'error': error, 'tolerance': tolerance, 'reason': reason,
            'ok': bool(error <= tolerance)}


def rounded(dtype: torch.dtype, times: int) -> float:
    """
    Return what two ways to compute a row may differ by, of its largest, in a type.

    times: so many results in a row are rounded to the type, and each may fall to the other of two
    neighbours, which are one unit in the last place apart.
    """
    return max(times * torch.finfo(dtype).eps, ORDER)


def row_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """
    Return the largest difference in a row over the largest that is expected in it.

    found, expected: [..., N].  Rows of zeros must be zeros; what is not finite is infinitely far.
    """
    found, expected = found.double(), expected.double()
    if found.shape != expected.shape or not found.isfinite().all():
        return float('inf')
    off, size = (found - expected).abs().amax(-1), expected.abs().amax(-1)
    return torch.where(off > 0, off / size, 0.0).max().item()


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over that of what is expected; NaN stays NaN."""
    return ((found - expected).double().norm() / expected.double().norm()).item()


def worst(name: str, errors: list[float], tolerance: float, reason: str) -> dict:
    """Return the row of the largest of some errors; none at all are wrong."""
    broken = [error for error in errors if not error <= tolerance]
    return row(name, max(broken or errors, default=float('nan')), tolerance, reason)


def every_choice(module: ModuleType, call: Callable[[], object],
                 most: int | None = None) -> Iterator[object]:
    """
    Yield what a call returns with each configuration that its kernel would be tuned over.

    module: of kernels/cuda, whose `pick` the call asks once.  most: so many are enough; in the
    interpreter, which is slow, always one.  A configuration that asks
    for more than the device has is left out, as by the tuner; raises Unavailable if all do.
    """
    original, index, count, served = module.pick, 0, 1, 0
    most = most or (_MOST_INTERPRETED if is_interpreted() else _MOST)
    while index < count and served < most:
        def take(name, key, candidates, launch):
            nonlocal count
            count = len(candidates)
            return candidates[index]
        module.pick = take
        try:
            found = call()
        except too_much() as error:
            print(f'   left out, as by the tuner: {error}'.splitlines()[0], flush=True)
            found = None
        finally:
            module.pick = original
        index += 1
        if found is not None:
            served += 1
            yield found
    if not served:
        raise Unavailable(f'none of {count} configurations can be launched here')


def too_much() -> tuple[type[Exception], ...]:
    """Return what a kernel raises that asks for more shared memory or registers than there are."""
    from triton.runtime.errors import OutOfResources, PTXASError
    return OutOfResources, PTXASError


def randoms(*shape, device, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Return random tokens [..., K] on a device: a few channels are outliers, as a decoder's."""
    generator = torch.Generator(device).manual_seed(seed)
    values = torch.randn(shape, device=device, generator=generator)
    values[..., ::97] *= 20.0
    return values.to(dtype)


def integers(bits: int, *shape, device, seed: int = 0) -> torch.Tensor:
    """Return random int8 of the whole range of so many bits, their first row all lowest."""
    half = 2 ** (bits - 1)
    generator = torch.Generator(device).manual_seed(seed)
    values = torch.randint(-half, half, shape, device=device, dtype=torch.int8,
                           generator=generator)
    values[0] = -half
    return values
