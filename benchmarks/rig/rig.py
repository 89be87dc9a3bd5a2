# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bring faults about, one after the other, and measure what becomes of each."""
from dataclasses import asdict
import time

from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from .faults import GO_ON, REFUSE, STILL, STOP
from .measure import MOVES, reaction
from .policy import INSTRUCTION
from .processes import NodeProcess
from .robot import Robot

QUIET_S = 0.8  # at rest for so long: it has stopped
RECOVERY_S = 1.5
START_S = 30.0
LEVELS = ('OK', 'WARN', 'ERROR', 'STALE')
TRANSITIONS = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4, 'shutdown': 5}


class RigError(RuntimeError):
    """The rig itself could not do its work; the fault says nothing then."""


class Rig:
    """The robot, the node and what was noted; close() ends both."""

    def __init__(self):
        """Start nothing yet."""
        self.robot = self.node = None
        self._asked = None
        self.notes = {}

    def close(self):
        """End everything."""
        self.drop_node()
        if self.robot is not None:
            self.robot.close()
            self.robot = None

    def note(self, **values):
        """Tell something else about the fault in hand."""
        self.notes.update(values)

    def run(self, fault):
        """Return the row of one fault."""
        self.notes = {}
        self.prepare(fault)
        generator, start_s = fault.run(self), time.monotonic()
        start_s = next(generator) or start_s
        end_s = self.watch(start_s, fault)
        result = reaction(self.robot.log, start_s, end_s)
        said = self.said(start_s, end_s)
        undone_s = time.monotonic()
        next(generator, None)
        recovery = self.recovery(undone_s) if fault.recovers else ('', None)
        row = {'name': fault.name, 'group': fault.group, 'wanted': fault.wanted,
               **asdict(result), 'said': said, 'recovery': recovery[0],
               'recovery_ms': recovery[1],
               'receiver': self.receiver(start_s, end_s),
               'alive': self.node is None or self.node.alive,
               **self.notes}
        row['well'] = self.judged(fault, row)
        if row['recovery_ms'] is None:
            self.drop_node()
        return row

    def judged(self, fault, row):
        """Return whether what was wanted came about; None where nothing is judged."""
        if row['bad']:
            return False
        return {STOP: row['stopped_ms'] is not None and not row['silent'],
                STILL: row['told'] == 0,
                GO_ON: row['stopped_ms'] is None and not row['silent'],
                REFUSE: bool(row.get('refused'))}.get(fault.wanted)

    def prepare(self, fault):
        """Have robot and node as the fault needs them, moving or not."""
        asked = (fault.simulated, tuple(sorted(fault.parameters.items(), key=str)))
        if self.robot is None or (self.robot.clock is not None) != fault.simulated:
            self.close()
            self.robot = Robot(simulated_time=fault.simulated)
        if asked != self._asked or fault.fresh:
            self.drop_node()
        self._asked = asked
        if fault.starts:
            self.have_node(fault.parameters, fault.simulated)
        if fault.moving:
            self.have_motion()

    def have_node(self, parameters=(), simulated=False, **options):
        """Start the node, unless it runs."""
        if self.node is None or not self.node.alive:
            self.drop_node()
            self.node = NodeProcess({**dict(parameters), **({'use_sim_time': True} if simulated
                                                            else {})}, **options)
            robot = self.robot
            self.until(lambda: not self.node.alive or all(
                publisher.get_subscription_count() for publisher in
                (robot.image, robot.info, robot.joints, robot.words)), START_S, 'no node')
            if not self.node.alive:
                raise RigError(f'the node ended: {self.node.text[-800:]}')

    def have_motion(self):
        """Let the arm move, steadily."""
        self.node.behave('good')
        end_s = time.monotonic() + START_S
        while True:
            self.robot.say(INSTRUCTION)
            if self.moves_within(2.0):
                break
            self.call('resume')
            self.call('reset')
            if time.monotonic() > end_s:
                raise RigError(f'the arm does not move: {self.last_said()}\n'
                               f'{self.node.text[-800:]}')
        time.sleep(0.6)

    def drop_node(self):
        """End the node."""
        if self.node is not None:
            self.node.close()
            self.node = None

    def is_moving(self):
        """Return whether the newest command is not zero, and new."""
        log = self.robot.log
        return bool(log.times and np.abs(log.twists[-1]).max() > MOVES
                    and time.monotonic() - log.times[-1] < 0.3)

    def moves_within(self, seconds):
        """Return ms until the arm moves, None if it does not."""
        start_s = time.monotonic()
        while time.monotonic() - start_s < seconds:
            if self.is_moving():
                return (time.monotonic() - start_s) * 1e3
            time.sleep(0.002)
        return None

    def watch(self, start_s, fault):
        """Wait until the arm has been at rest for a while; returns when that was known."""
        quiet_since = None
        while (now_s := time.monotonic()) < start_s + fault.watch_s:
            moving = self.is_moving()
            quiet_since = None if moving else quiet_since or now_s
            if fault.wanted == STOP and quiet_since and now_s - quiet_since > QUIET_S:
                break
            time.sleep(0.005)
        return time.monotonic()

    def said(self, start_s, end_s):
        """Return [ms, level, status, text] that began to be told in a time, WARN and above."""
        in_force, seen, told = {}, set(), []
        for time_s, name, level, text in list(self.robot.diagnostics):
            key = name, level, _wording(text)
            if time_s < start_s:
                in_force[name] = key
            elif time_s <= end_s and level and key not in (in_force.get(name), *seen):
                told.append([round((time_s - start_s) * 1e3), LEVELS[level], name, text[:400]])
                seen.add(key)
        return told

    def receiver(self, start_s, end_s):
        """Return {event: ms}: when a receiver that asks for them heard of which first."""
        return {event: round((time_s - start_s) * 1e3)
                for time_s, event in reversed(self.robot.receiver) if start_s < time_s <= end_s}

    def last_said(self):
        """Return the newest text of each status."""
        return {name: (LEVELS[level], text)
                for _, name, level, text in self.robot.diagnostics[-40:]}

    def recovery(self, undone_s):
        """Return (what brought motion back, ms until then)."""
        if self.node is None or not self.node.alive:
            return 'restart of the node', None
        self.node.behave('good')
        attempts = (('by itself', lambda: None), ('~/resume', lambda: self.call('resume')),
                    ('~/reset', lambda: self.call('reset')),
                    ('new instruction', lambda: self.robot.say(INSTRUCTION)))
        for name, attempt in attempts:
            since_s = undone_s if name == 'by itself' else time.monotonic()
            attempt()
            if self.moves_within(RECOVERY_S) is not None:
                return name, round((time.monotonic() - since_s) * 1e3)
        return 'not at all', None

    def call(self, name, timeout_s=3.0):
        """Call one of the node's Trigger services; returns its message, or that none came."""
        answer = self.request(Trigger, name, Trigger.Request(), timeout_s)
        return 'no answer' if answer is None else answer.message

    def change_state(self, transition, timeout_s=5.0):
        """Ask for a lifecycle transition by name or id; returns success, None without answer."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS.get(transition, transition)
        answer = self.request(ChangeState, 'change_state', request, timeout_s)
        return None if answer is None else answer.success

    def set_parameter(self, name, value):
        """Set a float parameter of the running node; returns whether it was taken."""
        request = SetParameters.Request(parameters=[
            Parameter(name, value=float(value)).to_parameter_msg()])
        answer = self.request(SetParameters, 'set_parameters', request)
        return answer is not None and answer.results[0].successful

    def state(self):
        """Return the lifecycle state's label, None without answer."""
        answer = self.request(GetState, 'get_state', GetState.Request())
        return None if answer is None else answer.current_state.label

    def request(self, kind, name, request, timeout_s=3.0):
        """Return a service's answer, None if none came in time."""
        client = self.robot.node.create_client(kind, f'vla_node/{name}')
        try:
            end_s = time.monotonic() + timeout_s
            while not client.service_is_ready() and self._waits(end_s):
                time.sleep(0.01)
            future = client.call_async(request)
            while not future.done() and self._waits(end_s):
                time.sleep(0.001)
            return future.result() if future.done() else None
        finally:
            self.robot.node.destroy_client(client)

    def _waits(self, end_s):
        return self.node is not None and self.node.alive and time.monotonic() < end_s

    @staticmethod
    def until(condition, timeout_s, what):
        """Wait for a condition; raise RigError after a time."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                raise RigError(what)
            time.sleep(0.01)


def _wording(text):
    return ''.join(letter for letter in text if letter not in '-+.0123456789')
