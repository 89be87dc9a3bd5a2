# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated gripper as an action server: GripperCommand or ParallelGripperCommand.

As a gripper's controller in ros2_control: a goal ends when the fingers are there, or when they no
longer move, as on an object; a new goal ends the one before it. Nothing here waits: `step` looks
once a control step.
"""
from collections.abc import Callable
import math

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.sensors import FINGER_TRAVEL_M, GRIPPER_JOINT

KINDS = {'gripper_command': 'GripperCommand', 'parallel_gripper_command': 'ParallelGripperCommand'}
TOLERANCE_M = 0.004
STALL_M, STALL_STEPS = 0.0005, 6  # fingers that moved less for so many control steps


class GripperServer:
    """
    An action server whose goals are positions of a finger, 0 closed to 0.04 m open.

    Raises ConfigError where control_msgs is not installed.
    """

    def __init__(self, node: Node, interface: str, name: str, command: Callable[[float], None]):
        """Serve one of KINDS under a name; command(opening), 0 .. 1, is called for a goal."""
        self._kind, self._command = _action(KINDS[interface]), command
        self._handle, self._position_m, self._last_m, self._still = None, 0.0, None, 0
        self._outcomes = {}
        self._server = ActionServer(
            node, self._kind, name, self._execute, goal_callback=_judge,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda handle: CancelResponse.ACCEPT)

    def close(self) -> None:
        """Destroy the server."""
        self._server.destroy()

    def restart(self) -> None:
        """End the goal of the last episode."""
        self._end('abort')

    def step(self, opening: float) -> None:
        """Look at the fingers, 0 closed .. 1 open, after a control step."""
        now_m = opening * FINGER_TRAVEL_M
        moved = self._last_m is None or abs(now_m - self._last_m) > STALL_M
        self._last_m, self._still = now_m, 0 if moved else self._still + 1
        if self._handle is None:
            return
        if self._handle.is_cancel_requested:
            self._end('canceled')
        elif abs(now_m - self._position_m) < TOLERANCE_M:
            self._end('succeed')
        elif self._still >= STALL_STEPS:
            self._end('abort', stalled=True)

    def _begin(self, handle) -> None:
        self._end('abort')
        position_m = _position(handle.request.command)
        self._handle, self._position_m, self._still = handle, position_m, 0
        self._command(min(max(position_m / FINGER_TRAVEL_M, 0.0), 1.0))

    def _end(self, how: str, stalled: bool = False) -> None:
        """End the present goal: 'succeed', 'abort' or 'canceled'."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._outcomes[bytes(handle.goal_id.uuid)] = how, stalled
            handle.execute()

    def _execute(self, handle):
        """Tell how a goal ended; rclpy calls this after handle.execute()."""
        how, stalled = self._outcomes.pop(bytes(handle.goal_id.uuid))
        getattr(handle, how)()
        result = self._kind.Result(stalled=stalled, reached_goal=how == 'succeed')
        if hasattr(result, 'state'):
            result.state = JointState(name=[GRIPPER_JOINT], position=[self._last_m or 0.0])
        else:
            result.position = self._last_m or 0.0
        return result


def _judge(goal) -> GoalResponse:
    """Accept what names a position."""
    return GoalResponse.ACCEPT if math.isfinite(_position(goal.command)) else GoalResponse.REJECT


def _position(command) -> float:
    """Return the finger's position that a goal asks for, m; NaN where it names none."""
    position = command.position
    return position if isinstance(position, float) else next(iter(position), math.nan)


def _action(name: str):
    try:
        from control_msgs import action
        return getattr(action, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f'parameter gripper_interface needs the action {name} of control_msgs, which is not '
            'installed: install it, or set gripper_interface to topic') from error
