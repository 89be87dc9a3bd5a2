# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Products with what is added to them, one kernel at a time, in all of their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.kernels.cuda.pack import pack_weight
from sqap_vla_ros.model.vla import VLAConfig
import torch
from torch import nn
from torch.nn import functional as F

from .compare import every_choice, integers, randoms, rounded, row, row_error, worst

_GROUP = 128
_FEW = (1, 8)  # rows of the kernels for decoding
_ONCE = 'the sum of a row is rounded once, in another order of float32 sums'
_TWICE = 'the product and its sum with the residual are rounded'


def cases(config: VLAConfig, rows: int, device: torch.device) -> dict[str, Callable]:
    """Return what yields the comparisons, by name; see check_parts.cases."""
    width, some = config.llm.hidden_size, _FEW if device.type == 'cuda' else _FEW[:1]
    found: dict[str, Callable] = {}
    for dtype in (torch.bfloat16, torch.float32):
        kind = str(dtype)[6:]
        for bits in (4, 8):
            found[f'int_linear w{bits}, {kind}'] = lambda bits=bits, dtype=dtype: int_product(
                bits, rows, width, device, dtype)
            for few in some:
                found[f'skinny_linear w{bits}a8, {few} rows, {kind}'] = (
                    lambda bits=bits, few=few, dtype=dtype: few_integers(
                        bits, few, width, device, dtype))
        for few in some:
            found[f'skinny_linear w4a16, {few} rows, {kind}'] = (
                lambda few=few, dtype=dtype: few_floats(few, width, device, dtype))
        found[f'float_linear, {kind}'] = lambda dtype=dtype: float_product(
            rows, width, device, dtype)
        found[f'plain product, {kind}'] = lambda dtype=dtype: plain_product(
            rows, width, device, dtype)
        if device.type == 'cuda' or dtype == torch.float32:  # 16-bit products: not interpreted
            found[f'small_linear, {kind}'] = lambda dtype=dtype: small_layers(
                config.head, device, dtype)
    return found


