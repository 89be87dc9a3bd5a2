# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How much of what a policy says an arm carries out, by the latency of inference.

A robot process sends images at 30 Hz, holds each twist until the next one comes and measures how
far it has gone; vla_node runs in another process with a policy that waits for a latency and says
a straight way: one row of 0.2 s (OpenVLA, or any ensemble), 16 rows of 0.2 s (CogACT), or 8 rows
of 0.05 s (the bundled policy).  `of each row`: distance gone over the distance that the rows say
which were due, until their end or until the next chunk took their place.  `under way`: share of
the time.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/executed_share.py
"""
import argparse
import json
from pathlib import Path
import subprocess
import sys
import time

import numpy as np
import rclpy

RATE_HZ, SECONDS = 30.0, 8.0
LATENCIES_S = (0.0, 0.1, 0.15, 0.2, 0.307, 0.5)
SPEED = 0.1  # m/s
FAMILIES = {  # rows, dt, execute_steps
    'OpenVLA, 1 row of 0.2 s': (1, 0.2, 1), 'CogACT, 16 rows of 0.2 s': (16, 0.2, 4),
    'bundled, 8 rows of 0.05 s': (8, 0.05, 4)}
sys.path.append(str(Path(__file__).resolve().parents[1] / 'test'))
RESULTS = Path(__file__).resolve().parent / 'results' / 'executed_share.json'


def waiting_policy(rows, dt, execute_steps, latency_s):
    """Return a policy that says a straight way after a latency."""
    from ros_harness import KnownPolicy
    from sqap_vla_ros.control.action_space import ActionSpace
    from sqap_vla_ros.observation import ActionChunk
    policy, space = KnownPolicy(None), ActionSpace(dt=dt, execute_steps=execute_steps)
    actions = np.tile(np.float32([SPEED, 0, 0, 0, 0, 0, 1]), (rows, 1))

    def infer(observation):
        time.sleep(latency_s)
        return ActionChunk(actions, space.dt, space.names, observation.stamp_ns,
                           {'total': latency_s * 1e3})
    policy.instructions, policy.config.action_space = (), space
    policy.is_ready, policy.infer = lambda instruction, image_size: True, infer
    return policy


def run_node(family, latency_s, control_rate):
    """Be vla_node, until the process is ended."""
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.parameter import Parameter
    from sqap_vla_ros.ros.vla.node import VlaNode
    rclpy.init()
    node = VlaNode(lambda config: waiting_policy(*FAMILIES[family], latency_s),
                   parameter_overrides=[Parameter('control_rate', value=control_rate),
                                        Parameter('require_resume', value=False)])
    if not node.start():
        sys.exit(node.problem)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()


class Robot:
    """Sends images, goes where it is told, and keeps when chunks came."""

    def __init__(self, width=320, height=240):
        from array import array

        from geometry_msgs.msg import TwistStamped
        from sensor_msgs.msg import Image
        from sqap_vla_ros.msg import ActionChunk
        from std_msgs.msg import String
        self.node = rclpy.create_node('robot')
        self.image = Image(height=height, width=width, encoding='rgb8', step=3 * width,
                           data=array('B', bytes(3 * width * height)))
        self.image.header.frame_id = 'camera'
        self._images = self.node.create_publisher(Image, 'image', 1)
        self._texts = self.node.create_publisher(String, 'instruction', 1)
        self.node.create_subscription(TwistStamped, 'delta_twist_cmds', self._on_twist, 10)
        self.node.create_subscription(ActionChunk, 'vla_node/action_chunk', self._on_chunk, 10)
        self.node.create_timer(1 / RATE_HZ, self._look)
        self.way_m, self.under_way_s, self.known_s = 0.0, 0.0, []
        self._speed, self._since_s = 0.0, time.monotonic()

    def _look(self):
        from std_msgs.msg import String
        self._texts.publish(String(data='go on'))
        self.image.header.stamp = self.node.get_clock().now().to_msg()
        self._images.publish(self.image)

    def _on_twist(self, message):
        self.settle()
        self._speed = message.twist.linear.x

    def settle(self):
        """Go on to now."""
        now_s = time.monotonic()
        self.way_m += self._speed * (now_s - self._since_s)
        self.under_way_s += (self._speed > 0) * (now_s - self._since_s)
        self._since_s = now_s

    def _on_chunk(self, message):
        self.known_s.append(time.monotonic())


def measure(family, latency_s, seconds, control_rate):
    """Return what the robot did in some seconds behind the third chunk."""
    command = [sys.executable, __file__, '--node', family, '--latency', str(latency_s),
               '--control-rate', str(control_rate)]
    node = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    robot, executor = Robot(), rclpy.executors.SingleThreadedExecutor()
    executor.add_node(robot.node)
    try:
        wait_for(executor, lambda: len(robot.known_s) >= 3, 60)
        robot.settle()
        robot.way_m = robot.under_way_s = 0.0
        first, begin_s = len(robot.known_s) - 1, time.monotonic()
        wait_for(executor, lambda: time.monotonic() > begin_s + seconds, seconds + 60)
        count = len(robot.known_s)
        wait_for(executor, lambda: len(robot.known_s) > count, 60)  # to the end of a whole cycle
        robot.settle()
    finally:
        node.kill()
        node.wait()
        executor.remove_node(robot.node)
        robot.node.destroy_node()
    passed_s = time.monotonic() - begin_s
    known_s = np.array(robot.known_s[first:])
    return {'family': family, 'latency_s': latency_s, 'chunks': len(known_s) - 1,
            'of_each_row': robot.way_m / due_m(family, known_s, latency_s),
            'under_way': robot.under_way_s / passed_s}


def due_m(family, known_s, latency_s):
    """Return how far the rows say that were due between the first and the last chunk."""
    rows, dt, _ = FAMILIES[family]
    between_s, length_s = np.diff(known_s), rows * dt
    if rows == 1:
        return SPEED * length_s * len(between_s)
    left_s, due_s = length_s, 0.0  # of a chunk, less what was executed since its image was taken
    for gap_s in between_s:
        run_s = min(left_s, gap_s)
        due_s += run_s
        left_s = length_s - max(0.0, min(run_s, latency_s - (gap_s - run_s)))
    return SPEED * due_s


def wait_for(executor, condition, timeout_s):
    """Spin until a condition holds; exit with an error after a time."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            sys.exit(f'executed_share: nothing came for {timeout_s:g} s')
        executor.spin_once(timeout_sec=0.02)


