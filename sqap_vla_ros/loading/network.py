# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From an opened checkpoint to a network that is ready to run, unit by unit.

A unit (units.py) is read, quantized if that is asked for, brought to its device and packed for its
kernels before the next is read: little more than the network itself is ever in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import nn

from .stream import Stored, Stream
from .units import empty_model, make_layout, make_record, make_units
from ..errors import ConfigError
from ..formats.source import Source
from ..kernels.cuda import announce, unavailable
from ..kernels.float_layers import use_fastest_linears
from ..model.bfloat16_vision import use_bfloat16_vision
from ..model.int8_vision import use_int8_vision
from ..model.native_blocks import use_native_blocks
from ..model.native_vision import use_native_vision
from ..model.vla import VLA
from ..numerics.precision import parse_precision, PARTS, same_weights
from ..quant import prepare_kernels, QuantLinear, QuantScheme

_CPU = torch.device('cpu')
_ENCODERS = {'': use_native_vision, 'bfloat16': use_bfloat16_vision, 'int8': use_int8_vision}
_USUAL_TEXT = 24  # tokens of a prompt, to try kernels with


def load_network(source: Source, precision: str | None = None, rotate: bool = True,
                 int8: Sequence[str] = (), prepare: bool = True, device: torch.device = _CPU,
                 dtype: torch.dtype = torch.float32, vision: str = '') -> VLA:
    """
    Return the network on its device, quantized as the checkpoint is or as asked for.

    precision: one of quant.PRECISIONS; None takes the checkpoint's own, and weights of 4 bits that
    were converted serve every precision of the same weights.  rotate: Hadamard rotations when
    quantizing here.  int8: parts outside the decoder to hold at w8a8, of
    quant.PARTS.  prepare: give the layers their fastest kernels, which hold the weights in
    forms of their own; what a GPU can do is logged.  dtype: of what is not quantized.
    vision: what an encoder in float32 is rounded to on a CPU, '' for nothing; see vision_type.py.
    Raises CheckpointError for weights that do not fit or are not finite and ConfigError for
    what they cannot have.
    """
    record, scheme = _wanted(source, precision, rotate, int8)
    plain = empty_model(source.config.model)
    if scheme is not None:
        record = make_record(plain, scheme, gptq=False)
    model = empty_model(source.config.model, record)
    source.tensors.check((model if scheme is None else plain).state_dict())
    if device.type == 'cuda':
        announce(device)
    with torch.cuda.device(device) if device.type == 'cuda' else nullcontext():
        _fill(model, source, scheme, prepare, device, dtype)
        if prepare:
            _finish(model, device, vision)
    return model


def check_precision(source: Source, precision: str) -> None:
    """Raise ConfigError for an unknown precision, or another than converted weights have."""
    parse_precision(precision)
    record = source.config.quantization
    if not record:
        return
    stored = record.get('precision', 'fp')
    others = same_weights(stored, record.get('per_token', True))
    if precision in others:
        return
    found = (f'was converted with --per-tensor, one scale for all tokens, and {precision} has '
             'scales by kind of token: convert the original checkpoint again without it'
             if precision in same_weights(stored) else
             f'holds {stored} weights, {precision} was asked for: convert the original checkpoint')
    raise ConfigError(f'{source.path} {found}'
                      + (f', or take {" or ".join(others)}' if others[1:] else ''))


def _wanted(source: Source, precision: str | None, rotate: bool,
            int8: Sequence[str]) -> tuple[dict, QuantScheme | None]:
    """Return the checkpoint's record, empty for full precision, and what to quantize here."""
    record = source.config.quantization  # of 'fp' too: it may hold rotations or overrides
    stored = record.get('precision', 'fp')
    precision = precision or stored
    check_precision(source, precision)
    if unknown := set(int8) - set(PARTS):
        raise ConfigError(f'int8 names {sorted(unknown)}: the parts are {PARTS}')
    if record and int8:
        raise ConfigError(f'{source.path} is converted already: convert the original checkpoint '
                          f'with --int8 {" ".join(int8)}')
    if record:
        return record if precision == stored else {**record, 'precision': precision}, None
    if precision == 'fp' and not int8:
        return {}, None
    return {}, QuantScheme(precision, rotate and precision != 'fp', dict.fromkeys(int8, 'w8a8'))


def _fill(model: VLA, source: Source, scheme: QuantScheme | None, prepare: bool, device, dtype):
    """Give a network on 'meta' its weights; the decoder's blocks, which need most, come first."""
    layout = make_layout(model, dtype)
    if scheme is None:
        reader, units = Stored(source, layout, device), make_units({}, layout)
    else:
        reader = Stream(source, scheme, dtype, device)
        units = make_units(source.tensors.shapes, layout)
    for unit in sorted(units, key=lambda unit: unit.block is None):
        tensors = reader.convert(unit)
        _assign(model, tensors)
        if prepare:
            _prepare(model, tensors, dtype)


def _assign(model: VLA, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put tensors in their places; load_state_dict would make all layers forget their kernels."""
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition('.')
        owner = model.get_submodule(path)
        if isinstance(getattr(owner, leaf), nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=False)
        setattr(owner, leaf, tensor)


def _prepare(model: VLA, names: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
    """Pack the quantized layers that these tensors belong to, q/k/v and gate/up together."""
    rows = model.config.num_visual + _USUAL_TEXT + model.config.placeholders
    owners: dict[nn.Module, None] = {}
    for name in names:
        path = name.split('.')
        block = 3 if path[:2] == ['llm', 'layers'] else len(path) - 1
        owners[model.get_submodule('.'.join(path[:block]))] = None
    for module in owners:
        if isinstance(module, QuantLinear):
            module.prepare(rows, release=True, dtype=dtype)
        elif module in model.llm.layers:
            prepare_kernels(module, rows, release=True, dtype=dtype,
                            is_last=module is model.llm.layers[-1])


def _finish(model: VLA, device: torch.device, vision: str) -> None:
    """Let what is not quantized run at its fastest, too."""
    if device.type == 'cpu':
        _ENCODERS[vision](model)
        use_native_blocks(model.llm)
        use_fastest_linears(model)
    elif not unavailable(device):
        from ..model.fused_blocks import fuse_blocks  # imports triton, which only a GPU needs
        fuse_blocks(model)
