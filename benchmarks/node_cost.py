# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What vla_node costs beside its inference: processor time, the GIL, and memory after cleanup.

executor: share of a core by thread, with joint_states at 1 kHz, TF at 500 Hz (ten frames a
message) and images at 30 Hz, each alone and all together, in turns in one node. With images,
joint_states and TF come at 20 Hz at least: without them no image is answered.
gil: times of the bundled policy while the node reads both streams, while a second process reads
them in its place, and while nobody does, in turns.
memory: what is resident after each of 30 cycles of configure, activate, deactivate and cleanup.

The result is written as JSON, part by part, and its figures into docs/node_cost.md.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/node_cost.py
"""
import argparse
from datetime import datetime, timezone
import json
import os
from pathlib import Path
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rig.node_cost_page import figures, with_figures
from rig.process_facts import facts, slope
from rig.processes import NodeProcess
from sqap_vla_ros.support.machine import machine, versions

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / 'results' / 'node_cost.json', HERE.parent / 'docs' / 'node_cost.md'
INSTRUCTION = 'put the bowl on the stove'
JOINTS_HZ, TF_HZ, IMAGES_HZ = 1000.0, 500.0, 30.0
JOINTS, FRAMES = 9, 10
SLOW = {'joints': 20.0, 'tf': 20.0}  # what images need to be answered
LIMITS = {'executor_cores_of_streams': 0.2, 'gil_percent': 10.0, 'mib_a_cycle': 0.5}
ANY_PICTURE = {'min_contrast': 0.0, 'max_image_change': 0.0, 'frozen_image_timeout': 0.0,
               'max_end_effector_speed': 0.0, 'start_on_activate': True, 'tf_timeout': 0.2,
               'missed_chunks': 0, 'image_timeout': 2.0, 'inference_timeout': 10.0}
BUNDLED = {**ANY_PICTURE, 'checkpoint': 'libero_goal', 'precision': 'w4a4', 'torch_threads': 1}


class Load:
    """A robot that stands still and publishes `rates` [Hz] of joints, tf and images; a thread."""

    def __init__(self, prefix=''):
        """prefix: before the names of all topics."""
        from sensor_msgs.msg import CameraInfo, Image, JointState
        from sqap_vla_ros.ros import qos
        from std_msgs.msg import String
        from tf2_msgs.msg import TFMessage
        self.node = node = Node('node_cost_load')
        self.rates, self.sent = {'joints': 0.0, 'tf': 0.0, 'images': 0.0}, {}
        self._publishers = {
            'joints': node.create_publisher(JointState, f'{prefix}/joint_states', qos.TF),
            'tf': node.create_publisher(TFMessage, f'{prefix}/tf', qos.TF),
            'images': node.create_publisher(Image, f'{prefix}/image', qos.SENSOR),
            'info': node.create_publisher(CameraInfo, f'{prefix}/camera_info', qos.SENSOR)}
        self._text = node.create_publisher(
            String, f'{prefix}/instruction', qos.INSTRUCTION_LATCHED)
        self._text.publish(String(data=INSTRUCTION))
        self._messages = messages()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        """End the thread and leave the graph."""
        self._ends.set()
        self._thread.join()
        self.node.destroy_node()

    def _run(self):
        due = dict.fromkeys(self.rates, time.perf_counter())
        while not self._ends.is_set():
            now_s = time.perf_counter()
            for name, rate_hz in self.rates.items():
                if rate_hz and due[name] <= now_s:
                    due[name] = max(due[name] + 1 / rate_hz, now_s - 0.1)
                    self._send(name)
            next_s = min((due[name] for name, rate in self.rates.items() if rate),
                         default=now_s + 0.05)
            time.sleep(max(0.0, min(0.05, next_s - time.perf_counter())))

    def _send(self, name):
        from sqap_vla_ros.ros.messages import time_message
        stamp = time_message(self.node.get_clock().now().nanoseconds)
        message = self._messages[name]
        for part in message.transforms if name == 'tf' else (message,):
            part.header.stamp = stamp
        if name == 'images':
            self._messages['info'].header.stamp = stamp
            self._publishers['info'].publish(self._messages['info'])
        self._publishers[name].publish(message)
        self.sent[name] = self.sent.get(name, 0) + 1


def messages():
    """Return a message of each stream; the arm has nine joints and ten frames."""
    from array import array
    from geometry_msgs.msg import TransformStamped
    from sensor_msgs.msg import CameraInfo, Image, JointState
    from tf2_msgs.msg import TFMessage
    names = [f'joint{index}' for index in range(JOINTS - 1)] + ['finger']
    joints = JointState(name=names, position=[0.02] * JOINTS, velocity=[0.0] * JOINTS,
                        effort=[0.0] * JOINTS)
    children = [f'link{index}' for index in range(FRAMES - 2)] + ['end_effector', 'camera']
    transforms = TFMessage(transforms=[TransformStamped(child_frame_id=name) for name in children])
    for item in transforms.transforms:
        item.header.frame_id, item.transform.rotation.w = 'base', 1.0
        item.transform.translation.z = 0.0 if item.child_frame_id == 'camera' else 1.0
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    image = Image(width=256, height=256, encoding='rgb8', step=768, data=array('B'))
    image.data.frombytes(pixels.tobytes())
    info = CameraInfo(width=256, height=256, distortion_model='plumb_bob', d=[0.0] * 5,
                      k=[200.0, 0.0, 127.5, 0.0, 200.0, 127.5, 0.0, 0.0, 1.0])
    image.header.frame_id = info.header.frame_id = 'camera'
    return {'joints': joints, 'tf': transforms, 'images': image, 'info': info}


class Listener(Node):
    """Hears what the node says of its inference and of its own cost."""

    def __init__(self):
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import TwistStamped
        from sqap_vla_ros.msg import ActionChunk
        from std_msgs.msg import Float64
        super().__init__('node_cost_listener')
        self.totals_ms, self.statuses = [], {}
        for topic, kind in (('delta_twist_cmds', TwistStamped), ('gripper_command', Float64)):
            self.create_subscription(kind, topic, lambda message: None, 1)  # nothing moves without
        self.create_subscription(ActionChunk, 'vla_node/action_chunk', self._answered, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._told, 10)

    def _answered(self, message):
        stages = dict(zip(message.stage_names, message.stage_ms))
        self.totals_ms.append(stages['total'])

    def _told(self, message):
        for status in message.status:
            self.statuses[status.name] = {item.key: item.value for item in status.values}

    def wait(self, seconds, count, process):
        """Wait for so many answers of a node."""
        self.listen(seconds, lambda: len(self.totals_ms) > count)
        if len(self.totals_ms) <= count:
            raise SystemExit(f'the node does not answer:\n{process.text[-3000:]}')

    def listen(self, seconds, until=lambda: False):
        """Take messages for a time, or until something holds."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until():
            rclpy.spin_once(self, timeout_sec=0.05)


