# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where an episode is lost to pruning, and which choice wins it back, by episodes.

    python benchmarks/pruning_episodes.py [--checkpoint libero_goal] [--keep 64] [--seed 820] \
        [--episodes 100] [--candidates 'follow' 'no ring'] [--processes 2] \
        [--out benchmarks/results/pruning_episodes.json]

Full precision, from the starts of these seeds: with all tokens, with --keep of them as shipped,
and with every candidate of pruning/candidates.py that is named.  Starts that are won with all
tokens and lost as shipped are then run anew with tokens dropped in a single phase of the task,
and in all but that one.  Finished episodes are kept beside the JSON file, so that the same command
goes on.

Starts that were lost once are won back by almost any change: compare with what the row 'one token
more' wins back of them.  Errors are means over episodes, up to the step at which the start was
won, or given up, with all tokens.  Of several candidates the best looks better than it is: take
it to further seeds.
"""
import argparse
from contextlib import closing
import json
from pathlib import Path
import sys
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pruning import causes  # noqa: E402
from pruning.candidates import CANDIDATES  # noqa: E402
from pruning.episodes import ALL, mean_of_looks, run_try, Try  # noqa: E402
from pruning.states import PHASES  # noqa: E402
from sqap_vla_ros.evaluate.intervals import paired_difference, wilson_interval  # noqa: E402
from sqap_vla_ros.support.checkpoint_files import digest  # noqa: E402
from sqap_vla_ros.support.machine import machine, versions  # noqa: E402
from sqap_vla_ros.support.processes import run_jobs  # noqa: E402
from sqap_vla_ros.support.progress import Progress  # noqa: E402
from sqap_vla_ros.support.resources import named_checkpoint  # noqa: E402

SHIPPED = 'as shipped'
TRIED = ('one token more', 'no ring', 'ring of 3 patches', 'each set kept for two looks',
         'log-size logits', 'pruned a block later', 'oracle: true places', 'follow', 'random')


def run(tries, path: Path, processes: int, title: str) -> dict[str, dict]:
    """Return {key: episode} of tries, of which those in the file are there already."""
    done: dict[str, Any] = {}
    if path.is_file():
        whole = path.read_text().rpartition('\n')[0]  # what follows the last newline was cut off
        done = dict(map(json.loads, whole.splitlines()))
        path.write_text(whole + '\n' * bool(whole))
    missing = [each for each in tries if each.key not in done]
    with Progress(title, total=len(tries), done=len(tries) - len(missing),
                  unit='episode') as progress, path.open('a') as file:
        with closing(run_jobs(run_try, missing, processes)) as jobs:
            for each, episode in jobs:
                done[each.key] = episode
                file.write(json.dumps([each.key, episode]) + '\n')
                file.flush()
                progress.advance()
    return done


def compared(episodes, others) -> dict:
    """Return how many of the first succeeded, and less the others from the same starts."""
    found = {each['seed']: each['success'] for each in episodes}
    base = {each['seed']: each['success'] for each in others}
    pairs = [(found[seed], base[seed]) for seed in sorted(found)]
    counts = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True),
                                             (False, False))]
    value, low, high = paired_difference(*counts)
    return {'difference': value, 'paired95': [low, high], 'won': counts[1], 'lost': counts[2]}


def row_of(episodes, whole, shipped) -> dict:
    """Return a line of the table."""
    lost = lost_starts(whole, shipped)
    won = sum(each['success'] for each in episodes)
    tasks = sorted({each['instruction'] for each in episodes})
    return {'episodes': len(episodes), 'successes': won,
            'wilson95': list(wilson_interval(won, len(episodes))),
            'less all tokens': compared(episodes, whole),
            'less as shipped': compared(episodes, shipped),
            'by_instruction': {task: sum(each['success'] for each in episodes
                                         if each['instruction'] == task) for task in tasks},
            'lost starts won': [each['seed'] for each in episodes
                                if each['success'] and each['seed'] in lost],
            'errors': mean_of_looks(episodes, horizon(whole), lambda look: look['error'])}


def lost_starts(whole, shipped) -> list[int]:
    """Return the seeds that are won with all tokens and lost as shipped."""
    won = {each['seed'] for each in whole if each['success']}
    return sorted(each['seed'] for each in shipped
                  if not each['success'] and each['seed'] in won)


def by_phase(checkpoint, keep, seeds) -> dict[str, list[Try]]:
    """Return the tries with tokens dropped in one phase alone, and in all but one."""
    tries = {}
    for phase in PHASES:
        others = tuple(each for each in PHASES if each != phase)
        for name, phases in ((f'{phase} alone', (phase,)), (f'all but {phase}', others)):
            tries[name] = [Try(checkpoint, seed, SHIPPED, keep, phases) for seed in seeds]
    return tries


def told_of_lost(lost, shipped, whole) -> dict:
    """Return errors and facts of lost episodes beside those that were won, as shipped."""
    won = {each['seed'] for each in whole if each['success']}
    sides = {'lost': [each for each in shipped if each['seed'] in lost],
             'won': [each for each in shipped if each['success'] and each['seed'] in won]}
    steps = horizon(whole)
    return {name: {'episodes': len(each), 'names of facts': causes.FACTS, **{
        word: mean_of_looks(each, steps, lambda look, word=word: look[word])
        for word in ('error', 'facts')}} for name, each in sides.items()}


def horizon(whole) -> dict[int, int]:
    """Return by seed the control steps of the episode with all tokens."""
    return {each['seed']: each['steps'] for each in whole}


def show(told) -> None:
    """Print the tables for people."""
    for name, row in told['table'].items():
        one, other = row['less all tokens'], row['less as shipped']
        print(f'{name:32} {row["successes"]:3}/{row["episodes"]}  less all tokens '
              f'{points(one)}  less as shipped {points(other)}  '
              f'error {row["errors"].get("all", 0):.4f}  of the lost '
              f'{len(row["lost starts won"])}')
    print(f'lost starts: {told["lost"]}')
    for name, seeds in told['phases'].items():
        print(f'  dropped in {name:14} {len(seeds)} of {len(told["lost"])} won')
    for name, side in told['looks'].items():
        print(f'{name} ({side["episodes"]} episodes): error {json.dumps(side["error"])}')


def points(found) -> str:
    """Return a difference in points with its interval."""
    low, high = found['paired95']
    return (f'{100 * found["difference"]:+5.1f} ({100 * low:+5.1f} .. {100 * high:+5.1f}), '
            f'{found["won"]:2} won {found["lost"]:2} lost')


def measure(args, path: str, policy: str, part: Path) -> dict[str, Any]:
    """Run everything; return what the JSON file tells.  policy: its digest."""
    seeds = range(args.seed, args.seed + args.episodes)
    rows = {ALL: [Try(path, seed, ALL) for seed in seeds]}
    rows.update({name: [Try(path, seed, name, args.keep) for seed in seeds]
                 for name in (SHIPPED, *args.candidates)})
    done = run(sum(rows.values(), []), part, args.processes, f'pruning episodes at {args.keep}')
    episodes = {name: [done[each.key] for each in tries] for name, tries in rows.items()}
    whole, shipped = episodes[ALL], episodes[SHIPPED]
    lost = lost_starts(whole, shipped)
    phases = by_phase(path, args.keep, lost)
    done = run(sum(phases.values(), []), part, args.processes, 'lost starts, by phase')
    return {'checkpoint': Path(args.checkpoint).name, 'checkpoint_sha256': policy,
            'keep': args.keep, 'seed': args.seed,
            'table': {name: row_of(each, whole, shipped) for name, each in episodes.items()},
            'lost': lost,
            'phases': {name: [each.seed for each in tries if done[each.key]['success']]
                       for name, tries in phases.items()},
            'looks': told_of_lost(lost, shipped, whole),
            'successes': {name: [each['seed'] for each in found if each['success']]
                          for name, found in episodes.items()},
            'machine': machine(), 'versions': versions()}


def main(arguments=None):
    """Measure, print the tables, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--checkpoint', default='libero_goal')
    parser.add_argument('--keep', type=int, default=64)
    parser.add_argument('--seed', type=int, default=820, help='of the first start')
    parser.add_argument('--episodes', type=int, default=100)
    parser.add_argument('--candidates', nargs='*', default=TRIED, choices=sorted(CANDIDATES))
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'results' /
                        'pruning_episodes.json')
    args = parser.parse_args(arguments)
    path = str(named_checkpoint(args.checkpoint))
    policy = digest(path)
    part = args.out.with_suffix(f'.{policy[:8]}.part.jsonl')
    told = measure(args, path, policy, part)
    show(told)
    args.out.write_text(json.dumps(told, indent=1) + '\n')
    part.unlink()


if __name__ == '__main__':
    main()
