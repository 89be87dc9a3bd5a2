# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What ROS adds to inference: within vla_node, and from a camera process to its command.

A camera process sends 640x480 images at 30 Hz with camera_info and TF to vla_node in another
process, and takes the time when the command comes back that answers an image. The policy
stands in for a network: it multiplies matrices with torch for a few milliseconds and tells in
its twist which image it saw. Measured idle and with torch busy on a second thread of the node.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/ros_overhead.py
"""
import argparse
from array import array
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import subprocess
import sys
import threading
import time

import numpy as np
import rclpy
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress

WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
SPEED_STEP = 1e-4  # m/s a frame number
SPEED_STEPS = 2000
LIMITS = {'node_overhead_ms_p99': 5.0, 'image_to_command_ms_p99': 20.0, 'delivered_percent': 99.0}
sys.path.append(str(Path(__file__).resolve().parents[1] / 'test'))
RESULTS = Path(__file__).resolve().parent / 'results' / 'ros_overhead.json'


def matrix_policy(infer_ms):
    """Return a policy that works for some milliseconds and tells the number in its image."""
    from ros_harness import KnownPolicy
    from sqap_vla_ros.geometry.image_transform import ImageTransform
    from sqap_vla_ros.geometry.patches import protected_distances
    from sqap_vla_ros.observation import ActionChunk
    from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
    import torch
    torch.set_num_threads(1)
    matrix, policy = torch.randn(128, 128), KnownPolicy(None)
    policy.instructions, policy.kept_tokens, policy.grid = (), 154, (16, 16)
    policy.image_transform = ImageTransform((224, 224))
    policy.is_ready = lambda instruction, image_size: True
    space = policy.config.action_space

    def infer(observation):
        start = time.perf_counter()
        while time.perf_counter() - start < infer_ms * 1e-3:
            matrix @ matrix
        protected = observation.protected
        distance = protected_distances(protected.pixels, protected.radii_px, (HEIGHT, WIDTH),
                                       policy.image_transform, policy.grid)
        selection = select_tokens(
            np.arange(256.0), distance, policy.grid, SelectionConfig(policy.kept_tokens))
        actions = np.zeros((8, 7), np.float32)
        actions[:, 0] = int.from_bytes(observation.image[0, 0].tobytes(), 'little') * SPEED_STEP
        return ActionChunk(actions, space.dt, space.names, observation.stamp_ns,
                           {'total': (time.perf_counter() - start) * 1e3}, selection)
    policy.infer = infer
    return policy


def run_node(infer_ms, busy):
    """Run vla_node with the stand-in policy, in this process."""
    from sqap_vla_ros.ros.vla import node as vla_node
    ended = threading.Event()
    burner = threading.Thread(target=_burn, args=(ended,))
    vla_node.VlaNode.__init__.__defaults__ = (lambda config: matrix_policy(infer_ms), 'vla_node')
    if busy:
        burner.start()
    try:
        return vla_node.main()
    finally:
        ended.set()


def _burn(ended):
    import torch
    matrix = torch.randn(256, 256)
    while not ended.is_set():
        matrix = torch.tanh(matrix @ matrix)


class Camera:
    """The camera process: sends frames and notes when their commands come."""

    def __init__(self):
        from geometry_msgs.msg import TwistStamped
        from rclpy.node import Node
        from sensor_msgs.msg import CameraInfo, Image
        from sqap_vla_ros.msg import ActionChunk
        from sqap_vla_ros.ros import qos
        from std_msgs.msg import String
        from tf2_msgs.msg import TFMessage
        self.node = node = Node('benchmark_camera')
        self.executor = rclpy.executors.SingleThreadedExecutor()
        self.executor.add_node(node)
        self._image_publisher = node.create_publisher(Image, 'image', qos.SENSOR)
        self._info_publisher = node.create_publisher(CameraInfo, 'camera_info', qos.SENSOR)
        self._tf = node.create_publisher(TFMessage, '/tf', qos.TF)
        self._text = node.create_publisher(String, 'instruction', qos.INSTRUCTION_LATCHED)
        self._text.publish(String(data='benchmark'))
        node.create_subscription(TwistStamped, 'delta_twist_cmds', self._commanded, qos.COMMAND)
        node.create_subscription(ActionChunk, 'vla_node/action_chunk', self._answered, qos.RESULT)
        self._image, self._info, self._transforms = self._messages()
        self._noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        self.sent, self.commanded, self.chunks = {}, {}, {}

    @staticmethod
    def _messages():
        from ros_harness import transform
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model='plumb_bob', d=[0.0] * 5,
                          k=[500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0])
        image = Image(width=WIDTH, height=HEIGHT, encoding='rgb8', step=3 * WIDTH)
        image.header.frame_id = info.header.frame_id = 'camera'
        return image, info, TFMessage(transforms=[
            transform('base', 'camera', (0.0, 0.0, 0.0), 0),
            transform('base', 'end_effector', (0.0, 0.0, 1.0), 0)])

    def show(self, number):
        """Send the frame with a number, stamped now."""
        self._noise[0, 0] = np.frombuffer(number.to_bytes(3, 'little'), np.uint8)
        data = array('B')
        data.frombytes(self._noise.tobytes())
        self._image.data = data
        self.sent[number] = stamp_ns = self.node.get_clock().now().nanoseconds
        from sqap_vla_ros.ros.messages import time_message
        for message in (self._image, self._info, *self._transforms.transforms):
            message.header.stamp = time_message(stamp_ns)
        self._tf.publish(self._transforms)
        self._info_publisher.publish(self._info)
        self._image_publisher.publish(self._image)

    def run(self, seconds, first=1):
        """Send frames at RATE_HZ for a time, and then wait for the last answers."""
        due = time.perf_counter()
        for number in range(first, first + round(seconds * RATE_HZ)):
            self.show(number)
            due += 1 / RATE_HZ
            while (left_s := due - time.perf_counter()) > 0:
                self.executor.spin_once(timeout_sec=left_s)
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            self.executor.spin_once(timeout_sec=0.05)

    def _commanded(self, message):
        number = round(message.twist.linear.x / SPEED_STEP)
        if number:
            self.commanded.setdefault(number, self.node.get_clock().now().nanoseconds)

    def _answered(self, message):
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        stages = dict(zip(message.stage_names, message.stage_ms))
        self.chunks[stamp_ns] = stages


def measure(seconds, infer_ms, busy):
    """Return the results of one run, as a dictionary."""
    parameters = ['autostart:=true', 'base_frame:=base', 'end_effector_frames:=[end_effector]',
                  'execute_steps:=1', 'keep_tokens:=154', 'start_on_activate:=true',
                  'require_resume:=false']
    node = subprocess.Popen([
        sys.executable, __file__, '--role', 'node', '--infer-ms', str(infer_ms),
        *['--busy'] * busy, '--ros-args',
        *(word for value in parameters for word in ('-p', value))])
    try:
        camera = Camera()
        number = 1
        while not camera.commanded:
            camera.run(0.5, number)
            number += 100
        images_before = _images_heard(camera)
        camera.sent.clear(), camera.commanded.clear(), camera.chunks.clear()
        camera.run(seconds, 1)
        heard = _images_heard(camera) - images_before
        camera.node.destroy_node()
    finally:
        node.terminate()
        node.wait(10)
    return summarize(camera, heard)


def _images_heard(camera):
    """Return how many images the node has counted, from its next report."""
    from diagnostic_msgs.msg import DiagnosticArray
    counts = []

    def take(message):
        for status in message.status:
            if status.name == 'vla_node: inputs':
                counts.extend(int(v.value) for v in status.values if v.key == 'images')
    subscription = camera.node.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
    while len(counts) < 2:  # the first may have been counted before the last image came in
        camera.executor.spin_once(timeout_sec=0.1)
    camera.node.destroy_subscription(subscription)
    return counts[-1]


def summarize(camera, heard):
    """Return percentiles over all images that were answered."""
    node_ms, across_ms = [], []
    for number, stamp_ns in camera.sent.items():
        stages = camera.chunks.get(stamp_ns)
        if stages is not None:
            node_ms.append(stages['ros_overhead'])
        if stages is not None and number in camera.commanded:
            across_ms.append((camera.commanded[number] - stamp_ns) * 1e-6 - stages['total'])
    return {
        'images_sent': len(camera.sent), 'images_heard': heard,
        'delivered_percent': round(100 * heard / len(camera.sent), 2),
        'n': len(across_ms), **_percentiles('node_overhead_ms', node_ms),
        **_percentiles('image_to_command_ms', across_ms)}


def _percentiles(name, values):
    return {f'{name}_p{percent}': round(float(np.percentile(values, percent)), 3)
            for percent in (50, 95, 99)}


def conditions():
    """Return what the numbers depend on."""
    return {
        **machine(), **versions(),
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'load_average_before': round(os.getloadavg()[0], 2),
        'scheduler': 'other' if os.sched_getscheduler(0) == os.SCHED_OTHER else 'real-time',
        'rmw': rclpy.get_rmw_implementation_identifier(),
        'fastdds_profile': any(
            os.environ.get(f'{name}_DEFAULT_PROFILES_FILE') for name in ('FASTRTPS', 'FASTDDS'))}


def main():
    """Measure idle and busy, print both, write the JSON; returns 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--role', choices=('both', 'node'), default='both')
    parser.add_argument('--busy', action='store_true', help='node: a second thread of torch')
    parser.add_argument('--seconds', type=float, default=30.0, help='of each run')
    parser.add_argument('--infer-ms', type=float, default=10.0)
    parser.add_argument('--output', type=Path, default=RESULTS)
    options, ros_arguments = parser.parse_known_args()
    if options.role == 'node':
        sys.argv[1:] = ros_arguments
        return run_node(options.infer_ms, options.busy)
    if not 1 <= options.seconds * RATE_HZ < SPEED_STEPS:
        parser.error(f'--seconds must give 1 to {SPEED_STEPS - 1} frames at {RATE_HZ:g} Hz')
    rclpy.init()
    result = {'machine': conditions(), 'limits': LIMITS, 'image': [WIDTH, HEIGHT],
              'rate_hz': RATE_HZ, 'infer_ms': options.infer_ms}
    for name, busy in (('idle', False), ('torch_busy', True)):
        with Progress(f'{name}, for {options.seconds:g} s'):
            result[name] = measure(options.seconds, options.infer_ms, busy)
        print(name, json.dumps(result[name], indent=1), flush=True)
    rclpy.shutdown()
    busy = result['torch_busy']
    result['passed'] = (
        all(busy[name] <= LIMITS[name] for name in LIMITS if name.endswith('p99'))
        and busy['delivered_percent'] >= LIMITS['delivered_percent'])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + '\n')
    print(f'{json.dumps(result["machine"])}\npassed: {result["passed"]}; wrote {options.output}')
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    sys.exit(main())
