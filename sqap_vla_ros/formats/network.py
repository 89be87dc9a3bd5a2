# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From an opened checkpoint to a network that is ready to run."""

from __future__ import annotations

import torch

from .source import Source
from .tensors import forget_pages
from ..errors import CheckpointError, ConfigError
from ..model.vla import VLA
from ..quant import PRECISIONS, quantize_model, restore_quantized


def load_network(source: Source, precision: str | None = None, rotate: bool = True) -> VLA:
    """
    Read the weights in float32, quantized as the checkpoint is or as asked for.

    precision: one of quant.PRECISIONS; None takes the checkpoint's own.  rotate: Hadamard
    rotations when quantizing here.  Raises CheckpointError for weights that do not fit or are
    not finite and ConfigError for a precision that they cannot have.
    """
    record = source.config.quantization  # of 'fp' too: it may hold rotations or overrides
    stored = record.get('precision', 'fp')
    precision = precision or stored
    check_precision(source, bool(record), stored, precision)
    with torch.device('meta'):  # no memory and no random numbers for what the file replaces
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
    if precision != 'fp':
        quantize_model(model, precision, rotate=rotate)
    return model


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
