# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Each linear layer of a decoder block alone: time, operations and bytes a second."""

from __future__ import annotations

import math
import time

from sqap_vla_ros.kernels import LinearSpec, make_kernel
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.numerics.hadamard import largest_power_of_two
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme
import torch
from torch.nn import functional as F

from .clock import per_call_ms
from .floors import Card, decoder_block, Work
from .shapes import Plan

PRECISIONS = ('fp', 'w8a8', 'w4a16', 'w4a4')
_MOST_COPIES = 40
_CACHES = 2.5  # times the L2 cache that the copies of a layer take together
_ROUNDS = 10


def measure(plan: Plan, card: Card, device: torch.device, dtype: torch.dtype,
            seconds: float) -> dict:
    """
    Return the roofline's points: every layer, number of tokens and precision.

    A quantized layer's time has its Hadamard and quantization in it.  'fp' is torch's own product.
    """
    llm = next(iter(plan.models.values())).llm
    points, end = [], time.perf_counter() + seconds
    share = seconds / (len(plan.rows) * len(PRECISIONS) * 4)
    for rows in plan.rows:
        for precision in PRECISIONS:
            for index, work in enumerate(decoder_block(llm, rows, precision)):
                if time.perf_counter() > end:
                    return {'points': points, 'ended_early': True}
                points.append(_point(work, index, llm, rows, precision, card, device, dtype,
                                     min(_ROUNDS, plan.rounds), share))
    return {'points': points}


def _point(work: Work, index: int, llm: LlamaConfig, rows: int, precision: str, card: Card,
           device, dtype, rounds: int, seconds: float) -> dict:
    spec = layer_spec(llm, index, precision)
    copies = layer_copies(work.size, device)
    calls = layer_calls(spec, precision, rows, copies, device, dtype)
    ms = per_call_ms(calls, device, rounds, seconds)
    floor_ms = 1e3 * work.seconds(card)
    return {'layer': work.name, 'tokens': rows, 'precision': precision, 'ms': ms,
            'floor_ms': floor_ms, 'reached': floor_ms / ms, 'tops': work.ops / ms / 1e9,
            'gb_s': work.size / ms / 1e6, 'ops_a_byte': work.ops / work.size}


def layer_spec(llm: LlamaConfig, index: int, precision: str) -> LinearSpec:
    """Return layer `index` of floors.decoder_block with the transforms of a rotated network."""
    width, inner = llm.hidden_size, llm.intermediate_size
    joined = width + 2 * llm.num_kv_heads * llm.head_dim
    inputs, outputs = ((width, joined), (width, width), (width, 2 * inner), (inner, width))[index]
    transform = ((1, 1), (llm.num_heads, llm.head_dim), (1, 1),
                 (largest_power_of_two(inner), 1))[index]
    bits = parse_precision('w8a8' if precision == 'fp' else precision)
    return LinearSpec(inputs, outputs, bits.weight_bits, bits.act_bits, *transform,
                      group_size=QuantScheme(precision).group_of(inputs, precision)
                      if precision != 'fp' else 0)


def random_weight(spec: LinearSpec, device, generator=None):
    """Return integers int8 [N, K] and scales of a layer on a device."""
    half = 2 ** (spec.weight_bits - 1)
    weight = torch.randint(-half, half, (spec.out_features, spec.in_features), device=device,
                           dtype=torch.int8, generator=generator)
    groups = (spec.in_features // spec.group_size,) if spec.group_size else ()
    scale = torch.rand(spec.out_features, *groups, device=device, generator=generator)
    return weight, (scale + 0.5) / (half * spec.in_features ** 0.5)


def layer_copies(size: float, device: torch.device) -> int:
    """Return how many layers are more than the L2 cache holds."""
    if device.type != 'cuda':
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(_MOST_COPIES, 1 + math.ceil(_CACHES * cache / size))


def layer_calls(spec: LinearSpec, precision: str, rows: int, copies: int, device, dtype) -> list:
    """Return so many calls of a layer, each with weights of its own."""
    x = torch.randn(rows, spec.in_features, device=device).to(dtype)
    calls = []
    for _ in range(copies):
        if precision == 'fp':
            weight = torch.randn(spec.out_features, spec.in_features, device=device).to(dtype)
            calls.append(lambda weight=weight: F.linear(x, weight))
        else:
            kernel = make_kernel(spec, *random_weight(spec, device),
                                 backend=None if device.type == 'cuda' else 'triton')
            calls.append(lambda kernel=kernel: kernel(x))
    return calls
