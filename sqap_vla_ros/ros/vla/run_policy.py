# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
`~/run_policy`: one instruction for a time, with feedback, a reason for its end, and cancel.

One goal at a time: another is rejected while one runs, so that two clients can't move the arm in
turns. Nothing here waits: a goal runs for as long as the control timer finds it may, and the
executor thread is free for commands.
"""

from dataclasses import dataclass
import math
import time

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.impl.implementation_singleton import rclpy_implementation
from sqap_vla_ros.action import RunPolicy as Action

from .diagnostics import OK, WARN
from ...control.instructions import shown

CLIENT_GONE_S = 2.0  # without any client, of a goal that nothing else would end
STOPPED, ESTOP, FAULT = Action.Result.STOPPED, Action.Result.ESTOP, Action.Result.FAULT
DEACTIVATED = Action.Result.DEACTIVATED


@dataclass
class _Run:
    """A goal that is being followed; counts: (inferences, commands) when it began."""

    handle: object
    began_s: float
    counts: tuple
    client_seen_s: float

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.began_s


class _Server(ActionServer):
    """Goals are followed by the control timer: rclpy is to run nothing until they end."""

    def notify_execute(self, goal_handle, execute_callback):
        pass

    def finish(self, goal_handle, result_of) -> bool:
        """
        Send what result_of(goal_handle) returns, which also sets the goal's last state.

        Returns False where no executor is left to send it.
        """
        if self._node.executor is None:  # nobody sends results any more
            return False
        try:
            super().notify_execute(goal_handle, result_of)
        except rclpy_implementation.InvalidHandle:  # where each release has it
            return False
        return True


class RunPolicy:
    """The action server; control: the active Control, or None while nothing is configured."""

    def __init__(self, node, diagnostics):
        """Serve as long as the node lives: a goal for an inactive node is told why not."""
        self._node, self._diagnostics = node, diagnostics
        self.control = None
        self._run = None
        name = '~/run_policy'
        self._feedback_topic = node.resolve_topic_name(name) + '/_action/feedback'
        self._server = _Server(
            node, Action, name, lambda handle: None, goal_callback=self._judge,
            handle_accepted_callback=self._begin, cancel_callback=self._cancel)

    def destroy(self):
        """Leave the topics."""
        self._server.destroy()

    @property
    def is_running(self) -> bool:
        """Whether a goal is being followed."""
        return self._run is not None

    def attend(self):
        """End a goal whose time is over; called at each control period."""
        run = self._run
        if run is not None and 0 < run.handle.request.max_duration_s <= run.elapsed_s:
            self.end(Action.Result.DURATION,
                     f'{run.handle.request.max_duration_s:g} s are over')

    def report(self):
        """Send feedback, and end a goal that nobody listens to and nothing else ends."""
        run = self._run
        if run is None:
            return
        inferences, commands = self._counts()
        run.handle.publish_feedback(Action.Feedback(
            inferences=inferences, commands=commands, elapsed_s=run.elapsed_s,
            latency_ms=_number(self.control.pace.latency_ms),
            hold_reason=self.control.hold_reason))
        now_s = time.perf_counter()
        if self._node.count_subscribers(self._feedback_topic):
            run.client_seen_s = now_s
        elif not run.handle.request.max_duration_s and now_s - run.client_seen_s > CLIENT_GONE_S:
            self.end(Action.Result.CLIENT_GONE,
                     'no client of ~/run_policy is left, and the goal has no max_duration_s')

    def end(self, reason: str, message: str):
        """Stop the arm and send the result, if a goal is being followed."""
        run = self._run
        if run is None:
            return
        inferences, commands = self._counts()
        self._run = None
        self.control.end_goal(at_once=reason != Action.Result.DURATION)
        result = Action.Result(
            termination_reason=reason, message=message, inferences=inferences, commands=commands,
            elapsed_s=run.elapsed_s)
        if not self._server.finish(run.handle, lambda handle: _concluded(handle, result)):
            self._node.get_logger().warning(
                f'the goal of ~/run_policy ended ({reason}); its client can not be told any more')
        self._diagnostics.report('run_policy', OK, f'the last goal ended ({reason}): {message}')

    def _judge(self, goal):
        reason = self._why_not(goal)
        if reason:
            self._diagnostics.report('run_policy', WARN, f'a goal was rejected: {reason}')
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _why_not(self, goal) -> str:
        duration_s = goal.max_duration_s
        if not (math.isfinite(duration_s) and duration_s >= 0):
            return f'max_duration_s is {duration_s}, expected seconds, or 0 for no limit'
        if self.control is None or not self.control.is_active:
            return 'the node is not active: configure and activate it first'
        if self._run is not None:
            return (f'{shown(self._run.handle.request.instruction)} is being followed: cancel '
                    'that goal first')
        return self.control.why_no_goal(goal.instruction)

    def _begin(self, handle):
        now_s = time.perf_counter()
        self._run = _Run(handle, now_s, self.control.counts, now_s)
        handle.execute()
        self.control.begin_goal(handle.request.instruction)
        limit_s = handle.request.max_duration_s
        self._diagnostics.report(
            'run_policy', OK, f'follows {shown(handle.request.instruction)} '
            + (f'for {limit_s:g} s' if limit_s else 'until it is cancelled or its client is gone'))

    def _cancel(self, handle):
        if self._run is None or handle.goal_id != self._run.handle.goal_id:
            return CancelResponse.REJECT
        self.end(Action.Result.CANCELLED, 'cancelled by a client')
        return CancelResponse.ACCEPT

    def _counts(self):
        return tuple(now - then for now, then in zip(self.control.counts, self._run.counts))


def _concluded(handle, result):
    """Set a goal's last state and return its result."""
    if handle.is_cancel_requested:
        handle.canceled()
    elif result.termination_reason == Action.Result.DURATION:
        handle.succeed()
    else:
        handle.abort()
    return result


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0
