# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The kernels between a network's products, one by one, in all of their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqap_vla_ros.kernels.attention import attend
from sqap_vla_ros.model.llama import apply_rotary, LayerCache, RMSNorm, rotary_tables
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.numerics.hadamard import hadamard_transform, largest_power_of_two
from sqap_vla_ros.numerics.int4 import quantize_activation
import torch
from torch.nn import functional as F

from .compare import every_choice, ORDER, randoms, rounded, row, row_error, worst

_EPS = 1e-5
_THETA = 10000.0
_ROUNDS = ('the norm and the weight, or SiLU and the product, are rounded, then the result: each '
           'may fall to the other of two neighbours where float32 sums differ in their order')


def cases(config: VLAConfig, rows: int, device: torch.device) -> dict[str, Callable]:
    """
    Return what yields the comparisons, by name.

    config: of the network whose widths are taken.  rows: tokens.
    """
    found: dict[str, Callable] = {}
    for dtype in (torch.bfloat16, torch.float32):
        kind = str(dtype)[6:]
        for cached in (False, True):
            name = f'rotary{" into a cache" if cached else ""}, {kind}'
            found[name] = lambda name=name, dtype=dtype, cached=cached: rotary(
                name, config, rows, cached, device, dtype)
        for name, options in inputs(config, rows, device, dtype).items():
            found[f'{name}, {kind}'] = lambda name=f'{name}, {kind}', options=options: prepared(
                name, *options())
        found[f'attention, {kind}'] = lambda dtype=dtype: attention(config, rows, device, dtype)
    return found


def rotary(name: str, config: VLAConfig, rows: int, cached: bool, device, dtype) -> Iterator[dict]:
    """Yield the rotation of a prefill, and of the token behind it, against model/llama.py."""
    from sqap_vla_ros.model.fused_blocks import rotate
    llm = config.llm
    heads, groups, width = llm.num_heads, llm.num_kv_heads, llm.head_dim
    tables = [table.to(dtype) for table in rotary_tables(
        torch.arange(rows + 1, device=device), width, _THETA)]
    qkv = randoms(1, rows + 1, heads + 2 * groups, width, device=device, dtype=dtype)
    q, k, v = qkv.transpose(1, 2).split([heads, groups, groups], dim=1)
    expected = apply_rotary(q, *tables), apply_rotary(k, *tables), v
    cache, errors = (LayerCache(1) if cached else None), []
    for first, last in ((0, rows), (rows, rows + 1)):
        found = rotate(qkv[:, first:last].clone(), *(table[first:last] for table in tables),
                       heads, cache)
        seen = 0 if cached else first
        wanted = expected[0][:, :, first:last], *(part[:, :, seen:last] for part in expected[1:])
        errors += [row_error(one, other) for one, other in zip(found, wanted)]
    yield worst(name, errors, rounded(dtype, 3), 'two products and their sum, rounded as there: '
                'equal on a GPU but for float32, where a product and the sum may be one operation')


def inputs(config: VLAConfig, rows: int, device, dtype) -> dict[str, Callable]:
    """
    Return what makes the arguments of quantize_rows for each layer's input of a block.

    They are (x, norm, gate, block, stride), see `prepared`.
    """
    llm = config.llm
    width, inner = llm.hidden_size, llm.intermediate_size

    def norm():
        layer = RMSNorm(width, _EPS).to(device, dtype)
        layer.weight.data = randoms(width, device=device, dtype=dtype, seed=1)
        return randoms(rows, width, device=device, dtype=dtype), layer, None, 1, 1

    def gated():
        gate, up = randoms(rows, 2 * inner, device=device, dtype=dtype).chunk(2, dim=1)
        return up, None, gate, largest_power_of_two(inner), 1

    def plain(block, stride):
        return lambda: (randoms(rows, width, device=device, dtype=dtype), None, None, block,
                        stride)
    return {'norm': norm, 'SwiGLU and Hadamard': gated,
            'Hadamard of heads': plain(largest_power_of_two(llm.num_heads), llm.head_dim),
            'no transform': plain(1, 1)}


