# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The summary of a replay as HTML tables; each says what its numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..metrics.row_numbers import Percentiles
from ..metrics.summary import Summary
from ..metrics.table import by_view
from ..playing import Playing

MOST_BOXES, LONG = 8, 40  # letters from which a cell is broken into lines
NO_SUCCESS = 'Open loop does not predict success.'
WHY_NOT = (
    "Each answer below is to an image that somebody else's motion led to: small errors need not "
    'mean that the task would succeed, and large ones need not mean that it would fail, for there '
    'are several ways to do it. These numbers find what is wrong (units, frames, cameras, a '
    'variant that differs) before the arm moves; success is measured in closed loop (sqap-vla '
    'eval, or the robot).')


def number(value, unit: str = '') -> str:
    """Return a number with three digits and its unit, '-' for None."""
    if value is None or value != value:
        return '-'
    if isinstance(value, int):
        return f'{value}{unit}'
    return (f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}') + unit


def share(value) -> str:
    """Return a share 0..1 in per cent."""
    return '-' if value is None else f'{100 * value:.1f} %'


def table(title: str, head, rows, note: str = '') -> str:
    """Return a card with a table; head: texts; rows: texts, the first of each names it."""
    if not rows:
        return ''
    heads = ''.join(f'<th scope="col"{" class=n" if place else ""}>{escape(text)}</th>'
                    for place, text in enumerate(head))
    body = ''.join(f'<tr><th scope="row">{escape(first)}</th>' + ''.join(
        f'<td class="n{" long" * (len(text) > LONG)}">{escape(text)}</td>' for text in rest)
        + '</tr>' for first, *rest in rows)
    note = f'<p class="muted">{escape(note)}</p>' if note else ''
    return (f'<h2>{escape(title)}</h2><div class="card"><div class="wide" tabindex="0" '
            f'role="region" aria-label="{escape(title)}"><table class="table"><tr>{heads}</tr>'
            f'{body}</table></div>{note}</div>')


def figures(summary: Summary) -> str:
    """Return what a reader looks for first, as a row of boxes."""
    images = summary.images
    boxes = [(number(images.count), 'images looked at'
              + (f', of {images.episodes} episodes' if images.episodes > 1 else '')),
             (number(images.refused), 'on which the node would not move'),
             (number(images.duration_s, ' s'), 'of recording'
              + (f', at {number(images.rate_hz)} Hz' if images.rate_hz else ''))]
    for row in summary.rows:
        if row.control == 'none' and row.against and row.against[0].norms:
            norm = row.against[0].norms[0]
            boxes.append((number(norm.mean, f' {norm.unit}'),
                          f'mean {norm.group} error of {row.title}'))
    return '<div class="figures">' + ''.join(
        f'<div><b>{escape(value)}</b>{escape(text)}</div>'
        for value, text in boxes[:MOST_BOXES]) + '</div>'


def overview(summary: Summary) -> str:
    """Return the table of variants and controls against each truth."""
    return ''.join(_against(summary, truth) for truth in summary.truths)


def _against(summary, truth) -> str:
    found = [(row, each) for row in summary.rows for each in row.against
             if each.truth == truth.title]
    if not found:
        return ''
    groups = [f'{norm.group} error, {norm.unit}' for norm in found[0][1].norms]
    head = ['variant, control', 'answers', *(text for group in groups
                                             for text in (group, '95 % interval', 'p95')),
            'gripper agrees']
    rows = [[row.title, number(row.answered), *(text for norm in each.norms for text in (
        number(norm.mean), _interval95(norm), number(norm.p95))),
        _agreement(row)] for row, each in found]
    what = 'motion that was measured, for no commands were recorded' if truth.measured else (
        f'{truth.kind} commands: {truth.commands}')
    return table(f'Against {truth.title}', head, rows,
                 f'{what}; compared as {truth.compared_as}'
                 + (f' in the frame {truth.frame}' if truth.frame else '')
                 + f'; of each row: {truth.rule}.')


def _interval(low, high) -> str:
    return 'too few images' if low is None or high is None else f'{number(low)} to {number(high)}'


def _interval95(norm) -> str:
    return '-' if norm.mean is None else _interval(norm.low95, norm.high95)


def _agreement(row) -> str:
    return share(row.gripper[0].agreement) if row.gripper else '-'


def axes(summary: Summary) -> str:
    """Return errors by axis, of the main truth."""
    found = [(row, row.against[0]) for row in summary.rows if row.against]
    if not found:
        return ''
    head = ['variant, control', 'axis', 'MAE', 'MSE', 'NRMSE', 'bias', 'largest', 'rows']
    rows = [[row.title, f'{axis.axis}, {axis.unit}', number(axis.mae), number(axis.mse),
             number(axis.nrmse), number(axis.bias), number(axis.largest), number(axis.count)]
            for row, each in found for axis in each.executed]
    return table('Errors by axis', head, rows,
                 f'Against {found[0][1].truth}, over the rows that would be executed. MSE in the '
                 'square of the unit; NRMSE: the root of MSE by the range of what was recorded, '
                 '- where that does not vary.')


