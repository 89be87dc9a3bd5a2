# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What auto_precision.py has to know of this machine and of an opened checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .auto_precision import Checkpoint, Choice, choose_precision, Machine
from .needs import needed_bytes
from ..kernels import serving_kernel
from ..kernels.base import Unavailable
from ..kernels.cuda import unavailable
from ..kernels.cuda.capability import Capability, capability
from ..kernels.native import instruction_set, multiplies_bytes
from ..model.heads import TokenHeadConfig
from ..model.vla import VLAConfig
from ..support.memory import total_bytes

_TORCH_INT8 = 7, 5  # the oldest compute capability whose int8 products torch has


def auto_precision(config: VLAConfig, record: Mapping, device: torch.device, int8=()) -> Choice:
    """
    Return what 'auto' stands for, of a network and a device that is there.

    record: the checkpoint's quantization, empty for full precision.  int8: parts outside the
    decoder that are to be held at w8a8.
    """
    on_cpu = device.type == 'cpu'
    return choose_precision(machine_of(device, config), Checkpoint(
        lambda precision: needed_bytes(config, record, precision, int8, on_cpu),
        record.get('precision', 'fp') if record else '', bool(record.get('gptq')),
        record.get('per_token', True), decodes(config)))


def decodes(config: VLAConfig) -> bool:
    """Return whether a network answers token by token."""
    return isinstance(config.head, TokenHeadConfig)


def machine_of(device: torch.device, config: VLAConfig) -> Machine:
    """Return what decides about a device for a network of these sizes."""
    if device.type == 'cpu':
        return _cpu(max(config.llm.hidden_size, config.llm.intermediate_size))
    if torch.version.hip:
        return Machine(f'{device}', 'torch', False)
    facts: Capability = capability(device)
    reason = unavailable(device)
    backend = ('triton' if not reason else
               'torch' if facts.number >= _TORCH_INT8 else 'reference')
    name = '{} (compute capability {}.{})'.format(facts.name, *facts.number)
    return Machine(name, backend, backend != 'reference', facts.number, bool(facts.note),
                   facts.memory_bytes, reason)


def _cpu(inputs: int) -> Machine:
    """Return this processor, for layers of at most so many inputs."""
    backend, eight = (serving_kernel(inputs, bits, 8).name for bits in (4, 8))
    level, missing, is_fast = '', '', eight == backend
    try:
        level = f' ({instruction_set()})'
        is_fast = is_fast and (eight != 'native' or multiplies_bytes())
    except Unavailable as reason:
        missing = str(reason)
    return Machine(f'this CPU{level}', backend, is_fast,
                   memory_bytes=total_bytes(), missing=missing)
