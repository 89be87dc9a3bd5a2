# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whole quantized layers as a network calls them, against the reference backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqap_vla_ros.kernels import extreme_inputs, LinearSpec, make_kernel
from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.numerics.hadamard import largest_power_of_two
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme
import torch

from .compare import randoms, relative_error, row
from .layers import layer_spec, random_weight

PRECISIONS = ('w8a8', 'w4a8', 'w4a4', 'w4a16')
_MOST_BLOCK = 4096
# relative to the norm of the reference's output; a float beside a rounding boundary may fall to
# either side of it, since the Hadamard adds in another order
_TOLERANCE = {torch.float32: 5e-3, torch.float16: 5e-3, torch.bfloat16: 1e-2}
_EDGES = 'an activation beside the middle between two integers may fall to either side'


def cases(config: VLAConfig, rows, ragged, device: torch.device, dtype: torch.dtype) -> dict[
        str, Callable]:
    """
    Return what yields the comparisons, by name.

    rows: numbers of tokens for the layers of the network, as they are tuned.  ragged: (rows,
    inputs, outputs) of others, which take each kernel's first configuration.
    """
    found: dict[str, Callable] = {}
    for count in rows:
        for index in range(4):
            for precision in ('w8a8', 'w4a4', 'w4a16') if device.type == 'cuda' else ('w4a4',):
                spec = layer_spec(config.llm, index, precision)
                found[f'layer {index}, {precision}, {count} tokens'] = (
                    lambda spec=spec, precision=precision, count=count: check_layer(
                        spec, precision, count, device, dtype, False))
    for count, inputs, outputs in ragged:
        for precision in PRECISIONS:
            for block in {1, min(largest_power_of_two(inputs), _MOST_BLOCK)}:
                spec = plain_spec(inputs, outputs, precision, block)
                found[f'{spec}, {count} tokens'] = (
                    lambda spec=spec, precision=precision, count=count: untuned(
                        spec, precision, count, device, dtype))
    return found


def plain_spec(inputs: int, outputs: int, precision: str, block: int) -> LinearSpec:
    """Return a layer as QuantLinear would make it."""
    bits = parse_precision(precision)
    return LinearSpec(inputs, outputs, bits.weight_bits, bits.act_bits, block,
                      group_size=QuantScheme(precision).group_of(inputs, precision))


def untuned(spec: LinearSpec, precision: str, rows: int, device, dtype) -> Iterator[dict]:
    """Yield a layer that no network has, with a bias."""
    with without_tuning():
        yield from check_layer(spec, precision, rows, device, dtype, True)


def check_layer(spec: LinearSpec, precision: str, rows: int, device, dtype,
                has_bias: bool) -> Iterator[dict]:
    """Yield the integer product, exact, and the whole layer."""
    weight, scale = random_weight(spec, device)
    bias = torch.randn(spec.out_features, device=device) if has_bias else None
    kernel = make_kernel(spec, weight, scale, bias,
                         backend=None if device.type == 'cuda' else 'triton')
    reference = make_kernel(spec, weight, scale, bias, backend='reference')
    name = (f'{kernel.name} {precision} {rows} x {spec.in_features} to {spec.out_features}'
            + (f', Hadamard {spec.hadamard_block}' if spec.hadamard_block > 1 else ''))
    if kernel.name != 'triton':
        yield row(f'{name}: no kernel serves it', 1.0, 0.0, 'the package would warn')
    if has_bias and spec.act_bits != 16:
        grid = extreme_inputs(spec.in_features, spec.act_bits, max(rows - 4, 0)).to(device)[:rows]
        with without_tuning():  # float32 results, which no layer has
            found = kernel.product(grid.clone())
        off = (found - reference.product(grid.clone())).abs().max()
        yield row(f'{name}: integer product', off.item(), 0.0, 'exact in integers')
    x = hard_rows(rows, spec.in_features, device, dtype)
    found, expected = kernel(x).float(), reference(x.float())
    yield row(f'{name}: layer', relative_error(found, expected), _TOLERANCE[dtype], _EDGES)


def hard_rows(rows: int, inputs: int, device, dtype) -> torch.Tensor:
    """Return random tokens: some channels are outliers, one row is zero and one is tiny."""
    x = randoms(rows, inputs, device=device)
    if rows > 2:
        x[0] = 0.0
        x[1] *= 1e-6
    return x.to(dtype)