def pairs(summary: Summary) -> str:
    """Return what differs between variants, and from their controls, on the same images."""
    rows = []
    for pair in summary.pairs:
        for norm in pair.norms:
            worse = next(iter(norm.worse.values()), None)
            rows.append([
                pair.row, pair.reference, number(pair.count), f'{norm.group}, {norm.unit}',
                number(norm.difference.mean), share(norm.relative),
                _worse(worse), share(pair.gripper_agreement),
                '-' if pair.latency is None else number(pair.latency.mean, ' ms')])
    return table('Side by side, image by image', [
        'variant, control', 'beside', 'images', 'of', 'difference', 'relative',
        'error more than beside', 'grippers agree', 'latency more'], rows,
        'Relative: the size of the difference by the size of what is beside it; 100 % is as '
        'different as standing still. Intervals of 95 % draw blocks of images, for neighbours '
        'are alike.')


def _worse(interval) -> str:
    if interval is None or interval.mean is None:
        return '-'
    return f'{number(interval.mean)} ({_interval(interval.low, interval.high)})'


def smoothness(summary: Summary) -> str:
    """Return what happens at the seams between answers."""
    rows = [[row.title, f'{each.group}, {each.unit}', number(each.seams),
             _p50_p95(each.jump), _p50_p95(each.inside), _p50_p95(each.disagreement),
             _p50_p95(each.jerk_at_seams), _p50_p95(each.jerk_inside)]
            for row in summary.rows for each in row.smoothness]
    return table('Seams between answers', [
        'variant, control', 'of', 'seams', 'jump at seams', 'between rows', 'disagreement',
        'jerk at seams', 'jerk between rows'], rows,
        'p50 / p95. Jump: of the velocity where one answer takes over from the other, before '
        'blending; disagreement: of both about the same moment; jerk: in the unit by s squared.')


def _p50_p95(found: Percentiles | None) -> str:
    if found is None or not found.count:
        return '-'
    return f'{number(found.p50)} / {number(found.p95)}'


def arm(played: Sequence[Playing]) -> str:
    """Return what the arm would have been told in the recording's time."""
    rows = [[each.title, number(each.commands), share(each.stood), number(each.asked),
             number(each.used), number(each.late),
             *(_p50_p95(found) for found in (each.steps[0].jump, each.steps[0].inside)),
             '; '.join(f'{number(at_s)} s: {why}' for at_s, why in each.faults) or '-']
            for each in played if each.steps]
    if not rows:
        return ''
    first = next(each.steps[0] for each in played if each.steps)
    return table('What the arm would have been told', [
        'variant, control', 'commands', 'stood', 'images asked about', 'answers played',
        'came too late', f'{first.group} jump at seams, {first.unit}', 'elsewhere', 'stopped'],
        rows, "By the node's own control, after blending and limits; answers are as late as they "
        'were here, or as --latency says. Jumps: p50 / p95 of the change in a control period.')


def tokens(summary: Summary) -> str:
    """Return what was kept of the image."""
    rows = [[row.title,
             f'{by_view(row.tokens, number)} of {row.tokens.total}',
             share(row.tokens.projected), share(row.tokens.in_image), share(row.tokens.recall),
             share(row.tokens.recall_least), share(row.tokens.overlap_frames),
             share(row.tokens.overlap_reference) + (
                 f' ({row.tokens.reference})' if row.tokens.overlap_reference is not None else '')]
            for row in summary.rows]
    return table('Tokens', [
        'variant, control', 'kept', 'robot projected', 'robot on the image',
        'its patches kept', 'in the worst image', 'same as the image before',
        'same as another variant'], rows,
        "Projected: images in which a protected frame's pixel was known.")


def _missed(found) -> str:
    return f'{found.missed} of {found.counted}' if found.counted else '-'


def timing(summary: Summary) -> str:
    """Return latency by stage, and what it would do."""
    stages = [[row.title, stage, *(number(getattr(found, name)) for name in (
        'p50', 'p95', 'p99', 'largest'))] for row in summary.rows
        for stage, found in row.timing.stages.items()]
    late = [[row.title, number(row.timing.deadline_ms), _missed(row.timing),
             _p50_p95(row.timing.input_age),
             _p50_p95(row.timing.answer_age)] for row in summary.rows]
    return table('Deadlines', ['variant, control', 'deadline, ms', 'missed', 'age of images, ms',
                               'age of answers, ms'], late,
                 'Measured on the machine of this replay. Ages: p50 / p95, from the stamp of the '
                 'image.') + table('Latency by stage', [
                     'variant, control', 'stage', 'p50, ms', 'p95, ms', 'p99, ms',
                     'largest, ms'], stages)
