# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm is told, and when: everything here runs on the executor thread.

`Control` holds what is common: the Commander, which turns chunks into commands, and the reasons
for which nothing may move. The two ways of keeping time stand in realtime.py and lockstep.py.
"""

import time

from sqap_vla_ros.control.commander import Commander
from sqap_vla_ros.errors import ConfigError, ObservationError

from .diagnostics import ERROR, OK, WARN
from .parts import Parts
from .permission import Permission
from .reports import Reports
from .run_policy import DEACTIVATED, STOPPED
from ..messages import chunk_message
from ...support.timing import Recent

CHECK_PERIOD_S = 0.2
PREPARATION_S = 60.0  # that a policy may take to be made ready before it is called an error


class Control(Permission):
    """
    Base of RealTimeControl and LockstepControl.

    These have on_frame(frame), for a new image, and on_task(), for another instruction or none;
    _ask_again() about the newest image, instead of one that was not answered; _command_now(),
    without waiting for the next tick; and _say_state(), which sets the status `commands`.
    """

    def __init__(self, config, space, parts: Parts):
        super().__init__(config, parts)
        self.space = space
        self.commander = Commander(
            space, self._limits(config), config.lockstep, config.pipelined,
            space.dt_ns if config.lockstep else round(1e9 / config.control_rate), parts.drive,
            config.missed_chunks, config.blending, config.blending_time)
        self.gate, self.player = self.commander.gate, self.commander.player
        self.gate.speed_scale = config.speed_scale
        self.commander.is_carried_out = not config.dry_run
        self.pace = self.commander.pace(0)
        self.reports = Reports(self)
        self._chunk_known_s = 0.0  # perf_counter() when the chunk in play came in
        self._chunk_known_ns = 0  # and the time that commands are stamped with
        self._problem = None  # why the newest image got no chunk
        self.topic_problems = {}
        self._chunks = self._moves = 0
        self.overhead_ms, self.inference_ms = Recent(), Recent()

    def start(self):
        """Begin to command (activation)."""
        self._check_estop(at_once=True)
        self.is_active = True
        self.permit_from_now()
        self.reports.dry_run()
        self.reports.instruction()
        self.doubled = self.parts.inputs.doubled_topics(self._single_topics)
        self.parts.namesakes.look()
        if not self.config.dry_run:
            self.parts.output.begin()
        self._start_over(forget_image_size=True)
        self._check_timer = self.parts.node.create_timer(
            CHECK_PERIOD_S, self.check, clock=self.parts.steady_clock)

    def halt(self):
        """Stop the arm and wait until it knows (deactivation, shutdown)."""
        if not self.is_active:
            return
        self.is_active = False
        self.commander.stop(self.now_ns())
        self.halt_output()  # first: nothing that fails below leaves the arm moving
        self.parts.run.end(DEACTIVATED, 'the node was deactivated')
        self.instructions.deactivate()
        self.parts.node.destroy_timer(self._check_timer)
        self._start_over()
        self._say(OK, 'inactive')

    def halt_output(self):
        """Stop the arm and wait until it knows."""
        self._hold(self.now_ns())
        if not self.config.dry_run:
            self.parts.output.flush()

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
        if config.policy != self.config.policy:
            self.parts.inference.choose(config.policy.selection)
        if config.dry_run and not was_dry and self.is_active:
            self.halt_output()
        self.config = config
        self.parts.drive.use(config.joint_settings)
        for part in (self.parts.arm, self.parts.inputs, self.parts.output):
            part.use(config)
        self._look_at_tf()
        if config.dry_run != was_dry:
            self._switch_dry_run()
        self.gate.limits, self.gate.speed_scale = self._limits(config), config.speed_scale
        self.commander.missed_chunks = config.missed_chunks
        self.instructions.max_length = config.max_instruction_length
        self.instructions.start_on_activate = config.start_on_activate
        self.parts.estop.timeout_s = config.estop_timeout

    def _look_at_tf(self):
        """Subscribe to TF where that is needed, by now."""
        if 'pose' in self.parts.arm.needs:
            self.parts.transforms.setup(self)

    def _switch_dry_run(self):
        """Let go of the command topics, or take them and wait for ~/resume."""
        self.commander.is_carried_out = not self.config.dry_run
        self.reports.dry_run()
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
        level, text = self.reports.said
        return '' if 'moving: ' in text or text == 'moving' else text

    def on_answer(self, answer):
        """Take the policy's answer: a chunk, or the reason why there is none."""
        if answer.bug:
            self.parts.node.get_logger().error(answer.problem)
            self.latch('the policy crashed, its traceback is in the log')
        elif answer.is_too_old:
            self._ask_again()
            return
        elif answer.chunk is None:
            self.reports.answers.refused += 1
            self._doubt(answer.problem)
            self._start_over(problem=answer.problem)
        elif not self._takes(answer):
            self._ask_again()
            return
        self._command_now()
        if answer.chunk is not None:
            self._publish_chunk(answer)
        self.reports.inference(answer)

    def on_topic_problem(self, topic: str, message):
        """Take what is wrong with a topic; None when it is well again."""
        if message is None and topic not in self.topic_problems:
            return
        self.topic_problems[topic] = message
        self.reports.inputs()

    def check(self):
        """Look at what no callback tells: the number of publishers, and silence."""
        self.doubled = self.parts.inputs.doubled_topics(self._single_topics)
        self.parts.inputs.look_for_images()
        for stream in (self.parts.inputs, self.parts.transforms):
            for topic, problem in stream.misfits().items():
                self.on_topic_problem(topic, problem)
        self._check_estop()
        self.parts.run.report()
        self.pace = self.commander.pace(self.now_ns())
        self.reports.inputs()
        self.reports.output()
        self._say_state()
        self.reports.repeat()

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
        blind = self.parts.inputs.why_blind()
        if blind:
            return WARN, blind
        if self.parts.inference.is_preparing:
            hangs = self.parts.inference.busy_s > PREPARATION_S
            return ERROR if hangs else WARN, (
                'the policy is made ready for this image size and instruction, once: nothing '
                'moves until then'
                + (f'; it takes more than {PREPARATION_S:g} s' if hangs else ''))
        if self._problem:
            return ERROR, self._problem
        return None

    def connect(self):
        """Make the command publishers, unless this is a dry run."""
        if not self.config.dry_run:
            self.parts.output.setup(self)
            if self.is_active:
                self.parts.output.activate()
                self.parts.output.begin()

    @property
    def _single_topics(self) -> tuple[str, ...]:
        """Return the topics that must have one publisher, besides those that are the inputs'."""
        return self.command_topics + tuple(filter(None, [self.parts.estop.topic]))

    def _send(self, command, now_ns):
        """Command the arm, unless this is a dry run."""
        self._moves += bool(command.velocity.any())
        if not self.config.dry_run:
            self.parts.output.send(command, now_ns)

    def _hold(self, now_ns):
        """Command the arm to stand still, unless this is a dry run."""
        if not self.config.dry_run:
            self.parts.output.stop(now_ns)

    def _takes(self, answer) -> bool:
        """Play the chunk of an answer, unless it is of no use any more; latch if it is none."""
        self._problem = None
        self._chunk_known_s, self._chunk_known_ns = time.perf_counter(), self.now_ns()
        start = self.parts.arm.at(answer.chunk.stamp_ns)
        try:
            return self.commander.take(answer.chunk, self.now_ns(), start)
        except ObservationError as error:
            self._begins_not(error)
            return True
        except ConfigError as error:
            self.latch(f'the answer of the policy is no action chunk: {error}')
            return False

    def _commanded(self, now_ns):
        """Return the command from now on; None where the arm must stand still."""
        measured = self.parts.arm.now(now_ns)
        self.player.settle(now_ns)
        is_under_way = self.player.executed.total_ns > 0
        try:
            command = self.commander.command(now_ns, measured)
        except ObservationError as error:
            self._begins_not(error)
            return None
        unknown = self.gate.hold or self.commander.drive.lost
        if unknown:
            self._begins_not(unknown, is_under_way)
        return None if self.gate.fault else command

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
        if forget_image_size:
            self.parts.arm.forget()

    def _publish_chunk(self, answer):
        """Publish ~/action_chunk and note what ROS added to the inference."""
        total_ms = (time.perf_counter() - answer.frame.heard_s) * 1e3
        overhead_ms = max(0.0, total_ms - answer.infer_ms - answer.waited_ms)
        self.overhead_ms.add(overhead_ms)
        self.inference_ms.add(answer.infer_ms)
        self._chunks += 1
        stages = {**answer.chunk.timings, 'observation': answer.observe_ms,
                  'ros_overhead': overhead_ms}
        self.reports.answers.add(answer, {**stages, 'waited': answer.waited_ms})
        self.parts.results.chunk.publish(chunk_message(
            answer.chunk, self.space, answer.frame.message.header, answer.instruction, stages))
        if self.parts.planned.is_wanted:
            now_ns, rows, dt_ns = self.now_ns(), len(answer.chunk.actions), self.space.dt_ns
            self.parts.planned.publish(self.preview(now_ns, rows, dt_ns), dt_ns, now_ns)

    def _say(self, level, text):
        self.reports.commands(level, text)
