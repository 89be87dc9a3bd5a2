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
from sqap_vla_ros.errors import ObservationError

from .diagnostics import ERROR, OK, WARN
from ..messages import chunk_message
from ...support.timing import Recent

CHECK_PERIOD_S = 0.2
PREPARATION_S = 60.0  # that a policy may take to be made ready before it is called an error


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
    diagnostics: object


class Control:
    """
    Base of RealTimeControl and LockstepControl.

    These have on_frame(frame), for a new image, and on_instruction(), for a changed one;
    _ask_again() about the newest image, instead of one that was not answered; _command_now(),
    without waiting for the next tick; and _say_state(), which sets the status `commands`.
    """

    def __init__(self, config, space, parts: Parts):
        self.config = config
        self.space = space
        self.parts = parts
        self.commander = Commander(
            space, config.limits, config.lockstep, config.pipelined,
            round(1e9 / config.control_rate), parts.drive)
        self.gate, self.player = self.commander.gate, self.commander.player
        self.gate.speed_scale = config.speed_scale
        self.pace = self.commander.pace(0)
        self.is_active = False
        self._chunk_known_s = 0.0  # perf_counter() when the chunk in play came in
        self._problem = None  # why the newest image got no chunk
        self._topic_problems = {}
        self._doubled = {}
        self._said = (OK, 'inactive')
        self._chunks = 0
        self._overhead_ms, self._inference_ms = Recent(), Recent()

    def start(self):
        """Begin to command (activation)."""
        self.is_active = True
        self._doubled = self.parts.inputs.doubled_topics()
        self.parts.output.begin()
        self._start_over(forget_image_size=True)
        self._check_timer = self.parts.node.create_timer(
            CHECK_PERIOD_S, self.check, clock=self.parts.steady_clock)

    def halt(self):
        """Stop the arm and wait until it knows (deactivation, shutdown)."""
        if not self.is_active:
            return
        self.is_active = False
        self.parts.node.destroy_timer(self._check_timer)
        self._start_over()
        self.parts.output.stop(self.now_ns())
        self.parts.output.flush()
        self._say(OK, 'inactive')

    def stop(self) -> str:
        """Stop until resume; returns what to tell the caller."""
        self.gate.latch('stopped by ~/stop')
        self._command_now()
        return f'{self.gate.fault}; call ~/resume to go on'

    def stop_after_bug(self):
        """Stop until resume, whatever state the rest is in."""
        self.gate.latch('a bug in the node, its traceback is in the log')
        if self.is_active:
            self.parts.output.stop(self.now_ns())

    def resume(self) -> str:
        """
        Clear a stop or fault; returns what to tell the caller.

        Motion goes on with a new chunk, never with the old one.
        """
        fault = self.gate.resume()
        self._start_over()
        return f'cleared: {fault}' if fault else 'there was nothing to clear'

    def reset(self) -> str:
        """Drop the chunk and begin an episode; returns what to tell the caller."""
        self._start_over(forget_image_size=True)
        return 'the policy starts over with the next image'

    def time_jumped_back(self):
        """Forget everything that belongs to a time that is now in the future."""
        self.parts.inputs.forget_moving()
        self.parts.transforms.clear()
        self._start_over()

    def use(self, config):
        """Take changed parameters."""
        self.config = self.parts.arm.config = config
        self.parts.output.use(config)
        self.gate.limits, self.gate.speed_scale = config.limits, config.speed_scale

    def now_ns(self) -> int:
        """Return the time that commands are stamped with."""
        return self.parts.node.get_clock().now().nanoseconds

    def on_answer(self, answer):
        """Take the policy's answer: a chunk, or the reason why there is none."""
        if answer.bug:
            self.parts.node.get_logger().error(answer.problem)
            self.gate.latch('the policy crashed, its traceback is in the log')
        elif answer.is_too_old:
            self._ask_again()
            return
        elif answer.chunk is None:
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
        self._doubled = self.parts.inputs.doubled_topics()
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
        if self.parts.output.why_not:
            return self.parts.output.why_not
        for topic, nodes in self._doubled.items():
            if inputs.is_camera_topic(topic):
                return ERROR, (f'{len(nodes)} publishers on {topic} ({", ".join(nodes)}): which '
                               'camera is it? Stop all but one')
        if not inputs.instruction:
            return WARN, f'no instruction: publish one on {inputs.instruction_topic}'
        return None

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

    def _takes(self, answer) -> bool:
        """Play the chunk of an answer, unless it is of no use any more."""
        self._problem = None
        self._chunk_known_s = time.perf_counter()
        return self.commander.take(
            answer.chunk, self.now_ns(), self.parts.arm.at(answer.chunk.stamp_ns))

    def _commanded(self, now_ns):
        """Return the command from now on; None where the arm must stand still."""
        try:
            return self.commander.command(now_ns, self.parts.arm.now(now_ns))
        except ObservationError as error:
            self._start_over(problem=str(error))
            return None

    def _ask(self, frame):
        self.player.ask(frame.stamp_ns)
        self.parts.inference.ask(frame, self.parts.inputs.instruction)

    def _start_over(self, forget_image_size=False, problem=None):
        """Drop chunk and question: motion begins again with an image taken from now on."""
        self.commander.stop(self.now_ns())
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

    def _say(self, level, text):
        """Set the status `commands`; costs nothing when nothing has changed."""
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
        level, text, values = self.parts.output.check()
        self.parts.diagnostics.report('output', level, text, **values)

    def _say_inputs(self):
        inputs = self.parts.inputs
        problems = [f'{len(nodes)} publishers on {topic}: {", ".join(nodes)}' +
                    ('; stop all but this node, or they move the arm in turns'
                     if inputs.is_command_topic(topic) else '')
                    for topic, nodes in self._doubled.items()]
        problems += [message for message in self._topic_problems.values() if message]
        self.parts.diagnostics.report(
            'inputs', WARN if problems else OK, '; '.join(problems) or 'well',
            images=inputs.images)
