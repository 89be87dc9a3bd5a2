# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From an opened checkpoint to a network that is ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses

import torch
from torch import nn

from ..errors import CheckpointError, ConfigError
from ..formats.source import Source
from ..formats.tensors import forget_pages
from ..kernels.cuda import unavailable
from ..kernels.cuda.capability import announce
from ..kernels.float_layers import use_fastest_linears
from ..model.empty import without_weights
from ..model.vla import VLA
from ..numerics.precision import PARTS, PRECISIONS
from ..quant import (
    prepare_kernels, quantize_model, quantized_shell, QuantLinear, QuantScheme, restore_quantized)

_USUAL_TEXT = 24  # tokens of a prompt, to try kernels with


def load_network(source: Source, precision: str | None = None, rotate: bool = True,
                 int8: Sequence[str] = ()) -> VLA:
    """
    Read the weights in float32, quantized as the checkpoint is or as asked for.

    precision: one of quant.PRECISIONS; None takes the checkpoint's own.  rotate: Hadamard
    rotations when quantizing here.  int8: parts outside the decoder to hold at w8a8, of
    quant.PARTS.  Raises CheckpointError for weights that do not fit or are not finite and
    ConfigError for what they cannot have.
    """
    record, scheme = _wanted(source, precision, rotate, int8)
    with without_weights():
        model = VLA(source.config.model)
    if record:
        weights = {name: _read(source, name) for name in source.tensors.shapes}
        restore_quantized(model, record, weights)
        return model.eval()
    source.tensors.check(model.state_dict())
    check_floats(source)
    weights = {name: _read(source, name) for name in source.tensors.shapes}
    model.load_state_dict(weights, assign=True)
    model.eval().requires_grad_(False)
    if scheme is not None:
        quantize_model(model, scheme)
    return model


def ready_network(source: Source, precision: str | None, rotate: bool, int8: Sequence[str],
                  prepare: bool, device: torch.device, dtype: torch.dtype) -> VLA:
    """
    Return the network on its device, with its fastest kernels if `prepare`.

    A GPU's, and any of another type than float32, is read by stream_network.  What the GPU can
    do, and which way each precision takes there, is logged.
    """
    if device.type == 'cpu' and dtype == torch.float32:
        model = load_network(source, precision, rotate, int8)
        if prepare:
            prepare_kernels(model, release=True)
            use_fastest_linears(model)
        return model
    if device.type == 'cpu':
        return stream_network(source, precision, rotate, device, dtype, prepare, int8)
    announce(device)
    with torch.cuda.device(device):
        model = stream_network(source, precision, rotate, device, dtype, prepare, int8)
        if prepare and not unavailable(device):
            from ..model.fused_blocks import fuse_blocks
            fuse_blocks(model)
    return model


def stream_network(source: Source, precision: str | None, rotate: bool, device: torch.device,
                   dtype: torch.dtype, prepare: bool = True,
                   int8: Sequence[str] = ()) -> VLA:
    """
    Bring the weights to a device unit by unit, so that little more than they are is in memory.

    dtype: of what is not quantized.  prepare: pack each unit for its kernels before the next is
    read.  A full-precision checkpoint is quantized on the device, one block of float32 at a
    time.  For the others, and what is raised, see load_network.
    """
    record, scheme = _wanted(source, precision, rotate, int8)
    with without_weights():
        model = VLA(source.config.model).eval().requires_grad_(False)
    if not record:
        source.tensors.check(model.state_dict())
        check_floats(source)
    if scheme is None:
        units = _stored_units(source, model, record, device, dtype)
    else:
        units = _quantized_units(source, model, scheme, device, dtype)
    for tensors in units:
        _assign(model, tensors)
        if prepare:
            _prepare(model, tensors, dtype)
    return model


def _wanted(source: Source, precision: str | None, rotate: bool,
            int8: Sequence[str]) -> tuple[dict, QuantScheme | None]:
    """Return the checkpoint's record, empty for full precision, and what to quantize here."""
    record = source.config.quantization  # of 'fp' too: it may hold rotations or overrides
    stored = record.get('precision', 'fp')
    precision = precision or stored
    check_precision(source, bool(record), stored, precision)
    if unknown := set(int8) - set(PARTS):
        raise ConfigError(f'int8 names {sorted(unknown)}: the parts are {PARTS}')
    if record and int8:
        raise ConfigError(f'{source.path} is converted already: convert the original checkpoint '
                          f'with --int8 {" ".join(int8)}')
    if record or (precision == 'fp' and not int8):
        return record, None
    return {}, QuantScheme(precision, rotate and precision != 'fp', dict.fromkeys(int8, 'w8a8'))


