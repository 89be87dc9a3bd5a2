# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a Control says of itself in /diagnostics."""

from sqap_vla_ros.control.instructions import shown

from .diagnostics import ERROR, OK, WARN
from .figures import Answers

DRY_RUN = 'DRY RUN, nothing is commanded'


class Reports:
    """
    Sets the statuses of a Control.

    said, answered: (level, text) of the statuses `commands` and `inference`.  answers: Answers.
    """

    def __init__(self, control):
        """Say nothing yet."""
        self._control = control
        self.said = (OK, 'inactive')
        self.answers, self.answered = Answers(), None

    def commands(self, level, text):
        """Set the status `commands`; costs nothing when nothing has changed."""
        control = self._control
        if control.config.dry_run and control.is_active:
            level, text = max(level, WARN), f'{DRY_RUN}: {text}'
        if (level, text) != self.said:
            self.said = (level, text)
            self.repeat()

    def repeat(self):
        """Set the status `commands` again, with the numbers of now."""
        self._control.parts.diagnostics.report('commands', *self.said, **self._values())

    def _values(self):
        control, pace = self._control, self._control.pace
        return {'fault': control.gate.fault or '', 'trips': control.gate.trips,
                'shortened': control.gate.clamped,
                'chunks': control.counts[0], 'chunk_rows': pace.rows, 'row_s': pace.dt_s,
                'image_to_chunk_ms_p50': pace.latency_ms,
                'share_executed': pace.executed_share,
                'share_of_time_under_way': pace.running_share,
                'ros_overhead_ms_p50': control.overhead_ms.percentile(50),
                'ros_overhead_ms_p99': control.overhead_ms.percentile(99),
                'inference_ms_p50': control.inference_ms.percentile(50),
                'inference_ms_p95': control.inference_ms.percentile(95)}

    def inference(self, answer):
        """Tell what became of an image."""
        if answer.bug:
            found = ERROR, 'crashed: ' + answer.problem.splitlines()[-1]
        elif answer.chunk is None:
            found = ERROR, answer.problem
        elif answer.warnings or answer.chunk.doubts:
            found = WARN, '; '.join((*answer.warnings, *answer.chunk.doubts))
        else:
            found = OK, 'answering'
        if found != self.answered:  # times are told once a second: they cost more to compute
            self.answered = found
            self._control.parts.diagnostics.report('inference', *found)

    def output(self):
        """Tell who listens to the commands."""
        control = self._control
        if control.config.dry_run:
            control.parts.diagnostics.report('output', WARN, DRY_RUN)
            return
        level, text, values = control.parts.output.check()
        note = control.parts.drive.note
        if note:
            level, text = max(level, WARN), f'{text}; {note}'
        control.parts.diagnostics.report('output', level, text, **values)

    def inputs(self):
        """Tell what is wrong with the topics."""
        control, inputs = self._control, self._control.parts.inputs
        problems = [f'{len(nodes)} publishers on {topic}: {", ".join(nodes)}' +
                    ('; stop all but this node, or they move the arm in turns'
                     if topic in control.command_topics else '')
                    for topic, nodes in control.doubled.items()]
        problems += [message for message in control.topic_problems.values() if message]
        problems += filter(None, [inputs.lost_images()])
        control.parts.diagnostics.report(
            'inputs', ERROR if control.rivals else WARN if problems else OK,
            '; '.join(problems) or 'well',
            images=inputs.images)

    def dry_run(self):
        """Log that nothing is commanded, where that is so."""
        control = self._control
        if control.config.dry_run:
            control.parts.node.get_logger().warning(
                f'{DRY_RUN}: everything is published but the commands (parameter dry_run)')

    def instruction(self):
        """Tell what is followed, and why what was heard is not."""
        control, told = self._control, self._control.instructions
        if told.note:
            level, text = WARN, told.note
        elif told.text:
            level, text = OK, f'follows {shown(told.text)}' + (
                ', a goal of ~/run_policy' if told.has_goal else '')
        else:
            level, text = control.why_no_task()
        control.parts.diagnostics.report('instruction', level, text)
