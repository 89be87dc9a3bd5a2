# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What stands between the products of a decoder block: bytes, operations, and the time they ask for.

floors.py counts these kernels as nothing, since what they read has just been written and mostly
lies in the L2 cache.  Here each reads and writes memory as if there were no cache: the time that
one which is bound by memory takes at most, without its launch.
"""

from __future__ import annotations

from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.numerics.hadamard import largest_power_of_two

from .floors import attention, Card, FLOAT_BYTES, Work

_INTEGER, _SCALE = 1, 4  # bytes
_LARGEST_FACTOR = 64  # of kernels/cuda/quantize.py


def hadamard_ops(rows: int, width: int, block: int) -> float:
    """Return the operations of a block Hadamard, one or two products with matrices of signs."""
    if block <= _LARGEST_FACTOR:
        return 2.0 * rows * width * block
    first = 1 << -(-(block.bit_length() - 1) // 2)
    # the second factor meets float32 values, which are three bfloat16 ones
    return 2.0 * rows * width * (first + 3 * block // first)


def kernels(llm: LlamaConfig, rows: int) -> list[Work]:
    """Return the kernels of a W4A4 block on `rows` tokens, as kernels/cuda/block.py runs them."""
    width, inner, dim = llm.hidden_size, llm.intermediate_size, llm.head_dim
    heads, groups = llm.num_heads, llm.num_kv_heads
    to_integers = FLOAT_BYTES + _INTEGER
    scores = attention(rows, rows, heads * dim)
    turned = rows * (heads + groups) * dim
    return [
        Work('norm, quantize (twice)', 0.0, 'bf16', 2.0 * rows * (width * to_integers + _SCALE)),
        Work('rotary embedding', 0.0, 'bf16', 2.0 * turned * FLOAT_BYTES),
        Work('attention', scores.ops, 'bf16',
             rows * (2.0 * heads + 2.0 * groups) * dim * FLOAT_BYTES),
        Work('Hadamard over heads, quantize', hadamard_ops(rows, width, heads), 'bf16',
             rows * (width * to_integers + _SCALE)),
        Work('SwiGLU, Hadamard, quantize',
             hadamard_ops(rows, inner, largest_power_of_two(inner)), 'bf16',
             rows * (inner * (2.0 * FLOAT_BYTES + _INTEGER) + _SCALE))]


def table(llm: LlamaConfig, cards: tuple[Card, ...]) -> str:
    """Return these kernels for a full and a pruned sequence, and the sum of a block."""
    lines = ['| between the products | tokens | Gop | MB | '
             + ' | '.join(f'{card.name}, µs' for card in cards) + ' |',
             '|---|---|---|---|' + len(cards) * '---|']
    for rows in (280, 178):
        works = kernels(llm, rows)
        for work in works:
            times = [f'{1e6 * work.seconds(card):.1f}' for card in cards]
            lines.append(f'| {work.name} | {rows} | {work.ops / 1e9:.2f} | {work.size / 1e6:.1f} '
                         f'| {" | ".join(times)} |')
        sums = [f'{1e6 * sum(work.seconds(card) for work in works):.1f}' for card in cards]
        lines.append(f'| a block together | {rows} | {sum(work.ops for work in works) / 1e9:.2f} '
                     f'| {sum(work.size for work in works) / 1e6:.1f} | {" | ".join(sums)} |')
    return '\n'.join(lines)