def made(bits: int, rows: int, width: int, device, groups: int = 0):
    """Return int8 weights [N, K], their scales, scales of rows, a bias and a residual."""
    weight = integers(bits, width, width, device=device, seed=1)
    places = (width // groups,) if groups else ()
    scale = torch.rand(width, *places, device=device) + 0.5
    return (weight, scale / (2 ** (bits - 1) * width ** 0.5),
            torch.rand(rows, device=device) + 0.1, torch.randn(width, device=device),
            torch.randn(rows, width, device=device))


def exact(x, weight, scale, row_scale) -> torch.Tensor:
    """Return float32 [M, N] of integers x [M, K], scaled as kernels/base.py says."""
    return (x.double() @ weight.double().t()).float() * scale * row_scale[:, None]


def int_product(bits: int, rows: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield int_linear with a bias, and with a residual; check_splits has all configurations."""
    from sqap_vla_ros.kernels.cuda.gemm import candidates, int_linear
    weight, scale, row_scale, bias, residual = made(bits, rows, width, device)
    x, residual = integers(8, rows, width, device=device), residual.to(dtype)
    packed, plain = pack_weight(weight, bits), exact(x, weight, scale, row_scale)
    config, name = candidates(x, packed)[0], f'int_linear w{bits}, {str(dtype)[6:]}'
    found = int_linear(x, row_scale, packed, scale, bias, dtype, residual, config)
    yield row(f'{name}: bias and residual',
              row_error(found, residual.float() + (plain + bias).to(dtype).float()),
              rounded(dtype, 2), _TWICE)
    found = int_linear(x, row_scale, packed, scale, None, dtype, residual, config)
    yield row(f'{name}: residual', row_error(found, residual.float() + plain.to(dtype).float()),
              rounded(dtype, 2), _TWICE)


def few_integers(bits: int, rows: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield skinny_linear on integers with a residual, in all configurations."""
    from sqap_vla_ros.kernels.cuda import gemv
    weight, scale, row_scale, bias, residual = made(bits, rows, width, device)
    x, residual = integers(8, rows, width, device=device), residual.to(dtype)
    packed, plain = pack_weight(weight, bits), exact(x, weight, scale, row_scale)
    name = f'skinny_linear w{bits}a8, {rows} rows, {str(dtype)[6:]}'
    errors = [row_error(found, plain + residual.float()) for found in every_choice(
        gemv, lambda: gemv.skinny_linear(x, packed, scale, row_scale, None, residual, 0, dtype))]
    yield worst(f'{name}: residual', errors, rounded(dtype, 1), _ONCE)
    found = next(every_choice(gemv, lambda: gemv.skinny_linear(
        x, packed, scale, row_scale, bias, residual, 0, dtype)))
    yield row(f'{name}: bias and residual', row_error(found, plain + bias + residual.float()),
              rounded(dtype, 1), _ONCE)


def few_floats(rows: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield skinny_linear on floats with scales a group, in all configurations."""
    from sqap_vla_ros.kernels.cuda import gemv
    group = min(_GROUP, width)
    weight, scale, _, bias, residual = made(4, rows, width, device, group)
    x, residual = randoms(rows, width, device=device, dtype=dtype), residual.to(dtype)
    packed = pack_weight(weight, 4)
    plain = x.double() @ dequantize(weight, scale).double().t() + residual.double()
    name = f'skinny_linear w4a16, {rows} rows, {str(dtype)[6:]}'
    errors = [row_error(found, plain) for found in every_choice(
        gemv, lambda: gemv.skinny_linear(x, packed, scale, None, None, residual, group))]
    yield worst(f'{name}: residual', errors, rounded(dtype, 1), _ONCE)
    found = next(every_choice(gemv, lambda: gemv.skinny_linear(
        x, packed, scale, None, bias, residual, group)))
    yield row(f'{name}: bias and residual', row_error(found, plain + bias), rounded(dtype, 1),
              _ONCE)


def float_product(rows: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield float_linear: all configurations, every kind of group, a bias and a residual."""
    from sqap_vla_ros.kernels.cuda import float_gemm
    x, name = randoms(rows, width, device=device, dtype=dtype), f'float_linear, {str(dtype)[6:]}'
    for bits, group in ((4, min(_GROUP, width)), (4, 0), (4, 32), (8, 0)):
        weight, scale, _, bias, residual = made(bits, rows, width, device, group)
        packed, residual = pack_weight(weight, bits), residual.to(dtype)
        plain = x.double() @ dequantize(weight, scale).double().t()
        # float32 has no MMA: its large tiles would be compiled for minutes
        if group == min(_GROUP, width) and dtype != torch.float32:
            errors = [row_error(found, plain) for found in every_choice(
                float_gemm, lambda: float_gemm.float_linear(x, packed, scale, group))]
            yield worst(f'{name}: all configurations', errors, rounded(dtype, 1), _ONCE)
        config = float_gemm.candidates(x, group)[-1]
        found = float_gemm.float_linear(x, packed, scale, group, bias, residual, config)
        yield row(f'{name}: w{bits}, groups of {group}, bias and residual',
                  row_error(found, plain + bias + residual.double()), rounded(dtype, 2), _TWICE)


@torch.no_grad()
def plain_product(rows: int, width: int, device, dtype) -> Iterator[dict]:
    """Yield plain layers as the fused block multiplies them, with a residual."""
    from sqap_vla_ros.model.fused_blocks import _product
    layer = nn.Linear(width, width, bias=False).to(device, dtype)
    x, residual = (randoms(rows, width, device=device, dtype=dtype, seed=seed)
                   for seed in range(2))
    expected = x.double() @ layer.weight.double().t() + residual.double()
    product = _product((layer,))
    for is_free in (False, True):
        found = product(x, residual=residual.clone(), may_overwrite=is_free)
        yield row(f'plain product, {str(dtype)[6:]}: residual{", in its place" * is_free}',
                  row_error(found, expected), rounded(dtype, 2), _TWICE)


@torch.no_grad()
def small_layers(head, device, dtype) -> Iterator[dict]:
    """Yield the layers of an action head's block, in all configurations."""
    from sqap_vla_ros.kernels.cuda import small
    rows, width = 2 * (1 + head.chunk_length), head.width
    kinds = {'norm': (width, 3 * width, True, False, False),
             'norm and GELU': (width, head.mlp_width, True, True, False),
             'residual': (head.mlp_width, width, False, False, True)}
    for name, (inputs, outputs, has_norm, has_gelu, has_residual) in kinds.items():
        layer = nn.Linear(inputs, outputs).to(device, dtype)
        x = torch.randn(rows, inputs, device=device).mul_(3).add_(1).to(dtype)
        residual = torch.randn(rows, outputs, device=device).to(dtype) if has_residual else None
        expected = layer(F.layer_norm(x, (inputs,), eps=1e-6) if has_norm else x)
        expected = F.gelu(expected, approximate='tanh') if has_gelu else expected
        expected = expected if residual is None else residual + expected
        errors = [row_error(found, expected) for found in every_choice(
            small, lambda: small.small_linear(x, layer.weight, layer.bias,
                                              1e-6 if has_norm else None, has_gelu, residual),
            1 if dtype == torch.float32 else None)]
        yield worst(f'small_linear, {str(dtype)[6:]}: {name}', errors, rounded(dtype, 3),
                    'the norm, the product and what follows are rounded as there, behind float32 '
                    'sums in another order')
