# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whole fused blocks of the decoder and of the action head against the unfused ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import copy
import dataclasses

from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.model.dit import DiTBlock
from sqap_vla_ros.model.llama import LayerCache, Llama, LlamaConfig
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.quant import packed_state, prepare_kernels, QuantScheme
from sqap_vla_ros.quant.quantize import quantize_block
import torch

from .compare import relative_error, row

PRECISIONS = ('fp', 'w8a8', 'w4a16', 'w4a4')
# Of what a block adds to its input.  A block of 1024 channels with 97 tokens was run on a CPU with
# the reference backend.  float32: noise of 1e-6 on its input gave 2e-6, 2e-6, 0.01 and 0.016.
# bfloat16, against float32: 0.0075, 0.0077, 0.02 and 0.24; a fused block has fewer roundings and
# shares the others.  The scales of one projection doubled gave 0.35 (v, o) to 1.2 (gate) in fp,
# 0.48 to 1.2 in w4a4
TOLERANCE = {torch.float32: {'fp': 5e-5, 'w4a16': 5e-5, 'w8a8': 2e-2, 'w4a4': 4e-2},
             torch.bfloat16: {'fp': 2e-2, 'w4a16': 2e-2, 'w8a8': 5e-2, 'w4a4': 3.5e-1}}
_HEAD_TOLERANCE = {torch.float32: 5e-5, torch.bfloat16: 2e-2}
_CUT_OFF = 0.06  # the interpreter cuts bfloat16 off where a GPU rounds it
_INTERPRETED = ('fp',)  # test/test_cuda_block.py has the others
_EDGES = 'of what the block adds; where values are rounded, some fall to the other side'
_SPREAD = 1.7  # weights of a layer whose output is about as large as its input


def cases(config: VLAConfig, rows: int, device: torch.device) -> dict[str, Callable]:
    """Return what yields the comparisons, by name; see check_parts.cases."""
    found: dict[str, Callable] = {}
    for dtype in (torch.bfloat16, torch.float32):
        for precision in PRECISIONS if device.type == 'cuda' else _INTERPRETED:
            found[f'decoder block {precision}, {str(dtype)[6:]}'] = (
                lambda precision=precision, dtype=dtype: decoder_block(
                    config.llm, precision, rows, device, dtype))
        if device.type == 'cuda' or dtype == torch.float32:  # 16-bit products: not interpreted
            found[f'head block, {str(dtype)[6:]}'] = lambda dtype=dtype: head_block(
                config.head, device, dtype)
    return found


def one_block(config: LlamaConfig, precision: str, device, dtype) -> Llama:
    """Return a decoder of one block with random weights, quantized and not yet with kernels."""
    torch.manual_seed(0)
    with torch.device(device):
        llm = Llama(dataclasses.replace(config, num_layers=1, vocab_size=8)).eval()
    llm.requires_grad_(False)
    for name, parameter in llm.layers.named_parameters():
        if name.endswith('norm.weight'):
            parameter += 0.1 * torch.randn_like(parameter)
        else:
            parameter *= _SPREAD
    if precision != 'fp':
        quantize_block(llm, 0, QuantScheme(precision))
    llm.load_state_dict(packed_state(llm, dtype), assign=True)
    return llm.requires_grad_(False)


def runs(llm: Llama, layer, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield what a block adds to tokens and to the one behind them, which reads its cache."""
    cos, sin = llm.rotary(x.shape[1], x)
    cache, last = LayerCache(1), x.shape[1] - 1
    for part in (slice(0, last), slice(last, last + 1)):
        is_prefill = part.start == 0
        y, scores = layer(x[:, part], cos[part], sin[part],
                          range(last - 1, last) if is_prefill else None, cache)
        yield y.float() - x[:, part].float(), scores


@torch.no_grad()
def decoder_block(config: LlamaConfig, precision: str, rows: int, device,
                  dtype) -> Iterator[dict]:
    """Yield a prefill and a decoding step, the reference backend in the unfused block."""
    from sqap_vla_ros.model.fused_blocks import FusedDecoderLayer
    plain = one_block(config, precision, device, dtype)
    fused = copy.deepcopy(plain)
    prepare_kernels(plain, backend='reference')
    prepare_kernels(fused, backend=None if device.type == 'cuda' else 'triton')
    x = torch.randn(1, rows + 1, config.hidden_size, device=device).to(dtype)
    name, allowed = f'decoder block {precision}, {str(dtype)[6:]}', TOLERANCE[dtype][precision]
    if device.type == 'cpu' and dtype == torch.bfloat16:
        allowed = max(allowed, _CUT_OFF)
    with without_tuning():
        found = list(runs(fused, FusedDecoderLayer(fused.layers[0]), x))
    expected = list(runs(plain, plain.layers[0], x))
    for kind, (one, _), (other, _) in zip(('prefill', 'one token'), found, expected):
        yield row(f'{name}: {kind}', relative_error(one, other), allowed, _EDGES)
    yield row(f'{name}: scores', relative_error(found[0][1], expected[0][1]), allowed,
              'probabilities of the same attention')


@torch.no_grad()
def head_block(config, device, dtype) -> Iterator[dict]:
    """Yield a block of the action head on the tokens of both conditions."""
    from sqap_vla_ros.kernels.cuda.small import FusedActionBlock
    torch.manual_seed(0)
    with torch.device(device):
        plain = DiTBlock(config).eval()
    for parameter in plain.parameters():
        parameter *= _SPREAD
    plain.to(dtype)
    x = torch.randn(2, 1 + config.chunk_length, config.width, device=device).to(dtype)
    with without_tuning():
        found = FusedActionBlock(copy.deepcopy(plain))(x)
    yield row(f'head block, {str(dtype)[6:]}',
              relative_error(found.float() - x.float(), plain(x).float() - x.float()),
              _HEAD_TOLERANCE[dtype], _EDGES)
