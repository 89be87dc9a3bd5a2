# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Who may start motion, and what ends it: instructions, goals, stops, and what is latched.

Nothing moves unless somebody has asked for it since activation, and nothing is latched. What is
latched waits for ~/resume, whatever has become of its cause.
"""

import time

from sqap_vla_ros.control.instructions import HEARD_BEFORE, Instructions, LATCHED, shown

from .diagnostics import ERROR, WARN
from .run_policy import ESTOP, FAULT, STOPPED

BEGIN_WITHIN_S = 5.0  # with require_resume: what can't begin by then needs ~/resume
CLOCK_GRAIN_S = 1e-3  # of the stamps that the middleware gives
BEGIN = 'publish it again or call ~/resume to begin'


class Permission:
    """
    The half of Control that knows whether the arm may move.

    The other half has commander, gate, player, reports, now_ns(), on_task(), _command_now(),
    _start_over() and _hold(now_ns).
    """

    def __init__(self, config, parts):
        self.config, self.parts = config, parts
        self.is_active = False
        self.instructions = Instructions(
            parts.inference.check_instruction, config.max_instruction_length,
            config.start_on_activate)
        self.doubled = {}  # publishers' names by topic, of those that must have one alone
        self._rests_since_s = None  # perf_counter() since when the arm is told to stand still
        self._stopped_by = FAULT  # what the gate's fault is, if it was latched here
        self._asked_to_move_s = 0.0  # perf_counter() of the instruction, goal or ~/resume
        self._activated_s = 0.0  # perf_counter(): the machine's clock may be set meanwhile
        self._misses_estop = False  # whether it was lost at the last check

    def permit_from_now(self):
        """Begin to listen to who asks for motion (activation)."""
        self._activated_s = self._asked_to_move_s = time.perf_counter()
        self.instructions.activate()

    def latch(self, reason: str, kind=FAULT):
        """Stop at once and until ~/resume, and end a goal; kind: its termination_reason."""
        if self.gate.fault is None:
            self._stopped_by = kind
        self.gate.latch(reason)
        self._rests_since_s = None
        self._end_run_if_latched()
        if self.is_active:
            self._command_now()

    def stop(self) -> str:
        """Stop until resume; returns what to tell the caller."""
        self.latch('stopped by ~/stop', STOPPED)
        return f'{self.gate.fault}; call ~/resume to go on'

    def stop_after_bug(self):
        """Stop until resume, whatever state the rest is in."""
        self.gate.latch('a bug in the node, its traceback is in the log')
        if self.is_active:
            self._hold(self.now_ns())

    def resume(self) -> str:
        """
        Clear a stop or fault, or begin what was heard and held; returns what to tell the caller.

        Motion goes on with a new chunk, never with the old one.  Refused while the emergency stop
        is pressed, or nothing is known of it, and while another node has this one's name.
        """
        estop = self.parts.estop
        if estop.why_not_move:
            return f'{estop.why_not_move}: ' + (
                'release it first' if estop.is_pressed
                else 'nothing is cleared before it is heard')
        if self.why_not_begin:
            return f'nothing is cleared and nothing begins: {self.why_not_begin}'
        fault, self._stopped_by = self.gate.resume(), FAULT
        self._asked_to_move_s = time.perf_counter()
        self._start_over()
        if fault:
            held = self.instructions.held_why
            return f'cleared: {fault}' + (f'; {held}: {BEGIN}' if held else '')
        begun = self.instructions.resume() if self.is_active else ''
        self.reports.instruction()
        return f'begins {shown(begun)}' if begun else 'there was nothing to clear'

    def why_no_goal(self, instruction: str) -> str:
        """Return why a goal can't begin now, '' if it can."""
        if self.gate.fault:
            return f'{self.gate.fault}; call ~/resume when it is safe'
        return self.why_not_begin or self.instructions.why_refused(instruction)

    @property
    def why_not_begin(self) -> str:
        """Return why neither a goal nor ~/resume begins motion, '' if either does."""
        namesakes = self.parts.namesakes.why_not
        return self.parts.estop.why_not_move or (namesakes[1] if namesakes else '')

    def begin_goal(self, instruction: str):
        """Follow a goal's instruction from the next image on, instead of the topic's."""
        self._asked_to_move_s = time.perf_counter()
        self.instructions.begin_goal(instruction)
        self.reports.instruction()
        self.on_task()

    def end_goal(self, at_once: bool = True):
        """Stop, for the goal is over; else within the acceleration limits."""
        self.instructions.end_goal()
        if at_once:
            self.commander.stop(self.now_ns())
        self.reports.instruction()
        self.on_task()

    def on_instruction(self, text: str, heard_ns):
        """
        Take what the topic says.

        heard_ns: when it came in, by the machine's clock; None for what is latched, of which no
        clock on this machine tells how old it is.
        """
        had_goal = self.instructions.has_goal
        is_changed = self.instructions.hear(text, self._why_old(heard_ns))
        self.reports.instruction()
        if had_goal and not self.instructions.has_goal:
            self.parts.run.end(STOPPED, 'an empty instruction was published')
        if is_changed:
            self._asked_to_move_s = time.perf_counter()
            self.on_task()

    def _why_old(self, heard_ns) -> str:
        """Return why an instruction may be from before activation, '' if it is new."""
        if heard_ns is None:
            return LATCHED
        age_s = (time.time_ns() - heard_ns) * 1e-9
        is_new = -CLOCK_GRAIN_S <= age_s <= time.perf_counter() - self._activated_s
        return '' if is_new else HEARD_BEFORE

    def on_estop(self, is_pressed: bool, is_first: bool):
        """
        Stop when the emergency stop is pressed; a release alone moves nothing.

        is_first: whether nothing was known of it before.
        """
        if is_pressed:
            self.latch(self.parts.estop.why_not_move, ESTOP)
        elif is_first and self.is_active and self.instructions.text and not self.gate.fault:
            self.latch(f'the emergency stop on {self.parts.estop.topic} was not heard before '
                       'motion was asked for', ESTOP)

    def why_not_ask(self):
        """Return (level, text) if it is no use to infer on any image, else None."""
        inputs = self.parts.inputs
        if self.gate.fault:
            return ERROR, f'{self.gate.fault}; call ~/resume when it is safe'
        if self.parts.estop.why_not_move:
            return ERROR, self.parts.estop.why_not_move
        if self.parts.namesakes.why_not:
            return self.parts.namesakes.why_not
        if self.parts.output.why_not and not self.config.dry_run:
            return self.parts.output.why_not
        for topic, nodes in self.doubled.items():
            if inputs.is_camera_topic(topic):
                return ERROR, (f'{len(nodes)} publishers on {topic} ({", ".join(nodes)}): which '
                               'camera is it? Stop all but one')
            if topic in self.rivals:
                return ERROR, (f'{len(nodes)} publishers on {topic} ({", ".join(nodes)}): this '
                               'node commands nothing while another may move the arm; stop all '
                               'but one')
        return self.why_no_task()

    def why_no_task(self):
        """Return (level, text) if nobody has told the arm to do anything, else None."""
        told = self.instructions
        if told.text:
            return None
        if told.refused:
            return ERROR, told.refused
        if told.held:
            return WARN, f'{told.held_why}: {BEGIN}'
        return WARN, (f'no instruction: publish one on {self.parts.inputs.instruction_topic} or '
                      'send a goal to ~/run_policy')

    @property
    def has_task(self) -> bool:
        """Whether the arm is to move as soon as it can."""
        return (bool(self.instructions.text) and not self.gate.fault and not self.rivals
                and not self.parts.namesakes.why_not)

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Return the topics on which this node commands the robot; none in a dry run."""
        return () if self.config.dry_run else self.parts.output.command_topics

    @property
    def rivals(self) -> list:
        """Return the command topics that another node publishes on, too."""
        return [topic for topic in self.doubled if topic in self.command_topics]

    def _doubt(self, reason: str, is_under_way: bool = False):
        """
        Take a reason for which a task is not carried out; with require_resume, latch it.

        It is latched where it interrupts motion, and where motion that was asked for has not
        begun for a while: nobody expects it any more. A policy that is made ready is waited for.

        is_under_way: whether it interrupts motion though the chunk is dropped already.
        """
        if not self.config.require_resume or self.gate.fault or not self.instructions.text:
            return
        waited_s = time.perf_counter() - self._asked_to_move_s
        has_begun = is_under_way or self.player.stamp_ns is not None
        if has_begun or waited_s > BEGIN_WITHIN_S:
            self.latch(f'{reason} (require_resume: when it is mended, nothing moves by itself)')

    def _begins_not(self, reason, is_under_way=False):
        """Take why a chunk can't be played, or not on: where the arm is isn't known."""
        why_not = self.parts.arm.why_not
        problem = f'{reason}. {why_not}' if why_not else str(reason)
        self._doubt(problem, is_under_way)
        self._start_over(problem=problem)

    def _end_run_if_latched(self):
        if self.gate.fault:
            self.parts.run.end(self._stopped_by, self.gate.fault)

    def _check_estop(self, at_once: bool = False):
        """
        Latch when the emergency stop is lost.

        Unless at_once, when it is lost at two checks in a row: after the executor was busy the
        first one comes before the messages that wait.
        """
        reason, was_missed = self.parts.estop.why_lost, self._misses_estop
        self._misses_estop = bool(reason)
        if reason and (was_missed or at_once):
            self.parts.estop.forget()
            self.latch(reason, ESTOP)