def main():
    """Measure all families and latencies, print a table and write it."""
    from sqap_vla_ros.support.machine import machine
    from sqap_vla_ros.support.progress import Progress
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--node', choices=FAMILIES, help=argparse.SUPPRESS)
    parser.add_argument('--latency', type=float, nargs='+', default=LATENCIES_S)
    parser.add_argument('--seconds', type=float, default=SECONDS)
    parser.add_argument('--control-rate', type=float, default=50.0)
    parser.add_argument('--out', type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.node:
        return run_node(options.node, options.latency[0], options.control_rate)
    rclpy.init()
    rows = []
    print('| family | latency, s | of each row, % | under way, % | chunks |')
    print('|---|---|---|---|---|')
    for family in FAMILIES:
        for latency_s in options.latency:
            with Progress(f'{family} at {latency_s:g} s, for {options.seconds:g} s'):
                row = measure(family, latency_s, options.seconds, options.control_rate)
            rows.append(row)
            print(f'| {family} | {latency_s:g} | {100 * row["of_each_row"]:.0f} | '
                  f'{100 * row["under_way"]:.0f} | {row["chunks"]} |', flush=True)
    rclpy.shutdown()
    options.out.write_text(json.dumps({
        'machine': machine(), 'camera_hz': RATE_HZ, 'control_rate_hz': options.control_rate,
        'seconds': options.seconds, 'rows': rows}, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
