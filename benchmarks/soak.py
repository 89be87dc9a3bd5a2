# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Hours of faults: whether anything grows, and whether the arm moves when nobody asked for it.

The rig of faults.py runs on and on. In turns the arm has a task and is under way, or it has been
stopped (~/stop, an empty instruction, deactivation); in both, faults are brought about at random
and ended again. From the moment at which the arm came to rest behind a fault or a stop until
somebody asks for motion (~/resume, an instruction, activation), each command other than zero is a
motion that nobody asked for. Memory, threads, open files and rates are sampled all the time.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/soak.py --minutes 30
"""
import argparse
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import sys
import time

import numpy as np

RESULTS = Path(__file__).resolve().parent / 'results'
SAMPLE_S = 5.0
LIMITS = {'rss_mib': 8.0, 'threads': 0.5, 'files': 1.0}  # a unit an hour: less is not growth
PARAMETERS = {'require_resume': True, 'start_on_activate': False}
# what ends the node, needs another node, or takes long to be over, is for faults.py
LEFT_OUT = ('camera', 'death', 'transitions', 'unasked', 'motion', 'parameters', 'clock',
            'commanders', 'asked to stop')
TOO_HARD = ('inference hangs', 'the process ends', '10 MB', '1 MB', 'interpreter',
            'KeyboardInterrupt', 'takes 3 s')


def chosen_faults():
    """Return the faults that can be brought about again and again on one node."""
    from rig import of_cameras, of_policies, of_robots, of_words  # noqa: F401
    from rig.faults import FAULTS
    cameras = ('stop', 'repeat', 'picture', 'encoding', 'size', 'image')
    return [fault for fault in FAULTS.values() if not fault.parameters and not fault.simulated
            and fault.recovers and not fault.fresh and not any(t in fault.name for t in TOO_HARD)
            and (fault.group not in LEFT_OUT
                 or fault.group == 'camera' and any(word in fault.name for word in cameras))]


class Soak:
    """Runs until the time is over; rows: samples; unasked: motions that nobody asked for."""

    def __init__(self, rig, seed, policy):
        """Take a rig without a node."""
        from rig.robot import Robot
        self.rig, self.random = rig, np.random.default_rng(seed)
        self.faults, self.rows, self.unasked = chosen_faults(), [], []
        self.counts = {'faults under way': 0, 'faults at rest': 0, 'stops': 0, 'restarts': 0,
                       'resumes': 0}
        self.watched_s = 0.0
        rig.robot = Robot()
        self.policy = policy
        self.start_s = self._sampled_s = time.monotonic()
        self._commands, self._images, self._cpu_s = 0, 0, 0.0

    def run(self, minutes, tell):
        """Go on for some minutes."""
        end_s = self.start_s + 60.0 * minutes
        self.begin()
        while time.monotonic() < end_s:
            tell(self)
            self.under_way()
            self.at_rest()
        return self

    def begin(self):
        """Have a node that moves."""
        options = {} if self.policy else {'policy': False}
        self.rig.have_node({**PARAMETERS, **({} if self.policy else {
            'checkpoint': 'libero_goal', 'precision': 'w4a4'})}, **options)
        self.rig.have_motion()

    def under_way(self):
        """Break something in mid-motion; if the arm stops, it stays so until it is resumed."""
        fault = self.faults[self.random.integers(len(self.faults))]
        self.counts['faults under way'] += 1
        self.with_fault(fault, 1.0 + 2.0 * self.random.random())
        self.watch_at_rest(fault, 1.5)
        self.ask()

    def at_rest(self):
        """Stop the arm, break things meanwhile, and see that it stays where it is."""
        way = ('~/stop', 'empty instruction', 'deactivate')[self.random.integers(3)]
        self.counts['stops'] += 1
        stopped = {'~/stop': lambda: self.rig.call('stop'),
                   'empty instruction': lambda: self.rig.robot.say(''),
                   'deactivate': lambda: self.rig.change_state('deactivate')}[way]
        stopped()
        self.wait(0.7)
        for _ in range(self.random.integers(1, 4)):
            fault = self.faults[self.random.integers(len(self.faults))]
            if fault.group == 'instruction' and way == 'empty instruction':
                continue  # it says one, which asks for motion
            self.counts['faults at rest'] += 1
            since_s = time.monotonic()
            self.with_fault(fault, 0.5 + self.random.random())
            self.wait(0.5)
            self.judge(since_s, f'{way}, then {fault.name}')
        if way == 'deactivate':
            self.rig.change_state('activate')
            since_s = time.monotonic()
            self.wait(1.0)
            self.judge(since_s, 'activated')
        self.ask()

    def with_fault(self, fault, seconds):
        """Bring a fault about for some seconds."""
        generator = fault.run(self.rig)
        next(generator)
        self.wait(seconds)
        next(generator, None)
        if self.rig.node.alive:
            self.rig.node.behave('good')

    def watch_at_rest(self, fault, seconds):
        """Where the arm stands behind a fault that is over, and has to, see that it stays so."""
        self.wait(0.3)
        if self.rig.is_moving() or fault.group == 'instruction':  # its end asks for motion
            return
        if fault.group == 'policy' and '~/resume' not in self.words():
            return  # it says zeros or comes late, and then goes on
        since_s = time.monotonic()
        self.wait(seconds)
        self.judge(since_s, f'after {fault.name}')

    def words(self):
        """Return what the status of the commands says."""
        return self.rig.last_said().get('commands', ('', ''))[1]

    def judge(self, since_s, what):
        """Note commands other than zero since a time."""
        from rig.measure import reaction
        found = reaction(self.rig.robot.log, since_s, time.monotonic())
        self.watched_s += found.watched_s
        if found.way_mm or found.turn_deg:
            self.unasked.append({
                'at_s': round(since_s - self.start_s), 'what': what,
                'mm': round(found.way_mm, 1), 'said': self.words()})

    def ask(self):
        """Ask for motion again, as an operator would; a node that ended is started again."""
        from rig.rig import RigError
        self.counts['resumes'] += 1
        if not self.rig.node.alive:
            self.counts['restarts'] += 1
            self.rig.drop_node()
            self.begin()
        try:
            self.rig.have_motion()
        except RigError:
            self.counts['restarts'] += 1
            self.rig.drop_node()
            self.begin()

    def wait(self, seconds):
        """Wait, and take samples."""
        end_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < end_s:
            if now_s - self._sampled_s >= SAMPLE_S:
                self.sample(now_s)
            time.sleep(min(0.05, max(0.0, end_s - now_s)))

    def sample(self, now_s):
        """Note what the node holds and how fast it speaks."""
        from rig.process_facts import facts
        if not self.rig.node.alive:
            return
        found, log, values = facts(self.rig.node.process.pid), self.rig.robot.log, \
            self.rig.robot.values
        passed_s, self._sampled_s = now_s - self._sampled_s, now_s
        commands, self._commands = len(log.times) - self._commands, len(log.times)
        cpu_s, self._cpu_s = found['cpu_s'] - self._cpu_s, found['cpu_s']
        self.rows.append({
            's': round(now_s - self.start_s, 1), 'pid': self.rig.node.process.pid, **found,
            'cpu': cpu_s / passed_s, 'commands_hz': commands / passed_s,
            'image_to_chunk_ms': _number(values.get('image_to_chunk_ms_p50')),
            'overhead_ms_p99': _number(values.get('ros_overhead_ms_p99'))})


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def verdict(rows):
    """Return {name: slope with its interval and whether it is flat} of the longest-lived node."""
    from rig.process_facts import slope
    pids = [row['pid'] for row in rows]
    longest = max(set(pids), key=pids.count)
    rows = [row for row in rows if row['pid'] == longest]
    hours = [row['s'] / 3600 for row in rows]
    found = {'samples': len(rows), 'hours': hours[-1] - hours[0]}
    for name, limit in LIMITS.items():
        middle, low, high = slope(hours, [row[name] for row in rows])
        found[name] = {'an_hour': middle, 'low': low, 'high': high, 'limit': limit,
                       'flat': high <= limit or low <= 0}
    return found


def plot(result, path):
    """Draw the samples."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    names = ('rss_mib', 'threads', 'files', 'commands_hz', 'image_to_chunk_ms',
             'overhead_ms_p99', 'cpu')
    figure, axes = pyplot.subplots(len(names), 1, sharex=True, figsize=(9, 13))
    minutes = [row['s'] / 60 for row in result['rows']]
    for axis, name in zip(axes, names):
        axis.plot(minutes, [np.nan if row[name] is None else row[name]
                            for row in result['rows']], linewidth=0.8)
        axis.set_ylabel(name)
        for motion in result['unasked']:
            axis.axvline(motion['at_s'] / 60, color='red', linewidth=0.5)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel('minutes')
    axes[0].set_title(f'{result["minutes"]:.0f} min, {sum(result["counts"].values())} events, '
                      f'{len(result["unasked"])} motions that nobody asked for')
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def tell(soak):
    """Draw the progress."""
    passed = (time.monotonic() - soak.start_s) / 60
    rss = soak.rows[-1]['rss_mib'] if soak.rows else 0
    print(f'\r{passed:6.1f} min, {soak.counts["faults under way"]} + '
          f'{soak.counts["faults at rest"]} faults, {len(soak.unasked)} unasked, '
          f'{rss:.0f} MiB', end='', file=sys.stderr, flush=True)


