# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A policy whose answers the rig chooses while the node runs, and vla_node with it as a process.

It says a slow circle, so that an arm that does as told stays where it is. The rig writes what
it is to do next into the file that $RIG_BEHAVIOUR names; see BEHAVIOURS.

    python benchmarks/rig/policy.py --ros-args ...
"""
from functools import partial
import os
from pathlib import Path
import sys
import time
from types import SimpleNamespace

import numpy as np

VARIABLE = 'RIG_BEHAVIOUR'
INSTRUCTION = 'put the bowl on the stove'
INSTRUCTIONS = (INSTRUCTION, 'put the bowl on the plate')
ROWS, DT_S, TURN_RAD_S = 8, 0.05, 0.5
SLOW, FAST = 0.1, 0.24  # m/s


def circle(stamp_ns, speed=SLOW):
    """Return rows [8, 7] of a circle in the plane: where it is depends on the time alone."""
    angle = TURN_RAD_S * ((stamp_ns * 1e-9) % 1e4 + DT_S * np.arange(ROWS))
    rows = np.zeros((ROWS, 7), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 6] = speed * np.cos(angle), speed * np.sin(angle), 0.5
    return rows


def with_cell(row, column, value):
    """Return a behaviour: the circle with one number in it changed."""
    def rows(stamp_ns, count):
        actions = circle(stamp_ns)
        actions[row, column] = value
        return actions
    return rows


def straight(speed, turn=0.0):
    """Return a behaviour: every row the same."""
    return lambda stamp_ns, count: np.tile(np.float32([speed, 0, 0, 0, 0, turn, 0.5]), (ROWS, 1))


def shaking(stamp_ns, count):
    """Return rows of a fast way whose direction is another in each row."""
    rows = np.zeros((ROWS, 7), np.float32)
    rows[:, :3] = np.random.default_rng(count).normal(size=(ROWS, 3))
    rows[:, :3] *= FAST / np.linalg.norm(rows[:, :3], axis=1, keepdims=True)
    return rows


BEHAVIOURS = {
    'good': lambda stamp_ns, count: circle(stamp_ns),
    'fast': lambda stamp_ns, count: circle(stamp_ns, FAST),
    'nan': with_cell(3, 0, np.nan), 'inf': with_cell(0, 1, np.inf),
    'minus inf': with_cell(7, 5, -np.inf), 'nan gripper': with_cell(2, 6, np.nan),
    'gripper of 50': with_cell(2, 6, 50.0), 'huge': straight(1e6),
    'two metres': straight(2.0), 'three metres': straight(3.0),
    'one metre': straight(1.0), 'spin': straight(0.0, 20.0),
    'reverse': lambda stamp_ns, count: straight(FAST * (1 - 2 * (count % 2)))(0, 0),
    'shake': shaking, 'zeros': straight(0.0),
    'five columns': lambda stamp_ns, count: circle(stamp_ns)[:, :5],
    'fourteen columns': lambda stamp_ns, count: np.tile(circle(stamp_ns), (1, 2)),
    'no rows': lambda stamp_ns, count: circle(stamp_ns)[:0],
    'flat': lambda stamp_ns, count: circle(stamp_ns).reshape(-1),
    'text': lambda stamp_ns, count: np.array([['a'] * 7] * ROWS)}


class ChosenPolicy:
    """Answers as the file says; has what vla_node needs of a Policy."""

    def __init__(self, config):
        """Take the node's configuration, which does not matter."""
        from sqap_vla_ros.control.action_space import ActionSpace
        from sqap_vla_ros.observation import STATE_NAMES
        self._file, self._count = Path(os.environ[VARIABLE]), 0
        self.config = SimpleNamespace(action_space=ActionSpace(execute_steps=4))
        self.instructions, self.state_names = INSTRUCTIONS, STATE_NAMES
        self.precision, self.grid, self.kept_tokens = 'fp', (16, 16), 154

    def reset(self):
        """Forget nothing: there is nothing."""

    def is_ready(self, instruction, image_size):
        """Return that nothing has to be compiled."""
        return True

    def check_instruction(self, instruction):
        """Raise ObservationError for an instruction other than the two."""
        from sqap_vla_ros.model.prompt import check_known
        check_known(instruction, self.instructions)

    def infer(self, observation):
        """Return the chunk that is asked for, in the way that is asked for."""
        from sqap_vla_ros.observation import ActionChunk
        name, _, number = self._file.read_text().strip().partition(':')
        self._count += 1
        self._misbehave(name, number)
        space, stamp_ns, dt = self.config.action_space, observation.stamp_ns, DT_S
        actions = BEHAVIOURS.get(name, BEHAVIOURS['good'])(stamp_ns, self._count)
        if name == 'stamp':
            stamp_ns += int(float(number) * 1e9)
        if name == 'dt':
            dt = float(number)
        return ActionChunk(actions, dt, space.names, stamp_ns, {'total': 1.0})

    def _misbehave(self, name, number):
        if name == 'slow':
            time.sleep(float(number))
        elif name == 'hang':
            while self._file.read_text().startswith('hang'):
                time.sleep(0.02)
        elif name == 'hold':  # one call of C, in which no other thread of the process runs
            sum(range(int(float(number) * 3e7)))
        elif name == 'crash':
            raise RuntimeError('the network is broken')
        elif name == 'exit':
            os._exit(3)
        elif name == 'interrupt':
            raise KeyboardInterrupt
        elif name == 'memory':
            raise MemoryError('no memory is left')


def main():
    """Run vla_node with the chosen policy."""
    from sqap_vla_ros.ros.vla import node
    node.VlaNode = partial(node.VlaNode, ChosenPolicy)
    return node.main()


if __name__ == '__main__':
    sys.exit(main())
