# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantize a VLA in place, and bring a packed one back without its float weights.

    record = quantize_model(model, 'w4a4')          # into config.json
    weights = packed_state(model)                   # into model.safetensors
    quantized_shell(again, record)                  # a new model, whose
    again.load_state_dict(weights, assign=True)     # layers are those of the quantized one

A converter that streams rotates and quantizes block by block (rotate.rotate_block,
quantize_block), and the parts outside the decoder with quantize_part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import nn

from .gptq import input_hessians
from .linear import QuantLinear
from .qk import QKQuantizer
from .rotate import ResidualStream, rotate_model, RotatedTime, UnrotatedNorm, vla_stream
from ..errors import ConfigError
from ..numerics.hadamard import is_power_of_two, largest_power_of_two, Rotation
from ..numerics.precision import BACKBONE, QuantScheme
from ..numerics.visual_rows import VisualRows


def _online_hadamard(name: str, linear: nn.Linear, head_dim: int) -> tuple[int, int]:
    """Return (block, stride) of the transform that a decoder layer applies to its input."""
    if name.endswith('.down_proj'):
        return largest_power_of_two(linear.in_features), 1
    heads = linear.in_features // head_dim
    if name.endswith('.o_proj') and is_power_of_two(heads):
        return heads, head_dim  # together with v_proj's own: a Hadamard over the whole width
    return 1, 1


def _selected(part: nn.Module, prefix: str, scheme: QuantScheme,
              head_dim: int) -> Iterator[tuple[str, nn.Linear, dict]]:
    """
    Yield name below `prefix`, layer and QuantLinear options of all to be quantized.

    No layer is kept, so that the memory of those that are replaced on the way is free.
    """
    names = [name for name, module in part.named_modules(prefix=prefix)
             if isinstance(module, nn.Linear)]
    for name in names:
        precision = scheme.precision_of(name)
        if precision == 'fp':
            continue
        module = part.get_submodule(_below(prefix, name))
        rotated = scheme.rotate and name.startswith(f'{BACKBONE}.')
        block, stride = _online_hadamard(name, module, head_dim) if rotated else (1, 1)
        yield name, module, {
            'precision': precision, 'hadamard_block': block, 'hadamard_stride': stride,
            'per_token': scheme.per_token,
            'group_size': scheme.group_of(module.in_features, precision)}


def _below(prefix: str, name: str) -> str:
    return name[len(prefix):].lstrip('.')


def _replace(part: nn.Module, prefix: str, name: str, module: nn.Module) -> None:
    owner, _, attribute = _below(prefix, name).rpartition('.')
    setattr(part.get_submodule(owner), attribute, module)


def _attach_qk(layer: nn.Module, scheme: QuantScheme) -> None:
    """Put the quantizer of Q and K in place; 16 bits leave them alone."""
    if scheme.qk_bits != 16:
        layer.self_attn.qk_transform = QKQuantizer(scheme.qk_bits, scheme.rotate)


@torch.no_grad()
def quantize_part(part: nn.Module, prefix: str, scheme: QuantScheme, head_dim: int,
                  hessians: dict[str, torch.Tensor] | None = None) -> None:
    """
    Quantize the linear layers below `part`, whose name in the whole model is `prefix`.

    hessians: by layer name, for those that GPTQ shall round; see gptq.input_hessians.  It is
    emptied on the way.  Layers on 'meta' are left for later.  Raises ConfigError, naming the
    layer, where one cannot be quantized.
    """
    for name, linear, options in _selected(part, prefix, scheme, head_dim):
        if linear.weight.is_meta:
            continue
        try:
            hessian = (hessians or {}).pop(name, None)
            quantized = QuantLinear.from_linear(linear, hessian=hessian, **options)
        except ConfigError as error:
            raise ConfigError(f'{name}: {error}') from error
        _replace(part, prefix, name, quantized)
        del linear, hessian  # before the next, which may need 0.5 GB for its own


