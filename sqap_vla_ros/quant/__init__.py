# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Rotate, quantize and pack a model (offline); run its packed linear layers (online).

The names below are imported when they are first used, so that the kernels can use
`quant.hadamard` and `quant.int4`, on which everything else here stands.
"""
from importlib import import_module

_HOMES = {
    'PRECISIONS': 'linear', 'Precision': 'linear', 'QuantLinear': 'linear',
    'parse_precision': 'linear', 'together': 'linear',
    'packed_state': 'convert', 'prepare_kernels': 'convert', 'quantize_model': 'convert',
    'restore_quantized': 'convert', 'summary': 'convert',
    'rotate_model': 'rotate',
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
