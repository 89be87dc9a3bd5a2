# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory the weights of a checkpoint take, before one of them is read."""

from __future__ import annotations

from collections.abc import Mapping

from .units import empty_model, make_record
from ..model.vla import VLAConfig
from ..quant import QuantScheme, summary


def memory_bytes(shell, on_cpu: bool = True) -> float:
    """
    Return what the weights of a network, perhaps on 'meta', take when they run.

    on_cpu: in float32 and in its kernels' forms; else on a GPU, in 16 bits and packed.
    """
    counts = summary(shell, on_cpu)
    floats = sum(tensor.numel() for tensor in shell.state_dict().values()
                 if tensor.is_floating_point())
    if not on_cpu:
        return 2 * floats + counts['packed_bytes']
    return 4 * floats + counts['weights'] * (counts['bits_in_memory'] or 0) / 8


def needed_bytes(config: VLAConfig, record: Mapping, precision: str, int8=(),
                 on_cpu: bool = True) -> float:
    """
    Return what the weights take in a precision that a checkpoint can have.

    record: its quantization, empty for full precision.  on_cpu: as for memory_bytes.
    """
    if not record and (precision != 'fp' or int8):
        scheme = QuantScheme(precision, precision != 'fp', dict.fromkeys(int8, 'w8a8'))
        record = make_record(empty_model(config), scheme, gptq=False)
    elif record and precision != record.get('precision'):
        record = {**record, 'precision': precision}
    return memory_bytes(empty_model(config, record), on_cpu)
