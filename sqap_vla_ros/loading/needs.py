# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory the weights of a checkpoint take, before one of them is read."""

from __future__ import annotations

from .units import empty_model, make_record
from ..formats.source import Source
from ..quant import QuantScheme, summary


def memory_bytes(shell) -> float:
    """Return what the weights of a network, perhaps on 'meta', take when a CPU runs it."""
    counts = summary(shell, on_cpu=True)
    floats = sum(tensor.numel() for tensor in shell.state_dict().values()
                 if tensor.is_floating_point())
    return 4 * floats + counts['weights'] * (counts['bits_in_memory'] or 0) / 8


def needed_bytes(source: Source, precision: str, int8=()) -> float:
    """Return what the weights take on a CPU in a precision that the checkpoint can have."""
    record, config = source.config.quantization, source.config.model
    if not record and (precision != 'fp' or int8):
        scheme = QuantScheme(precision, precision != 'fp', dict.fromkeys(int8, 'w8a8'))
        record = make_record(empty_model(config), scheme, gptq=False)
    return memory_bytes(empty_model(config, record))
