# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A gripper that is driven by goals: GripperCommand or ParallelGripperCommand of control_msgs.

Goals are sent when the opening changes, not with every command, and one at a time: until the
server has taken or refused a goal, only the newest opening is kept, and a stop forgets it. A goal
that is still carried out when another one follows is cancelled; one that was refused, aborted or
not answered is sent again. Goals go out with commands alone, never with what a server answers,
and nothing here waits: a server that hangs keeps neither the arm from moving nor, above all, from
stopping.
"""

import time

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ConfigError

from ..diagnostics import ERROR, OK, WARN

PATIENCE_S = 2.0  # for the answer to a goal; it is sent again then
AGAIN_S = 1.0  # after which a goal that was refused or aborted is sent again
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
        self._client = self._asked = None
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
        self._forget_asked()
        self._sent = self._wanted = self._goal = None
        self._asked_s = self._not_before_s = 0.0
        self._trouble = ''  # of the last goal, which is sent again for it
        self.state = OK, 'no goal yet'

    def send(self, opening: float):
        """Go to an opening, 0 closed .. 1 open, unless that is where it goes already."""
        if self._asked is not None and self._waited_s > PATIENCE_S:
            self._forget_asked()
            self._failed(f'the server {self._name} does not answer the goal')
        last = self._sent if self._wanted is None else self._wanted
        if last is None or opening != last and (
                opening in ENDS or (opening > HALF) != (last > HALF)
                or abs(opening - last) > self._config.gripper_deadband):
            self._wanted = opening
        opening = self._wanted  # a stop on another thread may forget it
        if opening is not None:
            self._go_on(opening)

    def stop(self):
        """Send nothing more: the opening that waits is forgotten."""
        self._wanted = None

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
            self.state = WARN, f'the server {self._name} does not answer the goal'

    @property
    def _waited_s(self) -> float:
        return time.monotonic() - self._asked_s

    def _go_on(self, opening):
        """Send the opening that waits, unless the answer to the goal before it is awaited."""
        if self._asked is not None or time.monotonic() < self._not_before_s or (
                not self._client.server_is_ready()):
            return
        if self._goal is not None:
            self._goal.cancel_goal_async()
            self._goal = None
        self._sent, self._wanted, self._asked_s = opening, None, time.monotonic()
        position = self._position(opening)
        way = f'on its way to {position:.4g}'
        self.state = (WARN, f'{self._trouble}; {way} again') if self._trouble else (OK, way)
        future = self._asked = self._client.send_goal_async(self.goal(position))
        future.add_done_callback(self._answered)

    def _answered(self, future):
        """Note the server's answer to a goal, unless another one has followed it."""
        if future is not self._asked:
            return
        self._asked, handle = None, future.result()
        if handle.accepted:
            self._goal = handle
            handle.get_result_async().add_done_callback(
                lambda result: self._ended(handle, result.result()))
        else:
            self._failed(f'the server {self._name} refuses the goal', AGAIN_S)

    def _ended(self, handle, response):
        """Note what became of a goal, if no other has followed it."""
        if handle is not self._goal:
            return
        self._goal, self._trouble, result = None, '', response.result
        if response.status == GoalStatus.STATUS_SUCCEEDED:
            self.state = OK, 'reached' if result.reached_goal or not result.stalled else 'stalled'
        elif result.stalled:  # what a gripper's controller calls a failure when it holds something
            self.state = OK, 'stalled: it holds something'
        elif response.status == GoalStatus.STATUS_ABORTED:
            self._failed('the goal ended as aborted', AGAIN_S)
        else:  # somebody else's wish, which is not fought
            self.state = WARN, f'the goal ended as {_status_name(response.status)}'

    def _failed(self, trouble, wait_s=0.0):
        """Let the next command send its opening again, after a time."""
        self._trouble, self.state = trouble, (WARN, trouble)
        self._sent, self._not_before_s = None, time.monotonic() + wait_s

    def _forget_asked(self):
        """Wait for no answer any more; one that comes late is not heard."""
        future, self._asked = self._asked, None
        if future is not None:
            future.cancel()

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
    return 'cancelled' if status == GoalStatus.STATUS_CANCELED else f'status {status}'
