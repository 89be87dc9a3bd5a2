# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Each linear layer of a decoder block alone: ours beside cuBLAS and torch's other kernels."""

from __future__ import annotations

from collections.abc import Callable
import math
import time

from sqap_vla_ros.kernels import LinearSpec, make_kernel
from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.numerics.powers_of_two import largest_power_of_two
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme
import torch
from torch.nn import functional as F

from .checks import relative_error, visual_rows
from .floors import decoder_block, linear
from .shapes import Plan

_MOST_COPIES = 40
_CACHES = 2.5  # times the L2 cache that the copies of a layer take together
_ROUNDS, _WARM_UP = 10, 3
_INNER_TILES = 8  # of tinygemm's packing: 128 inputs


def measure(plan: Plan, device: torch.device, dtype: torch.dtype, seconds: float, keep) -> dict:
    """
    Return microseconds of every layer, number of tokens and side, and what they reach.

    Ours have their Hadamard and quantization in them; 'fp' is cuBLAS in the tokens' type.
    """
    llm = next(iter(plan.models.values())).llm
    points, end = [], time.perf_counter() + seconds
    for rows in plan.rows:
        for index, work in enumerate(decoder_block(llm, rows, 'fp')):
            for side, make in SIDES.items():
                if time.perf_counter() > end:
                    return {'points': points, 'ok': False, 'ended_early': True}
                point = {'layer': work.name, 'tokens': rows, 'side': side}
                points.append({**point, **timed(make, llm, index, rows, device, dtype)})
            keep({'points': points})
    return {'points': points, 'ok': not any(point.get('wrong') for point in points)}


def timed(make: Callable, llm: LlamaConfig, index: int, rows: int, device, dtype) -> dict:
    """Return {'us', 'top_s', 'gb_s', 'error'}, or {'reason'} for what cannot run or is wrong."""
    torch.manual_seed(0)
    try:
        calls, expected, tolerance, work = make(llm, index, rows, device, dtype)
        error = relative_error(calls[0]().float(), expected.float())
        if not error <= tolerance:
            return {'reason': f'off by {error:.2g}, {tolerance} is allowed', 'wrong': True}
        us = 1e3 * per_call_ms(calls, device)
    except Exception as error:  # the top frame of a side: whatever a library raises
        return {'reason': f'{type(error).__name__}: {error}'.splitlines()[0][:200],
                'wrong': make in OURS}
    return {'us': us, 'error': error, 'top_s': work.ops / us / 1e6, 'gb_s': work.size / us / 1e3}


def layer_spec(llm: LlamaConfig, index: int, precision: str) -> LinearSpec:
    """Return layer `index` of floors.decoder_block with the transforms of a rotated network."""
    width, inner = llm.hidden_size, llm.intermediate_size
    joined = width + 2 * llm.num_kv_heads * llm.head_dim
    inputs, outputs = ((width, joined), (width, width), (width, 2 * inner), (inner, width))[index]
    transform = ((1, 1), (llm.num_heads, llm.head_dim), (1, 1),
                 (largest_power_of_two(inner), 1))[index]
    bits = parse_precision(precision)
    return LinearSpec(inputs, outputs, bits.weight_bits, bits.act_bits, *transform,
                      group_size=QuantScheme(precision).group_of(inputs, precision),
                      text_bits=bits.text_bits)