def main():
    """Soak, print the verdict, write JSON and plot; returns 1 for growth or unasked motion."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--minutes', type=float, default=30.0)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--bundled', action='store_true', help='the bundled policy: real memory')
    parser.add_argument('--out', type=Path, default=RESULTS / 'soak.json')
    options = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    import rclpy
    from rig.rig import Rig
    rclpy.init()
    rig = Rig()
    soak = Soak(rig, options.seed, not options.bundled)
    try:
        soak.run(options.minutes, lambda soak: (tell(soak), save(soak, options)))
    finally:
        rig.close()
        rclpy.try_shutdown()
        result = save(soak, options)
    plot(result, options.out.with_suffix('.png'))
    print(json.dumps({key: result[key] for key in (
        'minutes', 'counts', 'watched_at_rest_s', 'unasked', 'verdict')}, indent=1))
    flat = all(result['verdict'][name]['flat'] for name in LIMITS)
    return int(not flat or bool(soak.unasked))


def save(soak, options):
    """Write what is known so far, and return it."""
    from sqap_vla_ros.support.machine import machine, versions
    result = {
        'machine': {**machine(), **versions(), 'date': datetime.now(timezone.utc).isoformat(
            timespec='seconds')},
        'minutes': (time.monotonic() - soak.start_s) / 60, 'seed': options.seed,
        'counts': soak.counts, 'watched_at_rest_s': round(soak.watched_s),
        'unasked': soak.unasked, 'verdict': verdict(soak.rows) if len(soak.rows) > 20 else None,
        'rows': soak.rows}
    options.out.write_text(json.dumps(result, indent=1) + '\n')
    return result


if __name__ == '__main__':
    sys.exit(main())
