# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla run`: transitions, and a goal of ~/run_policy with its end; see commands/run.py."""

from __future__ import annotations

from dataclasses import dataclass
import math
import sys
import time

from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from sqap_vla_ros.action import RunPolicy
from std_srvs.srv import Trigger

from . import graph
from .session import ANSWER_S, Session
from .stopping import stop_all
from .watch import Heard
from ...errors import ConfigError

LOAD_S = 600.0  # for configure: a large checkpoint is read and warmed up
CANCEL_S = 10.0
HEAR_S = 1.5  # for /diagnostics, which come once a second
REJECTED = 'a goal was rejected: '
SILENT_S = 5.0  # without feedback, which comes several times a second
PLAIN_PERIOD_S = 5.0  # between lines of feedback where the output is no terminal
Result = RunPolicy.Result
STATUSES = {Result.DURATION: 0, Result.STOPPED: 4, Result.ESTOP: 5, Result.FAULT: 6,
            Result.CLIENT_GONE: 7, Result.DEACTIVATED: 8, Result.CANCELLED: 130}
LOST = 9
# what a reason for which a goal is rejected contains, and what to do where there is no `ros2`
ADVICE = (
    ('cancel that goal first', 'press Ctrl-C where it was begun, or say `sqap-vla run --stop`, '
     'which latches'),
    ('not active', 'say `sqap-vla run --activate ...`'),
    ('~/resume', 'when it is safe, say `sqap-vla run --resume`'),
)


@dataclass(frozen=True)
class RunOptions:
    """What `sqap-vla run` is asked for, as commands/run.py explains it."""

    instruction: str = ''
    duration_s: float = 60.0
    node: str = ''
    configure: bool = False
    activate: bool = False
    resume: bool = False
    stop: bool = False

    def __post_init__(self):
        """Raise ConfigError for what no node can make sense of."""
        if not (math.isfinite(self.duration_s) and self.duration_s >= 0):
            raise ConfigError(f'--duration is {self.duration_s:g}, expected seconds, or 0 for no '
                              'limit')
        if self.stop and (self.instruction or self.activate or self.resume or self.configure):
            raise ConfigError('--stop goes alone: it stops the arm until --resume')
        if not (self.instruction or self.stop or self.resume or self.activate or self.configure):
            raise ConfigError('say what to do, such as sqap-vla run "put the bowl on the stove", '
                              'or one of --configure, --activate, --resume, --stop')


def run(options: RunOptions) -> int:
    """
    Do what the options ask for, in the order stop, configure, activate, resume, instruction.

    Returns the exit status that STATUSES gives the end of a goal, 0 without a goal. Raises
    ConfigError, with what to do, where something is refused.
    """
    with Session('run') as session:
        if options.stop:
            return stop_all(session, options.node)
        name, action = graph.find_node(session, options.node, graph.FIND_S)
        heard = Heard(session.node)
        if options.configure or options.activate:
            make_ready(session, name, heard, options.activate)
        if options.resume and trigger(session, f'{name}/resume'):
            return 1
        if not options.instruction:
            return 0
        return Goal(session, name, action, heard).follow(options)


def trigger(session: Session, service: str) -> int:
    """Call a Trigger service and tell its answer; returns 0, or 1 if it says no."""
    response = session.call(Trigger, service, Trigger.Request())
    print(f'{service}: {response.message}', flush=True)
    return 0 if response.success else 1


def make_ready(session: Session, name: str, heard: Heard, activate: bool) -> None:
    """Bring a node to `inactive`, or to `active`, from where it is."""
    def state() -> str:
        return session.call(GetState, f'{name}/get_state', GetState.Request()).current_state.label
    for wanted, before in (('configure', 'unconfigured'), ('activate', 'inactive')):
        if state() == before and (activate or wanted == 'configure'):
            print(f'{name}: {wanted} ...', flush=True)
            request = ChangeState.Request()
            request.transition.label = wanted
            if not session.call(ChangeState, f'{name}/change_state', request, LOAD_S).success:
                raise ConfigError(f'{name}: {wanted} failed: {why_failed(session, heard, name)}')
    now = state()
    if now not in (('active',) if activate else ('active', 'inactive')):
        raise ConfigError(f'{name} is {now}: start it again')
    print(f'{name} is {now}', flush=True)


def why_failed(session: Session, heard: Heard, name: str) -> str:
    """Return what a node says of a transition that failed."""
    def said():
        return [status for status in heard.of(name).items.values() if status.level >= 2]
    session.until(said, 2.0)
    return '; '.join(status.message for status in said()) or 'its log says why'


