# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Scales of the channels that o_proj and down_proj read, put into what writes these.

They go into v_proj and up_proj, where channels of query heads that share a value share a scale.
Nowhere else does a scale commute with the residual rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import copy

from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.numerics.hadamard import Rotation
from sqap_vla_ros.numerics.precision import QuantScheme
from sqap_vla_ros.quant import quantize_block
from sqap_vla_ros.quant.gptq import input_hessians
from sqap_vla_ros.quant.rotate import rotate_block, rotate_end, rotate_outputs, vla_stream
import torch

READERS = ('o_proj', 'down_proj')
EXPONENTS = tuple(step / 10 for step in range(11))
SMALLEST = 1e-5


@torch.no_grad()
def smooth(model: VLA, inputs: torch.Tensor, exponent: float) -> None:
    """
    Divide the inputs of READERS by a scale a channel, and multiply their weights.

    The scale is max |x|^e / max |w|^(1 - e), after Xiao et al., "SmoothQuant", ICML 2023 (arXiv
    2211.10438).
    """
    largest = of_inputs(model, inputs, lambda x: x.abs().amax((0, 1)))
    for index, name in readers(model):
        most, weight = (largest_shared(model, index, name, x).clamp(min=SMALLEST) for x in (
            largest[index][name], reader(model, index, name).weight.abs().amax(0)))
        scale(model, index, name, most ** exponent / weight ** (1 - exponent))


@torch.no_grad()
def activation_aware(model: VLA, inputs: torch.Tensor, rotation: Rotation,
                     scheme: QuantScheme) -> None:
    """
    Scale as AWQ does: by mean |x|^e, with the exponent of each layer that errs least.

    After Lin et al., "AWQ: Activation-aware Weight Quantization", MLSys 2024 (arXiv 2306.00978).
    The error is that of the layer's outputs for these inputs, its weights rotated and rounded to
    nearest as `scheme` has it, activations not rounded; EXPONENTS (11, of their 20) are tried,
    layer by layer, nothing is clipped.  Between scales and weights lies a Hadamard transform
    here, which mixes the channels.
    """
    means = of_inputs(model, inputs, lambda x: x.abs().mean((0, 1)))
    for index, name in readers(model):
        tried = []
        mean = largest_shared(model, index, name, means[index][name]).clamp(min=SMALLEST)
        for exponent in EXPONENTS:
            values = mean ** exponent
            values = values / (values.max() * values.min()).sqrt()
            scaled = copy.deepcopy(model)
            scale(scaled, index, name, values)
            tried.append((output_error(scaled, index, name, inputs, rotation, scheme), values))
        scale(model, index, name, min(tried, key=lambda each: each[0])[1])


def output_error(model: VLA, index: int, name: str, inputs: torch.Tensor, rotation: Rotation,
                 scheme: QuantScheme) -> float:
    """Return the summed square of what rounding changes in a layer's outputs; rotates model."""
    rotate(model, rotation)
    layer, llm, seen = reader(model, index, name), model.llm, rotation.apply(inputs).float()
    positions = torch.arange(inputs.shape[1])
    moments = input_hessians({name: (layer, 1, 1)}, seen.split(8),
                             lambda x: llm.run(x, positions, 0, index + 1))[name].double()
    exact = layer.weight.detach().clone()
    quantize_block(llm, index, scheme)
    error = (exact - reader(model, index, name).dequantized()).double()
    return float(((error @ moments) * error).sum())


def readers(model: VLA) -> Iterator[tuple[int, str]]:
    """Yield block and name of each layer whose inputs can be scaled."""
    for index in range(len(model.llm.layers)):
        for name in READERS:
            yield index, name


def reader(model: VLA, index: int, name: str):
    """Return a layer of READERS."""
    block = model.llm.layers[index]
    return block.self_attn.o_proj if name == 'o_proj' else block.mlp.down_proj


def scale(model: VLA, index: int, name: str, values: torch.Tensor) -> None:
    """
    Divide what writes a layer's inputs by values [N], and multiply the layer's weights.

    N: of the writer's outputs; inputs that share one share its value.
    """
    layer, (writer, shared, width) = reader(model, index, name), _writer(model, index, name)
    with torch.no_grad():
        writer.weight /= values[:, None]
        layer.weight *= values.view(-1, 1, width).expand(-1, shared, -1).flatten()


def largest_shared(model: VLA, index: int, name: str, values: torch.Tensor) -> torch.Tensor:
    """Return [N], of each output of what writes a layer's inputs, the largest of values [K]."""
    _, shared, width = _writer(model, index, name)
    return values.view(-1, shared, width).amax(1).flatten()


def _writer(model: VLA, index: int, name: str):
    """Return what writes a layer's inputs, how many share an output, and in runs of how many."""
    block = model.llm.layers[index]
    writer = block.self_attn.v_proj if name == 'o_proj' else block.mlp.up_proj
    shared = reader(model, index, name).in_features // writer.out_features
    return writer, shared, model.llm.config.head_dim if shared > 1 else 1


def of_inputs(model: VLA, inputs: torch.Tensor, told: Callable) -> list[dict[str, torch.Tensor]]:
    """Return of each block told(x [n, S, K]) of what READERS are given."""
    found: list[dict] = [{} for _ in model.llm.layers]
    handles = [reader(model, index, name).register_forward_pre_hook(
        lambda _, given, index=index, name=name: found[index].__setitem__(name, told(given[0])))
        for index, name in readers(model)]
    model.llm.run(inputs, torch.arange(inputs.shape[1]), 0, len(found))
    for handle in handles:
        handle.remove()
    return found


def rotate(model: VLA, rotation: Rotation) -> None:
    """Rotate a plain model in place, as quant.rotate_model does with a rotation of its own."""
    stream = vla_stream(model)
    for layer in stream.layers:
        rotate_block(layer, rotation, stream.head_dim)
    for target in stream.writers:
        rotate_outputs(target, rotation)
    rotate_end(stream, rotation)
