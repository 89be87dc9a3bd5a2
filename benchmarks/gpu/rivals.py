# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Products of a layer by our kernels and by those of libraries, on the same weights.

Each function here takes a Problem and returns a Contender; it raises Missing, with the reason,
where a library, a card or a shape does not allow it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from sqap_vla_ros.kernels import LinearSpec, make_kernel
from sqap_vla_ros.kernels.base import dequantize
from sqap_vla_ros.numerics.int4 import quantize_activation
import torch

GROUP = 128
_INNER_TILES = 8  # of tinygemm's packing: 128 inputs
_LEAST_INT8_ROWS = 17  # of cuBLASLt's int8 products


class Missing(Exception):
    """A contender cannot run here; the message says why."""


@dataclass(frozen=True)
class Contender:
    """
    Calls of one product, each with weights of its own, and what the first has to give.

    tolerance: of the norm of the difference, relative.
    """

    calls: list[Callable]
    expected: torch.Tensor
    tolerance: float


class Problem:
    """The tokens and weights of one layer."""

    def __init__(self, rows: int, inputs: int, outputs: int, copies: int, device: torch.device,
                 dtype: torch.dtype):
        """Make random ones; copies: of the weights, so that they come from memory."""
        torch.manual_seed(0)
        self.device, self.dtype, self.copies = device, dtype, copies
        self.x = torch.randn(rows, inputs, device=device).to(dtype)
        self.tokens, row_scale = quantize_activation(self.x, 8)
        self.row_scale = row_scale[:, 0].contiguous()
        self.bytes = self._integers(8, inputs, outputs)
        self.nibbles = self._integers(4, inputs, outputs)
        self.scale = (torch.rand(outputs, device=device) + 0.5) / (127 * inputs ** 0.5)
        groups = inputs // GROUP if inputs % GROUP == 0 else 1
        # of 16 bits, as tinygemm has them
        self.scales = ((torch.rand(outputs, groups, device=device) + 0.5) / (
            7 * inputs ** 0.5)).bfloat16().float()

    def _integers(self, bits: int, inputs: int, outputs: int) -> list[torch.Tensor]:
        half = 2 ** (bits - 1)
        return [torch.randint(-half, half, (outputs, inputs), dtype=torch.int8,
                              device=self.device) for _ in range(self.copies)]

    @property
    def int8_product(self) -> torch.Tensor:
        """Return what W8A8 of the first weights has to give, float32 [M, N]."""
        sums = self.tokens.double() @ self.bytes[0].double().t()
        return (sums * self.scale * self.row_scale[:, None]).float()

    @property
    def int4_product(self) -> torch.Tensor:
        """Return what W4A16 of the first weights has to give, float32 [M, N]."""
        weight = dequantize(self.nibbles[0], self.scales)
        return (self.x.double() @ weight.double().t()).float()

    def check_groups(self) -> None:
        """Raise Missing where groups of 128 do not divide the inputs."""
        if self.x.shape[1] % GROUP:
            raise Missing(f'groups of {GROUP} do not divide {self.x.shape[1]} inputs')


def our_int8(problem: Problem) -> Contender:
    """Return int_linear, or skinny_linear for few rows: scaled, in the tokens' type."""
    spec = LinearSpec(problem.x.shape[1], len(problem.scale), 8, 8)
    kernels = [_kernel(spec, weight, problem.scale, problem) for weight in problem.bytes]
    return Contender([lambda kernel=kernel: kernel.multiply(
        problem.tokens, problem.row_scale, problem.dtype) for kernel in kernels],
        problem.int8_product, 1e-2)


def our_int8_layer(problem: Problem) -> Contender:
    """Return a whole W8A8 layer, the quantization of the tokens in it."""
    spec = LinearSpec(problem.x.shape[1], len(problem.scale), 8, 8)
    kernels = [_kernel(spec, weight, problem.scale, problem) for weight in problem.bytes]
    return Contender([lambda kernel=kernel: kernel(problem.x) for kernel in kernels],
                     problem.int8_product, 1e-2)


def our_int4(problem: Problem) -> Contender:
    """Return float_linear, or skinny_linear for few rows, with scales a group."""
    problem.check_groups()
    spec = LinearSpec(problem.x.shape[1], len(problem.scale), 4, 16, group_size=GROUP)
    kernels = [_kernel(spec, weight, problem.scales, problem) for weight in problem.nibbles]
    return Contender([lambda kernel=kernel: kernel(problem.x) for kernel in kernels],
                     problem.int4_product, 1e-2)


def _kernel(spec: LinearSpec, weight, scale, problem: Problem):
    return make_kernel(spec, weight, scale,
                       backend=None if problem.device.type == 'cuda' else 'triton')


