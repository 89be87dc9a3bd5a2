# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Success and action error of a training against samples and hours, and what more would give.

    python benchmarks/training_curve.py runs/goal5 [--tables table.json ...] [--rows 12]

Reads what `sqap-vla train` wrote (curves.json) and tables of `sqap-vla eval --out`, each printed
where the run's checkpoint/ or best/ is the one that it was measured on. The outlook follows the
power laws of the last half and the last quarter of the curve; a falling learning rate makes both
look better than more samples alone would.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.train.growth import outlook


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('runs', nargs='+', type=Path, help='directories of `sqap-vla train`')
    parser.add_argument('--tables', nargs='+', type=Path, default=[], metavar='FILE.json',
                        help='tables of `sqap-vla eval` of their checkpoints')
    parser.add_argument('--rows', type=int, default=12, help='of each curve, evenly chosen')
    return parser.parse_args()


def rate(successes, episodes, wilson95):
    """Return a success rate as text."""
    low, high = wilson95
    return f'{successes}/{episodes} = {successes / episodes:.0%} ({low:.0%} .. {high:.0%})'


def curve_lines(log, rows):
    """Return lines of a table: evenly chosen rows, and all in which success was measured."""
    chosen = set(np.linspace(0, len(log) - 1, min(rows, len(log))).round().astype(int).tolist())
    lines = ['| samples | hours | action error, held out | blank image | success, validation |',
             '|---|---|---|---|---|']
    for number, row in enumerate(log):
        if number not in chosen and 'success' not in row:
            continue
        errors = [f'{row[name]["action_l1"]:.4f}' if name in row else ''
                  for name in ('held_out', 'blank')]
        found = row.get('success')
        success = rate(found['successes'], found['episodes'], found['wilson95']) if found else ''
        lines.append(f'| {row["samples"]} | {row["minutes"] / 60:.2f} | {errors[0]} | {errors[1]} '
                     f'| {success} |')
    return lines


def outlook_lines(log):
    """Return what more samples would give, in sentences."""
    found = outlook(log)
    if not found:
        return ['Too few rows for an outlook: train on, or log more often (--log-every).']
    hours = log[-1]['minutes'] / 60
    return [f'{times} times as many samples ({hours * (times - 1):.1f} hours more at this pace): '
            f'action error {errors["half"]:.4f} by the last half of the curve, '
            f'{errors["quarter"]:.4f} by its last quarter.' for times, errors in found]


def table_lines(run, paths):
    """Return lines of the tables that were measured on a checkpoint of a run."""
    digests = {name: digest(run / name) for name in ('checkpoint', 'best')
               if (run / name).is_dir()}
    lines = []
    for path in paths:
        table = json.loads(path.read_text())
        lines += [f'{name} ({path.name}): {row["variant"]}, {row["control"]}: '
                  + rate(row['successes'], row['episodes'], row['wilson95'])
                  for name, found in digests.items() if found == table['checkpoint_sha256']
                  for row in table['table']]
    return lines


def main():
    """Print the curves of all runs."""
    args = arguments()
    for run in args.runs:
        log = json.loads((run / 'curves.json').read_text())
        print(f'## {run.name}', '', *curve_lines(log, args.rows), '', *outlook_lines(log),
              *table_lines(run, args.tables), '', sep='\n')


if __name__ == '__main__':
    main()
