# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Writes down what the demo's nodes say: one line of JSON on stdout for each message.

A process of its own, so that neither the policy node nor the simulator spends time on it. It
only listens. Kinds of lines: ready, episode (EpisodeRecord), chunk, selection, frame (an image
file), final_frame, diagnostic (a status that changed).
"""
from functools import partial
import json
from pathlib import Path
import signal
import sys

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from sqap_vla_ros.ingest.images import image_to_rgb
from sqap_vla_ros.msg import ActionChunk, TokenSelection
from sqap_vla_ros.ros.messages import nanoseconds_of
from sqap_vla_ros.ros.simulator.publishers import REPORTS
from std_msgs.msg import String

QUEUE = QoSProfile(depth=50)
JPEG_QUALITY = 95


class DemoRecorder(Node):
    """
    Listens to both nodes.

    Parameters: frames: directory for images, empty to leave them out; those on `image`, to be
    remapped to the first camera of the policy.  further_cameras: names of those that it sees
    besides.
    """

    def __init__(self, **node_arguments):
        super().__init__('demo_recorder', **node_arguments)
        frames = self.declare_parameter('frames', '').value
        further = self.declare_parameter('further_cameras', ['']).value
        self._frames = Path(frames)
        self._statuses: dict[str, tuple] = {}
        self.create_subscription(String, 'libero_sim/episode', self._on_episode, REPORTS)
        self.create_subscription(ActionChunk, 'vla_node/action_chunk', self._on_chunk, QUEUE)
        self.create_subscription(
            TokenSelection, 'vla_node/token_selection', partial(self._on_selection, ''), QUEUE)
        for name in filter(None, further):
            self.create_subscription(TokenSelection, f'vla_node/{name}/token_selection',
                                     partial(self._on_selection, name), QUEUE)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QUEUE)
        if frames:
            for topic, kind in (('image', 'frame'), ('libero_sim/final_image', 'final_frame')):
                self.create_subscription(Image, topic, partial(self._on_image, kind), QUEUE)
        write('ready')

    def _on_episode(self, message: String) -> None:
        write('episode', **json.loads(message.data))

    def _on_chunk(self, message: ActionChunk) -> None:
        stages = zip(message.stage_names, message.stage_ms)
        write('chunk', stamp=nanoseconds_of(message.header.stamp),
              instruction=message.instruction,
              stages={name: float(value) for name, value in stages})

    def _on_selection(self, camera: str, message: TokenSelection) -> None:
        write('further_selection' if camera else 'selection', camera=camera,
              stamp=nanoseconds_of(message.header.stamp),
              grid=[message.rows, message.cols], kept=list(message.kept),
              reason=list(message.reason), frames=list(message.frames),
              pixels=[list(pair) for pair in zip(message.protected_u, message.protected_v)],
              radii_px=list(message.protected_radius_px))

    def _on_image(self, kind: str, message: Image) -> None:
        stamp = nanoseconds_of(message.header.stamp)
        path = self._frames / f'{kind}_{stamp}.jpg'
        if not path.exists():  # a repeated tick
            image = cv2.cvtColor(image_to_rgb(message), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            write(kind, stamp=stamp, path=str(path))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            told = status.level[0], status.message
            if self._statuses.get(status.name) != told:
                self._statuses[status.name] = told
                write('diagnostic', name=status.name, level=told[0], message=told[1])


def write(kind: str, **fields) -> None:
    """Write one line of JSON to stdout."""
    print(json.dumps({'kind': kind, **fields}), flush=True)


def main() -> int:
    """Record until SIGINT or SIGTERM."""
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = DemoRecorder()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stopped:
            executor.spin_once(timeout_sec=0.1)
    except BrokenPipeError:  # the demo has ended
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
