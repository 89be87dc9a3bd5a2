# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Random messages at vla_node, valid and invalid and torn, at random times.

In rounds: a robot that is well and moves, then random messages between its own, then the robot
falls silent and only wrong ones come. Asserted: the process lives, nothing was a traceback, each
command was finite and within the limits, and the arm was at rest at the end of every silence.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/fuzz.py --messages 10000
"""
import argparse
import json
import os
from pathlib import Path
import sys
import time

import numpy as np

RESULTS = Path(__file__).resolve().parent / 'results'
LIMITS = {'linear': 0.25, 'angular': 1.0}  # the node's own parameters
START_S, WELL_S, SILENT_S, REST_S = 2.0, 1.0, 1.2, 0.3
ALL = {'image', 'info', 'tf', 'tf_static', 'joints'}


class Fuzz:
    """One run; problems: what should not have been."""

    def __init__(self, rig, seed):
        """Take a rig, and let the arm move."""
        from rig.random_messages import RandomMessages
        from rig.robot import Robot
        self.rig, self.messages = rig, RandomMessages(seed)
        rig.robot = Robot()
        rig.have_node()
        rig.have_motion()
        self.sent, self.rounds, self.moved, self.problems = 0, 0, 0, []
        self.refused = 0

    def run(self, count, tell=lambda fuzz: None):
        """Send so many messages; returns self."""
        while self.sent < count and self.rig.node.alive:
            tell(self)
            self.one_round()
        self.check_process()
        self.check_commands()
        return self

    def one_round(self):
        """Be well for a while, with noise; then silent but for wrong messages; then well again."""
        rig, robot = self.rig, self.rig.robot
        robot.sends = set(ALL)
        for name in ('resume', 'reset') if self.rounds % 2 else ('resume',):
            rig.call(name)
        robot.say('put the bowl on the stove')
        self.moved += rig.moves_within(START_S) is not None
        self.send_for(WELL_S, wrong=False)
        robot.sends = set()
        self.send_for(SILENT_S, wrong=True)
        since_s = time.monotonic()
        time.sleep(REST_S)
        self.check_rest(since_s)
        self.rounds += 1

    def send_for(self, seconds, wrong):
        """Send random messages at random times."""
        robot, end_s = self.rig.robot, time.monotonic() + seconds
        while time.monotonic() < end_s:
            name, message = self.messages.drawn(robot.now_ns(), wrong)
            getattr(robot, name).publish(message)
            self.sent += 1
            time.sleep(float(self.messages.random.exponential(0.004)))

    def check_rest(self, since_s):
        """Note a command other than zero in a silence."""
        _, twists = self.rig.robot.log.window(since_s, time.monotonic())
        if np.abs(twists).max() > 0:
            self.problems.append(
                f'round {self.rounds}: still moves {SILENT_S} s after the robot fell silent: '
                f'{twists[-1]}')

    def check_process(self):
        """Note an end of the process and tracebacks."""
        text = self.rig.node.text
        if not self.rig.node.alive:
            self.problems.append(f'the process ended: {text[-1500:]}')
        if 'Traceback' in text:
            self.problems.append(text[text.index('Traceback'):][:1500])

    def check_commands(self):
        """Note commands that are not finite or beyond the limits."""
        twists = np.array(self.rig.robot.log.twists)
        lengths = (np.linalg.norm(twists[:, :3], axis=1), np.linalg.norm(twists[:, 3:], axis=1))
        for length, (name, limit) in zip(lengths, LIMITS.items()):
            beyond = ~(length <= limit * (1 + 1e-9))  # NaN is beyond, too
            if beyond.any():
                self.problems.append(f'{int(beyond.sum())} commands beyond the {name} limit of '
                                     f'{limit}: up to {np.nanmax(length)}')


def tell(fuzz):
    """Draw the progress."""
    print(f'\r{fuzz.sent} messages, {fuzz.rounds} rounds, {len(fuzz.problems)} problems',
          end='', file=sys.stderr, flush=True)


def main():
    """Fuzz and print; returns 1 for a problem."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--messages', type=int, default=10000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=RESULTS / 'fuzz.json')
    options = parser.parse_args()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    import rclpy
    from rig.rig import Rig
    from sqap_vla_ros.support.machine import machine, versions
    rclpy.init()
    rig, start_s = Rig(), time.monotonic()
    try:
        fuzz = Fuzz(rig, options.seed).run(options.messages, tell)
        result = {
            'machine': {**machine(), **versions()}, 'seed': options.seed, 'messages': fuzz.sent,
            'rounds': fuzz.rounds, 'rounds_with_motion': fuzz.moved,
            'commands': len(rig.robot.log.times), 'seconds': round(time.monotonic() - start_s),
            'problems': fuzz.problems}
    finally:
        rig.close()
        rclpy.shutdown()
    options.out.write_text(json.dumps(result, indent=1) + '\n')
    print('\n' + json.dumps(result, indent=1))
    return int(bool(fuzz.problems))


if __name__ == '__main__':
    sys.exit(main())
