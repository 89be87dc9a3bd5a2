# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm is told, and when: everything here runs on the executor thread.

`Control` holds what is common: the Commander, which turns chunks into commands, and the reasons
for which nothing may move. The two ways of keeping time stand in realtime.py and lockstep.py.
"""

from dataclasses import dataclass
import time

from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.control.instructions import HEARD_BEFORE, Instructions, LATCHED, shown
from sqap_vla_ros.errors import ObservationError

from .diagnostics import ERROR, OK, WARN
from .run_policy import DEACTIVATED, ESTOP, FAULT, STOPPED
from ..messages import chunk_message
from ...support.timing import Recent

CHECK_PERIOD_S = 0.2
PREPARATION_S = 60.0  # that a policy may take to be made ready before it is called an error
BEGIN_WITHIN_S = 5.0  # with require_resume: what can't begin by then needs ~/resume


@dataclass(frozen=True)
class Parts:
    """What a Control works with; each has its own module."""

    node: object
    steady_clock: object
    inputs: object
    transforms: object
    inference: object
    drive: object
    arm: object
    output: object
    results: object
    planned: object
    diagnostics: object
    estop: object
    run: object


DRY_RUN = 'DRY RUN, nothing is commanded'
BEGIN = 'publish it again or call ~/resume to begin'


class Control:
    """
    Base of RealTimeControl and LockstepControl.

    These have on_frame(frame), for a new image, and on_task(), for another instruction or none;
    _ask_again() about the newest image, instead of one that was not answered; _command_now(),
    without waiting for the next tick; and _say_state(), which sets the status `commands`.
    """

    def __init__(self, config, space, parts: Parts):
        self.config = config
        self.space = space
        self.parts = parts
        self.commander = Commander(
            space, self._limits(config), config.lockstep, config.pipelined,
            space.dt_ns if config.lockstep else round(1e9 / config.control_rate), parts.drive,
            config.missed_chunks, config.blending, config.blending_time)
        self.gate, self.player = self.commander.gate, self.commander.player
        self.gate.speed_scale = config.speed_scale
        self.pace = self.commander.pace(0)
        self.is_active = False
        self.instructions = Instructions(
            parts.inference.check_instruction, config.max_instruction_length,
            config.start_on_activate)
        self._rests_since_s = None  # perf_counter() since when the arm is told to stand still
        self._stopped_by = FAULT  # what the gate's fault is, if it was latched here
        self._asked_to_move_s = 0.0  # perf_counter() of the instruction, goal or ~/resume
        self._activated_ns = 0  # by the machine's clock, which stamps messages
        self._chunk_known_s = 0.0  # perf_counter() when the chunk in play came in
        self._chunk_known_ns = 0  # and the time that commands are stamped with
        self._problem = None  # why the newest image got no chunk
        self._topic_problems = {}
        self._doubled = {}
        self._said = (OK, 'inactive')
        self._chunks = self._moves = 0
        self._overhead_ms, self._inference_ms = Recent(), Recent()

    def start(self):
        """Begin to command (activation)."""
        self.is_active = True
        self._activated_ns = time.time_ns()
        self._asked_to_move_s = time.perf_counter()
        self.instructions.activate()
        self._say_dry_run()
        self._say_instruction()
        self._doubled = self.parts.inputs.doubled_topics(self._command_topics)
        if not self.config.dry_run:
            self.parts.output.begin()
        self._start_over(forget_image_size=True)
        self._check_timer = self.parts.node.create_timer(
            CHECK_PERIOD_S, self.check, clock=self.parts.steady_clock)

    def halt(self):
        """Stop the arm and wait until it knows (deactivation, shutdown)."""
        if not self.is_active:
            return
        self.parts.run.end(DEACTIVATED, 'the node was deactivated')
        self.is_active = False
        self.instructions.deactivate()
        self.parts.node.destroy_timer(self._check_timer)
        self._start_over()
        self.commander.stop(self.now_ns())
        self.halt_output()
        self._say(OK, 'inactive')

    def halt_output(self):
        """Stop the arm and wait until it knows."""
        self._hold(self.now_ns())
        if not self.config.dry_run:
            self.parts.output.flush()

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

        Motion goes on with a new chunk, never with the old one.
        """
        reason = self.parts.estop.why_not_move
        if self.parts.estop.is_pressed:
            return f'{reason}: release it first'
        fault, self._stopped_by = self.gate.resume(), FAULT
        self._asked_to_move_s = time.perf_counter()
        self._start_over()
        if fault:
            held = self.instructions.held_why
            return f'cleared: {fault}' + (f'; {held}: {BEGIN}' if held else '')
        begun = self.instructions.resume() if self.is_active else ''
        self._say_instruction()
        return f'begins {shown(begun)}' if begun else 'there was nothing to clear'

    def reset(self) -> str:
        """Drop the chunk and begin an episode; returns what to tell the caller."""
        self._asked_to_move_s = time.perf_counter()
        self._start_over(forget_image_size=True)
        return 'the policy starts over with the next image'

    def time_jumped_back(self):
        """Forget everything that belongs to a time that is now in the future."""
        self._doubt('time has jumped back')
        self.parts.inputs.forget_moving()
        self.parts.transforms.clear()
        self._start_over()
        self.commander.stop(self.now_ns())

    def use(self, config):
        """Take changed parameters."""
        was_dry = self.config.dry_run
        if config.dry_run and not was_dry and self.is_active:
            self.halt_output()
        self.config = self.parts.arm.config = config
        self.parts.output.use(config)
        if config.dry_run != was_dry:
            self._switch_dry_run()
        self.gate.limits, self.gate.speed_scale = self._limits(config), config.speed_scale
        self.commander.missed_chunks = config.missed_chunks
        self.instructions.max_length = config.max_instruction_length
        self.instructions.start_on_activate = config.start_on_activate
        self.parts.estop.timeout_s = config.estop_timeout

    def _switch_dry_run(self):
        """Let go of the command topics, or take them and wait for ~/resume."""
        self._say_dry_run()
        if self.config.dry_run:
            self.parts.output.teardown()
        else:
            self.connect()
            self.latch('dry_run was switched off', STOPPED)

    def _limits(self, config):
        """Return the limits of what the policy's actions are about: a twist, or joints."""
        return config.limits if self.space.is_cartesian else self.parts.drive.limits

    @property
    def plan(self):
        """Return what tells the plan in play, and how it is played, from others."""
        return (self.player.stamp_ns, self.gate.speed_scale, self.gate.limits)

    def preview(self, time_ns: int, count: int, step_ns: int) -> list:
        """Return the commands from a time on, as far as they are known now."""
        return self.commander.preview(time_ns, count, step_ns, self.parts.arm.now(time_ns))

    def now_ns(self) -> int:
        """Return the time that commands are stamped with."""
        return self.parts.node.get_clock().now().nanoseconds

    @property
    def counts(self) -> tuple[int, int]:
        """Return (chunks, commands other than zero) since the node was configured."""
        return self._chunks, self._moves

    @property
    def hold_reason(self) -> str:
        """Return why the arm stands still, '' while it moves."""
        level, text = self._said
        return '' if 'moving: ' in text or text == 'moving' else text

    def why_no_goal(self, instruction: str) -> str:
        """Return why a goal can't begin now, '' if it can."""
        if self.gate.fault:
            return f'{self.gate.fault}; call ~/resume when it is safe'
        return self.instructions.why_refused(instruction)

    def begin_goal(self, instruction: str):
        """Follow a goal's instruction from the next image on, instead of the topic's."""
        self._asked_to_move_s = time.perf_counter()
        self.instructions.begin_goal(instruction)
        self._say_instruction()
        self.on_task()

    def end_goal(self, at_once: bool = True):
        """Stop, for the goal is over; else within the acceleration limits."""
        self.instructions.end_goal()
        if at_once:
            self.commander.stop(self.now_ns())
        self._say_instruction()
        self.on_task()

    def on_instruction(self, text: str, heard_ns):
        """
        Take what the topic says.

        heard_ns: when it came in, by the machine's clock; None for what is latched, of which no
        clock on this machine tells how old it is.
        """
        had_goal = self.instructions.has_goal
        old = LATCHED if heard_ns is None else (
            HEARD_BEFORE if heard_ns < self._activated_ns else '')
        is_changed = self.instructions.hear(text, old)
        self._say_instruction()
        if had_goal and not self.instructions.has_goal:
            self.parts.run.end(STOPPED, 'an empty instruction was published')
        if is_changed:
            self._asked_to_move_s = time.perf_counter()
            self.on_task()

    def on_estop(self, is_pressed: bool):
        """Stop when the emergency stop is pressed; a release alone moves nothing."""
        if is_pressed:
            self.latch(self.parts.estop.why_not_move, ESTOP)

    def on_answer(self, answer):
        """Take the policy's answer: a chunk, or the reason why there is none."""
        if answer.bug:
            self.parts.node.get_logger().error(answer.problem)
            self.latch('the policy crashed, its traceback is in the log')
        elif answer.is_too_old:
            self._ask_again()
            return
        elif answer.chunk is None:
            self._doubt(answer.problem)
            self._start_over(problem=answer.problem)
        elif not self._takes(answer):
            self._ask_again()
            return
        self._command_now()
        if answer.chunk is not None:
            self._publish_chunk(answer)
        self._say_inference(answer)

    def on_topic_problem(self, topic: str, message):
        """Take what is wrong with a topic; None when it is well again."""
        if message is None and topic not in self._topic_problems:
            return
        self._topic_problems[topic] = message
        self._say_inputs()

    def check(self):
        """Look at what no callback tells: the number of publishers, and silence."""
        self._doubled = self.parts.inputs.doubled_topics(self._command_topics)
        self._check_estop()
        self.parts.run.report()
        self.pace = self.commander.pace(self.now_ns())
        self._say_inputs()
        self._say_output()
        self._say_state()
        self.parts.diagnostics.report('commands', *self._said, **self._values())

    def why_not_ask(self):
        """Return (level, text) if it is no use to infer on any image, else None."""
        inputs = self.parts.inputs
        if self.gate.fault:
            return ERROR, f'{self.gate.fault}; call ~/resume when it is safe'
        if self.parts.estop.why_not_move:
            return ERROR, self.parts.estop.why_not_move
        if self.parts.output.why_not and not self.config.dry_run:
            return self.parts.output.why_not
        for topic, nodes in self._doubled.items():
            if inputs.is_camera_topic(topic):
                return ERROR, (f'{len(nodes)} publishers on {topic} ({", ".join(nodes)}): which '
                               'camera is it? Stop all but one')
            if topic in self._rivals:
                return ERROR, (f'{len(nodes)} publishers on {topic} ({", ".join(nodes)}): this '
                               'node commands nothing while another may move the arm; stop all '
                               'but one')
        return self._why_no_task()

    def _why_no_task(self):
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

    def why_slow(self):
        """Return (level, text) if the inference in hand takes too long, else None."""
        inference, limit_s = self.parts.inference, self.config.inference_timeout
        if inference.is_preparing or inference.busy_s <= limit_s:
            return None
        return ERROR, (f'inference takes more than {limit_s:g} s (parameter inference_timeout): '
                       'its answer will not be used. Use a lower precision, fewer tokens or a '
                       'faster machine')

    def why_wait(self):
        """Return (level, text) while there is nothing to play for a known reason, else None."""
        if self.parts.inputs.frame is None:
            return WARN, f'no image has come in on {self.parts.inputs.image_topic}'
        if self.parts.inference.is_preparing:
            hangs = self.parts.inference.busy_s > PREPARATION_S
            return ERROR if hangs else WARN, (
                'the policy is made ready for this image size and instruction, once: nothing '
                'moves until then'
                + (f'; it takes more than {PREPARATION_S:g} s' if hangs else ''))
        if self._problem:
            return ERROR, self._problem
        return None

    @property
    def has_task(self) -> bool:
        """Whether the arm is to move as soon as it can."""
        return bool(self.instructions.text) and not self.gate.fault and not self._rivals

    @property
    def _command_topics(self) -> tuple[str, ...]:
        """Return the topics on which this node commands the robot; none in a dry run."""
        return () if self.config.dry_run else self.parts.output.command_topics

    @property
    def _rivals(self) -> list:
        """Return the command topics that another node publishes on, too."""
        return [topic for topic in self._doubled if topic in self._command_topics]

    def connect(self):
        """Make the command publishers, unless this is a dry run."""
        if not self.config.dry_run:
            self.parts.output.setup(self)
            if self.is_active:
                self.parts.output.activate()
                self.parts.output.begin()

    def _send(self, command, now_ns):
        """Command the arm, unless this is a dry run."""
        self._moves += bool(command.velocity.any())
        if not self.config.dry_run:
            self.parts.output.send(command, now_ns)

    def _hold(self, now_ns):
        """Command the arm to stand still, unless this is a dry run."""
        if not self.config.dry_run:
            self.parts.output.stop(now_ns)

    def _doubt(self, reason: str):
        """
        Take a reason for which a task is not carried out; with require_resume, latch it.

        It is latched where it interrupts motion, and where motion that was asked for has not
        begun for a while: nobody expects it any more. A policy that is made ready is waited for.
        """
        if not self.config.require_resume or self.gate.fault or not self.instructions.text:
            return
        waited_s = time.perf_counter() - self._asked_to_move_s
        if self.player.stamp_ns is not None or waited_s > BEGIN_WITHIN_S:
            self.latch(f'{reason} (require_resume: when it is mended, nothing moves by itself)')

    def _end_run_if_latched(self):
        if self.gate.fault:
            kind = self._stopped_by
            self.parts.run.end(kind, self.gate.fault)

    def _check_estop(self):
        reason = self.parts.estop.why_lost
        if reason:
            self.parts.estop.forget()
            self.latch(reason, ESTOP)

    def _takes(self, answer) -> bool:
        """Play the chunk of an answer, unless it is of no use any more."""
        self._problem = None
        self._chunk_known_s, self._chunk_known_ns = time.perf_counter(), self.now_ns()
        start = self.parts.arm.at(answer.chunk.stamp_ns)
        try:
            return self.commander.take(answer.chunk, self.now_ns(), start)
        except ObservationError as error:
            self._begins_not(error)
            return True

    def _commanded(self, now_ns):
        """Return the command from now on; None where the arm must stand still."""
        measured = self.parts.arm.now(now_ns)
        try:
            return self.commander.command(now_ns, measured)
        except ObservationError as error:
            self._begins_not(error)
            return None

    def _begins_not(self, error):
        """Take why a chunk can't be played: what it begins from is not as it should be."""
        why_not = self.parts.arm.why_not
        problem = f'{error}. {why_not}' if why_not else str(error)
        self._doubt(problem)
        self._start_over(problem=problem)

    def _ask(self, frame):
        self.player.ask(frame.stamp_ns)
        self.parts.inference.ask(frame, self.instructions.text)

    def _start_over(self, forget_image_size=False, problem=None):
        """
        Drop chunk and question: motion begins again with an image taken from now on.

        In lockstep the arm stands at once; otherwise the next commands slow it down.
        """
        (self.commander.stop if self.config.lockstep else self.commander.drop)(self.now_ns())
        self._problem = problem
        self.parts.inference.reset(forget_image_size)

    def _publish_chunk(self, answer):
        """Publish ~/action_chunk and note what ROS added to the inference."""
        total_ms = (time.perf_counter() - answer.frame.heard_s) * 1e3
        overhead_ms = max(0.0, total_ms - answer.infer_ms - answer.waited_ms)
        self._overhead_ms.add(overhead_ms)
        self._inference_ms.add(answer.infer_ms)
        self._chunks += 1
        stages = {**answer.chunk.timings, 'observation': answer.observe_ms,
                  'ros_overhead': overhead_ms}
        self.parts.results.chunk.publish(chunk_message(
            answer.chunk, self.space, answer.frame.message.header, answer.instruction, stages))
        if self.parts.planned.is_wanted:
            now_ns, rows, dt_ns = self.now_ns(), len(answer.chunk.actions), self.space.dt_ns
            self.parts.planned.publish(self.preview(now_ns, rows, dt_ns), dt_ns, now_ns)

    def _say(self, level, text):
        """Set the status `commands`; costs nothing when nothing has changed."""
        if self.config.dry_run and self.is_active:
            level, text = max(level, WARN), f'{DRY_RUN}: {text}'
        if (level, text) != self._said:
            self._said = (level, text)
            self.parts.diagnostics.report('commands', level, text, **self._values())

    def _values(self):
        pace = self.pace
        return {'fault': self.gate.fault or '', 'shortened': self.gate.clamped,
                'chunks': self._chunks, 'chunk_rows': pace.rows, 'row_s': pace.dt_s,
                'image_to_chunk_ms_p50': pace.latency_ms,
                'share_executed': pace.executed_share,
                'share_of_time_under_way': pace.running_share,
                'ros_overhead_ms_p50': self._overhead_ms.percentile(50),
                'ros_overhead_ms_p99': self._overhead_ms.percentile(99),
                'inference_ms_p50': self._inference_ms.percentile(50),
                'inference_ms_p95': self._inference_ms.percentile(95)}

    def _say_inference(self, answer):
        diagnostics = self.parts.diagnostics
        if answer.bug:
            diagnostics.report('inference', ERROR, 'crashed: ' + answer.problem.splitlines()[-1])
        elif answer.chunk is None:
            diagnostics.report('inference', ERROR, answer.problem)
        elif answer.warnings:
            diagnostics.report('inference', WARN, '; '.join(answer.warnings))
        else:
            diagnostics.report('inference', OK, 'answering', **answer.chunk.timings)

    def _say_output(self):
        if self.config.dry_run:
            self.parts.diagnostics.report('output', WARN, DRY_RUN)
            return
        level, text, values = self.parts.output.check()
        note = self.parts.drive.note
        if note:
            level, text = max(level, WARN), f'{text}; {note}'
        self.parts.diagnostics.report('output', level, text, **values)

    def _say_inputs(self):
        inputs = self.parts.inputs
        problems = [f'{len(nodes)} publishers on {topic}: {", ".join(nodes)}' +
                    ('; stop all but this node, or they move the arm in turns'
                     if topic in self._command_topics else '')
                    for topic, nodes in self._doubled.items()]
        problems += [message for message in self._topic_problems.values() if message]
        problems += filter(None, [inputs.lost_images()])
        self.parts.diagnostics.report(
            'inputs', ERROR if self._rivals else WARN if problems else OK,
            '; '.join(problems) or 'well',
            images=inputs.images)

    def _say_dry_run(self):
        if self.config.dry_run:
            self.parts.node.get_logger().warning(
                f'{DRY_RUN}: everything is published but the commands (parameter dry_run)')

    def _say_instruction(self):
        told = self.instructions
        if told.note:
            level, text = WARN, told.note
        elif told.text:
            level, text = OK, f'follows {shown(told.text)}' + (
                ', a goal of ~/run_policy' if told.has_goal else '')
        else:
            level, text = self._why_no_task()
        self.parts.diagnostics.report('instruction', level, text)
