# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The errors as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .asking import BLANK, REPEAT
from .summary import rows_of

CONTROLS = {REPEAT: 'asked twice (must be 0)', BLANK: 'black image (scale)'}


def tables_text(measured) -> str:
    """Return all of a Measured for a terminal."""
    parts = [_heading(measured), *[f'WARNING: {text}' for text in measured.doubts],
             _errors(measured.table), _axes(measured.table), *measured.prediction.words]
    return '\n'.join(parts)


def _heading(measured) -> str:
    samples = measured.samples
    rows = measured.columns.rows
    return (f'action error against full precision with all {measured.tokens} tokens: '
            f'{len(samples.samples)} frames of {measured.resampling.episodes} episodes of '
            f'{samples.name} ({samples.source}), mean over {rows} executed '
            f'row{"s" * (rows > 1)} and all columns, 1 is half the range of an action; brackets: '
            '95 %, whole episodes drawn')


def _errors(table: Sequence[dict]) -> str:
    first = next((row['more']['than'] for row in table if row['more']), '')
    head = ['variant', 'error', '95 % interval', 'p50', 'p95', 'worst',
            *([f'more than {first}'] if first else []), 'predicted loss, points']
    rows = [[row['name'], f'{row["error"]["mean"]:.4f}', interval(row['error']),
             *(f'{row[name]:.4f}' for name in ('p50', 'p95', 'largest')),
             *([more(row)] if first else []), loss(row['predicted'])] for row in rows_of(table)]
    rows += [[f'{row["name"]}, {CONTROLS[row["control"]]}', f'{row["error"]["mean"]:.4f}',
              interval(row['error']), *(f'{row[name]:.4f}' for name in ('p50', 'p95', 'largest')),
              *([''] if first else []), ''] for row in table if row['control'] != 'none']
    return aligned(head, rows)


def _axes(table: Sequence[dict]) -> str:
    """Return errors in the units of the arm, by column, and how often grippers agree."""
    axes = table[0]['axes']
    head = ['by axis', *(f'{axis["name"]} {axis["unit"]}' for axis in axes), 'gripper agrees']
    rows = [[row['name'], *(f'{axis["real"]["mean"]:.4f}' for axis in row['axes']),
             agreement(row)] for row in rows_of(table)]
    return aligned(head, rows)


def agreement(row: dict) -> str:
    """Return how often grippers agree, in per cent."""
    found = row['gripper_agreement']
    return '-' if found is None else f'{100 * found["mean"]:.1f} %'


def interval(estimate: dict, digits: int = 4) -> str:
    """Return the interval of an Estimate's values."""
    if estimate['low'] is None:
        return 'too few episodes'
    return f'{estimate["low"]:.{digits}f} .. {estimate["high"]:.{digits}f}'


def more(row: dict) -> str:
    """Return how much more error than the first row's there is."""
    found = row['more']
    if found is None:
        return '-'
    if found['low'] is None:
        return f'{found["mean"]:+.4f}'
    return f'{found["mean"]:+.4f} ({found["low"]:+.4f} .. {found["high"]:+.4f})'


def loss(predicted: dict | None) -> str:
    """Return a predicted loss with its interval, marked where the error was not fitted."""
    if predicted is None:
        return ''
    outside = (', beyond the fit' * predicted['beyond']
               + ', below the fit' * predicted.get('below', False))
    if predicted['low'] is None:
        return f'{predicted["loss"]:.1f}{outside}'
    return (f'{predicted["loss"]:.1f} ({predicted["low"]:.1f} .. {predicted["high"]:.1f})'
            f'{outside}')


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines of columns: the first to the left, the others to the right."""
    widths = [max(len(line[place]) for line in (head, *rows)) for place in range(len(head))]
    return '\n'.join('  '.join(
        [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(
            line[1:], widths[1:]))]).rstrip() for line in (head, *rows))


def curve_text(curve: Sequence[dict]) -> str:
    """Return the curve of errors against frames that GPTQ learns from."""
    counts = sorted({row['frames'] for row in curve})
    names = list(dict.fromkeys(row['name'] for row in curve))
    return aligned(['by GPTQ frames (0: nearest)', *map(str, counts)], [
        [name, *(f'{row["error"]["mean"]:.4f}' for row in curve if row['name'] == name)]
        for name in names])