def thread_seconds(pid):
    """Return {thread's name and id: processor time, s}; the executor's is the process's own."""
    found = {}
    for task in (Path('/proc') / str(pid) / 'task').iterdir():
        name = 'executor' if task.name == str(pid) else (task / 'comm').read_text().strip()
        found[f'{name} {task.name}'] = int((task / 'schedstat').read_text().split()[0]) * 1e-9
    return found


def cores(pid, seconds, listener):
    """Return the shares of a core that the threads of a process take, those of DDS together."""
    before, began_s = thread_seconds(pid), time.monotonic()
    listener.listen(seconds)
    passed_s, found = time.monotonic() - began_s, {'executor': 0.0, 'dds': 0.0, 'others': 0.0}
    for name, spent_s in thread_seconds(pid).items():
        kind = name.split()[0] if name.startswith('executor') else (
            'dds' if name.startswith('dds') else 'others')
        found[kind] += (spent_s - before.get(name, spent_s)) / passed_s
    return found


def executor_cost(seconds, rounds):
    """Return shares of a core by what is published: medians over rounds in turns."""
    cases = {'nothing': {}, 'joints': {'joints': JOINTS_HZ}, 'tf': {'tf': TF_HZ},
             'images': {**SLOW, 'images': IMAGES_HZ},
             'all': {'joints': JOINTS_HZ, 'tf': TF_HZ, 'images': IMAGES_HZ}}
    load, listener, process = Load(), Listener(), NodeProcess(ANY_PICTURE)
    found = {name: [] for name in cases}
    try:
        load.rates.update(cases['all'])
        listener.wait(60.0, 5, process)
        for _ in range(rounds):
            for name, rates in cases.items():
                load.rates.update({'joints': 0.0, 'tf': 0.0, 'images': 0.0, **rates})
                listener.listen(0.5)
                before, answers = dict(load.sent), len(listener.totals_ms)
                row = cores(process.process.pid, seconds, listener)
                row['answers_hz'] = (len(listener.totals_ms) - answers) / seconds
                for key in load.rates:
                    row[f'{key}_hz'] = (load.sent.get(key, 0) - before.get(key, 0)) / seconds
                found[name].append(row)
        told = {name: listener.statuses.get(f'vla_node: {name}') for name in (
            'process', 'camera', 'transforms')}
    finally:
        close(process, listener, load)
    return {**{name: medians(values) for name, values in found.items()},
            'diagnostics_of_the_last': told}


