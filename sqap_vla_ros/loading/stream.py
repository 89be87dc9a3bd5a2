# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Read a network unit by unit, and rotate and quantize it on the way; the rest stays on 'meta'.

What comes out is what quant.quantize_model makes of the whole network at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .units import empty_model, END, Unit
from ..errors import ConfigError
from ..formats import Source
from ..formats.tensor_file import Layout
from ..numerics.hadamard import Rotation
from ..quant import packed_state, quantize_block, quantize_part, QuantScheme
from ..quant.quantize import check_scheme
from ..quant.rotate import rotate_block, rotate_end, rotate_inputs, rotate_outputs, vla_stream


class Stored:
    """Units as they are in the files, whatever their floats are there."""

    def __init__(self, source: Source, layout: Layout, device: torch.device):
        """layout: of the network that they are for, which the files have been checked against."""
        self._tensors, self._layout, self._device = source.tensors, layout, device

    def convert(self, unit: Unit) -> dict[str, torch.Tensor]:
        """Return a unit's tensors by name; raises CheckpointError and ConfigError, as Stream."""
        found = {name: self._tensor(name, self._layout[name][0]) for name in unit.packed}
        check_range(found, torch.float16)
        return found

    def _tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        if self._device.type == 'cpu' and dtype == self._tensors.dtypes[name] \
                and dtype.is_floating_point:
            return self._tensors.read(name)  # of a mapped file it takes no memory of its own
        return self._tensors.copy(name, dtype, self._device)


class Stream:
    """Units that are quantized; one at a time has weights."""

    def __init__(self, source: Source, scheme: QuantScheme, float_type: torch.dtype,
                 device: torch.device | str = 'cpu'):
        """Make it without weights; raise ConfigError for a scheme that does not fit it."""
        self._tensors, self._scheme = source.tensors, scheme
        self._float_type, self._device = float_type, device
        self.model = empty_model(source.config.model)
        check_scheme(self.model, scheme)
        width = source.config.model.llm.hidden_size
        self._rotation = Rotation(width, scheme.seed) if scheme.rotate else None

    @torch.no_grad()
    def convert(self, unit: Unit, inputs: list[torch.Tensor] | None = None) -> dict:
        """
        Return a unit's converted tensors by name.

        inputs: what reaches a decoder block [1, S, D], for GPTQ; it is overwritten with what
        leaves the block.  Raises CheckpointError for weights that cannot be used and
        ConfigError, naming it, for a layer that cannot be quantized.
        """
        model = self.model
        weights = {name: self._tensors.copy(name, torch.float32, self._device)
                   for name in unit.plain}
        model.load_state_dict(weights, strict=False, assign=True)
        model.requires_grad_(False)
        del weights  # so that a float layer is freed once it is quantized
        if self._rotation is not None:
            self._rotate(unit)
        if unit.block is not None:
            quantize_block(model.llm, unit.block, self._scheme, inputs, model.visual_rows)
        else:
            quantize_part(model, '', self._scheme, model.llm.config.head_dim)
        state = packed_state(model, self._float_type)
        converted = {name: state[name] for name in unit.packed}
        model.to('meta')
        check_range(converted, self._float_type)
        return converted

    def rotated(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the plain decoder's inputs as they reach the rotated one."""
        if self._rotation is None:
            return inputs
        return [self._rotation.apply(x).float() for x in inputs]

    def _rotate(self, unit: Unit) -> None:
        stream = vla_stream(self.model) if unit.block is None else None
        if stream is None:
            rotate_block(self.model.llm.layers[unit.block], self._rotation,
                         self.model.llm.config.head_dim)
            return
        for target in stream.writers:
            weight = getattr(target, 'weight', target)
            if not weight.is_meta:
                rotate_outputs(target, self._rotation)
        for linear in stream.embedding_readers:
            if not linear.weight.is_meta:
                rotate_inputs(linear, self._rotation)
        if unit.name == END:
            rotate_end(stream, self._rotation)


def check_range(tensors: Mapping[str, torch.Tensor], float_type: torch.dtype) -> None:
    """Raise ConfigError, naming it, for a tensor of this type with values beyond its range."""
    for name, tensor in tensors.items():
        if tensor.dtype == float_type and tensor.numel() and not all(
                map(torch.isfinite, torch.aminmax(tensor.detach()))):
            raise ConfigError(f'{name} has values beyond the range of {float_type}: choose '
                              'bfloat16')
