# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Training curves, as one picture and line by line."""

from __future__ import annotations

import io
import math


def curves_png(log: list) -> bytes:
    """Draw errors and, where it was measured, success of the rows of curves.json to a PNG."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    measured = [row for row in log if 'success' in row]
    columns = 3 if measured else 2
    figure, axes = pyplot.subplots(1, columns, figsize=(5.5 * columns, 4),
                                   constrained_layout=True)
    _draw_errors(axes[0], log, {
        'training batch': ('train', 'action_l1', 1),
        'held-out episodes': ('held_out', 'action_l1', 1),
        'held-out, blank image': ('blank', 'action_l1', 1)}, 'L1 of normalised actions')
    _draw_errors(axes[1], log, {
        'in the image (px)': ('held_out', 'pixel_error', 1),
        'in space (cm)': ('held_out', 'space_error_m', 100)}, 'held-out error of the points')
    if measured:
        _draw_success(axes[2], measured)
    for each in axes:
        each.set_xlabel('thousand samples')
        each.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=110)
    pyplot.close(figure)
    return picture.getvalue()


def finite(rows):
    """Return rows of curves.json with null for what is no finite number, which JSON has not."""
    if isinstance(rows, dict):
        return {name: finite(value) for name, value in rows.items()}
    if isinstance(rows, list):
        return [finite(value) for value in rows]
    return None if isinstance(rows, float) and not math.isfinite(rows) else rows


def line_of(row: dict) -> str:
    """Return the row that was just added to the log in one line."""
    names = {'train': 'train', 'held_out': 'held out', 'blank': 'blank'}
    errors = ', '.join(f'{label} {row[name]["action_l1"]:.4f}'
                       for name, label in names.items() if name in row)
    text = (f'{row["samples"]:8d} samples {row["minutes"]:6.1f} min: '
            f'action L1 {errors or "unknown"}')
    if 'held_out' in row:
        held = row['held_out']
        text += (f', image {held["pixel_error"]:.1f} px, space '
                 f'{held["space_error_m"] * 100:.1f} cm')
    return text


def _thousands(log: list) -> list[float]:
    return [row['samples'] / 1000 for row in log]


def _draw_errors(axes, log: list, curves: dict, ylabel: str) -> None:
    """Draw {label: (part of a row, its figure, factor)}."""
    for label, (part, figure, factor) in curves.items():
        rows = [row for row in log if part in row]
        axes.plot(_thousands(rows), [factor * row[part][figure] for row in rows], label=label)
    axes.set(ylabel=ylabel, yscale='log')


def _draw_success(axes, log: list) -> None:
    found = [row['success'] for row in log]
    rates = [row['successes'] / row['episodes'] for row in found]
    below = [max(0.0, rate - row['wilson95'][0]) for rate, row in zip(rates, found)]
    above = [max(0.0, row['wilson95'][1] - rate) for rate, row in zip(rates, found)]
    axes.errorbar(_thousands(log), rates, yerr=[below, above], marker='o', capsize=3,
                  label='all tasks, Wilson 95 %')
    axes.set(ylabel='success on validation seeds', ylim=(-0.02, 1.02))
