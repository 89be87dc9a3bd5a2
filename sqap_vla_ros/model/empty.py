# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Networks without weights, for weights that come from files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FILLS = {torch.Tensor.normal_, torch.Tensor.uniform_, nn.init.normal_, nn.init.uniform_,
          nn.init.kaiming_uniform_}


class _WithoutRandomNumbers(TorchFunctionMode):
    """
    Leave tensors as they are where random numbers would be drawn.

    On 'meta' that draws nothing anyway, but goes through torch's compiler, whose import takes
    more than a second and 100 MiB.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in _FILLS:
            return args[0] if args else kwargs['tensor']
        return function(*args, **(kwargs or {}))


@contextmanager
def without_weights() -> Iterator[None]:
    """Make modules on 'meta' in this block: no memory, no random numbers."""
    with torch.device('meta'), _WithoutRandomNumbers():
        yield
