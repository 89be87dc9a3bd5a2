# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Rotate, quantize and pack a model (offline); run its packed linear layers (online).

The names below are imported when they are first used, so that the kernels can use
`quant.hadamard` and `quant.int4`, on which everything else here stands.
"""
from importlib import import_module

PARTS = ('vision', 'projector', 'head')  # of a model, outside the decoder's blocks
_HOMES = {
    'parse_overrides': 'precision', 'parse_precision': 'precision', 'Precision': 'precision',
    'PRECISIONS': 'precision', 'QuantScheme': 'precision',
    'QuantLinear': 'linear', 'together': 'linear',
    'quantize_block': 'convert', 'quantize_model': 'convert', 'quantize_part': 'convert',
    'quantized_shell': 'convert', 'restore_quantized': 'convert',
    'packed_state': 'packed', 'prepare_kernels': 'packed', 'storage_text': 'packed',
    'summary': 'packed',
    'rotate_model': 'rotate',
}
__all__ = sorted([*_HOMES, 'PARTS'])


def __getattr__(name):
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_HOMES[name]}', __name__), name)