def cublas_int8(problem: Problem) -> Contender:
    """Return torch._int_mm: the int32 sums alone, without their scales."""
    if len(problem.tokens) < _LEAST_INT8_ROWS:
        raise Missing(f'cuBLASLt takes {_LEAST_INT8_ROWS} rows or more')
    expected = problem.tokens.double() @ problem.bytes[0].double().t()
    return Contender([lambda weight=weight: torch._int_mm(problem.tokens, weight.t())
                      for weight in problem.bytes], expected, 0.0)


def cublas_fp8(problem: Problem) -> Contender:
    """Return torch._scaled_mm with a scale a row and a channel: as many bytes as int8."""
    if problem.device.type != 'cuda':
        raise Missing('only for CUDA')
    if torch.cuda.get_device_capability(problem.device) < (8, 9):
        raise Missing('this card has no fp8')
    kind = torch.float8_e4m3fn
    tokens, weights = problem.tokens.float().to(kind), [
        weight.float().to(kind) for weight in problem.bytes]
    scales = problem.row_scale.unsqueeze(1).contiguous(), problem.scale.unsqueeze(0).contiguous()
    expected = (tokens.double() @ weights[0].double().t()) * scales[0] * scales[1]
    return Contender([lambda weight=weight: torch._scaled_mm(
        tokens, weight.t(), *scales, out_dtype=torch.bfloat16, use_fast_accum=True)
        for weight in weights], expected, 2e-2)


def tinygemm(problem: Problem) -> Contender:
    """Return torch's own W4A16 product, with groups of 128 and bfloat16 scales."""
    if problem.device.type != 'cuda' or problem.dtype != torch.bfloat16:
        raise Missing('only for bfloat16 on CUDA')
    problem.check_groups()
    by_group = problem.scales.t()
    scales = torch.stack([by_group, torch.zeros_like(by_group)], dim=2).bfloat16().contiguous()
    aten, packed = torch.ops.aten, []
    for weight in problem.nibbles:
        # 0..15, neighbours in one byte, the first in its high half
        high, low = (weight + 8).view(torch.uint8).view(len(weight), -1, 2).unbind(2)
        packed.append(aten._convert_weight_to_int4pack(high << 4 | low, _INNER_TILES))
    return Contender([lambda weight=weight: aten._weight_int4pack_mm(
        problem.x, weight, GROUP, scales) for weight in packed], problem.int4_product, 1e-2)


def torchao_int8(problem: Problem) -> Contender:
    """Return torchao's dynamic W8A8 layer, not compiled by torch.compile."""
    check_library('torchao', problem)
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    layers = plain_layers(problem)
    for layer in layers:
        quantize_(layer, Int8DynamicActivationInt8WeightConfig())
    return Contender([lambda layer=layer: layer(problem.x) for layer in layers],
                     problem.int8_product, 3e-2)


def gemlite_int8(problem: Problem) -> Contender:
    """Return gemlite's dynamic W8A8 layer."""
    check_library('gemlite', problem)
    from gemlite.helper import A8W8_int8_dynamic
    make = A8W8_int8_dynamic(device=str(problem.device))
    layers = [make.from_linear(layer) for layer in plain_layers(problem)]
    return Contender([lambda layer=layer: layer(problem.x) for layer in layers],
                     problem.int8_product, 3e-2)


def gemlite_int4(problem: Problem) -> Contender:
    """Return gemlite's W4A16 layer with groups of 128."""
    check_library('gemlite', problem)
    problem.check_groups()
    from gemlite.helper import A16Wn
    make, scales = A16Wn(device=str(problem.device)), problem.scales.to(problem.dtype)
    layers = [make.from_weights((weight + 8).view(torch.uint8), scales,
                                torch.full_like(scales, 8), 4, GROUP)
              for weight in problem.nibbles]
    return Contender([lambda layer=layer: layer(problem.x) for layer in layers],
                     problem.int4_product, 3e-2)


def check_library(name: str, problem: Problem) -> None:
    """Raise Missing where a library is not installed, or there is no CUDA device for it."""
    if find_spec(name) is None:
        raise Missing(f'{name} is not installed')
    if problem.device.type != 'cuda':
        raise Missing('only for CUDA')


def plain_layers(problem: Problem) -> list[torch.nn.Linear]:
    """Return plain layers with the weights that the integers of 8 bits stand for."""
    layers = []
    for weight in problem.bytes:
        layer = torch.nn.Linear(weight.shape[1], len(weight), bias=False, device='meta')
        layer.weight = torch.nn.Parameter(
            (weight * problem.scale[:, None]).to(problem.dtype), requires_grad=False)
        layers.append(layer)
    return layers
