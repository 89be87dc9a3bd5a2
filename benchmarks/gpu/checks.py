# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Every kernel against the package's plain functions, on the device, before anything is timed.

Those that are tuned are run in all configurations that the tuner would try.  Whole layers are
compared where they are timed (layers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import copy
import dataclasses
from functools import partial
import time

import numpy as np
from sqap_vla_ros.kernels import LinearSpec
from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.kernels.cuda import tuning
from sqap_vla_ros.kernels.cuda.pack import pack_weight
from sqap_vla_ros.kernels.cuda.trial import failures
from sqap_vla_ros.model.llama import apply_rotary, LayerCache, Llama, RMSNorm, rotary_tables
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.numerics.hadamard import hadamard_transform
from sqap_vla_ros.numerics.int4 import activation_scale
from sqap_vla_ros.numerics.powers_of_two import largest_power_of_two
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.quant import packed_state, prepare_kernels, QuantScheme
from sqap_vla_ros.quant.quantize import quantize_block
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
import torch
from torch.nn import functional as F

from .shapes import Plan

_ORDER = 2e-5  # of the largest in a row: the order of float32 sums of some thousand products
_FEW, _GROUP = 3, 128  # rows, and inputs that share a scale
_SPREAD = 1.7  # weights of a layer whose output is about as large as its input
# Of what a block adds to its input.  A block of 1024 channels with 97 tokens was run on a CPU with
# the reference backend.  float32: noise of 1e-6 on its input gave 2e-6, 2e-6, 0.01 and 0.016.
# bfloat16, against float32: 0.0075, 0.0077, 0.02 and 0.24.  The scales of one projection doubled
# gave 0.35 (v, o) to 1.2 (gate) in fp, 0.48 to 1.2 in w4a4
_BLOCK = {torch.float32: {'fp': 5e-5, 'w4a16': 5e-5, 'w8a8': 2e-2, 'w4a4': 4e-2, 'w4a4t8': 4e-2},
          torch.bfloat16: {'fp': 2e-2, 'w4a16': 2e-2, 'w8a8': 5e-2, 'w4a4': 3.5e-1,
                           'w4a4t8': 3.5e-1}}
_TEXT = 8  # tokens behind the visual ones, of a sequence that has both kinds


def cases(plan: Plan, device: torch.device, dtype: torch.dtype) -> dict[str, Callable]:
    """Return all comparisons by name; dtype: of the tokens, beside float32."""
    config = next(iter(plan.models.values()))
    many, width = max(plan.rows), config.llm.hidden_size
    found: dict[str, Callable] = {
        f'selection, {name}': partial(selection, choice, config.vision.grid, device)
        for name, choice in _choices(plan.keep).items()}
    for kind in dict.fromkeys((torch.float32, dtype)):
        end = f', {str(kind)[6:]}'
        for bits in (4, 8):
            found[f'int_linear w{bits}{end}'] = partial(
                integers, many, bits, width, device, kind)
            found[f'skinny_linear w{bits}a8{end}'] = partial(
                integers, _FEW, bits, width, device, kind)
        found[f'skinny_linear w4a16{end}'] = partial(few_floats, width, device, kind)
        found[f'rotary{end}'] = partial(rotary, config, many, device, kind)
        found[f'quantize{end}'] = partial(quantized, config, many, device, kind)
        for precision in _BLOCK[kind] if device.type == 'cuda' else ('w4a4', 'w4a4t8'):
            found[f'decoder block {precision}{end}'] = partial(
                block, config, precision, many, device, kind)
        if any(model.attention == 'full' for model in plan.models.values()):
            found[f'decoder block w4a4, full attention{end}'] = partial(
                block, config, 'w4a4', many, device, kind, causal=False)
    return found


def measure(plan: Plan, device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """Return every comparison with its error and tolerance, and whether all are within."""
    return run(cases(plan, device, dtype), seconds, keep)


def run(every: dict[str, Callable], seconds: float, keep) -> dict:
    """
    Return the comparisons of all cases; one that raises is wrong, and the others go on.

    keep(content): saves what is known so far.  What is left when the time is over is named, and
    the section has failed.
    """
    end, rows, left = time.perf_counter() + seconds, [], list(every)
    while left and time.perf_counter() < end:
        name = left.pop(0)
        try:
            found = list(every[name]())
        except Exception as error:  # the top frame of a case: whatever a kernel raises
            found = [{'error': f'{type(error).__name__}: {error}'.splitlines()[0], 'ok': False}]
        rows += [{'name': name, **one} for one in found]
        for wrong in (one for one in rows[-len(found):] if not one['ok']):
            print(f'WRONG: {wrong}', flush=True)
        keep({'checks': rows})
    print(f'   {sum(one["ok"] for one in rows)} of {len(rows)} are right, {len(left)} cases not '
          'run', flush=True)
    return {'ok': not left and all(one['ok'] for one in rows), 'checks': rows, 'not_run': left}


def row(error: float, tolerance: float, **more) -> dict:
    """Return a comparison; a NaN is wrong."""
    return {**more, 'error': error, 'tolerance': tolerance, 'ok': bool(error <= tolerance)}


def rounded(dtype: torch.dtype, times: int) -> float:
    """Return what two ways may differ by that round `times` to a type, of a row's largest."""
    return max(times * torch.finfo(dtype).eps, _ORDER)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over that of what is expected; NaN stays NaN."""
    return ((found - expected).double().norm() / expected.double().norm()).item()


def row_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """
    Return the largest difference in a row over the largest that is expected in it.

    Rows of zeros must be zeros; what is not finite is infinitely far.
    """
    found, expected = found.double(), expected.double()
    if found.shape != expected.shape or not found.isfinite().all():
        return float('inf')
    off, size = (found - expected).abs().amax(-1), expected.abs().amax(-1)
    return torch.where(off > 0, off / size, 0.0).max().item()


def every_choice(call: Callable[[], torch.Tensor]) -> Iterator[torch.Tensor]:
    """
    Yield what a call that launches one tuned kernel returns with each of its configurations.

    In the interpreter, which is slow, with the first.  A configuration that asks for more than
    the device has is left out, as by the tuner; raises RuntimeError if all do.
    """
    choices, index, count, served = tuning.choices, 0, 1, 0
    while index < count:
        def take(*launched):
            nonlocal count
            found = choices(*launched)
            count = 1 if tuning.is_interpreted() else len(found)
            return found[index:index + 1]
        tuning.choices = take
        try:
            with tuning.without_tuning():
                found = call()
            served += 1
            yield found
        except failures() as error:
            print(f'   left out, as by the tuner: {error}'.splitlines()[0], flush=True)
        finally:
            tuning.choices = choices
        index += 1
    if not served:
        raise RuntimeError(f'none of {count} configurations can be launched')


def randoms(*shape, device, dtype) -> torch.Tensor:
    """Return random tokens [..., K]: a few channels are outliers, the first row is zero."""
    values = torch.randn(shape, device=device)
    values[..., ::97] *= 20.0
    values[0] = 0.0
    return values.to(dtype)


def random_integers(bits: int, *shape, device) -> torch.Tensor:
    """Return random int8 of the whole range of so many bits, their first row all lowest."""
    half = 2 ** (bits - 1)
    values = torch.randint(-half, half, shape, device=device, dtype=torch.int8)
    values[0] = -half
    return values


def selection(config: SelectionConfig, grid, device) -> Iterator[dict]:
    """Yield how many tokens the device chooses that the plain code does not, or otherwise."""
    from sqap_vla_ros.tokens.triton_choice import select_tokens_cuda
    rng, wrong, count = np.random.default_rng(0), 0, grid[0] * grid[1]
    for _ in range(3):
        scores = rng.integers(0, max(count // 4, 2), count).astype(np.float32)
        distance = np.where(rng.random(count) < 0.1, rng.random(count), np.inf).astype(np.float32)
        expected = select_tokens(scores, distance, grid, config)
        kept = torch.empty(config.keep, dtype=torch.int64, device=device)
        reason = torch.empty(config.keep, dtype=torch.uint8, device=device)
        select_tokens_cuda(*(torch.from_numpy(part).to(device) for part in (scores, distance)),
                           grid, config, kept, reason)
        wrong += int((kept.cpu().numpy() != expected.kept).sum())
        wrong += int((reason.cpu().numpy() != expected.reason).sum())
    yield row(float(wrong), 0.0)


def _choices(keep: int) -> dict[str, SelectionConfig]:
    best = min(32, keep // 2)
    return {'sqap': SelectionConfig(keep, best, ties='even'),
            'without protection': SelectionConfig(keep, best, protect=False),
            'without sampling': SelectionConfig(keep, best, sample=False),
            'attention': SelectionConfig(keep, best, method='attention')}


def integers(rows: int, bits: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield an integer product with bias and residual, in all configurations."""
    from sqap_vla_ros.kernels.cuda.linear import TritonKernel
    outputs = width + 8  # ragged
    spec = LinearSpec(width, outputs, bits, 8)
    weight, x = (random_integers(bits, outputs, width, device=device),
                 random_integers(8, rows, width, device=device))
    scale, row_scale = (torch.rand(size, device=device) + 0.5 for size in (outputs, rows))
    bias, residual = torch.randn(outputs, device=device), randoms(
        rows, outputs, device=device, dtype=dtype)
    kernel = TritonKernel(spec, weight, scale, bias)
    sums = (x.double() @ weight.double().t()).float() * scale * row_scale[:, None]
    for found in every_choice(lambda: kernel.multiply(x, row_scale, torch.float32)):
        yield row(row_error(found, sums + bias), 3e-7)  # sums are exact: one rounding
    found = kernel.multiply(x, row_scale, dtype, residual)
    yield row(row_error(found, residual.float() + sums + bias), rounded(dtype, 2))


def few_floats(width: int, device, dtype) -> Iterator[dict]:
    """Yield skinny_linear on floats with scales a group, in all configurations."""
    from sqap_vla_ros.kernels.cuda.gemv import skinny_linear
    group = min(_GROUP, width)
    weight = random_integers(4, width, width, device=device)
    scale = torch.rand(width, width // group, device=device) + 0.5
    x, residual = (randoms(_FEW, width, device=device, dtype=dtype) for _ in range(2))
    packed, bias = pack_weight(weight, 4), torch.randn(width, device=device)
    expected = x.double() @ dequantize(weight, scale).double().t() + bias + residual
    for found in every_choice(lambda: skinny_linear(
            x, packed, scale, None, bias, residual, group)):
        yield row(row_error(found, expected), rounded(dtype, 1))


def rotary(config: VLAConfig, rows: int, device, dtype) -> Iterator[dict]:
    """Yield the rotation of a prefill and of the token behind it, with and without a cache."""
    from sqap_vla_ros.model.fused_blocks import rotate
    llm = config.llm
    heads, groups, width = llm.num_heads, llm.num_kv_heads, llm.head_dim
    tables = [table.to(dtype) for table in rotary_tables(
        torch.arange(rows + 1, device=device), width, 1e4)]
    qkv = randoms(1, rows + 1, heads + 2 * groups, width, device=device, dtype=dtype)
    q, k, v = qkv.transpose(1, 2).split([heads, groups, groups], dim=1)
    expected = apply_rotary(q, *tables), apply_rotary(k, *tables), v
    for cache in (None, LayerCache(1)):
        for first, last in ((0, rows), (rows, rows + 1)):
            found = rotate(qkv[:, first:last].clone(), *(part[first:last] for part in tables),
                           heads, cache)
            seen = first if cache is None else 0
            wanted = expected[0][:, :, first:last], *(one[:, :, seen:last] for one in expected[1:])
            yield row(max(map(row_error, found, wanted)), rounded(dtype, 3))


@torch.no_grad()
def quantized(config: VLAConfig, rows: int, device, dtype) -> Iterator[dict]:
    """Yield norm, SwiGLU and Hadamards in front of 4 and 8 bits, against plain operations."""
    from sqap_vla_ros.kernels.cuda.quantize import quantize_rows, transform_rows
    llm, norm = config.llm, RMSNorm(config.llm.hidden_size, 1e-5).to(device, dtype)
    gate, up = randoms(rows, 2 * llm.intermediate_size, device=device, dtype=dtype).chunk(2, dim=1)
    x = randoms(rows, llm.hidden_size, device=device, dtype=dtype)
    heads = largest_power_of_two(llm.num_heads), llm.head_dim
    for name, given, floats, block, options in (
            ('norm', x, norm(x), (1, 1), {'norm_weight': norm.weight, 'eps': norm.eps}),
            ('SwiGLU and Hadamard', up, F.silu(gate) * up,
             (largest_power_of_two(llm.intermediate_size), 1), {'gate': gate}),
            ('Hadamard of heads', x, x, heads, {}), ('no transform', x, x, (1, 1), {})):
        floats = hadamard_transform(floats.double(), *block).float()
        options.update(block=block[0], stride=block[1])
        yield row(row_error(transform_rows(given, **options), floats), rounded(dtype, 3),
                  part=name)
        few, many = (activation_scale(floats, bits) for bits in (4, 8))
        visual = visual_rows(rows)
        both = torch.where(visual.mask(rows, device)[:, None], few, many)
        for bits, more, scale in ((4, {}, few), (8, {}, many),
                                  (4, {'text_bits': 8, 'visual': visual}, both)):
            kind = '4 and 8' if more else bits
            yield row(edge_error(quantize_rows(given, bits, **options, **more), floats, scale),
                      rounded(dtype, 2), part=f'{name}, {kind} bits')


def visual_rows(length: int) -> VisualRows:
    """Return the visual rows of a sequence as a policy's: behind BOS and before a text."""
    return VisualRows(length, 1, max(length - 1 - _TEXT, 1))


def edge_error(found, floats: torch.Tensor, expected: torch.Tensor) -> float:
    """
    Return how far integers and scales are from those of floats [M, K], of each row's largest.

    expected: scales [M, 1].  An integer may be off by as much as the float, in steps, is beyond
    the middle between two.
    """
    integers, scale = found
    if not scale.isfinite().all():
        return float('inf')
    grid = floats.double() / expected.double()
    beyond = (grid - integers).abs() - 0.5
    beyond = (beyond.amax(1) / grid.abs().amax(1).clamp(min=1.0)).max().item()
    return max(beyond, 0.0, (scale / expected[:, 0] - 1.0).abs().max().item())


@torch.no_grad()
def block(config: VLAConfig, precision: str, rows: int, device, dtype,
          causal: bool = True) -> Iterator[dict]:
    """Yield a fused prefill and a decoding step, the reference backend in the unfused block."""
    from sqap_vla_ros.model.fused_blocks import FusedDecoderLayer
    plain = one_block(config, precision, device, dtype, causal)
    fused = copy.deepcopy(plain)
    prepare_kernels(plain, backend='reference')
    prepare_kernels(fused, backend='triton')
    x = torch.randn(1, rows + 1, config.llm.hidden_size, device=device).to(dtype)
    with tuning.without_tuning():
        found = list(steps(fused, FusedDecoderLayer(fused.layers[0]), x))
    for one, other in zip(found, steps(plain, plain.layers[0], x)):
        yield row(relative_error(one, other), _BLOCK[dtype][precision])


@torch.inference_mode(False)
def one_block(config: VLAConfig, precision: str, device, dtype, causal: bool = True) -> Llama:
    """Return a decoder of one block with random weights, quantized and not yet with kernels."""
    torch.manual_seed(0)
    with torch.device(device):
        llm = Llama(dataclasses.replace(config.llm, num_layers=1, vocab_size=8), causal).eval()
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


def steps(llm: Llama, layer, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield what a block adds to tokens, its scores, and what it adds to the token behind them."""
    cos, sin = llm.rotary(x.shape[1], x)
    cache, last = LayerCache(1), x.shape[1] - 1
    y, scores = layer(x[:, :last], cos[:last], sin[:last], range(last - 1, last), cache,
                      visual_rows(last))
    yield y.float() - x[:, :last].float()
    yield scores
    y, _ = layer(x[:, last:], cos[last:last + 1], sin[last:last + 1], None, cache)
    yield y.float() - x[:, last:].float()
