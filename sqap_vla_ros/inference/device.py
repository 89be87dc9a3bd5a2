# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which device and floating-point type a policy runs on."""

from __future__ import annotations

from contextlib import contextmanager
import gc

import torch

from ..errors import ConfigError
from ..kernels.cuda.capability import capability
from ..support.memory import give_back

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def find_device(name: str | torch.device | None) -> torch.device:
    """
    Return the device of a name: None or 'cpu', 'cuda', 'cuda:N', or 'auto'.

    'auto' is the first CUDA device where there is one, else the CPU.  Raises ConfigError for
    any other name, and for a CUDA device that is not there.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device('cpu' if name is None else name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is unknown: use 'cpu', 'cuda', 'cuda:0' or 'auto'"
                          ) from error
    if device.type == 'cpu':
        return torch.device('cpu')
    if device.type != 'cuda':
        raise ConfigError(f"device {name!r} is not supported: use 'cpu', 'cuda' or 'cuda:0'")
    _check_cuda(name, device.index or 0)
    return torch.device('cuda', device.index or 0)


@contextmanager
def memory_told(device: torch.device):
    """Raise ConfigError where a GPU's memory is too small: a user can do something about it."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigError(
            f'the memory of {device} is too small: {str(error).splitlines()[0]} Choose a smaller '
            'precision (w4a4, int8 vision), or end other programs there') from error


def _check_cuda(name, index: int) -> None:
    if torch.version.cuda is None:
        raise ConfigError(f'device {name!r} was asked for, but torch {torch.__version__} is built '
                          'without CUDA: install a CUDA build of torch, or leave device out to '
                          'run on the CPU')
    if not torch.cuda.is_available():
        raise ConfigError(f'device {name!r} was asked for, but torch {torch.__version__} finds no '
                          'CUDA device: check the driver with nvidia-smi, or leave device out to '
                          'run on the CPU')
    count = torch.cuda.device_count()
    if index >= count:
        raise ConfigError(f'device {name!r} was asked for, but there are {count} CUDA devices: '
                          f'use cuda:0 to cuda:{count - 1}')


def free_memory() -> None:
    """Give back what policies that nobody holds any more had, on devices and in memory."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    give_back()


def find_dtype(name: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """
    Return the type of what is not quantized.

    None takes float32 on a CPU, and bfloat16 on a GPU (float16 where that is all it has).
    Raises ConfigError for an unknown name.
    """
    if name is None:
        return capability(device).float_type if device.type == 'cuda' else torch.float32
    dtype = DTYPES.get(name, name) if isinstance(name, str) else name
    if dtype not in DTYPES.values():
        raise ConfigError(f'dtype {name!r} is unknown: use one of {tuple(DTYPES)}')
    return dtype
