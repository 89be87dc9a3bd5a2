# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the largest of the policies that are asked fits into memory, before one is loaded."""

from __future__ import annotations

from ..errors import ConfigError
from ..inference.device import find_device
from ..loading.needs import needed_bytes
from ..support.files import MIB
from ..support.memory import available_bytes

MOST_OF_MEMORY = 0.7  # that weights may take


def check_memory(model, precisions, policy) -> None:
    """
    Raise ConfigError where one of the precisions, of which one at a time is loaded, does not fit.

    model: a VLAConfig.  precisions: names.  policy: PolicyOptions that all have in common.
    """
    device = find_device(policy.device)
    free = available_bytes() if device.type == 'cpu' else _free_on(device)
    if free is None:
        return
    needs = {name: needed_bytes(model, {}, name, policy.int8, device.type == 'cpu')
             for name in precisions}
    name = max(needs, key=needs.get)
    if needs[name] > MOST_OF_MEMORY * free:
        raise ConfigError(
            f'the weights of {name} take about {needs[name] / MIB:.0f} MiB, of {free / MIB:.0f} '
            f'MiB that are free on {device} {MOST_OF_MEMORY:.0%} may be used: end other programs '
            'or measure on a larger machine')


def _free_on(device) -> int:
    import torch
    return torch.cuda.mem_get_info(device)[0]
