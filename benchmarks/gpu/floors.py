# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The least work of every kernel and stage, and the least time that it can take on a card.

    PYTHONPATH=.:benchmarks python3 -m gpu.floors     # the tables of docs/performance.md

A kernel takes no less than its operations over the rate of the units that do them, and no less
than its bytes over the memory's bandwidth.  Counted are all matrix products and attention, and
the weights, scales and cached keys that must come from memory; activations stay in the L2 cache.
Norms, rotary embeddings, quantization, the choice of tokens and every launch cost nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqap_vla_ros.bench.sizes import sequence_length
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme

from .shapes import COGACT, KEEP, OFT, OPENVLA, Variant, variants

FLOAT_BYTES = 2


@dataclass(frozen=True)
class Card:
    """Dense rates in operations a second, and bytes a second, as published."""

    name: str
    bf16: float
    int8: float
    bandwidth: float


CARDS = (Card('H100 SXM', 989e12, 1979e12, 3.35e12), Card('RTX 3090', 71e12, 284e12, 936e9),
         Card('AGX Orin 64 GB', 42.5e12, 85e12, 204.8e9))


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


def attention(rows: int, keys: int, width: int, causal: bool = True,
              cached_width: int = 0) -> Work:
    """Return the work of an attention; cached_width: of keys (and values) that are in memory."""
    ops = 4.0 * rows * keys * width
    return Work('attention', ops / 2 if causal and rows == keys else ops, 'bf16',
                2.0 * keys * cached_width * FLOAT_BYTES)


def decoder_block(llm, rows: int, precision: str) -> list[Work]:
    """Return the linear layers of one block as they are launched: q/k/v and gate/up joined."""
    width, inner = llm.hidden_size, llm.intermediate_size
    joined = width + 2 * llm.num_kv_heads * llm.head_dim
    return [linear('qkv', rows, width, joined, precision),
            linear('o', rows, width, width, precision),
            linear('gate, up', rows, width, 2 * inner, precision),
            linear('down', rows, inner, width, precision)]


def prefill(config: VLAConfig, layers: int, tokens: int, precision: str) -> list[Work]:
    """Return the work of so many blocks on `tokens` tokens."""
    block = decoder_block(config.llm, tokens, precision)
    return layers * [*block, attention(tokens, tokens, config.llm.hidden_size,
                                       config.attention == 'causal')]


def last_block(config: VLAConfig, tokens: int, precision: str) -> list[Work]:
    """Return the work of the decoder's last block, whose output is the head's rows alone."""
    llm, read = config.llm, len(config.head_rows(tokens))
    width, keys = llm.hidden_size, 2 * llm.num_kv_heads * llm.head_dim
    return [linear('kv', tokens, width, keys, precision),
            linear('q', read, width, width, precision),
            *decoder_block(llm, read, precision)[1:], attention(read, tokens, width, False)]


def transformer(depth: int, batch: int, tokens: int, width: int, inner: int,
                precision: str = 'fp') -> list[Work]:
    """Return the work of so many plain blocks on `batch` sequences that see all of themselves."""
    rows = batch * tokens
    return depth * [linear('qkv', rows, width, 3 * width, precision),
                    linear('proj', rows, width, width, precision),
                    linear('fc1', rows, width, inner, precision),
                    linear('fc2', rows, inner, width, precision),
                    attention(rows, tokens, width, causal=False)]


def encoder(vit, precision: str = 'fp', images: int = 1) -> list[Work]:
    """Return the work of one vision transformer with a linear stem on so many images."""
    patches = vit.grid[0] * vit.grid[1]
    stem = linear('stem', images * patches, 3 * vit.patch_size ** 2, vit.width)
    return [stem, *transformer(vit.depth, images, patches + vit.prefix_tokens, vit.width,
                               vit.mlp_width, precision)]


def projector(config: VLAConfig) -> list[Work]:
    """Return the work of the projector, which is not quantized."""
    width = config.llm.hidden_size
    widths = [config.vision.width, *(config.projector_widths or (width,)), width]
    return [linear('projector', config.num_visual, *pair)
            for pair in zip(widths, widths[1:])]


def head(config: VLAConfig, cached: list[int], precision: str) -> list[Work]:
    """Return the work of the head; cached: tokens that each block has keys of."""
    llm = config.llm
    if config.head.kind == 'oft':
        return chunk_head(config, precision)
    if config.head.kind == 'diffusion':
        return [*_condition(config, precision),
                *config.head.ddim_steps * _diffusion_step(config.head)]
    logits = linear('lm_head', 1, llm.hidden_size, llm.vocab_size)
    keys = llm.num_kv_heads * llm.head_dim
    token = [work for tokens in cached for work in (
        *decoder_block(llm, 1, precision),
        attention(1, tokens, llm.hidden_size, False, keys))]
    return [logits, *(config.head.action_dim - 1) * [*token, logits]]


