# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The parts of a network that are in memory one at a time, and the file that they go into.

A unit is a block of the decoder or of a vision encoder, the embedding, the projector, the final
norm with the head, or what else there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import re

import torch

from ..formats.tensor_file import Layout, tensor_bytes
from ..model.empty import without_weights
from ..model.vla import VLA, VLAConfig
from ..quant import packed_state, quantized_shell, QuantScheme
from ..quant.rotate import rotation_record, vla_stream

_BLOCK = re.compile(r'llm\.layers\.(\d+)')
_UNIT = re.compile(rf'{_BLOCK.pattern}|llm\.embed_tokens|vision\.(\w+\.)?blocks\.\d+|[^.]+')
END = 'head'


@dataclass(frozen=True)
class Unit:
    """Names of the tensors that a unit is made of, plain and converted."""

    name: str
    plain: tuple[str, ...]
    packed: tuple[str, ...]

    @property
    def block(self) -> int | None:
        """Return the index of the decoder block that it is, else None."""
        found = _BLOCK.fullmatch(self.name)
        return int(found[1]) if found else None


def unit_name(tensor: str) -> str:
    """Return the unit that a tensor belongs to, plain or converted."""
    name = _UNIT.match(tensor)[0]
    return END if name == 'llm' else name  # the final norm, whose scale the head may take over


def empty_model(config: VLAConfig, record: Mapping | None = None) -> VLA:
    """
    Return a model on 'meta', which takes no memory.

    record: config.json's quantization, for empty quantized layers where it says so.
    """
    with without_weights():
        model = VLA(config)
    if record:
        quantized_shell(model, record)
    return model.eval().requires_grad_(False)


def make_record(model: VLA, scheme: QuantScheme, gptq: bool) -> dict:
    """Return config.json's quantization; empty if the model stays as it is."""
    is_plain = (scheme.precision == 'fp' and not scheme.rotate and not scheme.overrides
                and scheme.qk_bits == 16)
    rotation = rotation_record(vla_stream(model), scheme.seed) if scheme.rotate else None
    return {} if is_plain else scheme.record(rotation, gptq)


def make_layout(model: VLA, float_type: torch.dtype) -> Layout:
    """Return type and shape of a model's tensors by name; float_type: of what is not packed."""
    return {name: (tensor.dtype, tuple(tensor.shape))
            for name, tensor in packed_state(model, float_type).items()}


def make_units(plain: Mapping[str, object], layout: Layout) -> list[Unit]:
    """
    Return the units, decoder blocks in their order.

    plain: tensors of the full-precision model by name, empty where they are not needed.
    """
    names: dict[str, tuple[list, list]] = {}
    for place, tensors in enumerate((plain, layout)):
        for tensor in tensors:
            names.setdefault(unit_name(tensor), ([], []))[place].append(tensor)
    return [Unit(name, *map(tuple, both)) for name, both in names.items()]


def unit_bytes(unit: Unit, tensors) -> int:
    """Return how much of the original's files a unit is."""
    return sum(tensor_bytes(tensors.dtypes[name], tensors.shapes[name]) for name in unit.plain)
