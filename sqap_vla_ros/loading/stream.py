# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Read, rotate and quantize a network unit by unit; everything else stays on 'meta'.

What comes out is what quant.quantize_model makes of the whole network at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .units import empty_model, END, Unit
from ..errors import ConfigError
from ..formats import Source
from ..formats.tensors import forget_pages
from ..numerics.hadamard import Rotation
from ..quant import packed_state, quantize_block, quantize_part, QuantScheme
from ..quant.quantize import check_scheme
from ..quant.rotate import rotate_block, rotate_end, rotate_outputs, vla_stream


def read_floats(source: Source, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """
    Return copies of tensors in float32, and let go of the file's pages.

    Raises CheckpointError, naming it, for a tensor that cannot be read or is not finite.
    """
    weights, is_mapped = {}, source.tensors.maps_files
    for name in names:
        tensor = source.tensors.read(name)
        weights[name] = tensor.to(torch.float32, copy=is_mapped)
        if is_mapped:
            forget_pages(tensor)
    return weights


class Stream:
    """A network of which one unit at a time has weights."""

    def __init__(self, source: Source, scheme: QuantScheme, float_type: torch.dtype):
        """Make it without weights; raise ConfigError for a scheme that does not fit it."""
        self._source, self._scheme, self._float_type = source, scheme, float_type
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
        weights = read_floats(self._source, unit.plain)
        model.load_state_dict(weights, strict=False, assign=True)
        model.requires_grad_(False)
        del weights  # so that a float layer is freed once it is quantized
        if self._rotation is not None:
            self._rotate(unit)
        if unit.block is not None:
            quantize_block(model.llm, unit.block, self._scheme, inputs)
        else:
            quantize_part(model, '', self._scheme, model.llm.config.head_dim)
        state = packed_state(model, self._float_type)
        converted = {name: state[name] for name in unit.packed}
        model.to('meta')
        self._check_range(converted)
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
        if unit.name == END:
            rotate_end(stream, self._rotation)

    def _check_range(self, converted: dict) -> None:
        """Raise ConfigError for a value that the type of what stays in floats can't hold."""
        for name, tensor in converted.items():
            if tensor.dtype == self._float_type and tensor.numel() and not all(
                    map(torch.isfinite, torch.aminmax(tensor.detach()))):
                raise ConfigError(f'{name} has values beyond the range of {self._float_type}: '
                                  'choose --float-type bfloat16')
