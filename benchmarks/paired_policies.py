# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How often two policies succeeded from the same initial states, by tables of `sqap-vla eval`.

    python benchmarks/paired_policies.py --new dagger_mean.json dagger_mean_580.json \
        --old follow_validation_64.json first_policy_580.json

Files without a folder are those of benchmarks/results.  Episodes are paired by seed, in one row
of the tables (--row fp, --control none; --old-row for another one of the others); those that one
side lacks are left out and counted.  Tables of other tasks, placements or step limits cannot be
paired and are refused, and so are tables of two checkpoints on one side.
"""
import argparse
from collections.abc import Iterator
import json
from pathlib import Path

from sqap_vla_ros.evaluate.intervals import (
    mean_interval, paired_difference, wilson_interval)

MOTION = {'steps': 'control steps', 'path_m': 'way of the hand, m', 'jerk': 'jerk, m/s3'}
RESULTS = Path(__file__).resolve().parent / 'results'
SCENE = {'suite': 'libero_goal', 'instructions': None, 'placement_m': 0.25,
         'initial_states': False, 'yaw_rad': 0.0, 'distractors': 0, 'camera_pose': [],
         'camera_jitter_m': 0.0, 'camera_jitter_rad': 0.0, 'light_jitter': 0.0,
         'max_steps': 300}  # what it is where a table does not say


def main(arguments=None) -> None:
    """Print both rates and the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--new', nargs='+', required=True, help='tables of one policy')
    parser.add_argument('--old', nargs='+', required=True, help='of the other, subtracted')
    parser.add_argument('--row', default='fp', help='such as w4a8-prune@154')
    parser.add_argument('--old-row', help='of the others, unless it is the same')
    parser.add_argument('--control', default='none')
    args = parser.parse_args(arguments)
    tables = [[read(name) for name in names] for names in (args.new, args.old)]
    rows = args.row, args.old_row or args.row
    print(text_of(*(successes(each, row, args.control) for each, row in zip(tables, rows)),
                  [scene for each in tables for scene in map(scene_of, each)]))
    for line in motion_of(*(motions(each, row, args.control)
                            for each, row in zip(tables, rows))):
        print(line)


def read(name: str) -> dict:
    """Return a table; raise SystemExit where there is none."""
    path = RESULTS / name if Path(name).parent == Path('.') else Path(name)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f'{path} is no table of `sqap-vla eval`: {error}') from error


def scene_of(table: dict) -> dict:
    """Return what decides what an episode is."""
    return {name: table.get(name, usual) for name, usual in SCENE.items()}


def successes(tables: list[dict], row: str, control: str) -> dict[int, bool]:
    """Return {seed: success} of one row of a policy's tables; raise SystemExit for none or two."""
    policies = {table.get('checkpoint_sha256') for table in tables}
    if len(policies) > 1:
        raise SystemExit(
            f'tables of several checkpoints on one side: {sorted(map(str, policies))}')
    found = {}
    for table in tables:
        for each in table['episodes']:
            if (each['variant'], each['control']) == (row, control):
                if found.setdefault(each['seed'], each['success']) != each['success']:
                    raise SystemExit(f'two tables of one side disagree about seed {each["seed"]}')
    if not found:
        raise SystemExit(f'no table has episodes of {row!r} with control {control!r}')
    return found


def motions(tables: list[dict], row: str, control: str) -> dict[int, dict]:
    """Return {seed: episode} of those that succeeded."""
    return {each['seed']: each for table in tables for each in table['episodes']
            if (each['variant'], each['control']) == (row, control) and each['success']}


def motion_of(new: dict[int, dict], old: dict[int, dict]) -> Iterator[str]:
    """Yield how much more the new ones moved, of starts that both mastered, where it is told."""
    both = sorted(new.keys() & old.keys())
    for name, text in MOTION.items():
        pairs = [(new[seed].get(name), old[seed].get(name)) for seed in both]
        if len(pairs) > 1 and not any(None in pair for pair in pairs):
            value, low, high = mean_interval([one - other for one, other in pairs])
            yield (f'{text}: {value:+.3g} ({low:+.3g} .. {high:+.3g}) more in {len(pairs)} that '
                   'both mastered')


def text_of(new: dict[int, bool], old: dict[int, bool], scenes: list[dict]) -> str:
    """Return lines to print; raise SystemExit for different scenes and no common seed."""
    for name in SCENE:
        if len({json.dumps(scene[name]) for scene in scenes}) > 1:
            raise SystemExit(f'tables differ in {name}: {[scene[name] for scene in scenes]}')
    seeds = sorted(new.keys() & old.keys())
    if not seeds:
        raise SystemExit('the tables have no seed in common')
    pairs = [(new[seed], old[seed]) for seed in seeds]
    counts = [pairs.count(pair) for pair in (
        (True, True), (True, False), (False, True), (False, False))]
    value, low, high = (100 * each for each in paired_difference(*counts))
    lines = [f'{len(seeds)} pairs, seeds {seeds[0]} to {seeds[-1]}; '
             f'{len(new.keys() ^ old.keys())} episodes of one side alone']
    for name, count in (('new', counts[0] + counts[1]), ('old', counts[0] + counts[2])):
        least, most = (100 * each for each in wilson_interval(count, len(seeds)))
        lines.append(f'{name}: {count} succeeded, {100 * count / len(seeds):.1f} % '
                     f'({least:.0f} .. {most:.0f})')
    return '\n'.join([*lines, f'won {counts[1]}, lost {counts[2]}: {value:+.1f} points '
                              f'({low:+.1f} .. {high:+.1f})'])


if __name__ == '__main__':
    main()
