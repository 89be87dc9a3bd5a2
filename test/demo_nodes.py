# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand-ins for the demo's processes: `python demo_nodes.py ROLE [ARGUMENT ...]`.

policy: answers every tick, and every image with a chunk and a token selection, as vla_node
does; simulator: libero_sim_node without MuJoCo; dying: ends at once with an error; stubborn:
ignores signals.
"""
from array import array
import signal
import sys
import time

import numpy as np
from sim_doubles import PointEnv, ScriptedPolicy, twist_message
from sqap_vla_ros.msg import ActionChunk, TokenSelection

GRID = 16, 16
KEPT = 154
STAGES = {'preprocess': 1.0, 'vision': 10.0, 'prefill_1': 4.0, 'selection': 0.5,
          'prefill_2': 6.0, 'head': 2.0, 'total': 23.5, 'observation': 0.7, 'ros_overhead': 1.5}


class DemoPolicy(ScriptedPolicy):
    """A scripted policy that also tells what it 'thought'."""

    def __init__(self):
        super().__init__(lambda stamp, count, image: twist_message(stamp, (0.2, 0, 0)))
        self._chunks = self.node.create_publisher(ActionChunk, '~/action_chunk', 5)
        self._selections = self.node.create_publisher(TokenSelection, '~/token_selection', 5)
        self._looked_at = None

    def _on_tick(self, stamp):
        if not self.messages['instruction']:
            return  # the tick will be repeated
        image = self.messages['image'][-1]
        if image.header.stamp == stamp != self._looked_at:
            self._looked_at = stamp
            self._tell(image)
        super()._on_tick(stamp)

    def _tell(self, image):
        generator = np.random.default_rng(image.header.stamp.nanosec)
        kept = np.sort(generator.permutation(GRID[0] * GRID[1])[:KEPT]).astype(np.int32)
        reason = generator.integers(0, 3, KEPT).astype(np.uint8)
        self._selections.publish(TokenSelection(
            header=image.header, image_width=image.width, image_height=image.height,
            rows=GRID[0], cols=GRID[1], kept=array('i', kept.tobytes()),
            reason=array('B', reason.tobytes()), frames=['end_effector'],
            protected_u=[0.5 * image.width], protected_v=[0.4 * image.height],
            protected_radius_px=[0.0]))
        instruction = self.messages['instruction'][-1].data
        self._chunks.publish(ActionChunk(
            header=image.header, instruction=instruction, stage_names=list(STAGES),
            stage_ms=array('f', STAGES.values())))


def policy() -> int:
    """Answer until SIGINT or SIGTERM."""
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    node = DemoPolicy()
    while not stopped:
        time.sleep(0.05)
    node.close()
    return 0


def simulator(arguments) -> int:
    """Run libero_sim_node with a PointEnv."""
    from sqap_vla_ros.ros.simulator.node import main
    return main(arguments, PointEnv)


def dying() -> int:
    """Complain and end."""
    print('the checkpoint is broken')
    return 3


def stubborn() -> int:
    """Ignore what asks to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
    return 0


if __name__ == '__main__':
    role, *rest = sys.argv[1:]
    sys.exit(globals()[role](*([rest] if role == 'simulator' else [])))
