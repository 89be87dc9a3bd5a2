# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a replay answers as an earlier one did: a gate for the tests of whoever uses this.

Only like is compared with like: the same frames and instructions, the same columns. Whatever is
missing or no number counts as drift, never as fine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .compared_files import Replay, ReplayRow
from .metrics.pairs import held_beside
from .metrics.table import columns, number, share
from ..errors import ConfigError
from ..support.validation import is_count, is_number, unknown_names

ANSWERS, GRIPPER, IMAGES = 'answers', 'gripper', 'images answered'


@dataclass(frozen=True)
class Tolerances:
    """
    How much may differ.

    max_nrmse: of each axis, rmse / range; at least 0.  max_gripper: share of rows in which one
    opens and the other closes, 0..1.  least_range: what is divided by is at least this, in m/s,
    rad/s, m or rad: an axis that hardly moves is not judged by its noise.  max_missing: images
    that A has answered and B has not.
    """

    max_nrmse: float
    max_gripper: float = 0.02
    least_range: float = 0.01
    max_missing: int = 0

    def __post_init__(self):
        """Raise ConfigError for what would let everything pass, or nothing."""
        for name, low, high in (('max_nrmse', 0.0, 1e6), ('max_gripper', 0.0, 1.0),
                                ('least_range', 1e-9, 1e6)):
            value = getattr(self, name)
            if not is_number(value) or not low <= value <= high:
                raise ConfigError(f'--{name.replace("_", "-")} is {value}, expected a number '
                                  f'{low:g}..{high:g}')
        if not is_count(self.max_missing) or self.max_missing < 0:
            raise ConfigError(f'--max-missing is {self.max_missing}, expected a whole number >= 0')


@dataclass(frozen=True)
class Line:
    """One number of A and B; drift and limit in the same unit; is_fine: it is within."""

    row: str
    what: str
    axis: str
    first: str
    second: str
    drift: float | None
    limit: float
    is_fine: bool


@dataclass(frozen=True)
class Comparison:
    """What was compared, line by line, and what to know about it."""

    lines: tuple[Line, ...]
    warnings: tuple[str, ...]

    @property
    def drifted(self) -> tuple[Line, ...]:
        """Return the lines that are beyond their limit."""
        return tuple(line for line in self.lines if not line.is_fine)


def compare(first: Replay, second: Replay, tolerances: Tolerances, rows=None) -> Comparison:
    """
    Return what B's answers drifted by from A's.

    rows: {title in A: title in B}, all of A's under their own titles unless given.  Raises
    ConfigError where the two did not look at the same frames, or answer in other columns.
    """
    _check_alike(first, second)
    titles = rows or {title: title for title in first.rows}
    _check_titles(first, titles, 'A')
    if rows:
        _check_titles(second, titles.values(), 'B')
    lines: list[Line] = []
    for title, other in titles.items():
        name = title if title == other else f'{title} / {other}'
        if other not in second.rows:
            lines.append(_missing(name, 'row', 'there', 'missing'))
            continue
        lines += _row(name, first.rows[title], second.rows[other], tolerances)
    extra = [title for title in second.rows if title not in titles.values()]
    warnings = list(_differences(first, second))
    if extra and not rows:
        warnings.append(f'{second.path} has rows that {first.path} has not: {"; ".join(extra)}')
    return Comparison(tuple(lines), tuple(warnings))


def comparison_text(comparison: Comparison, is_whole: bool = False) -> str:
    """
    Return the table: what drifted, and of what did not the nearest to its limit.

    is_whole: every line instead.
    """
    lines = comparison.lines if is_whole else _shown(comparison.lines)
    cells = [('row', 'what', 'axis', 'A', 'B', 'drift', 'limit', '')]
    cells += [(line.row, line.what, line.axis, line.first, line.second, number(line.drift),
               number(line.limit), '' if line.is_fine else 'DRIFT') for line in lines]
    drifted = len(comparison.drifted)
    verdict = (f'DRIFT: {drifted} of {len(comparison.lines)} numbers are beyond their limits'
               if drifted else f'fine: all {len(comparison.lines)} numbers are within their '
               'limits')
    return '\n'.join([columns(cells), *(f'WARNING: {text}' for text in comparison.warnings),
                      verdict])


def _check_alike(first: Replay, second: Replay) -> None:
    """Raise ConfigError unless both looked at the same frames and asked the same."""
    if not first.rows:
        raise ConfigError(f'{first.path} has no rows: nothing can be held against it. Was it made '
                          'with --variants?')
    if first.digest == second.digest:
        return
    raise ConfigError(
        f'{first.path} and {second.path} did not look at the same frames with the same '
        f'instruction: {first.about}, and {second.about}. Replay the same recording with the same '
        '--start, --end, --stride, --episodes and --instruction')


def _check_titles(replay: Replay, titles, name: str) -> None:
    unknown = unknown_names(titles, replay.rows)
    if unknown:
        raise ConfigError(f'--row: {replay.path} ({name}) has no {unknown}; it has '
                          f'{"; ".join(replay.rows)}')


def _differences(first: Replay, second: Replay):
    """Yield what is not the same of two replays of the same frames."""
    for name in ('source', 'checkpoint', 'unnorm_key'):
        mine, theirs = first.facts.get(name), second.facts.get(name)
        if mine != theirs:
            yield f'{name}: {mine!r} in A, {theirs!r} in B'
    if len(first.losses) != len(second.losses):
        yield (f'{len(first.losses)} losses of the recording in A, {len(second.losses)} in B')


