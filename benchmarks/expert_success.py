# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How often the scripted expert fulfils a suite's instructions, task by task.

    python benchmarks/expert_success.py --suite libero_goal --episodes 200 [--processes 2]

Episodes that the output file holds already are not run again, so a stopped or time-limited
(`--minutes`) run is continued by the same command.
"""
import argparse
from contextlib import closing
from functools import lru_cache, partial
import json
from pathlib import Path
import time

import numpy as np
from sqap_vla_ros.commands.scene import add_scene_arguments
from sqap_vla_ros.evaluate.intervals import wilson_interval
from sqap_vla_ros.sim.options import scene_options
from sqap_vla_ros.support.files import write_whole
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.processes import run_jobs
from sqap_vla_ros.support.progress import Progress

RESULTS = Path(__file__).resolve().parent / 'results'
OPTIONS = ('suite', 'seed', 'placement_m', 'yaw_rad', 'distractors', 'initial_states',
           'disturbed', 'max_steps')


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--instructions', nargs='+', metavar='TEXT', default=(),
                        help='default: five of libero_goal, all of another suite')
    parser.add_argument('--episodes', type=int, default=200, help='over all instructions')
    parser.add_argument('--seed', type=int, default=0, help='of the first episode of each')
    parser.add_argument('--disturbed', action='store_true',
                        help='execute disturbed actions, as in data collection')
    parser.add_argument('--max-steps', type=int, default=300)
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=float('inf'),
                        help='begin no episode after this time')
    parser.add_argument('--out', type=Path)
    add_scene_arguments(parser, official=True)
    args = parser.parse_args()
    args.out = args.out or RESULTS / f'expert_{args.suite}.json'
    return args


@lru_cache(maxsize=1)
def environment(scene):
    """Return this process's environment."""
    from sqap_vla_ros.sim.making import make_environment
    return make_environment(scene)


def run_episode(args, job):
    """Return the control steps that (instruction, seed) took, None for a failure or no time."""
    from sqap_vla_ros.sim.expert import Expert
    from sqap_vla_ros.train.perturbation import Perturbation
    instruction, seed = job
    if time.time() > args.end:
        return 'not run'
    env = environment(scene_options(args, args.instructions))
    env.reset(seed, instruction)
    expert = Expert(env)
    perturbation = Perturbation(np.random.default_rng([seed, 1]))
    for step in range(args.max_steps):
        action = expert.act()
        if env.step(*(perturbation.apply(*action) if args.disturbed else action)):
            return step + 1
    return None


def summary(args, steps):
    """Return the results {instruction: {seed: steps or None}} with rates and intervals."""
    tasks = {}
    for instruction, episodes in steps.items():
        taken = [count for count in episodes.values() if count is not None]
        tasks[instruction] = {
            'episodes': len(episodes), 'successes': len(taken),
            'wilson95': wilson_interval(len(taken), len(episodes)),
            'steps_mean': float(np.mean(taken)) if taken else None,
            'steps_max': max(taken, default=None), 'steps': episodes}
    episodes = sum(task['episodes'] for task in tasks.values())
    successes = sum(task['successes'] for task in tasks.values())
    return {'options': {name: getattr(args, name) for name in OPTIONS},
            'machine': machine(), 'versions': versions(), 'episodes': episodes,
            'successes': successes, 'wilson95': wilson_interval(successes, episodes),
            'tasks': tasks}


def finished(args):
    """Return {instruction: {seed: steps or None}} of the output file, if there is one."""
    if not args.out.is_file():
        return {}
    stored = json.loads(args.out.read_text())
    if stored['options'] != {name: getattr(args, name) for name in OPTIONS}:
        raise SystemExit(f'{args.out} holds episodes with other options '
                         f'({stored["options"]}): give another --out, or delete it')
    return {instruction: {int(seed): count for seed, count in task['steps'].items()}
            for instruction, task in stored['tasks'].items()}


def main():
    """Run what is missing, print the table, write the JSON."""
    args = arguments()
    args.end = time.time() + 60 * args.minutes
    from sqap_vla_ros.sim.env import tasks_of
    instructions = list(tasks_of(args.suite, args.instructions or None))
    steps = {name: {} for name in instructions} | finished(args)
    seeds = range(args.seed, args.seed + -(-args.episodes // len(instructions)))
    jobs = [(name, seed) for name in instructions for seed in seeds if seed not in steps[name]]
    with closing(run_jobs(partial(run_episode, args), jobs, args.processes)) as finished_jobs, \
            Progress('expert', total=len(jobs), unit='episode') as progress:
        for (name, seed), count in finished_jobs:
            progress.advance()
            if count != 'not run':
                steps[name][seed] = count
                write_whole(args.out, (json.dumps(summary(args, steps), indent=1) + '\n').encode())
    report(summary(args, steps))


def report(result):
    """Print a summary as a table."""
    print(f'{result["options"]}\n{result["machine"]}\n{result["versions"]}')
    rows = {**result['tasks'], 'all': result}
    for name, row in rows.items():
        low, high = row['wilson95']
        failed = [seed for seed, count in row.get('steps', {}).items() if count is None]
        print(f'{row["successes"]:4}/{row["episodes"]:4}  [{low:.3f}, {high:.3f}]  '
              f'{row.get("steps_mean") or 0:5.0f} steps  {name}'
              + (f'  failed: {failed}' if failed else ''))


if __name__ == '__main__':
    main()
