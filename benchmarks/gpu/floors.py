# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The least work of every kernel and stage, and the least time that it can take on a card.

    python3 -m gpu.floors [--document docs/performance.md]     # with benchmarks/ in PYTHONPATH

A kernel takes no less than its operations over the rate of the units that do them, and no less
than its bytes over the memory's bandwidth.  Counted are all matrix products and attention, and
the weights, scales and cached keys that must come from memory; activations stay in the L2 cache.
Norms, rotary embeddings, quantization, the choice of tokens and every launch cost nothing here.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from sqap_vla_ros.bench.sides import BACKBONE
from sqap_vla_ros.bench.sizes import sequence_length
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme

from .document import replace_part
from .shapes import COGACT, OPENVLA, options, Variant, variants

STAGES = ('vision', 'projector', 'prefill_1', 'selection', 'prefill_2', 'head')
FLOAT_BYTES = 2


@dataclass(frozen=True)
class Card:
    """Dense rates in operations a second, bytes a second, and where the figures are from."""

    name: str
    bf16: float
    int8: float
    bandwidth: float
    source: str


CARDS = (
    Card('H100 SXM', 989e12, 1979e12, 3.35e12, "NVIDIA's data sheet, without sparsity"),
    Card('RTX 3090', 71e12, 284e12, 936e9, "NVIDIA's GA102 whitepaper, sums in float32"),
    Card('AGX Orin 64 GB', 42.5e12, 85e12, 204.8e9,
         "half of NVIDIA's 170 sparse int8 TOPS of the GPU, and half of that for bf16"),
)
# what the goals assume: rates that large products are known to reach, and all of the bandwidth
ASSUMED = Card('H100 as the goals assume', 790e12, 1400e12, 3.35e12,
               'an assumption, not a measurement')


@dataclass(frozen=True)
class Work:
    """Operations of one kernel, in 'bf16' or 'int8', and the bytes it needs from memory."""

    name: str
    ops: float
    arithmetic: str
    size: float

    def seconds(self, card: Card) -> float:
        """Return the least time on a card."""
        return max(self.ops / getattr(card, self.arithmetic), self.size / card.bandwidth)


