# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The table of an evaluation: success by row and by task, and differences to the baseline."""

from __future__ import annotations

from .intervals import paired_difference, wilson_interval
from .plan import BASELINE, Row


def summarize(rows, results: dict, instructions) -> list[dict]:
    """
    Return one dict a row.

    results: {Row: [EpisodeResult, ...]}, every row over the same seeds in the same order.
    Each dict has successes and episodes with Wilson's interval, by_instruction {instruction:
    [successes, episodes]}, mean_steps of the successes (None without one), infer_ms, faults (the
    number of episodes that ended with one), and the paired `difference` to full precision with
    all tokens (None without that row).
    """
    baseline = results.get(Row(BASELINE))
    return [_summary(row, results[row], instructions, baseline) for row in rows]


def _summary(row: Row, results, instructions, baseline) -> dict:
    successes = sum(result.success for result in results)
    solved = [result.steps for result in results if result.success]
    return {
        'variant': row.name, 'control': row.control, 'episodes': len(results),
        'successes': successes, 'wilson95': list(wilson_interval(successes, len(results))),
        'by_instruction': {text: success_counts(results, text) for text in instructions},
        'mean_steps': sum(solved) / len(solved) if solved else None,
        'faults': sum(bool(result.fault) for result in results),
        'infer_ms': sum(result.infer_ms for result in results) / len(results),
        'difference': None if baseline in (None, results) else _difference(results, baseline)}


def success_counts(results, instruction: str) -> list[int]:
    """Return [successes, episodes] of one instruction."""
    chosen = [result.success for result in results if result.instruction == instruction]
    return [sum(chosen), len(chosen)]


def _difference(results, baseline) -> dict:
    pairs = [(one.success, other.success) for one, other in zip(results, baseline, strict=True)]
    counts = [pairs.count(pair) for pair in
              ((True, True), (True, False), (False, True), (False, False))]
    value, low, high = paired_difference(*counts)
    return {'to': BASELINE, 'value': value, 'paired95': [low, high],
            'only_this': counts[1], f'only_{BASELINE}': counts[2]}


def table_text(table: list[dict], instructions) -> str:
    """Return the table for a terminal, with a numbered legend of the tasks."""
    tasks = ''.join(f'{f"task {number}":>8}' for number in range(1, len(instructions) + 1))
    lines = [f'{"variant":23}{"control":18}{"success":>9}  95 % interval  '
             f'{"minus " + BASELINE + " (paired 95 %)":>24}{tasks}  steps  infer ms']
    lines += [_table_line(row, instructions) for row in table]
    lines += [f'task {number}: {text}' for number, text in enumerate(instructions, 1)]
    lines += [f'WARNING: {row["faults"]} episodes of {row["variant"]}, control {row["control"]}, '
              'ended because an answer must not reach an arm: see `fault` in the results of --out'
              for row in table if row['faults']]
    return '\n'.join(lines)


def _table_line(row: dict, instructions) -> str:
    low, high = row['wilson95']
    count = f'{row["successes"]}/{row["episodes"]}'
    tasks = ''.join(f'{"{}/{}".format(*row["by_instruction"][text]):>8}'
                    for text in instructions)
    steps = '-' if row['mean_steps'] is None else f'{row["mean_steps"]:.0f}'
    return (f'{row["variant"]:23}{row["control"]:18}{count:>9}  {low:5.0%} .. {high:4.0%}  '
            f'{_difference_text(row["difference"]):>24}{tasks}{steps:>7}{row["infer_ms"]:10.1f}')


def _difference_text(difference: dict | None) -> str:
    if difference is None:
        return '-'
    low, high = difference['paired95']
    return f'{difference["value"]:+.0%} ({low:+.0%} .. {high:+.0%})'