def gil_cost(seconds, rounds):
    """Return times of inference by who reads the streams, and what the node's reading costs."""
    loads = {'node': Load(), 'elsewhere': Load('/elsewhere')}
    listener = Listener()
    process = NodeProcess(BUNDLED, policy=False)
    reader = NodeProcess({**ANY_PICTURE, 'dry_run': True}, name='reader', remap=[
        word for name in ('joint_states', '/tf')
        for word in ('-r', f'{name}:=/elsewhere/{name.strip("/")}')] + [
            word for name in ('image', 'instruction')
            for word in ('-r', f'{name}:=/elsewhere/{name}')])
    found = {'nobody': [], 'node': [], 'elsewhere': []}
    try:
        loads['node'].rates.update(SLOW, images=IMAGES_HZ)
        listener.wait(120.0, 10, process)
        for turn in range(rounds):
            for name in list(found)[::1 if turn % 2 else -1]:  # so that no drift favours one
                loads['node'].rates.update(
                    {'joints': JOINTS_HZ, 'tf': TF_HZ} if name == 'node' else SLOW)
                loads['elsewhere'].rates.update(
                    {'joints': JOINTS_HZ, 'tf': TF_HZ} if name == 'elsewhere' else
                    {'joints': 0.0, 'tf': 0.0})
                listener.listen(0.7)
                listener.totals_ms.clear()
                listener.listen(seconds)
                found[name].append(list(listener.totals_ms))
    finally:
        close(process, reader, listener, *loads.values())
    return {**{name: {'n': sum(map(len, values)), **shown(np.concatenate(values))}
               for name, values in found.items()}, **compared(found)}


def compared(found):
    """Return how much slower inference is, %: the median of pairs of neighbours, and its range."""
    def percent(name, other, point):
        ratios = [np.percentile(a, point) / np.percentile(b, point)
                  for a, b in zip(found[name], found[other]) if a and b]
        found_percent = [100 * (ratio - 1) for ratio in ratios] or [np.nan]
        return {'median': float(np.median(found_percent)), 'low': float(min(found_percent)),
                'high': float(max(found_percent)), 'pairs': len(ratios)}
    return {f'{name}_against_{other}_percent_p{point}': percent(name, other, point)
            for name, other in (('node', 'elsewhere'), ('node', 'nobody'),
                                ('elsewhere', 'nobody')) for point in (50, 95)}