def chunk_head(config: VLAConfig, precision: str) -> list[Work]:
    """Return the work of OpenVLA-OFT's head, which reads a chunk's hidden states at once."""
    width, chunk = config.llm.hidden_size, config.head
    steps, inner = chunk.chunk_length, chunk.width
    undone = [] if precision == 'fp' else [linear('unrotate', chunk.placeholders, width, width)]
    return [*undone, linear('fc1', steps, chunk.action_dim * width, inner),
            *chunk.blocks * [linear('block', steps, inner, inner)],
            linear('fc2', steps, inner, chunk.action_dim)]


def state_token(config: VLAConfig) -> list[Work]:
    """Return the work of the state's token, for a network that has one."""
    widths = [config.state_dim, *filter(None, [config.state_hidden]), config.llm.hidden_size]
    return [linear('state', 1, *pair) for pair in zip(widths, widths[1:]) if config.state_dim]


def _condition(config: VLAConfig, precision: str) -> list[Work]:
    """Return the way of the final vector, which a rotation is undone for, into the head."""
    width = config.llm.hidden_size
    undone = [] if precision == 'fp' else [linear('unrotate', 1, width, width)]
    return [*undone, linear('condition', 2, width, config.head.width)]


def _diffusion_step(head) -> list[Work]:
    """Return one evaluation of the action transformer, with and without the condition."""
    return transformer(head.depth, 2 if head.guidance > 1 else 1, 1 + head.chunk_length,
                       head.width, head.mlp_width)


def stages(config: VLAConfig, variant: Variant) -> dict[str, list[Work]]:
    """Return the work of every stage that has any, the projector with the encoders."""
    llm, first, precision = config.llm, config.prune_layer, variant.precision
    tokens = sequence_length(config)
    kept = tokens - config.num_visual + (variant.keep or config.num_visual)
    rest = llm.num_layers - first
    encoders = [work for vit in (config.vision.dino, config.vision.siglip)
                for work in encoder(vit, variant.vision, config.images)]
    return {
        'vision': encoders + projector(config),
        'prefill_1': state_token(config) + prefill(config, first, tokens, precision),
        'prefill_2': prefill(config, rest - 1, kept, precision) + last_block(
            config, kept, precision),
        'head': head(config, first * [tokens] + rest * [kept], precision)}


def weight_bytes(config: VLAConfig, variant: Variant) -> float:
    """Return the bytes of all weights that a model must hold."""
    llm, width = config.llm, config.llm.hidden_size
    block = sum(work.size for work in decoder_block(llm, 1, variant.precision))
    rest = stages(config, variant)['vision'] + state_token(config)
    rest += {'tokens': lambda: [linear('lm_head', 1, width, llm.vocab_size)],
             'oft': lambda: chunk_head(config, variant.precision),
             'diffusion': lambda: (_condition(config, variant.precision)
                                   + _diffusion_step(config.head))}[config.head.kind]()
    embedding = llm.vocab_size * width * FLOAT_BYTES
    return llm.num_layers * block + embedding + sum(work.size for work in rest)


def stage_table(name: str, config: VLAConfig) -> str:
    """Return the least milliseconds of every variant on each card, and its weights."""
    lines = [f'| {name} | weights, GiB | '
             + ' | '.join(f'{card.name}: vision, backbone, head, total, ms' for card in CARDS)
             + ' |', '|---|---|' + len(CARDS) * '---|']
    for variant in variants(config.images * KEEP):
        if variant.fused:
            works, cells = stages(config, variant), []
            for card in CARDS:
                ms = {stage: 1e3 * sum(work.seconds(card) for work in part)
                      for stage, part in works.items()}
                cells.append(f'{ms["vision"]:.2f}, {ms["prefill_1"] + ms["prefill_2"]:.2f}, '
                             f'{ms["head"]:.2f}, {sum(ms.values()):.2f}')
            lines.append(f'| {variant.name} | {weight_bytes(config, variant) / 2 ** 30:.2f} | '
                         + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    print(stage_table('CogACT', COGACT), stage_table('OpenVLA-7B', OPENVLA),
          stage_table('OpenVLA-OFT', OFT), sep='\n\n')