@torch.inference_mode(False)
@torch.no_grad()
def quantize_block(llm: nn.Module, index: int, scheme: QuantScheme,
                   inputs: list[torch.Tensor] | None = None,
                   visual_rows: Callable[[int], VisualRows] | None = None) -> None:
    """
    Quantize block `index` of a decoder (model/llama.py); the other blocks may be on 'meta'.

    inputs: what reaches the block [B, S, D], each of a length of its own, when everything before
    it is quantized; with them GPTQ rounds the weights, and the list is overwritten with what
    leaves the block.  visual_rows(S): where sequences of a length have their visual tokens (as
    VLA.visual_rows), for precisions with text_bits; None: no token is visual.
    """
    layer, prefix = llm.layers[index], f'{BACKBONE}.{index}'
    head_dim = llm.config.head_dim

    def run(x):
        length = x.shape[1]
        visual = None if visual_rows is None else visual_rows(length)
        positions = torch.arange(length, device=x.device)
        return llm.run(x, positions, index, index + 1, visual=visual)[0]

    hessians = None
    if inputs is not None:
        hessians = input_hessians({
            name: (linear, options['hadamard_block'], options['hadamard_stride'])
            for name, linear, options in _selected(layer, prefix, scheme, head_dim)}, inputs, run)
    quantize_part(layer, prefix, scheme, head_dim, hessians)
    _attach_qk(layer, scheme)
    if inputs is not None:
        for place, x in enumerate(inputs):  # one by one: at 7B each takes 5 MB
            inputs[place] = run(x)


def check_scheme(model: nn.Module, scheme: QuantScheme) -> None:
    """Raise ConfigError for idle overrides or a model that is quantized already."""
    scheme.check_names(name for name, module in model.named_modules()
                       if isinstance(module, nn.Linear))
    for name, module in model.named_modules():
        if isinstance(module, (QuantLinear, UnrotatedNorm)):
            raise ConfigError(f'the model is quantized or rotated already ({name}): '
                              'start from the full-precision weights')


@torch.no_grad()
def quantize_model(model: nn.Module, precision: str | QuantScheme,
                   calibration: Iterable[torch.Tensor] | None = None,
                   stream: ResidualStream | None = None, **options) -> dict:
    """
    Quantize a full-precision model in place and return the record for config.json.

    precision: a QuantScheme, or its first field with the others as options.  calibration:
    inputs [B, S, D] of the plain model's decoder (VLA.embed gives them), for GPTQ; None
    rounds to nearest.  stream: where to rotate; None takes vla_stream's.

    Raises ConfigError for unknown options and layers that cannot be quantized.
    """
    scheme = precision
    if not isinstance(scheme, QuantScheme):
        scheme = QuantScheme(precision, **options)
    check_scheme(model, scheme)
    inputs = None if calibration is None else [x.detach().float() for x in calibration]
    rotation = None
    if scheme.rotate:
        rotation = rotate_model(stream or vla_stream(model), scheme.seed)
    if scheme.rotate and inputs:
        q = Rotation(inputs[0].shape[-1], scheme.seed)
        inputs = [q.apply(x).float() for x in inputs]
    for index in range(len(model.llm.layers)):
        quantize_block(model.llm, index, scheme, inputs, model.visual_rows)
    quantize_part(model, '', scheme, model.llm.config.head_dim)
    model.requires_grad_(False)  # integers have no gradient
    return scheme.record(rotation, gptq=inputs is not None)


def quantized_shell(model: nn.Module, record: Mapping) -> None:
    """
    Give a new full-precision model (on any device, also 'meta') empty quantized layers.

    record: what quantize_model returned; raises ConfigError for a damaged one.
    """
    scheme = QuantScheme.from_record(record)
    check_scheme(model, scheme)
    scale, time = model.llm.norm.weight, getattr(model.head, 'time', None)
    if record['rotation'] and time is not None:
        model.head.time = RotatedTime(scale.new_zeros(time.steps, len(scale)))
    if record['rotation'] and record['rotation']['unrotated_final']:
        model.llm.norm = UnrotatedNorm(model.llm.norm, scale.new_zeros(len(scale), len(scale)))
    for name, linear, options in _selected(model, '', scheme, model.llm.config.head_dim):
        with torch.device(linear.weight.device):
            layer = QuantLinear(linear.in_features, linear.out_features,
                                bias=linear.bias is not None, **options)
        _replace(model, '', name, layer)
    for layer in model.llm.layers:
        _attach_qk(layer, scheme)
