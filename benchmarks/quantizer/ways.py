# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to quantize a decoder that `convert` lacks: other rotations, scaling, corrections."""

from __future__ import annotations

from collections.abc import Callable
import copy
from dataclasses import dataclass, replace
from types import SimpleNamespace

from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.numerics.hadamard import Rotation
from sqap_vla_ros.numerics.precision import parse_precision, QuantScheme
from sqap_vla_ros.quant import quantize_block, QuantLinear
from sqap_vla_ros.quant.gptq import input_hessians
from sqap_vla_ros.quant.linear import prepare_joint
from sqap_vla_ros.quant.packed import LAST, TOGETHER
import torch

from . import scaling

SCHEME = QuantScheme('w4a4t8')  # whose weights serve w4a4 and w4a8 too


@dataclass(frozen=True)
class Way:
    """
    How weights are made.

    rotation: of the residual stream.  gptq: round by calibration, else to nearest.  smooth:
    exponent of SmoothQuant's scaling, 0 for none.  aware: scale as AWQ does.  rank: of the
    correction of each layer's weight error, 0 for none.  read_rows: GPTQ of the last block learns
    from the rows that the head reads.
    """

    rotation: Rotation
    gptq: bool
    smooth: float = 0.0
    aware: bool = False
    rank: int = 0
    read_rows: bool = False


@torch.no_grad()
def quantized(plain: VLA, inputs: torch.Tensor, way: Way) -> VLA:
    """Return a quantized copy of a plain model; inputs: [n, S, D] of its decoder to learn from."""
    model = copy.deepcopy(plain)
    if way.smooth:
        scaling.smooth(model, inputs, way.smooth)
    if way.aware:
        scaling.activation_aware(model, inputs, way.rotation, SCHEME)
    scaling.rotate(model, way.rotation)
    exact, seen = copy.deepcopy(model), way.rotation.apply(inputs).float()
    reached = list(seen.split(8)) if way.gptq else None
    last, llm = len(model.llm.layers) - 1, model.llm
    rows = model.config.head_rows(inputs.shape[1]) if way.read_rows else None

    def run(x, positions, first, stop, visual):
        return llm.run(x, positions, first, stop, visual=visual,
                       read=rows if first == last else None)
    for index in range(last + 1):
        quantize_block(SimpleNamespace(layers=llm.layers, config=llm.config, run=run), index,
                       SCHEME, reached, model.visual_rows)
    if way.rank:
        model.corrections = corrections(exact, model, seen, way.rank)
    return model


def corrections(exact: VLA, model: VLA, inputs: torch.Tensor, rank: int) -> dict:
    """
    Return by layer the best matrix [N, K] of that rank to add to its weights.

    With H = L L^T the sum of its inputs' squares, it is the closest to the error E in |E L|.
    """
    linears = {name: layer for name, layer in exact.llm.layers.named_modules()
               if isinstance(layer, torch.nn.Linear)}
    positions = torch.arange(inputs.shape[1])
    sums = input_hessians({name: (layer, 1, 1) for name, layer in linears.items()},
                          inputs.split(8), lambda x: exact.llm.run(
                              x, positions, 0, len(exact.llm.layers)))
    found = {}
    for name, layer in linears.items():
        error = (layer.weight - model.llm.layers.get_submodule(name).dequantized()).double()
        matrix = sums[name].double()
        matrix.diagonal().add_(0.01 * matrix.diagonal().mean())
        factor = torch.linalg.cholesky(matrix)
        u, s, v = torch.linalg.svd(error @ factor, full_matrices=False)
        low = (u[:, :rank] * s[:rank]) @ v[:rank]
        found[name] = torch.linalg.solve_triangular(factor, low, upper=False, left=False).float()
    return found


def at_precision(model: VLA, name: str) -> VLA:
    """Give a model of 4-bit weights other activations, and its kernels; return it."""
    bits = parse_precision(name)
    for layer in model.modules():
        if isinstance(layer, QuantLinear):
            layer.spec = replace(layer.spec, act_bits=bits.act_bits, text_bits=bits.text_bits)
            layer.to(layer.scale.device)  # which makes it forget its kernel
    for index, block in enumerate(model.llm.layers):
        _prepare(block, f'{index}', model)
    return model


def _prepare(block, prefix: str, model: VLA) -> None:
    """Make a block's kernels, with the corrections added to what they compute."""
    added = getattr(model, 'corrections', {})
    groups = LAST if block is model.llm.layers[-1] else TOGETHER
    layers = {f'{prefix}.{name}': layer for name, layer in block.named_modules()
              if isinstance(layer, QuantLinear)}
    for names in groups:
        members = [name for end in names for name in layers if name.endswith(end)]
        prepare_joint([layers[name] for name in members])
        layers[members[0]]._group.kernel = corrected(
            layers[members[0]].kernel, [added.get(name) for name in members])
    for name, layer in layers.items():
        if layer._group is None:
            layer._kernel = corrected(layer.prepare(), [added.get(name)])


def corrected(kernel, matrices: list) -> Callable:
    """Return a kernel's function with matrices [N, K] added to its weights."""
    if matrices[0] is None:
        return kernel
    weight = torch.cat(matrices)
    return lambda x, visual=None: kernel(x, visual) + x @ weight.t()
