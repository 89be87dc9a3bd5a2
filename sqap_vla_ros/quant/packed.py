# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a quantized model stores, what it holds in memory, and the kernels that run it."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from .linear import joinable, prepare_joint, QuantLinear
from ..errors import ConfigError
from ..kernels import cpu_kernel

TOGETHER = (('q_proj', 'k_proj', 'v_proj'), ('gate_proj', 'up_proj'))
LAST = (('k_proj', 'v_proj'), ('gate_proj', 'up_proj'))  # where few rows have queries


def packed_state(model: nn.Module, float_dtype: torch.dtype | None = None):
    """
    Return the tensors of a model, or of one part, to save: packed integers where quantized.

    float_dtype: type of what stays in floats, such as torch.bfloat16; None leaves it as it is.
    Scales and biases of quantized layers stay float32.  Raises ConfigError if packed weights
    were released.
    """
    quantized = {name: module for name, module in model.named_modules()
                 if isinstance(module, QuantLinear)}
    released = [name for name, module in quantized.items() if module.weight is None]
    if released:
        raise ConfigError(
            f'{released[0]}: its packed weights were released, load them again')
    state = {}
    for name, tensor in model.state_dict().items():
        if float_dtype and tensor.is_floating_point() and name.rpartition('.')[0] not in quantized:
            tensor = tensor.to(float_dtype)
        state[name] = tensor.detach().contiguous()
    return state


def prepare_kernels(model: nn.Module, rows: int = 256, backend: str | None = None,
                    release: bool = False, dtype: torch.dtype | None = None,
                    is_last: bool = False) -> None:
    """
    Choose all kernels now instead of at the first call; see QuantLinear.prepare.

    Layers that the decoder runs together (q/k/v, gate/up) get one joint kernel.  In its last block
    q has one of its own: only the rows that somebody reads need it.  is_last: model is that block
    alone; of a whole model it is known.
    """
    options, done = (rows, backend, release, dtype), set()
    last = {id(module) for module in (model if is_last else _last_block(model)).modules()}
    for parent in model.modules():
        for names in LAST if id(parent) in last else TOGETHER:
            layers = [getattr(parent, name, None) for name in names]
            if joinable(layers):
                prepare_joint(layers, *options)
                done.update(layers)
    for module in model.modules():
        if isinstance(module, QuantLinear) and module not in done:
            module.prepare(*options)


def _last_block(model: nn.Module) -> nn.Module:
    """Return the last block of a model's decoder, an empty module of a model without one."""
    layers = getattr(getattr(model, 'llm', None), 'layers', None)
    return layers[-1] if layers else nn.Module()


def summary(model: nn.Module, on_cpu: bool = False) -> dict:
    """
    Return counts and sizes of the quantized layers.

    on_cpu: where no kernel is in use yet, count the one that serves on this CPU; the model may be
    a shell on 'meta' then.  Keys: layers, weights, packed_bytes (with
    scales), bits_on_disk a weight, precisions (name to number of weights), backends (name to
    number of layers), bits_in_memory (a weight that a backend holds, on average, or None).
    """
    layers = [module for module in model.modules() if isinstance(module, QuantLinear)]
    sizes = [layer.spec.in_features * layer.spec.out_features for layer in layers]
    weights = sum(sizes)
    packed = sum(size * layer.spec.weight_bits // 8 + 4 * layer.scale.numel()
                 for layer, size in zip(layers, sizes))
    precisions, backends, bits_held, held = Counter(), Counter(), 0, 0
    for layer, size in zip(layers, sizes):
        precisions[layer.precision] += size
        kernel = layer.kernel or (cpu_kernel(layer.spec) if on_cpu else None)
        if kernel is not None:
            backends[kernel.name] += 1
            bits_held, held = bits_held + kernel.bits_for(layer.spec) * size, held + size
    return {'layers': len(layers), 'weights': weights, 'packed_bytes': packed,
            'bits_on_disk': 8 * packed / weights if weights else 0.0,
            'precisions': dict(precisions), 'backends': dict(backends),
            'bits_in_memory': bits_held / held if held else None}


def storage_text(counts: dict) -> str:
    """Tell a person what `summary` found: bits a weight on disk and in memory, and where."""
    if not counts['layers']:
        return 'nothing is quantized'
    parts = [f'{counts["bits_on_disk"]:.3g} bits a weight on disk with their scales']
    if counts['bits_in_memory'] is None:
        parts.append('kernels not chosen yet')
    else:
        names = ', '.join(sorted(counts['backends']))
        parts.append(f'{counts["bits_in_memory"]:.3g} in memory (backend {names})')
    precisions = ', '.join(f'{name} {size / 1e6:.4g} M'
                           for name, size in sorted(counts['precisions'].items()))
    return f'{counts["layers"]} linear layers, {precisions} weights: ' + ', '.join(parts)
