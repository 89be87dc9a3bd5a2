# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Training curves, as one picture and line by line."""

from __future__ import annotations

import io


def curves_png(log: list) -> bytes:
    """Draw errors and, where it was measured, success of the rows of curves.json to a PNG."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    measured = [row for row in log if 'success' in row]
    columns = 3 if measured else 2
    figure, axes = pyplot.subplots(1, columns, figsize=(5.5 * columns, 4),
                                   constrained_layout=True)
    _draw_actions(axes[0], log)
    _draw_points(axes[1], log)
    if measured:
        _draw_success(axes[2], measured)
    for each in axes:
        each.set_xlabel('thousand samples')
        each.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=110)
    pyplot.close(figure)
    return picture.getvalue()


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


def _draw_actions(axes, log: list) -> None:
    for name, label in (('train', 'training batch'), ('held_out', 'held-out episodes'),
                        ('blank', 'held-out, blank image')):
        rows = [row for row in log if name in row]
        axes.plot(_thousands(rows), [row[name]['action_l1'] for row in rows], label=label)
    axes.set(ylabel='L1 of normalised actions', yscale='log')


def _draw_points(axes, log: list) -> None:
    rows = [row for row in log if 'held_out' in row]
    axes.plot(_thousands(rows), [row['held_out']['pixel_error'] for row in rows],
              label='in the image (px)')
    axes.plot(_thousands(rows), [row['held_out']['space_error_m'] * 100 for row in rows],
              label='in space (cm)')
    axes.set(ylabel='held-out error of the points', yscale='log')


def _draw_success(axes, log: list) -> None:
    found = [row['success'] for row in log]
    rates = [row['successes'] / row['episodes'] for row in found]
    below = [max(0.0, rate - row['wilson95'][0]) for rate, row in zip(rates, found)]
    above = [max(0.0, row['wilson95'][1] - rate) for rate, row in zip(rates, found)]
    axes.errorbar(_thousands(log), rates, yerr=[below, above], marker='o', capsize=3,
                  label='all tasks, Wilson 95 %')
    axes.set(ylabel='success on validation seeds', ylim=(-0.02, 1.02))