def linear(name: str, rows: int, inputs: int, outputs: int, precision: str = 'fp') -> Work:
    """Return the work of a linear layer of `rows` tokens."""
    bits = parse_precision(precision)
    group = QuantScheme(precision).group_of(inputs, precision)
    scales = outputs * (inputs // group if group else 1) * 4
    size = inputs * outputs * bits.weight_bits / 8 + (0 if precision == 'fp' else scales)
    return Work(name, 2.0 * rows * inputs * outputs, 'int8' if bits.act_bits <= 8 else 'bf16',
                size)


def attention(rows: int, keys: int, width: int, batch: int = 1, causal: bool = True,
              cached_width: int = 0) -> Work:
    """Return the work of an attention; cached_width: of keys (and values) that are in memory."""
    ops = 4.0 * batch * rows * keys * width
    return Work('attention', ops / 2 if causal and rows == keys else ops, 'bf16',
                2.0 * batch * keys * cached_width * FLOAT_BYTES)


def decoder_block(llm, rows: int, precision: str) -> list[Work]:
    """Return the linear layers of one block as they are launched: q/k/v and gate/up joined."""
    width, inner = llm.hidden_size, llm.intermediate_size
    joined = width + 2 * llm.num_kv_heads * llm.head_dim
    return [linear('qkv', rows, width, joined, precision),
            linear('o', rows, width, width, precision),
            linear('gate, up', rows, width, 2 * inner, precision),
            linear('down', rows, inner, width, precision)]


def prefill(llm, layers: int, tokens: int, precision: str, batch: int = 1) -> list[Work]:
    """Return the work of so many blocks on `tokens` tokens."""
    block = decoder_block(llm, batch * tokens, precision)
    return layers * [*block, attention(tokens, tokens, llm.hidden_size, batch)]


def encoder(vit, precision: str = 'fp', batch: int = 1) -> list[Work]:
    """Return the work of one vision transformer with a linear stem."""
    patches = vit.grid[0] * vit.grid[1]
    tokens, width, inner = patches + vit.prefix_tokens, vit.width, vit.mlp_width
    rows = batch * tokens
    block = [linear('qkv', rows, width, 3 * width, precision),
             linear('proj', rows, width, width, precision),
             linear('fc1', rows, width, inner, precision),
             linear('fc2', rows, inner, width, precision),
             attention(tokens, tokens, width, batch, causal=False)]
    return [linear('stem', batch * patches, 3 * vit.patch_size ** 2, width), *vit.depth * block]


def projector(config: VLAConfig, batch: int = 1) -> list[Work]:
    """Return the work of the projector, which is not quantized."""
    width = config.llm.hidden_size
    widths = [config.vision.width, *(config.projector_widths or (width,)), width]
    return [linear('projector', batch * config.num_visual, *pair)
            for pair in zip(widths, widths[1:])]


def head(config: VLAConfig, cached: list[int], precision: str, batch: int = 1) -> list[Work]:
    """Return the work of the head; cached: tokens that each block has keys of."""
    llm, kind = config.llm, config.head.kind
    if kind == 'tokens':
        logits = linear('lm_head', batch, llm.hidden_size, llm.vocab_size)
        keys = llm.num_kv_heads * llm.head_dim
        token = [work for tokens in cached for work in (
            *decoder_block(llm, batch, precision),
            attention(1, tokens, llm.hidden_size, batch, False, keys))]
        return [logits, *(config.head.action_dim - 1) * [*token, logits]]
    if kind == 'diffusion':
        return [*_condition(config, precision, batch),
                *config.head.ddim_steps * _diffusion_step(config.head, batch)]
    rows = batch * config.head.chunk_length
    return [linear('fc1', rows, llm.hidden_size, llm.hidden_size)]


def _condition(config: VLAConfig, precision: str, batch: int = 1) -> list[Work]:
    """Return the way of the final vector, which a rotation is undone for, into the head."""
    width = config.llm.hidden_size
    undone = [] if precision == 'fp' else [linear('unrotate', batch, width, width)]
    return [*undone, linear('condition', 2 * batch, width, config.head.width)]


def _diffusion_step(head, batch: int = 1) -> list[Work]:
    """Return one evaluation of the action transformer, with and without the condition."""
    batch *= 2 if head.guidance > 1 else 1
    tokens, width, inner = 1 + head.chunk_length, head.width, head.mlp_width
    rows = batch * tokens
    block = [linear('qkv', rows, width, 3 * width), linear('proj', rows, width, width),
             linear('fc1', rows, width, inner), linear('fc2', rows, inner, width),
             attention(tokens, tokens, width, batch, causal=False)]
    return head.depth * block


def stages(config: VLAConfig, variant: Variant, batch: int = 1) -> dict[str, list[Work]]:
    """Return the work of every one of STAGES."""
    config = variant.applied(config)
    llm, first, precision = config.llm, config.prune_layer, variant.precision
    tokens = sequence_length(config)
    kept = tokens - config.num_visual + (variant.keep or config.num_visual)
    rest = llm.num_layers - first
    return {
        'vision': [work for vit in (config.vision.dino, config.vision.siglip)
                   for work in encoder(vit, variant.vision, batch)],
        'projector': projector(config, batch),
        'prefill_1': prefill(llm, first, tokens, precision, batch),
        'selection': [],
        'prefill_2': prefill(llm, rest, kept, precision, batch),
        'head': head(config, first * [tokens] + rest * [kept], precision, batch)}


def floor_ms(config: VLAConfig, variant: Variant, card: Card, batch: int = 1) -> dict:
    """Return the least milliseconds of every stage, the backbone and the total."""
    found = {stage: 1e3 * sum(work.seconds(card) for work in works)
             for stage, works in stages(config, variant, batch).items()}
    return {**found, 'backbone': sum(found[stage] for stage in BACKBONE),
            'total': sum(found[stage] for stage in STAGES)}


def weight_bytes(config: VLAConfig, variant: Variant) -> float:
    """Return the bytes of all weights that a model must hold."""
    llm, width = config.llm, config.llm.hidden_size
    block = sum(work.size for work in decoder_block(llm, 1, variant.precision))
    works = stages(config, variant)
    rest = works['vision'] + works['projector']
    if config.head.kind == 'tokens':
        rest.append(linear('lm_head', 1, width, llm.vocab_size))
    if config.head.kind == 'diffusion':
        rest += _condition(config, variant.precision) + _diffusion_step(config.head)
    embedding = llm.vocab_size * width * FLOAT_BYTES
    return llm.num_layers * block + embedding + sum(work.size for work in rest)


def kernel_table(config: VLAConfig = OPENVLA, cards=CARDS) -> str:
    """Return operations, bytes and least microseconds of a decoder block's layers."""
    lines = ['| layer | tokens | Gop | MB in 16 / 8 / 4 bits | op/byte at 4 bits | '
             + ' | '.join(f'{card.name}: bf16 / W8A8 / W4A4, µs' for card in cards) + ' |',
             '|---|---|---|---|---|' + len(cards) * '---|']
    for rows in (280, 178, 1):
        columns = [decoder_block(config.llm, rows, name) for name in ('fp', 'w8a8', 'w4a4')]
        for works in zip(*columns):
            megabytes = ' / '.join(f'{work.size / 1e6:.0f}' for work in works)
            times = [' / '.join(f'{1e6 * work.seconds(card):.0f}' for work in works)
                     for card in cards]
            lines.append(f'| {works[0].name} | {rows} | {works[0].ops / 1e9:.3g} | {megabytes} | '
                         f'{works[2].ops / works[2].size:.0f} | {" | ".join(times)} |')
    return '\n'.join(lines)


def stage_table(name: str, config: VLAConfig, sides, card: Card) -> str:
    """Return the least milliseconds of every variant's stages on one card."""
    rows = [stage for stage in STAGES if stage != 'selection'] + ['backbone', 'total']
    lines = [f'| {name}, {card.name} | ' + ' | '.join(rows) + ' | of bf16: backbone, total |',
             '|---|' + '---|' * (len(rows) + 1)]
    base = floor_ms(config, Variant('bf16'), card)
    for side in sides:
        least = floor_ms(config, side, card)
        lines.append(f'| {side.name} | ' + ' | '.join(f'{least[row]:.2f}' for row in rows)
                     + f' | {base["backbone"] / least["backbone"]:.2f}x, '
                     f'{base["total"] / least["total"]:.2f}x |')
    return '\n'.join(lines)


def tables() -> str:
    """Return everything that docs/performance.md shows of the floors."""
    from .between import table as between  # which imports this module
    cards = '\n'.join(
        f'| {card.name} | {card.bf16 / 1e12:g} | {card.int8 / 1e12:g} | {card.bandwidth / 1e9:g} '
        f'| {card.source} |' for card in (*CARDS, ASSUMED))
    parts = ['| card | bf16, TFLOP/s | int8, TOP/s | memory, GB/s | figures are |\n'
             f'|---|---|---|---|---|\n{cards}', kernel_table(), between(OPENVLA.llm, CARDS)]
    timed = [side for side in variants() if side.fused]
    for card in (ASSUMED, *CARDS):
        parts.append(stage_table('CogACT', COGACT, timed, card))
        parts.append(stage_table('OpenVLA-7B', OPENVLA, timed, card))
    parts.append(stage_table('CogACT, options', COGACT, options(), CARDS[0]))
    sizes = [f'| {name} | ' + ' | '.join(
        f'{weight_bytes(config, Variant("", precision, vision=vision)) / 2 ** 30:.2f}'
        for precision, vision in (('fp', 'fp'), ('w8a8', 'fp'), ('w4a4', 'fp'), ('w4a4', 'w8a8')))
        + ' |' for name, config in (('CogACT', COGACT), ('OpenVLA-7B', OPENVLA))]
    parts.append('| weights, GiB | bf16 | w8a8 | w4a4 | w4a4, int8 vision |\n'
                 '|---|---|---|---|---|\n' + '\n'.join(sizes))
    return '\n\n'.join(parts)


def main() -> None:
    """Print the tables, or put them into a document."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--document', type=Path, help='put the tables in here instead')
    args = parser.parse_args()
    if args.document:
        replace_part(args.document, 'floors', tables())
    else:
        print(tables())


if __name__ == '__main__':
    main()
