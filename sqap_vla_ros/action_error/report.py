# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The report of measured errors: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from . import plots
from .pictures import worst_of
from .plots import figure, Line, Point
from .prediction import NEVER_SUCCESS
from .summary import rows_of
from .table import agreement, CONTROLS, interval, loss, more
from ..evaluate.plan import NEAREST
from ..numerics.precision import PRECISIONS
from ..replay.report.tables import table
from ..support.html import listed, page

STYLE = plots.STYLE + """
.caution{border-left:5px solid var(--unsure)}
.table td,.table th{padding-right:14px}.table th[scope=row]{font-weight:500;min-width:90px}
.wide th[scope=row]{position:sticky;left:0;background:var(--card)}
.table td.long{white-space:normal}
.pictures{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(260px,1fr))}
.worst{margin:0}.worst img{width:100%;margin-bottom:6px}.worst figcaption{font-size:13px}
"""
BITS = ('fp', 'w8a8', 'w4a16', *(
    name + end for name in ('w4a8', 'w4a4t8', 'w4a4') for end in ('', NEAREST)))
METHODS = {'random': ', random tokens'}


def report_html(measured, curve: Sequence[dict] | None = None) -> str:
    """Return the report; curve: see curve.measured_curve."""
    name = measured.options.checkpoint.resolve().name
    parts = [
        f'<h1>Action error: {escape(name)}</h1><p class="muted">{escape(_about(measured))}</p>',
        f'<p class="card caution"><strong>{escape(NEVER_SUCCESS)}</strong> '
        f'{escape(" ".join(measured.prediction.words[1:]))}</p>',
        '<h2>To know first</h2>' + listed(measured.doubts) if measured.doubts else '',
        _by_tokens(measured), _by_bits(measured), _errors(measured), _curve(curve, measured),
        _axes(measured), _controls(measured), _worst(measured)]
    return page(f'Action error: {name}', '\n'.join(parts), STYLE)


def _about(measured) -> str:
    samples, rows = measured.samples, measured.columns.rows
    weights = measured.options.quantized
    return (f'Against full precision with all {measured.tokens} tokens, on '
            f'{len(samples.samples)} frames of {measured.resampling.episodes} episodes of '
            f'{samples.name} ({samples.source}); a mean over the {rows} rows that are executed '
            'and over all columns, of which 1 is half the range of the training data. Intervals '
            'of 95 % draw whole episodes, the same for all variants. 4-bit weights: '
            + (f'of {weights.resolve().name}.' if weights else 'rounded to nearest, at load.')
            + ''.join(f' Vision encoders of the variants multiply in {name}, that of full '
                      'precision in float32.' for name in measured.rounded.values()))


def _points(measured, rows, places) -> tuple[Point, ...]:
    table_of = {(each['name'], each['control']): each for each in measured.table}
    return tuple(Point(place, table_of[row.name, row.control]['error'], measured.lost(row))
                 for row, place in sorted(zip(rows, places), key=lambda pair: pair[1]))


def _by_tokens(measured) -> str:
    """Return the errors against the number of tokens, a line for each precision and method."""
    rows = [row for row in measured.found if row.control == 'none']
    counts = sorted({row.keep or measured.tokens for row in rows}, reverse=True)
    families: dict[tuple, list] = {}
    for row in rows:
        families.setdefault((row.precision, row.facts.is_nearest, row.method, row.facts.dropped),
                            []).append(row)
    lines = []
    for (precision, nearest, method, dropped), mine in sorted(
            families.items(), key=lambda item: PRECISIONS.index(item[0][0])):
        if method is not None:
            mine = [*families.get((precision, nearest, None, ''), ()), *mine]
        elif any(other[:2] == (precision, nearest) and other[2] for other in families):
            continue  # its point is where the lines of its pruned rows begin
        lines.append(Line(
            precision + NEAREST * nearest + METHODS.get(method, '') + f', {dropped}' * bool(
                dropped), PRECISIONS.index(precision),
            _points(measured, mine, [counts.index(row.keep or measured.tokens) for row in mine]),
            'dashed' * nearest or 'dotted' * (method == 'random') or 'long' * bool(dropped)))
    return figure('Error against tokens', 'visual tokens kept', lines,
                  [f'all {count}' if count == measured.tokens else str(count)
                   for count in counts], measured.prediction.fit)


def _bits(row) -> str:
    return row.precision + NEAREST * row.facts.is_nearest


def _by_bits(measured) -> str:
    """Return the errors against bits, a line for each number of tokens."""
    rows = [row for row in measured.found if row.control == 'none'
            and (row.method != 'random' and not row.facts.dropped)]
    counts = sorted({row.keep or measured.tokens for row in rows}, reverse=True)
    names = list(dict.fromkeys(name for name in BITS if any(_bits(row) == name for row in rows)))
    lines = []
    for look, count in enumerate(counts):
        mine = [row for row in rows if (row.keep or measured.tokens) == count]
        lines.append(Line(f'{count} tokens', look + 1, _points(
            measured, mine, [names.index(_bits(row)) for row in mine])))
    return figure('Error against bits', 'precision of the decoder', lines, names,
                  measured.prediction.fit) if len(names) > 1 else ''


def _errors(measured) -> str:
    rows = rows_of(measured.table)
    first = next((row['more']['than'] for row in rows if row['more']), '')
    head = ['variant', 'error', '95 % interval', 'p50', 'p95', 'worst frame',
            *([f'more than {first} (paired)'] if first else []), 'gripper agrees',
            'predicted loss, points']
    return table('Errors', head, [
        [row['name'], f'{row["error"]["mean"]:.4f}', interval(row['error']),
         *(f'{row[name]:.4f}' for name in ('p50', 'p95', 'largest')),
         *([more(row)] if first else []), agreement(row), loss(row['predicted'])]
        for row in rows], NEVER_SUCCESS)


def _axes(measured) -> str:
    rows = rows_of(measured.table)
    head = ['variant', *(f'{axis["name"]}, {axis["unit"]}' for axis in rows[0]['axes'])]
    return table('By column, in the units of the arm', head, [
        [row['name'], *(f'{axis["real"]["mean"]:.4f} ({interval(axis["real"])})'
                        for axis in row['axes'])] for row in rows],
        'Mean absolute difference from full precision, and its 95 % interval.')


def _controls(measured) -> str:
    return table('Controls', ['control', 'error', '95 % interval', 'worst frame'], [
        [f'{row["name"]}, {CONTROLS[row["control"]]}', f'{row["error"]["mean"]:.4f}',
         interval(row['error']), f'{row["largest"]:.4f}']
        for row in measured.table if row['control'] != 'none'])


def _curve(curve, measured) -> str:
    if not curve:
        return ''
    counts = sorted({row['frames'] for row in curve})
    names = list(dict.fromkeys(row['name'] for row in curve))
    lines = [Line(name, PRECISIONS.index(name), tuple(
        Point(counts.index(row['frames']), row['error'])
        for row in curve if row['name'] == name)) for name in names]
    return figure('Error against frames that GPTQ learns from', 'frames (0: rounded to nearest)',
                  lines, [str(count) for count in counts], measured.prediction.fit) + table(
        'The curve in numbers', ['variant', *(f'{count} frames' for count in counts)], [
            [name, *(f'{row["error"]["mean"]:.4f} ({interval(row["error"])})'
                     for row in curve if row['name'] == name)] for name in names])


def _worst(measured) -> str:
    figures = ''.join(each.html for each in worst_of(measured))
    return f'<h2>Worst frames</h2><div class="pictures">{figures}</div>' if figures else ''
