# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of an evaluation: success by row and by task, and differences to the baseline."""

from __future__ import annotations

from .intervals import mean_interval, paired_difference, wilson_interval
from .plan import BASELINE, Row

BEHAVIOUR = ('steps', 'path_m', 'jerk')  # beside success
MANY = 1000  # episodes, from which on tenths of a percent mean something


def summarize(rows, results: dict, instructions) -> list[dict]:
    """
    Return one dict a row.

    results: {Row: [EpisodeResult, ...]}, every row over the same seeds in the same order.
    Each dict has successes and episodes with Wilson's interval, by_instruction {instruction:
    [successes, episodes]}, of the successes mean_steps, mean_path_m and mean_jerk (m/s3; None
    without one), infer_ms, faults (the number of episodes that ended with one), and the paired
    `difference` to full precision with all tokens (None without that row): of success, how many
    pairs differ, and of the behaviour in the pairs that both solved.
    """
    baseline = results.get(Row(BASELINE))
    return [_summary(row, results[row], instructions, baseline) for row in rows]


def _summary(row: Row, results, instructions, baseline) -> dict:
    successes = sum(result.success for result in results)
    solved = [result for result in results if result.success]
    return {
        'variant': row.name, 'control': row.control, 'episodes': len(results),
        'successes': successes, 'wilson95': list(wilson_interval(successes, len(results))),
        'by_instruction': {text: success_counts(results, text) for text in instructions},
        **{f'mean_{name}': _mean(solved, name) for name in BEHAVIOUR},
        'faults': sum(bool(result.fault) for result in results),
        'infer_ms': sum(result.infer_ms for result in results) / len(results),
        'difference': None if baseline in (None, results) else _difference(results, baseline)}


def _mean(results, name: str) -> float | None:
    """Return the mean of what was taken, None for nothing."""
    values = [getattr(result, name) for result in results if getattr(result, name) is not None]
    return sum(values) / len(values) if values else None


def success_counts(results, instruction: str) -> list[int]:
    """Return [successes, episodes] of one instruction."""
    chosen = [result.success for result in results if result.instruction == instruction]
    return [sum(chosen), len(chosen)]


def _difference(results, baseline) -> dict:
    pairs = [(one.success, other.success) for one, other in zip(results, baseline, strict=True)]
    counts = [pairs.count(pair) for pair in
              ((True, True), (True, False), (False, True), (False, False))]
    value, low, high = paired_difference(*counts)
    differ = counts[1] + counts[2]
    return {'to': BASELINE, 'value': value, 'paired95': [low, high],
            'only_this': counts[1], f'only_{BASELINE}': counts[2], 'pairs_that_differ': differ,
            'differ95': list(wilson_interval(differ, len(pairs))),
            'behaviour': _behaviour([
                (one, other) for one, other in zip(results, baseline, strict=True)
                if one.success and other.success])}


def _behaviour(pairs) -> dict:
    """Return {name: [mean difference, low, high] of the pairs, 95 %}; None for under two."""
    found = {}
    for name in BEHAVIOUR:
        values = [(getattr(one, name), getattr(other, name)) for one, other in pairs]
        changes = [one - other for one, other in values if None not in (one, other)]
        found[name] = list(mean_interval(changes)) if len(changes) > 1 else None
    return found


def table_text(table: list[dict], instructions) -> str:
    """Return the table for a terminal, with a numbered legend of the tasks."""
    tasks = ''.join(f'{f"task {number}":>9}' for number in range(1, len(instructions) + 1))
    lines = [f'{"variant":23}{"control":18}{"success":>10}    95 % interval  '
             f'{"minus " + BASELINE + " (paired 95 %)":>26}  {"pairs that differ":>22}{tasks}'
             '  steps  path m  jerk m/s3  infer ms']
    lines += [_table_line(row, instructions) for row in table]
    lines += [f'task {number}: {text}' for number, text in enumerate(instructions, 1)]
    lines += [f'WARNING: {row["faults"]} episodes of {row["variant"]}, control {row["control"]}, '
              'ended because an answer must not reach an arm: see `fault` in the results of --out'
              for row in table if row['faults']]
    return '\n'.join(lines)


def _table_line(row: dict, instructions) -> str:
    (low, high), digits = row['wilson95'], int(row['episodes'] >= MANY)
    count = f'{row["successes"]}/{row["episodes"]}'
    tasks = ''.join(f'{"{}/{}".format(*row["by_instruction"][text]):>9}'
                    for text in instructions)
    steps, path, jerk = (
        '-' if row[f'mean_{name}'] is None else f'{row[f"mean_{name}"]:.{places}f}'
        for name, places in zip(BEHAVIOUR, (0, 2, 1)))
    return (f'{row["variant"]:23}{row["control"]:18}{count:>10}  {low:6.{digits}%} .. '
            f'{high:5.{digits}%}  {_difference_text(row, digits):>26}  {_differ_text(row):>22}'
            f'{tasks}{steps:>7}{path:>8}{jerk:>11}{row["infer_ms"]:10.1f}')


def _difference_text(row: dict, digits: int) -> str:
    difference = row['difference']
    if difference is None:
        return '-'
    low, high = difference['paired95']
    return f'{difference["value"]:+.{digits}%} ({low:+.{digits}%} .. {high:+.{digits}%})'


def _differ_text(row: dict) -> str:
    difference = row['difference']
    if difference is None:
        return '-'
    (low, high), count = difference['differ95'], difference['pairs_that_differ']
    return f'{count / row["episodes"]:.1%} ({low:.1%} .. {high:.1%})'
