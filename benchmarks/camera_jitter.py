# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How even the bundled policy's time is in vla_node while a camera streams at 30 Hz.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/camera_jitter.py

A node with its executor, observer and inference thread runs in this process; another publishes
images, joint_states and TF.  For each number of threads: an inference's time and its processor
time on the inference thread (the 50th, 95th and 99th percentile, and 99th / 50th), how long that
thread waited for a core (what else the machine did), and page faults.  Behind each inference the
same thread does a fixed piece of arithmetic of about its length, small products that stay in the
cache: how uneven its time is on one thread is the machine's doing, and no inference can be more
even there.
"""
import argparse
import json
import os
from pathlib import Path
import resource
import subprocess
import sys
import threading
import time

from node_cost import ANY_PICTURE, IMAGES_HZ, Listener, Load, SLOW
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.thread_waiting import SPIN, wait_briefly
import torch

RESULTS = Path(__file__).resolve().parent / 'results' / 'camera_jitter.json'
NODE = {**ANY_PICTURE, 'base_frame': 'base', 'end_effector_frames': ['end_effector'],
        'gripper_joint': 'finger', 'keep_tokens': 154, 'checkpoint': 'libero_goal_w4',
        'inference_timeout': 60.0, 'image_timeout': 60.0, 'tf_timeout': 1.0}
POINTS = 50, 95, 99
FIRST = 3  # inferences that do not count


class Arithmetic:
    """Products of small matrices, so many that they take about as long as a policy."""

    def __init__(self):
        self._a, self._b, self._out = (torch.rand(192, 192) for _ in range(3))
        self.products = 0

    def fit(self, seconds: float) -> None:
        """Find how many take so much of the thread's processor time."""
        self.products = 20
        least = float('inf')
        for _ in range(5):
            start = time.thread_time()
            self.run()
            least = min(least, time.thread_time() - start)
        self.products = max(1, round(self.products * seconds / least))

    @torch.inference_mode()
    def run(self) -> None:
        """Do them."""
        for _ in range(self.products):
            torch.mm(self._a, self._b, out=self._out)


class Timed:
    """A policy that notes what each inference takes, and arithmetic of its length behind it."""

    def __init__(self, policy):
        self._policy, self.rows, self.arithmetic, self.fixed = policy, [], [], Arithmetic()

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def infer(self, *given, **named):
        """Do what the policy does."""
        chunk = self._note(self.rows, self._policy.infer, *given, **named)
        if len(self.rows) == FIRST:
            self.fixed.fit(self.rows[-1][1])
        elif len(self.rows) > FIRST:
            self._note(self.arithmetic, self.fixed.run)
        return chunk

    def _note(self, rows: list, function, *given, **named):
        """Call a function, append what it took and return what it gives."""
        before = self._now()
        answer = function(*given, **named)
        rows.append([after - start for start, after in zip(before, self._now())])
        return answer

    def _now(self) -> tuple:
        """Return seconds, of the processor, waiting for one, and the process's page faults."""
        task = Path('/proc/self/task') / str(threading.get_native_id()) / 'schedstat'
        return (time.perf_counter(), time.thread_time(), int(task.read_text().split()[1]) * 1e-9,
                resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def publish() -> None:
    """Be the camera, the robot and its controller until the parent ends this."""
    rclpy.init()
    load, listener, ended = Load(), Listener(), threading.Event()
    load.rates.update(SLOW, images=IMAGES_HZ)
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        listener.listen(0.2)
    load.close()


def run(threads: int, count: int, seconds: float) -> dict:
    """Run the node until it has inferred so often, and return what that took."""
    from rclpy.executors import SingleThreadedExecutor
    from sqap_vla_ros.ros.vla.loading import load_configured_policy
    from sqap_vla_ros.ros.vla.node import VlaNode
    from sqap_vla_ros.ros.vla.running import serve
    found = []

    def make(config):
        found.append(Timed(load_configured_policy(config)))
        return found[-1]
    node = VlaNode(make, parameter_overrides=[
        Parameter(name, value=value)
        for name, value in {**NODE, 'torch_threads': threads}.items()])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    camera = subprocess.Popen([sys.executable, __file__, '--publish'], stdin=subprocess.PIPE)
    try:
        if not node.start():
            raise SystemExit(f'the node did not start: {node.problem}')
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(found[-1].rows) < count:
            serve(node, executor)
    finally:
        camera.stdin.close()
        camera.wait(10)
        node.take_apart()
        executor.shutdown()
        node.destroy_node()
    return {**shown(np.array(found[-1].rows[FIRST:])),
            'arithmetic': shown(np.array(found[-1].arithmetic))}


def shown(rows: np.ndarray) -> dict:
    """Return the figures of rows [n, 4] of Timed."""
    if len(rows) < 5:
        raise SystemExit(f'the node answered {len(rows)} times only: give it more --seconds')
    result = {'n': len(rows)}
    for column, name in enumerate(('wall_ms', 'processor_ms', 'waiting_ms')):
        values = np.percentile(rows[:, column] * 1e3, POINTS)
        result[name] = {f'p{point}': float(value) for point, value in zip(POINTS, values)}
        result[name]['p99_of_p50'] = float(values[2] / values[0]) if values[0] else None
    result['page_faults'] = {f'p{point}': float(value) for point, value in
                             zip(POINTS, np.percentile(rows[:, 3], POINTS))}
    return result


def main():
    """Measure, print and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--threads', nargs='+', type=int, default=[1])
    parser.add_argument('--count', type=int, default=200, help='inferences of each')
    parser.add_argument('--seconds', type=float, default=60.0, help='at most, of each')
    parser.add_argument('--publish', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.publish:
        return publish()
    wait_briefly()
    rclpy.init()
    result = {'machine': machine(), **versions(), 'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
              'load_average': os.getloadavg()[0], 'spin': os.environ.get(SPIN, ''), 'threads': {}}
    for threads in args.threads:
        with Progress(f'{args.count} inferences on {threads} threads while a camera streams'):
            result['threads'][threads] = run(threads, args.count, args.seconds)
        print(threads, json.dumps(result['threads'][threads]))
        args.out.write_text(json.dumps(result, indent=1) + '\n')
    rclpy.shutdown()


if __name__ == '__main__':
    main()