def _stored_units(source: Source, model: VLA, record: Mapping, device,
                  dtype) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the tensors of each unit as they are stored, on the device; shapes the model."""
    from .units import unit_name
    if record:
        quantized_shell(model, record)
        source.tensors.check(model.state_dict())
    own, units = model.state_dict(), {}
    packed = {name for name, module in model.named_modules() if isinstance(module, QuantLinear)}
    for name in own:
        units.setdefault(unit_name(name), []).append(name)
    for names in _blocks_first(units):
        yield {name: _on_device(source, name, own[name], device,
                                torch.float32 if name.rpartition('.')[0] in packed else dtype)
               for name in names}


def _quantized_units(source: Source, model: VLA, scheme: QuantScheme, device,
                     dtype) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the tensors of each unit, quantized on the device; shapes the model."""
    from .stream import Stream
    from .units import make_layout, make_record, make_units
    record = make_record(model, scheme, gptq=False)
    units = {unit.name: unit for unit in make_units(
        source.tensors.shapes, make_layout(source.config.model, record, dtype))}
    quantized_shell(model, record)
    moved = dataclasses.replace(source, tensors=_DeviceReader(source.tensors, device))
    stream = Stream(moved, scheme, dtype)
    for unit in _blocks_first(units):
        yield stream.convert(unit)


def _blocks_first(units: Mapping[str, object]) -> list:
    """Return the units, the decoder's blocks first: what they need besides is free again then."""
    return [units[name] for name in sorted(units, key=lambda name: 'llm.layers' not in name)]


class _DeviceReader:
    """A reader of copies on a device."""

    maps_files = False

    def __init__(self, tensors, device: torch.device):
        self._tensors, self._device = tensors, device
        self.shapes, self.dtypes = tensors.shapes, tensors.dtypes

    def read(self, name: str) -> torch.Tensor:
        tensor = self._tensors.read(name)
        moved = tensor.to(self._device, copy=self._tensors.maps_files)
        if self._tensors.maps_files:
            forget_pages(tensor)
        return moved


def _on_device(source: Source, name: str, own: torch.Tensor, device, dtype) -> torch.Tensor:
    """Return a stored tensor on a device, floats as dtype; raise CheckpointError for a misfit."""
    tensor = _DeviceReader(source.tensors, device).read(name)
    if own.is_floating_point() and tensor.is_floating_point():
        return tensor.to(dtype)
    if own.dtype != tensor.dtype:
        raise CheckpointError(
            f'{source.path}: {source.tensors.theirs(name)} is {tensor.dtype}, expected '
            f'{own.dtype}: the weights do not fit their quantization record, convert again')
    return tensor


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
    rows = model.config.num_visual + _USUAL_TEXT
    owners: dict[nn.Module, None] = {}
    for name in names:
        path = name.split('.')
        block = 3 if path[:2] == ['llm', 'layers'] else len(path) - 1
        owners[model.get_submodule('.'.join(path[:block]))] = None
    for module in owners:
        if isinstance(module, QuantLinear):
            module.prepare(rows, release=True, dtype=dtype)
        elif module in model.llm.layers:
            prepare_kernels(module, rows, release=True, dtype=dtype)


def check_precision(source: Source, is_converted: bool, stored: str, precision: str) -> None:
    """Raise ConfigError for an unknown precision, or another than converted weights have."""
    if precision not in PRECISIONS:
        raise ConfigError(f'precision {precision!r} is unknown: use one of {PRECISIONS}')
    if is_converted and stored != precision:
        raise ConfigError(
            f'{source.path} holds {stored} weights, {precision} was asked for: convert the '
            'original checkpoint')


def _read(source: Source, name: str) -> torch.Tensor:
    tensor = source.tensors.read(name)
    if tensor.dtype == torch.float32 or not tensor.is_floating_point():
        return tensor
    wide = tensor.float()
    if source.tensors.maps_files:
        forget_pages(tensor)
    return wide


def check_floats(source: Source) -> None:
    """Raise CheckpointError for weights that are integers already."""
    for name, dtype in source.tensors.dtypes.items():
        if not dtype.is_floating_point:
            raise CheckpointError(
                f'{source.path}: {source.tensors.theirs(name)} is {dtype}: the weights are '
                'quantized in a way that is unknown here, start from the full-precision ones')
