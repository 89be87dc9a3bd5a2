# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every kernel against the reference backend, on the device, before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sqap_vla_ros.kernels import extreme_inputs, LinearSpec, make_kernel
from sqap_vla_ros.kernels.cuda.tuning import without_tuning
from sqap_vla_ros.quant.hadamard import largest_power_of_two
from sqap_vla_ros.quant.precision import parse_precision, QuantScheme
from sqap_vla_ros.tokens import select_tokens, SelectionConfig
import torch

from .shapes import Plan

PRECISIONS = ('w8a8', 'w4a8', 'w4a4', 'w4a16')
_MOST_BLOCK = 4096
# relative to the norm of the reference's output; a float beside a rounding boundary may fall to
# either side of it, since the Hadamard adds in another order
_TOLERANCE = {torch.float32: 5e-3, torch.float16: 5e-3, torch.bfloat16: 1e-2}


def measure(plan: Plan, device: torch.device, dtype: torch.dtype) -> dict:
    """Return every comparison with its error, and whether all are within their tolerances."""
    rows = [*selection_checks(plan, device), *layer_checks(plan.true, device, dtype)]
    with without_tuning():  # whichever configuration is taken, the result is the same
        rows += layer_checks(plan.ragged, device, dtype)
    for row in rows:
        if not row['ok']:
            print(f'WRONG: {row}', flush=True)
    print(f'   {sum(row["ok"] for row in rows)} of {len(rows)} are right', flush=True)
    return {'ok': all(row['ok'] for row in rows), 'checks': rows}


def _row(name: str, error: float, tolerance: float) -> dict:
    return {'name': name, 'error': error, 'tolerance': tolerance,
            'ok': bool(error <= tolerance)}  # a NaN is not


def layer_checks(shapes, device: torch.device, dtype: torch.dtype) -> Iterator[dict]:
    """Yield the integer product and the whole layer of every shape and precision."""
    for rows, inputs, outputs in shapes:
        for precision in PRECISIONS:
            for hadamard in (False, True):
                spec = layer_spec(inputs, outputs, precision, hadamard)
                if spec.hadamard_block > 1 or not hadamard:
                    yield from _check_layer(spec, precision, rows, device, dtype)


def layer_spec(inputs: int, outputs: int, precision: str, hadamard: bool) -> LinearSpec:
    """Return a layer as QuantLinear would make it."""
    bits = parse_precision(precision)
    block = min(largest_power_of_two(inputs), _MOST_BLOCK) if hadamard else 1
    return LinearSpec(inputs, outputs, bits.weight_bits, bits.act_bits, block,
                      group_size=QuantScheme(precision).group_of(inputs, precision))


def random_weight(spec: LinearSpec, device, generator=None):
    """Return integers int8 [N, K] and scales of a layer on a device."""
    half = 2 ** (spec.weight_bits - 1)
    weight = torch.randint(-half, half, (spec.out_features, spec.in_features), device=device,
                           dtype=torch.int8, generator=generator)
    groups = (spec.in_features // spec.group_size,) if spec.group_size else ()
    scale = torch.rand(spec.out_features, *groups, device=device, generator=generator)
    return weight, (scale + 0.5) / (half * spec.in_features ** 0.5)


def kernels(spec: LinearSpec, device: torch.device):
    """Return the kernel that serves a layer here, and the reference's, with the same weights."""
    weight, scale = random_weight(spec, device)
    bias = torch.randn(spec.out_features, device=device)
    backend = None if device.type == 'cuda' else 'triton'
    return (make_kernel(spec, weight, scale, bias, backend=backend),
            make_kernel(spec, weight, scale, bias, backend='reference'))


def _check_layer(spec: LinearSpec, precision: str, rows: int, device, dtype) -> Iterator[dict]:
    kernel, reference = kernels(spec, device)
    name = (f'{kernel.name} {precision} {rows} x {spec.in_features} to {spec.out_features}'
            + (f', Hadamard {spec.hadamard_block}' if spec.hadamard_block > 1 else ''))
    if kernel.name != 'triton':
        yield {**_row(f'{name}: no kernel serves it', 1.0, 0.0)}
    if spec.act_bits != 16:
        grid = extreme_inputs(spec.in_features, spec.act_bits, max(rows - 4, 0)).to(device)[:rows]
        with without_tuning():  # float32 results, which no layer has
            found = kernel.product(grid.clone())
        off = (found - reference.product(grid.clone())).abs().max()
        yield _row(f'{name}: integer product', off.item(), 0.0)
    x = hard_rows(rows, spec.in_features, device, dtype)
    found, expected = kernel(x).float(), reference(x.float())
    yield _row(f'{name}: layer', relative_error(found, expected), _TOLERANCE[dtype])


def hard_rows(rows: int, inputs: int, device, dtype) -> torch.Tensor:
    """Return random tokens: some channels are outliers, one row is zero and one is tiny."""
    x = torch.randn(rows, inputs, device=device)
    x[:, ::97] *= 20.0
    if rows > 2:
        x[0] = 0.0
        x[1] *= 1e-6
    return x.to(dtype)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over that of what is expected; NaN stays NaN."""
    return ((found - expected).double().norm() / expected.double().norm()).item()


def selection_checks(plan: Plan, device: torch.device) -> Iterator[dict]:
    """Yield whether the device chooses the very tokens that tokens.select_tokens does."""
    from sqap_vla_ros.kernels.cuda.select import select_tokens_cuda
    grid = next(iter(plan.models.values())).vision.grid
    rng = np.random.default_rng(0)
    for name, config in _choices(plan.keep).items():
        wrong = 0
        for _ in range(3):
            scores, distance = _scene(rng, grid)
            expected = select_tokens(scores, distance, grid, config)
            kept, reason = select_tokens_cuda(
                torch.from_numpy(scores).to(device),
                torch.from_numpy(distance.astype(np.float32)).to(device), grid, config)
            wrong += int((kept.cpu().numpy() != expected.kept).sum())
            wrong += int((reason.cpu().numpy() != expected.reason).sum())
        yield _row(f'selection, {name}', float(wrong), 0.0)


def _choices(keep: int) -> dict[str, SelectionConfig]:
    best = min(32, keep // 2)
    return {'sqap': SelectionConfig(keep, best, ties='even'),
            'ties by index': SelectionConfig(keep, best),
            'without preservation': SelectionConfig(keep, best, preserve=False),
            'without protection': SelectionConfig(keep, best, protect=False),
            'without sampling': SelectionConfig(keep, best, sample=False),
            'attention': SelectionConfig(keep, best, method='attention')}


def _scene(rng, grid):
    """Return scores with equal ones among them, and the distances to a random patch."""
    count = grid[0] * grid[1]
    scores = rng.integers(0, max(count // 4, 2), count).astype(np.float32)
    row, col = np.divmod(np.arange(count), grid[1])
    centre = rng.integers(count)
    distance = np.hypot(row - row[centre], col - col[centre])
    return scores, np.where(distance <= 2.0, distance, np.inf)
