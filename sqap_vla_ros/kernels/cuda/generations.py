# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of each compute capability; capability.py says where from."""

from __future__ import annotations

from dataclasses import dataclass

_ANY, _FP8 = ('f16', 'bf16', 'int8'), ('f16', 'bf16', 'fp8', 'int8')
_LEGACY = ("Triton multiplies int8 by mma.sync here, not by this chip's own tcgen05.mma, which "
           'cuBLAS has for floats: compare w4a4 with w4a16 and fp by benchmarks/gpu/run.sh')
BY_TORCH = "quantized layers run on torch's own products (cuBLASLt)"
_COMPARE = "compare the times of precision 'fp' (in float16)"


@dataclass(frozen=True)
class Generation:
    """
    One compute capability.

    shared_kib: most shared memory of a block, in KiB.  mma: types of its matrix units.
    int8: the instruction that Triton makes of an int8 product, '' where it has none.  warning:
    what a user should know of it.
    """

    number: tuple[int, int]
    examples: str
    shared_kib: int
    mma: tuple[str, ...]
    int8: str
    warning: str = ''

    @property
    def label(self) -> str:
        """Return the number as people write it."""
        return '.'.join(map(str, self.number))

    @property
    def card(self) -> int:
        """Return the number as compilers write it: 87 for 8.7."""
        return 10 * self.number[0] + self.number[1]


GENERATIONS = (
    Generation((7, 5), 'T4, RTX 20', 64, ('f16', 'int8', 'int4'), ''),
    Generation((8, 0), 'A100, A30', 163, (*_ANY, 'int4'), 'mma.sync'),
    Generation((8, 6), 'RTX 30, A10, A40', 99, (*_ANY, 'int4'), 'mma.sync'),
    Generation((8, 7), 'Jetson Orin', 163, (*_ANY, 'int4'), 'mma.sync'),
    Generation((8, 9), 'RTX 40, L4, L40', 99, (*_FP8, 'int4'), 'mma.sync'),
    Generation((9, 0), 'H100, H200, GH200', 227, _FP8, 'wgmma'),
    Generation((10, 0), 'B200, GB200', 227, (*_FP8, 'fp4'), 'mma.sync', _LEGACY),
    Generation((10, 3), 'B300, GB300', 227, (*_FP8, 'fp4'), 'mma.sync', _LEGACY),
    Generation((11, 0), 'Jetson Thor', 227, (*_FP8, 'fp4'), 'mma.sync', _LEGACY),
    Generation((12, 0), 'RTX 50, RTX PRO Blackwell', 99, (*_FP8, 'fp4'), 'mma.sync'),
    Generation((12, 1), 'DGX Spark', 99, (*_FP8, 'fp4'), 'mma.sync'),
)


def find_generation(number: tuple[int, int]) -> tuple[Generation | None, str]:
    """Return what is known of a compute capability, or of the nearest older, and a warning."""
    older = [known for known in GENERATIONS if known.number <= number]
    label = '.'.join(map(str, number))
    if not older:
        return None, (
            f'compute capability {label} is older than {GENERATIONS[0].label}: {BY_TORCH} if a '
            f'trial finds these exact, else on the very slow reference backend; {_COMPARE}')
    found = older[-1]
    if not found.int8:
        return found, (
            f'Triton (3.3 and newer) has no matrix products for compute capability {found.label} '
            f'({found.examples}): {BY_TORCH}; {_COMPARE}')
    if found.number != number:
        return found, (f'compute capability {label} is unknown here and treated as {found.label} '
                       f'({found.examples}): run benchmarks/gpu/run.sh, which checks the kernels')
    return found, found.warning