def expected_floats(x, norm, gate, block: int, stride: int) -> torch.Tensor:
    """Return float32 [M, K] of what is quantized, by the package's plain functions."""
    if gate is not None:
        x = F.silu(gate) * x
    if norm is not None:
        x = norm(x)
    return hadamard_transform(x.double(), block, stride).float()


@torch.no_grad()
def prepared(name: str, x, norm, gate, block: int, stride: int) -> Iterator[dict]:
    """Yield transform_rows, and quantize_rows to 4 and 8 bits, against plain operations."""
    from sqap_vla_ros.kernels.cuda import quantize
    floats = expected_floats(x, norm, gate, block, stride)
    arguments = {'norm_weight': None if norm is None else norm.weight,
                 'eps': 0.0 if norm is None else norm.eps, 'gate': gate, 'block': block,
                 'stride': stride}
    before = 0 if norm is gate is None else 2
    found = every_choice(quantize, lambda: quantize.transform_rows(x, **arguments))
    yield worst(f'{name}: floats', [row_error(one, floats) for one in found],
                rounded(x.dtype, before + 1), _ROUNDS)
    allowed = rounded(x.dtype, before) if before else ORDER
    for bits in (4, 8):
        errors = [edge_error(pair, floats, bits) for pair in every_choice(
            quantize, lambda: quantize.quantize_rows(x, bits, **arguments))]
        yield worst(f'{name}: {bits} bits', errors, allowed,
                    f'beyond the middle between two integers, of the largest; {_ROUNDS}')


def edge_error(found, floats: torch.Tensor, bits: int) -> float:
    """
    Return how far integers and scales are from those of floats [M, K], of each row's largest.

    An integer may be off by as much as the float, in steps, is beyond the middle between two.
    """
    integers, scale = found
    expected = quantize_activation(floats, bits)[1]
    if not scale.isfinite().all():
        return float('inf')
    grid = floats.double() / expected.double()
    beyond = (grid - integers).abs() - 0.5
    beyond = (beyond.amax(1) / grid.abs().amax(1).clamp(min=1.0)).max().item()
    return max(beyond, 0.0, (scale / expected[:, 0] - 1.0).abs().max().item())


def attention(config: VLAConfig, rows: int, device, dtype) -> Iterator[dict]:
    """Yield attention as the networks call it: prefill, one token, an encoder, the head."""
    llm, head, kind = config.llm, config.head, str(dtype)[6:]
    shapes = {'prefill': (llm.num_heads, llm.num_kv_heads, rows, rows, llm.head_dim),
              'one token': (llm.num_heads, llm.num_kv_heads, 1, rows, llm.head_dim),
              'encoder': (16, 16, config.num_visual + 5, config.num_visual + 5, 64)}
    if head.kind == 'diffusion':
        tokens = 1 + head.chunk_length
        shapes['head'] = head.heads, head.heads, tokens, tokens, head.width // head.heads
    for name, (heads, groups, queries, keys, width) in shapes.items():
        joint = [torch.randn(1, length, count, width, device=device).to(dtype).transpose(1, 2)
                 for length, count in ((queries, heads), (keys, groups), (keys, groups))]
        found = attend(*joint, is_causal=name == 'prefill')
        yield row(f'attention, {name}, {kind}',
                  row_error(found, plain_attention(*joint, name == 'prefill')),
                  rounded(dtype, 3), 'probabilities and the result are rounded; the sums of '
                  'exponentials are taken in another order')


def plain_attention(q, k, v, is_causal: bool) -> torch.Tensor:
    """Return attention in float64, as its definition says."""
    k, v = (part.double().repeat_interleave(q.shape[1] // k.shape[1], dim=1) for part in (k, v))
    logits = q.double() @ k.transpose(2, 3) / q.shape[-1] ** 0.5
    if is_causal:
        later = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        logits = logits.masked_fill(later, float('-inf'))
    return logits.softmax(-1) @ v