def memory_cost(cycles):
    """Return MiB resident after each cycle of one node with the bundled policy, and the slope."""
    from sqap_vla_ros import policy  # noqa: F401  (what stays in any case is no cost of a cycle)
    from sqap_vla_ros.ros.vla.node import VlaNode
    node = VlaNode(parameter_overrides=[Parameter(name, value=value) for name, value in {
        **BUNDLED, 'base_frame': 'base', 'end_effector_frames': ['end_effector'],
        'gripper_joint': 'finger', 'keep_tokens': 154}.items()])
    rows, before = [], facts(os.getpid())['rss_mib']
    for cycle in range(cycles):
        began_s = time.monotonic()
        assert node.start(), node.problem
        loaded = facts(os.getpid())['rss_mib']
        node.trigger_deactivate()
        node.trigger_cleanup()
        rows.append({**facts(os.getpid()), 'loaded_mib': loaded, 's': time.monotonic() - began_s})
    node.destroy_node()
    numbers, rss = list(range(cycles)), [row['rss_mib'] for row in rows]
    middle, low, high = slope(numbers, rss)
    return {'before_mib': before, 'rss_mib': rss,
            'loaded_mib': [row['loaded_mib'] for row in rows],
            'threads': [row['threads'] for row in rows], 'files': [row['files'] for row in rows],
            'mib_a_cycle': {'slope': middle, 'low': low, 'high': high},
            's_a_cycle': float(np.median([row['s'] for row in rows]))}


def close(*parts):
    """End processes and nodes."""
    for part in parts:
        if isinstance(part, NodeProcess):
            part.close()
        elif isinstance(part, Load):
            part.close()
        else:
            part.destroy_node()


def medians(rows):
    """Return the medians of dictionaries of numbers."""
    return {key: float(np.median([row[key] for row in rows])) for key in rows[0]}


def shown(times_ms):
    """Return the median and the 95th percentile, NaN of nothing."""
    return {f'p{point}_ms': float(np.percentile(times_ms, point)) if len(times_ms) else np.nan
            for point in (50, 95)}


def parsed(arguments=None):
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=list(PARTS), choices=list(PARTS))
    parser.add_argument('--seconds', type=float, default=2.0, help='of each turn')
    parser.add_argument('--rounds', type=int, default=6, help='turns of each case')
    parser.add_argument('--cycles', type=int, default=30)
    parser.add_argument('--out', type=Path, default=RESULTS)
    parser.add_argument('--page', type=Path, default=PAGE, help='whose figures are written')
    parser.add_argument('--render', action='store_true',
                        help='measure nothing: write the figures of --out into --page')
    return parser.parse_args(arguments)


PARTS = {'executor': lambda options: executor_cost(options.seconds, options.rounds),
         'gil': lambda options: gil_cost(options.seconds, options.rounds),
         'memory': lambda options: memory_cost(options.cycles)}


def measured(options):
    """Measure, and write JSON after each part: what has taken minutes is not lost."""
    result = {
        'command': ' '.join(['node_cost.py', *sys.argv[1:]]),
        'machine': {**machine(), **versions(), 'load_average_before': os.getloadavg()[0],
                    'date': datetime.now(timezone.utc).isoformat(timespec='seconds')},
        'streams': {'joints_hz': JOINTS_HZ, 'joints': JOINTS, 'tf_hz': TF_HZ, 'frames': FRAMES,
                    'images_hz': IMAGES_HZ}, 'limits': LIMITS}
    began_s = time.monotonic()
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    rclpy.init()
    for part in options.parts:
        result[part] = PARTS[part](options)
        result['machine'].update(load_average_after=os.getloadavg()[0],
                                 seconds=time.monotonic() - began_s)
        options.out.write_text(json.dumps(result, indent=1) + '\n')
    rclpy.shutdown()
    return result


def main():
    """Measure and write JSON, or read it; write the figures into the page, and print them."""
    options = parsed()
    result = json.loads(options.out.read_text()) if options.render else measured(options)
    page = with_figures(options.page.read_text(), result)
    options.page.write_text(page)
    print(figures(result))
    return 0


if __name__ == '__main__':
    sys.exit(main())
