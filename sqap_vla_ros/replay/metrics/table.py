# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A summary for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from .row_numbers import Interval, Tokens
from .summary import Summary
from .truth_errors import NormErrors

OPEN_LOOP = ('Open loop: each image was answered as recorded, whatever the answer was. How near '
             'answers are to what was done does not predict success on the robot.')
UNITS = {'m': ('mm', 1e3), 'm/s': ('mm/s', 1e3), 'rad': ('deg', 57.29577951308232),
         'rad/s': ('deg/s', 57.29577951308232), 'mixed': ('rad or m', 1.0)}
NOTHING = '-'


def table_text(summary: Summary) -> str:
    """Return the summary as text: images, errors, differences, tokens and times."""
    blocks = [_images(summary), _rows(summary)]
    blocks += [_against(summary, truth) for truth in summary.truths]
    blocks += [_pairs(summary)] if summary.pairs else []
    blocks += [_tokens(summary), _times(summary)] if summary.rows else []
    blocks.append('\n'.join([OPEN_LOOP, *(f'note: {text}' for text in summary.notes)]))
    return '\n\n'.join(block for block in blocks if block)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number of so many significant digits, without an exponent where that is short."""
    if value is None:
        return NOTHING
    if value and not 1e-3 <= abs(value) < 1e5:
        return f'{value:.1e}'
    return f'{value:.0f}' if abs(value) >= 10 ** digits else f'{value:.{digits}g}'


def share(value: float | None) -> str:
    """Return a share in percent."""
    return NOTHING if value is None else f'{100 * value:.1f} %'


def scaled(value: float | None, unit: str) -> str:
    """Return a number in the unit that it is read in: mm, deg."""
    return NOTHING if value is None else number(value * UNITS[unit][1])


def columns(lines: list[tuple[str, ...]]) -> str:
    """Return lines with their cells below one another; the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def _images(summary: Summary) -> str:
    images = summary.images
    rate = '' if images.rate_hz is None else f', {images.rate_hz:.3g} a second'
    lines = [f'{images.count} images in {images.episodes} episode{"s" * (images.episodes != 1)}, '
             f'{images.duration_s:.1f} s{rate}; the node would not move on {images.refused}, and '
             f'warn of {images.warned}']
    lines += [f'  {count} x {text}' for text, count in list(images.problems.items())[:5]]
    return '\n'.join(lines)


def _rows(summary: Summary) -> str:
    head = ('row', 'answered', 'gripper agrees', 'jump at seams / inside', 'total ms p50 p95 p99',
            'answer too late')
    return columns([head, *map(_row, summary.rows)])


def _row(row) -> tuple[str, ...]:
    total, timing = row.timing.stages.get('total'), row.timing
    first = row.smoothness[0]
    unit = UNITS[first.unit][0]
    late = (f'{timing.missed} of {timing.counted} (> {timing.deadline_ms:.0f} ms)'
            if timing.deadline_ms is not None else 'whole answers')
    return (row.title, f'{row.answered} of {row.answered + row.missing}',
            share(row.gripper[0].agreement) if row.gripper else NOTHING,
            f'{scaled(first.jump.mean, first.unit)} / {scaled(first.inside.mean, first.unit)} '
            f'{unit}',
            _percentiles(total), late)


def _against(summary: Summary, truth) -> str:
    """Return the errors against one truth: a line a row, a column an axis."""
    found = [(row.title, each) for row in summary.rows for each in row.against
             if each.truth == truth.title]
    axes = found[0][1].executed
    groups = found[0][1].norms
    head = ('executed rows', *(f'{norm.group} [{UNITS[norm.unit][0]}] (95 %)' for norm in groups),
            *(f'{axis.axis} NRMSE' for axis in axes), 'rows', 'without')
    lines = [head] + [
        (title, *map(_norm, each.norms), *(number(axis.nrmse) for axis in each.executed),
         str(max(axis.count for axis in each.executed)), str(each.unmatched))
        for title, each in found]
    what = truth.title if truth.measured else (
        f'{truth.title} ({truth.kind}), {truth.compared_as}')
    frame = f', frame {truth.frame}' if truth.frame else ''
    return f'against {what}{frame}; {truth.rule}\n' + columns(lines)


def _norm(norm: NormErrors) -> str:
    text = scaled(norm.mean, norm.unit)
    if norm.low95 is None:
        return text
    return f'{text} ({scaled(norm.low95, norm.unit)} .. {scaled(norm.high95, norm.unit)})'


def _pairs(summary: Summary) -> str:
    groups = summary.pairs[0].norms
    head = ('beside another row, same images', 'images',
            *(f'{norm.group} [{UNITS[norm.unit][0]}]' for norm in groups),
            'of the motion', 'error more by (95 %)', 'gripper alike', 'ms more')
    lines = [head]
    for pair in summary.pairs:
        first = pair.norms[0]
        worse = next(iter(first.worse.values()), None)
        lines.append((
            f'{pair.row} / {pair.reference}', str(pair.count),
            *(scaled(norm.difference.mean, norm.unit) for norm in pair.norms),
            share(first.relative), _interval(worse, first.unit), share(pair.gripper_agreement),
            number(pair.latency.mean) if pair.latency else NOTHING))
    return columns(lines)


def _tokens(summary: Summary) -> str:
    """Return which visual tokens were kept, a line a row."""
    lines = [('visual tokens', 'kept', 'of', "robot's patches kept", 'in the worst image',
              'robot projected', 'in the image', 'as one image before', 'as the row')]
    for row in summary.rows:
        found = row.tokens
        beside = (NOTHING if found.overlap_reference is None else
                  f'{found.reference}: {share(found.overlap_reference)}')
        lines.append((row.title, by_view(found, number), str(found.total),
                      *map(share, (found.recall, found.recall_least, found.projected,
                                   found.in_image, found.overlap_frames)), beside))
    return columns(lines)


def by_view(found: Tokens, number: Callable) -> str:
    """Return how many tokens are kept, and of several images how many of each."""
    if len(found.by_view) < 2:
        return number(found.kept)
    return f'{number(found.kept)} ({" + ".join(map(number, found.by_view))})'


def _times(summary: Summary) -> str:
    """Return milliseconds: a line a stage, a column a variant; controls take as long."""
    rows = [row for row in summary.rows if row.control == 'none'] or list(summary.rows)
    stages = dict.fromkeys(stage for row in rows for stage in row.timing.stages)
    lines = [('ms, p50 p95 p99', *(row.title for row in rows))]
    lines += [(stage, *(_percentiles(row.timing.stages.get(stage)) for row in rows))
              for stage in stages]
    lines.append(('answer since its image', *(_percentiles(row.timing.answer_age)
                                              for row in rows)))
    age = rows[0].timing.input_age
    came = ('images have stamps of another clock than the recording has' if age is None else
            f'images came in {_percentiles(age)} ms after their stamps')
    return columns(lines) + '\n' + came


def _percentiles(found) -> str:
    if found is None or not found.count:
        return NOTHING
    return ' '.join(number(value) for value in (found.p50, found.p95, found.p99))


def _interval(interval: Interval | None, unit: str) -> str:
    if interval is None or interval.mean is None:
        return NOTHING
    if interval.low is None:
        return f'{scaled(interval.mean, unit)} (too few images)'
    return (f'{scaled(interval.mean, unit)} ({scaled(interval.low, unit)} .. '
            f'{scaled(interval.high, unit)}) {UNITS[unit][0]}')