def random_weight(spec: LinearSpec, device):
    """Return integers int8 [N, K] and scales of a layer on a device."""
    half = 2 ** (spec.weight_bits - 1)
    weight = torch.randint(-half, half, (spec.out_features, spec.in_features), device=device,
                           dtype=torch.int8)
    groups = (spec.in_features // spec.group_size,) if spec.group_size else ()
    scale = torch.rand(spec.out_features, *groups, device=device)
    return weight, (scale + 0.5) / (half * spec.in_features ** 0.5)


def copies(size: float, device: torch.device) -> int:
    """Return how many layers are more than the L2 cache holds."""
    if device.type != 'cuda':
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(_MOST_COPIES, 1 + math.ceil(_CACHES * cache / size))


def ours(precision: str) -> Callable:
    """Return what makes our layer of a precision, against the reference backend."""
    def make(llm, index, rows, device, dtype):
        spec = layer_spec(llm, index, precision)
        work = linear('', rows, spec.in_features, spec.out_features, precision)
        backend = None if device.type == 'cuda' else 'triton'
        layers = [random_weight(spec, device) for _ in range(copies(work.size, device))]
        kernels = [make_kernel(spec, *layer, backend=backend) for layer in layers]
        x = torch.randn(rows, spec.in_features, device=device).to(dtype)
        visual = visual_rows(rows)
        expected = make_kernel(spec, *layers[0], backend='reference')(x.float(), visual)
        calls = [lambda kernel=kernel: kernel(x, visual) for kernel in kernels]
        return calls, expected, 2e-2, work
    return make


def _plain(llm, index, rows, device, dtype):
    spec = layer_spec(llm, index, 'w8a8')
    work = linear('', rows, spec.in_features, spec.out_features)
    x = torch.randn(rows, spec.in_features, device=device).to(dtype)
    weights = [torch.randn(spec.out_features, spec.in_features, device=device).to(dtype)
               for _ in range(copies(work.size, device))]
    return ([lambda weight=weight: F.linear(x, weight) for weight in weights],
            x.double() @ weights[0].double().t(), 1e-2, work)


def _int_mm(llm, index, rows, device, dtype):
    """Make torch._int_mm: the int32 sums alone, without scales or quantization."""
    spec = layer_spec(llm, index, 'w8a8')
    work = linear('', rows, spec.in_features, spec.out_features, 'w8a8')
    x = torch.randint(-128, 128, (rows, spec.in_features), dtype=torch.int8, device=device)
    weights = [random_weight(spec, device)[0] for _ in range(copies(work.size, device))]
    return ([lambda weight=weight: torch._int_mm(x, weight.t()) for weight in weights],
            x.double() @ weights[0].double().t(), 1e-7, work)


def _tinygemm(llm, index, rows, device, dtype):
    """Make torch's own W4A16 product, with groups of 128 and bfloat16 scales."""
    spec = layer_spec(llm, index, 'w4a16')
    work = linear('', rows, spec.in_features, spec.out_features, 'w4a16')
    x = torch.randn(rows, spec.in_features, device=device).to(torch.bfloat16)
    layers = [random_weight(spec, device) for _ in range(copies(work.size, device))]
    calls = []
    for weight, scale in layers:
        by_group = scale.t().bfloat16()
        scales = torch.stack([by_group, torch.zeros_like(by_group)], dim=2).contiguous()
        # 0..15, neighbours in one byte, the first in its high half
        high, low = (weight + 8).view(torch.uint8).view(len(weight), -1, 2).unbind(2)
        packed = torch.ops.aten._convert_weight_to_int4pack(high << 4 | low, _INNER_TILES)
        calls.append(lambda packed=packed, scales=scales: torch.ops.aten._weight_int4pack_mm(
            x, packed, spec.group_size, scales))
    weight, scale = layers[0]
    expected = x.double() @ dequantize(weight, scale.bfloat16().float()).double().t()
    return calls, expected, 1e-2, work


OURS = {name: ours(name) for name in ('w8a8', 'w4a16', 'w4a4', 'w4a4t8')}
SIDES = {'fp': _plain, **OURS, 'int8 sums (_int_mm)': _int_mm, 'w4a16 (tinygemm)': _tinygemm}
OURS = frozenset(OURS.values())


def per_call_ms(calls: list[Callable], device: torch.device) -> float:
    """
    Return the median milliseconds of one of several calls, replayed as one graph.

    The calls do the same work on memory of their own: together it is more than the caches hold,
    so that each reads from memory, as the layers of a model do.
    """
    if device.type != 'cuda':
        start = time.perf_counter()
        calls[0]()
        return 1e3 * (time.perf_counter() - start)
    stream, graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            for call in calls:
                call()
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=stream):
        for call in calls:
            call()
    found = []
    for _ in range(_ROUNDS):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        events[0].record()
        graph.replay()
        events[1].record()
        torch.cuda.synchronize(device)
        found.append(events[0].elapsed_time(events[1]))
    return sorted(found)[len(found) // 2] / len(calls)
