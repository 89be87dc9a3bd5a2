# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How the backbone's time grows with the kept tokens, the layers and the width."""

from __future__ import annotations

from .sides import float32_model, Inputs, quantized_model, Side
from .sizes import decoder, with_vision
from .timing import time_sides
from ..support.timing import percentiles
from ..tokens.choice import SelectionConfig

WIDTH, LAYERS = 512, 8  # of the model whose other sizes vary
KEPT = (64, 102, 128, 154, 205, 256)
DEPTHS = (4, 8, 16, 24)
WIDTHS = (256, 512, 768, 1024, 1536)


def growth(precision: str, keep: int, rounds: int, seconds: float, clock: str) -> dict:
    """
    Return {axis: {side: [[x, p50 of the backbone in ms], ...]}}.

    Both sides of a point are timed in turn; `seconds` is the time for a point.
    """
    limits = rounds, seconds, clock
    return {
        'kept visual tokens': _by_kept(precision, limits),
        'layers': _by(DEPTHS, lambda layers: decoder(WIDTH, layers), precision, keep, limits),
        'width': _by(WIDTHS, lambda width: decoder(width, LAYERS), precision, keep, limits)}


def _by_kept(precision: str, limits) -> dict:
    config = with_vision(decoder(WIDTH, LAYERS))
    plain, quantized = float32_model(config), quantized_model(config, precision)
    inputs = Inputs.random(config)
    sides = [Side(f'{name}, {kept}', model, inputs, SelectionConfig(kept, ties='even'))
             for kept in KEPT for name, model in (('float32', plain), (precision, quantized))]
    found = _backbone(time_sides(sides, *limits))
    return {name: [[kept, found[f'{name}, {kept}']] for kept in KEPT]
            for name in ('float32', precision)}


def _by(values, make, precision: str, keep: int, limits) -> dict:
    plain, ours = 'float32, all tokens', f'{precision}, {keep} tokens'
    curves: dict[str, list] = {plain: [], ours: []}
    for value in values:
        config = with_vision(make(value))
        inputs = Inputs.random(config)
        sides = [Side(plain, float32_model(config), inputs),
                 Side(ours, quantized_model(config, precision), inputs,
                      SelectionConfig(keep, ties='even'))]
        for name, ms in _backbone(time_sides(sides, *limits)).items():
            curves[name].append([value, ms])
    return curves


def _backbone(times: dict) -> dict[str, float]:
    return {name: percentiles(columns['backbone'])['p50'] for name, columns in times.items()}