def _row(name: str, first: ReplayRow, second: ReplayRow, tolerances: Tolerances) -> list[Line]:
    _check_columns(name, first, second)
    lines = [_answered(name, first, second, tolerances)]
    lines += _answers(name, first, second, tolerances)
    if first.gripper is not None:
        lines.append(_gripper(name, first, second, tolerances))
    for truth, axes in first.errors.items():
        lines += _errors(name, truth, axes, second.errors.get(truth, {}), tolerances)
    return lines


def _check_columns(name: str, first: ReplayRow, second: ReplayRow) -> None:
    for what in ('compared_as', 'names', 'frame', 'dt_s', 'execute_steps', 'numbers'):
        mine, theirs = getattr(first, what), getattr(second, what)
        if mine != theirs:
            raise ConfigError(f'{name}: {what} is {mine} in A and {theirs} in B: such answers '
                              'cannot be compared. Are both of the same action space?')


def _answered(name: str, first: ReplayRow, second: ReplayRow, tolerances: Tolerances) -> Line:
    lost = max(first.answered - second.answered, _lost(first.values, second.values))
    return Line(name, IMAGES, '', str(first.answered), str(second.answered), float(lost),
                float(tolerances.max_missing), lost <= tolerances.max_missing)


def _lost(first: np.ndarray, second: np.ndarray) -> int:
    """Return the samples that the first has whole and the second has not."""
    return int((np.isfinite(first).all((1, 2)) & ~np.isfinite(second).all((1, 2))).sum())


def _answers(name: str, first: ReplayRow, second: ReplayRow, tolerances) -> list[Line]:
    """Return what answers to the sampled images differ by, an axis each."""
    if not np.isfinite(first.values).any():  # then nothing would ever drift
        return [_missing(name, ANSWERS, 'none', 'not judged')]
    held = held_beside(second.values, first.values, first.names, first.compared_as, first.frame,
                       '')
    everything = slice(0, len(first.values))
    errors, said = held.errors(everything), held.truth(everything)
    lines = []
    for column, (axis, unit) in enumerate(zip(held.names, held.units)):
        error = errors[..., column][np.isfinite(errors[..., column])]
        known = said[..., column][np.isfinite(said[..., column])]
        if not len(error):
            lines.append(_missing(name, ANSWERS, f'{len(known)} numbers', 'none', axis))
            continue
        rmse, span = float(np.sqrt((error ** 2).mean())), float(np.ptp(known))
        lines.append(_judged(
            name, f'{ANSWERS}, NRMSE', axis, f'range {number(span)} {unit}',
            f'rmse {number(rmse)} {unit}', rmse / max(span, tolerances.least_range),
            tolerances.max_nrmse))
    return lines


def _gripper(name: str, first: ReplayRow, second: ReplayRow, tolerances: Tolerances) -> Line:
    if second.gripper is None or second.gripper.shape != first.gripper.shape:
        return _missing(name, GRIPPER, 'there', 'missing')
    known = np.isfinite(first.gripper) & np.isfinite(second.gripper)
    if not known.any():
        return _missing(name, GRIPPER, 'no numbers', 'no numbers')
    mine, theirs = first.gripper[known] > 0.5, second.gripper[known] > 0.5
    return _judged(name, f'{GRIPPER}, share of rows', '', f'open {share(float(mine.mean()))}',
                   f'open {share(float(theirs.mean()))}', float((mine != theirs).mean()),
                   tolerances.max_gripper)


def _errors(name: str, truth: str, first: dict, second: dict, tolerances) -> list[Line]:
    """Return by how much errors against what was done have grown, an axis each."""
    lines, what = [], f'error against {truth}'
    for axis, mine in first.items():
        theirs = second.get(axis)
        if mine.rmse is None:
            continue  # A was not held against anything here
        if theirs is None or theirs.rmse is None:
            lines.append(_missing(name, what, f'{mine.count} rows', 'none', axis))
            continue
        span = max(mine.high - mine.low, tolerances.least_range)
        if theirs.count < mine.count and not tolerances.max_missing:
            lines.append(_missing(name, what, f'{mine.count} rows', f'{theirs.count} rows', axis))
        lines.append(_judged(
            name, f'{what}, NRMSE', axis, number(mine.rmse / span), number(theirs.rmse / span),
            (theirs.rmse - mine.rmse) / span, tolerances.max_nrmse))
    return lines


def _judged(row: str, what: str, axis: str, first: str, second: str, drift: float,
            limit: float) -> Line:
    """Return a line; NaN is never within a limit."""
    return Line(row, what, axis, first, second, drift, limit, bool(drift <= limit))


def _missing(row: str, what: str, first: str, second: str, axis: str = '') -> Line:
    return Line(row, what, axis, first, second, None, 0.0, False)


def _shown(lines: tuple[Line, ...]) -> list[Line]:
    """Return lines that drifted, and the largest of each kind where all are fine."""
    shown = []
    for key in dict.fromkeys((line.row, line.what) for line in lines):
        mine = [line for line in lines if (line.row, line.what) == key]
        beyond = [line for line in mine if not line.is_fine]
        shown += beyond or [max(mine, key=lambda line: line.drift)]
    return shown