class Goal:
    """One goal of ~/run_policy, from the question to its end."""

    def __init__(self, session: Session, name: str, action: str, heard: Heard):
        """Make the client."""
        self._session, self._name, self._heard = session, name, heard
        self._client = ActionClient(session.node, RunPolicy, action)
        self._action = action
        self._told = Feedbacks()

    def follow(self, options: RunOptions) -> int:
        """Send the goal and tell how it goes; returns the exit status of its end."""
        session = self._session
        try:
            if not session.until(self._client.server_is_ready, ANSWER_S):
                raise ConfigError(f'nobody serves {self._action}: is the node still there?')
            # rejections are repeated in /diagnostics: know the last one before this goal's
            session.until(lambda: self._heard.of(self._name).items, HEAR_S)
            self._before = self._rejection()
            answer = self._client.send_goal_async(
                RunPolicy.Goal(instruction=options.instruction,
                               max_duration_s=options.duration_s),
                feedback_callback=lambda message: self._told.take(message.feedback))
            if not session.until(answer.done, ANSWER_S, patient=True):
                raise ConfigError(f'{self._name} has not answered for {ANSWER_S:g} s whether it '
                                  'takes the goal: `sqap-vla watch` shows what it does')
            handle = answer.result()
            if not handle.accepted:
                raise ConfigError(self._why_rejected())
            return self._end(handle, options)
        finally:
            self._client.destroy()

    def _end(self, handle, options) -> int:
        """Wait for the end of an accepted goal, which Ctrl-C cancels."""
        session, name = self._session, self._name
        limit = f'for {options.duration_s:g} s' if options.duration_s else 'until Ctrl-C'
        print(f'{name} follows {options.instruction!r} {limit}; Ctrl-C cancels', flush=True)
        result = handle.get_result_async()
        while not result.done() and not session.interrupts and not self._is_lost():
            session.until(result.done, 0.5)
            self._told.show()
        if not result.done() and session.interrupts:
            self._told.break_line()
            print('cancelling ...', flush=True)
            handle.cancel_goal_async()
            session.until(result.done, CANCEL_S)
        self._told.break_line()
        if not result.done():
            print(f'{name} has gone or does not answer: whether the arm stands is not known. '
                  'Use the emergency stop', file=sys.stderr, flush=True)
            return LOST
        return tell_end(result.result().result)

    def _is_lost(self) -> bool:
        """Return whether neither feedback nor the server is there any more."""
        return self._told.silent_s > SILENT_S and not self._client.server_is_ready()

    def _rejection(self) -> str:
        """Return why the node has rejected its last goal, as far as is known, '' if it has not."""
        said = self._heard.of(self._name).items.get('run_policy')
        return said.message.partition(REJECTED)[2] if said else ''

    def _why_rejected(self) -> str:
        """Return why the node has rejected the goal, and what to do."""
        self._session.until(lambda: self._rejection() != self._before, HEAR_S)
        reason = self._rejection()
        if not reason:
            return (f'{self._name} rejects the goal and does not say why in /diagnostics: its log '
                    'does, and `sqap-vla watch --once` shows its state')
        advice = advice_on(reason)
        return f'{self._name} rejects the goal: {reason}' + (f' ({advice})' if advice else '')


def advice_on(reason: str) -> str:
    """Return what to do about a reason for which a goal was rejected, '' if it says so itself."""
    return next((advice for text, advice in ADVICE if text in reason), '')


def tell_end(result) -> int:
    """Print how a goal ended; returns the exit status."""
    print(f'ended ({result.termination_reason}): {result.message}; {result.inferences} '
          f'inferences and {result.commands} commands in {result.elapsed_s:.1f} s', flush=True)
    return STATUSES.get(result.termination_reason, 1)


class Feedbacks:
    """Shows feedback: on a terminal one line again and again, else a line now and then."""

    def __init__(self):
        """Nothing has come in yet."""
        self._last, self._shown, self._is_open = None, '', False
        self._heard_s = time.monotonic()
        self._due_s = -math.inf

    @property
    def silent_s(self) -> float:
        """Return for how long nothing has come in."""
        return time.monotonic() - self._heard_s

    def take(self, feedback) -> None:
        """Keep the newest."""
        self._last, self._heard_s = feedback, time.monotonic()

    def show(self) -> None:
        """Tell the newest, if it is time to."""
        if self._last is None:
            return
        text, why = line(self._last, self.silent_s), self._last.hold_reason
        if sys.stdout.isatty():
            print(f'\r{text[:100]}\x1b[K', end='', flush=True)
            self._is_open = True
        elif why != self._shown or time.monotonic() > self._due_s:
            print(text, flush=True)
            self._shown, self._due_s = why, time.monotonic() + PLAIN_PERIOD_S

    def break_line(self) -> None:
        """End the line that is shown again and again."""
        if self._is_open:
            print(flush=True)
        self._is_open = False


def line(feedback, silent_s: float = 0.0) -> str:
    """Return a line about how a goal goes."""
    text = (f'{feedback.elapsed_s:6.1f} s  {feedback.inferences} inferences, '
            f'{feedback.commands} commands, {feedback.latency_ms:.0f} ms: '
            + (f'stands still: {feedback.hold_reason}' if feedback.hold_reason else 'moving'))
    return text + (f'; nothing heard for {silent_s:.0f} s' if silent_s > SILENT_S else '')
