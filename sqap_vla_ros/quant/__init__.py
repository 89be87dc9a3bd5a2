# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rotate, quantize and pack a model (offline); run its packed linear layers (online)."""

from .linear import QuantLinear, together
from .packed import packed_state, prepare_kernels, storage_text, summary
from .quantize import quantize_block, quantize_model, quantize_part, quantized_shell
from .rotate import rotate_model
from ..numerics.precision import (
    parse_overrides, parse_precision, Precision, PRECISIONS, QuantScheme)

__all__ = [
    'packed_state', 'parse_overrides', 'parse_precision', 'Precision', 'PRECISIONS',
    'prepare_kernels', 'quantize_block', 'quantize_model', 'quantize_part', 'quantized_shell',
    'QuantLinear', 'QuantScheme', 'rotate_model', 'storage_text', 'summary', 'together']
