# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A gripper that is driven by goals: GripperCommand or ParallelGripperCommand of control_msgs.

Goals are sent when the opening changes, not with every command, and one at a time: until the
server has taken or refused a goal, only the newest opening is kept. A goal that is still carried
out when another one follows is cancelled. Nothing here waits, so a server that hangs keeps
neither the arm from moving nor, above all, from stopping.
"""

import time

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ConfigError

from ..diagnostics import ERROR, OK, WARN

PATIENCE_S = 2.0  # for the answer to a goal; another one may follow then
REFUSED_S = 1.0  # after which a goal that was refused is tried again
ENDS = (0.0, 1.0)  # which are gone to however near the last goal was
HALF = 0.5  # an opening on its other side is another goal, be the change ever so small


class GripperAction:
    """
    Base of both kinds: the goals, and what became of them.

    topic_name: '', for an action has no topic that others could command on.
    """

    topic_name, kind_name = '', ''

    def __init__(self, node, config):
        """Keep the node's config; raise ConfigError where control_msgs is not installed."""
        self._node, self._config = node, config
        self._kind = _action(self.kind_name)
        self._name = config.gripper_action
        self._client = None
        self.begin()

    def use(self, config):
        """Take changed parameters."""
        self._config = config

    def setup(self, listener):
        """Create the client."""
        self._client = ActionClient(self._node, self._kind, self._name)

    def teardown(self):
        """Destroy the client; results that are still to come are not heard."""
        if self._client is not None:
            self._client.destroy()
            self._client = None
        self.begin()

    def activate(self):
        """Let nothing wait for the node's activation: goals do not."""

    def begin(self):
        """Forget goals: the first opening of this activation is a goal of its own."""
        self._sent = self._wanted = self._asked = self._goal = None
        self._asked_s = self._not_before_s = 0.0
        self.state = OK, 'no goal yet'

    def send(self, opening: float):
        """Go to an opening, 0 closed .. 1 open, unless that is where it goes already."""
        last = self._sent if self._wanted is None else self._wanted
        if last is None or opening != last and (
                opening in ENDS or (opening > HALF) != (last > HALF)
                or abs(opening - last) > self._config.gripper_deadband):
            self._wanted = opening
        if self._wanted is not None:
            self._go_on()

    def why_not(self):
        """Return (level, text) while nothing may move for want of the gripper, else None."""
        if not self._config.gripper_required or self._client.server_is_ready():
            return None
        return ERROR, (f'there is no {self.kind_name} server {self._name}: nothing moves until it '
                       "is there. Start the gripper's controller, correct gripper_action, or set "
                       'gripper_required to false')

    def check(self):
        """Notice a server that has gone, or does not answer."""
        if not self._client.server_is_ready():
            self.begin()
            self.state = WARN, f'there is no {self.kind_name} server {self._name}'
        elif self._asked is not None and self._waited_s > PATIENCE_S:
            self.state = WARN, f'the server {self._name} does not answer the last goal'

    @property
    def _waited_s(self) -> float:
        return time.monotonic() - self._asked_s

    def _go_on(self):
        """Send the opening that waits, unless the answer to the goal before it is awaited."""
        is_waiting = self._asked is not None and self._waited_s <= PATIENCE_S
        if is_waiting or time.monotonic() < self._not_before_s or (
                not self._client.server_is_ready()):
            return
        if self._goal is not None:
            self._goal.cancel_goal_async()
            self._goal = None
        self._sent, self._wanted, self._asked_s = self._wanted, None, time.monotonic()
        position = self._position(self._sent)
        self.state = OK, f'on its way to {position:.4g}'
        future = self._asked = self._client.send_goal_async(self.goal(position))
        future.add_done_callback(self._answered)

    def _answered(self, future):
        """Take the server's answer to a goal, unless another one has followed it."""
        if future is not self._asked:
            return
        self._asked, handle = None, future.result()
        if handle.accepted:
            self._goal = handle
            handle.get_result_async().add_done_callback(
                lambda result: self._ended(handle, result.result()))
        else:
            self.state = WARN, f'the server {self._name} refuses the goal'
            self._not_before_s = time.monotonic() + REFUSED_S
            self._wanted = self._sent if self._wanted is None else self._wanted
        if self._wanted is not None:
            self._go_on()

    def _ended(self, handle, response):
        """Take what became of a goal, if no other has followed it."""
        if handle is not self._goal:
            return
        self._goal = None
        result = response.result
        if response.status == GoalStatus.STATUS_SUCCEEDED:
            self.state = OK, 'reached' if result.reached_goal or not result.stalled else 'stalled'
        elif result.stalled:  # what a gripper's controller calls a failure when it holds something
            self.state = OK, 'stalled: it holds something'
        else:
            self.state = WARN, f'the goal ended as {_status_name(response.status)}'

    def _position(self, opening) -> float:
        closed = self._config.gripper_closed_position
        return closed + opening * (self._config.gripper_open_position - closed)


class GripperCommandAction(GripperAction):
    """control_msgs/action/GripperCommand."""

    kind_name = 'GripperCommand'

    def goal(self, position: float):
        """Return the goal of a position, m or rad."""
        goal = self._kind.Goal()
        goal.command.position = position
        goal.command.max_effort = self._config.gripper_max_effort
        return goal


class ParallelGripperCommandAction(GripperAction):
    """control_msgs/action/ParallelGripperCommand."""

    kind_name = 'ParallelGripperCommand'

    def goal(self, position: float):
        """Return the goal of a position, m or rad; an effort of 0 is left to the controller."""
        effort, joint = self._config.gripper_max_effort, self._config.gripper_joint
        return self._kind.Goal(command=JointState(
            name=[joint] if joint else [], position=[position], effort=[effort] if effort else []))


def _action(name):
    try:
        from control_msgs import action
        return getattr(action, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f'parameter gripper_output needs the action {name}, which is not installed: '
            '`apt install ros-$ROS_DISTRO-control-msgs`, in a version that has it, or set '
            'gripper_output to topic') from error


def _status_name(status) -> str:
    return {GoalStatus.STATUS_ABORTED: 'aborted', GoalStatus.STATUS_CANCELED: 'cancelled'}.get(
        status, f'status {status}')
