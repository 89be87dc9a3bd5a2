# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo found: summary.json and the same as text. Pure functions of the records."""
import time

import numpy as np

from sqap_vla_ros.demo.options import DemoOptions
from sqap_vla_ros.demo.session import Records
from sqap_vla_ros.evaluate.intervals import wilson_interval
from sqap_vla_ros.observation import REASONS
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.timing import percentiles

SCHEMA = 1
OVERHEAD = 'ros_overhead'
EPISODE_FIELDS = (
    'index', 'seed', 'goal', 'instruction', 'success', 'steps', 'idle_steps', 'duration_s',
    'wall_s', 'real_time_factor', 'late_steps', 'worst_delay_ms', 'repeated_ticks', 'render_ms',
    'refused')


def summarize(records: Records, options: DemoOptions, total_tokens: int) -> dict:
    """
    Return the content of summary.json (docs/demo.md explains each field).

    total_tokens: visual tokens of the checkpoint before pruning, of all images.
    """
    episodes = records.episodes
    successes = sum(episode['success'] for episode in episodes)
    latency = _latency(records.chunks)
    overhead = [chunk['stages'][OVERHEAD] for chunk in records.chunks
                if OVERHEAD in chunk['stages']]
    return {
        'schema': SCHEMA,
        'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
        'episodes': len(episodes),
        'successes': successes,
        'success_rate': successes / max(len(episodes), 1),
        'wilson95': list(wilson_interval(successes, len(episodes))),
        'mode': options.mode,
        'instructions': sorted({episode['instruction'] for episode in episodes}),
        'precision': options.precision,
        'kept_tokens': _kept_tokens(_by_camera(records), total_tokens),
        'total_tokens': total_tokens,
        'kept_by_reason': _kept_by_reason(_by_camera(records)),
        'seed': options.seed,
        'control': options.control,
        'checkpoint': options.checkpoint_directory.name,
        'max_steps': options.max_steps,
        'chunks': len(records.chunks),
        'latency_ms': latency,
        'ros_overhead_ms': percentiles(overhead, (50, 99)),
        'memory_mb': records.memory_mb,
        'commands_refused': _refused(episodes),
        'chunks_of_another_instruction': _wrong_instructions(records),
        'wall_s': records.wall_s,
        'versions': versions(),
        'machine': machine(),
        'episode_list': [{name: episode[name] for name in EPISODE_FIELDS}
                         for episode in episodes]}


def report_text(summary: dict) -> str:
    """Return the summary for a terminal."""
    low, high = summary['wilson95']
    lines = [
        f'{summary["successes"]} of {summary["episodes"]} episodes succeeded '
        f'({100 * summary["success_rate"]:.0f} %, 95 % interval {100 * low:.0f} to '
        f'{100 * high:.0f} %): {summary["precision"]}, {summary["mode"].replace("_", " ")}, '
        f'control {summary["control"]}',
        f'tokens   kept {summary["kept_tokens"]} of {summary["total_tokens"]}: '
        + (', '.join(f'{name} {count:.1f}' for name, count
                     in summary['kept_by_reason'].items() if count) or 'no pruning'),
        '', f'{"latency (ms)":16}{"p50":>9}{"p95":>9}']
    lines += [f'  {stage:14}{values["p50"]:9.2f}{values["p95"]:9.2f}'
              for stage, values in summary['latency_ms'].items()]
    overhead = summary['ros_overhead_ms']
    if overhead['p50'] is not None:
        lines.append(f'ROS overhead    {overhead["p50"]:9.2f} p50 {overhead["p99"]:9.2f} p99 '
                     '(callback entry to command, inference excluded)')
    lines.append('memory (MiB)    ' + ', '.join(
        f'{name} {values["rss"]:.0f} (peak {values["peak"]:.0f})'
        for name, values in summary['memory_mb'].items()))
    factors = [episode['real_time_factor'] for episode in summary['episode_list']]
    if factors:
        lines.append(f'simulation ran at {np.median(factors):.2f} of real time (median)')
    return '\n'.join([*lines, *_warnings(summary)])


def _warnings(summary: dict) -> list[str]:
    lines = []
    if summary['commands_refused']:
        lines.append(f'WARNING: the simulator refused commands: {summary["commands_refused"]}')
    if summary['chunks_of_another_instruction']:
        lines.append(f'WARNING: {summary["chunks_of_another_instruction"]} chunks answered '
                     'another instruction than the one that was told')
    slow = [episode for episode in summary['episode_list']
            if summary['mode'] == 'real_time' and episode['real_time_factor'] < 0.95]
    if slow:
        lines.append(f'WARNING: physics fell behind the wall clock in {len(slow)} episodes: '
                     'this machine is too slow for real time, success is flattered')
    return lines


def _latency(chunks: list[dict]) -> dict[str, dict]:
    """Return {stage: {'p50', 'p95'}} in the order in which the node tells them."""
    stages = dict.fromkeys(name for chunk in chunks for name in chunk['stages'])
    return {name: percentiles(
        [chunk['stages'][name] for chunk in chunks if name in chunk['stages']], (50, 95))
        for name in stages if name != OVERHEAD}


def _by_camera(records: Records) -> list[list[dict]]:
    """Return the selections of each camera that there are any of."""
    found = {'': records.selections} if records.selections else {}
    for line in records.further_selections:
        found.setdefault(line['camera'], []).append(line)
    return list(found.values())


def _kept_tokens(by_camera: list[list[dict]], total_tokens: int) -> int:
    """Return how many tokens are kept of all images; of several each has its share, by means."""
    if not by_camera:
        return total_tokens
    counts = [[len(selection['kept']) for selection in lines] for lines in by_camera]
    return max(counts[0]) if len(counts) == 1 else round(sum(map(np.mean, counts)))


def _kept_by_reason(by_camera: list[list[dict]]) -> dict[str, float]:
    """Return the mean number of tokens kept for each reason; empty without pruning."""
    means = [np.mean([np.bincount(selection['reason'], minlength=len(REASONS))
                      for selection in lines], axis=0) for lines in by_camera]
    return dict(zip(REASONS, np.sum(means, axis=0).tolist())) if means else {}


def _refused(episodes: list[dict]) -> dict[str, int]:
    total: dict[str, int] = {}
    for episode in episodes:
        for reason, count in episode['refused'].items():
            total[reason] = total.get(reason, 0) + count
    return total


def _wrong_instructions(records: Records) -> int:
    told = {episode['index']: episode['instruction'] for episode in records.episodes}
    return sum(chunk['instruction'] != told.get(chunk['episode'], chunk['instruction'])
               for chunk in records.chunks)
