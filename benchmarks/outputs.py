# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How often the bundled policy succeeds through ROS with each output, on the same starts.

    python benchmarks/outputs.py [--episodes 20] [--outputs twist,pose] [--real-time]

The processes are the demo's: vla_node with one of its outputs, and libero_sim_node with the
controller that takes it. Outputs that the results hold already are not run again, so a stopped
run is continued by the same command; --again runs them anew.
"""
import argparse
import json
from pathlib import Path
import sys
import tempfile
import time

from sqap_vla_ros.demo.options import DemoOptions, node_commands, prepare_output
from sqap_vla_ros.demo.processes import ChildDied
from sqap_vla_ros.demo.run import run_nodes
from sqap_vla_ros.demo.session import DemoInterrupted
from sqap_vla_ros.evaluate.intervals import paired_difference, wilson_interval
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.chosen_options import with_options
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.ros.simulator.arm_commands import INTERFACES
from sqap_vla_ros.support.files import write_whole
from sqap_vla_ros.support.machine import machine, versions

OUT = Path(__file__).resolve().parent / 'results' / 'outputs.json'
REAL_TIME_RATE = 50.0  # Hz, of commands
KEPT = ('seed', 'instruction', 'success', 'steps', 'idle_steps', 'repeated_ticks', 'late_steps',
        'real_time_factor', 'refused')


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--outputs', default=','.join(INTERFACES), help='separated by commas')
    parser.add_argument('--episodes', type=int, default=20, help='of each output')
    parser.add_argument('--seed', type=int, default=0, help='of the first episode')
    parser.add_argument('--checkpoint', default='libero_goal')
    parser.add_argument('--precision', default='fp')
    parser.add_argument('--keep', type=int, default=0, help='visual tokens; 0: all')
    parser.add_argument('--max-steps', type=int, default=300)
    parser.add_argument('--real-time', action='store_true')
    parser.add_argument('--again', action='store_true', help='also what the results hold already')
    parser.add_argument('--out', type=Path, default=OUT)
    args = parser.parse_args()
    args.outputs = args.outputs.split(',')
    unknown = set(args.outputs) - set(INTERFACES)
    if unknown:
        parser.error(f'--outputs: {", ".join(sorted(unknown))} is none of {", ".join(INTERFACES)}')
    return args


def commands_of(options, output: str, config) -> dict[str, list[str]]:
    """Return the demo's command lines for an output."""
    def parameters(**values):
        return [part for name, value in values.items()
                for part in ('-p', f'{name}:={json.dumps(value)}')]
    commands = node_commands(options, config, None)
    commands['vla_node'] += parameters(output=output)
    commands['simulator'] += parameters(command_interface=output)
    if options.real_time:
        commands['vla_node'] += parameters(control_rate=REAL_TIME_RATE)
        commands['simulator'] += parameters(command_period=1 / REAL_TIME_RATE)
    return commands


def run_output(args, output: str, config, directory: Path) -> dict:
    """Return what one output did; raises as run_nodes does."""
    options = DemoOptions(
        precision=args.precision, keep=args.keep, episodes=args.episodes, seed=args.seed,
        real_time=args.real_time, checkpoint=args.checkpoint, max_steps=args.max_steps,
        video=False, out=directory)
    prepare_output(options.out)
    print(f'output {output}:', flush=True)
    records = run_nodes(options, commands_of(options, output, config))
    episodes = [{name: episode[name] for name in KEPT} for episode in records.episodes]
    successes = sum(episode['success'] for episode in episodes)
    return {'successes': successes, 'episodes': len(episodes),
            'wilson95': wilson_interval(successes, len(episodes)),
            'wall_s': round(records.wall_s, 1), 'episode_list': episodes}


def against(first: dict, second: dict) -> dict:
    """Return how two outputs differ on the starts that both had."""
    counts = {'both': 0, 'first': 0, 'second': 0, 'neither': 0}
    found = {episode['seed']: episode['success'] for episode in second['episode_list']}
    for episode in first['episode_list']:
        if episode['seed'] in found:
            name = {(True, True): 'both', (True, False): 'first', (False, True): 'second',
                    (False, False): 'neither'}[episode['success'], found[episode['seed']]]
            counts[name] += 1
    difference, low, high = paired_difference(**counts)
    return {'both': counts['both'], 'only_this': counts['first'], 'only_twist': counts['second'],
            'neither': counts['neither'], 'difference': difference, 'interval95': [low, high]}


def facts_of(args) -> dict:
    """Return what decides the results."""
    return {'checkpoint': args.checkpoint, 'precision': args.precision, 'keep': args.keep,
            'seed': args.seed, 'episodes': args.episodes, 'max_steps': args.max_steps,
            'mode': 'real_time' if args.real_time else 'lockstep'}


def table(outputs: dict) -> str:
    """Return the results as lines of text."""
    lines = [f'{"output":17}{"succeeded":>11}   {"95 % interval":15}  against twist']
    for name, result in outputs.items():
        low, high = result['wilson95']
        told = ''
        if 'against_twist' in result:
            pair = result['against_twist']
            told = (f'{100 * pair["difference"]:+.0f} % ({100 * pair["interval95"][0]:.0f} .. '
                    f'{100 * pair["interval95"][1]:.0f}); only this one {pair["only_this"]}, '
                    f'only twist {pair["only_twist"]}')
        succeeded = f'{result["successes"]}/{result["episodes"]}'
        lines.append(f'{name:17}{succeeded:>11}   {100 * low:5.1f} ..{100 * high:5.1f} %   {told}')
    return '\n'.join(lines)


def main() -> int:
    """Run what is missing, write the results behind each output, print a table."""
    args = arguments()
    facts = facts_of(args)
    before = json.loads(args.out.read_text()) if args.out.exists() else {}
    outputs = before.get('outputs', {}) if before.get('facts') == facts else {}
    config = open_checkpoint(_directory(args)).with_key(None).config
    config = with_options(config, PolicyOptions())
    try:
        for output in args.outputs:
            if output in outputs and not args.again:
                continue
            with tempfile.TemporaryDirectory(prefix='outputs_') as directory:
                outputs[output] = run_output(args, output, config, Path(directory))
            _write(args.out, facts, outputs)
    except (DemoInterrupted, ChildDied) as error:
        print(f'outputs: {str(error) or "interrupted"}', file=sys.stderr)
        return 1
    finally:
        print(table(outputs))
    return 0


def _directory(args) -> Path:
    return DemoOptions(checkpoint=args.checkpoint).checkpoint_directory


def _write(path: Path, facts: dict, outputs: dict) -> None:
    for name, result in outputs.items():
        if name != 'twist' and 'twist' in outputs:
            result['against_twist'] = against(result, outputs['twist'])
    content = {'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'facts': facts, 'outputs': outputs,
               'machine': machine(), 'versions': versions()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(content, indent=2) + '\n').encode())


if __name__ == '__main__':
    sys.exit(main())
