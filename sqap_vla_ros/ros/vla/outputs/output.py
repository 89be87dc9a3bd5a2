# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm and a gripper that are commanded together."""

from ..diagnostics import ERROR, OK, WARN


class Output:
    """
    What the node commands.

    why_not: (level, text) while nothing may move because the robot does not listen, else None;
    check() looks.
    """

    def __init__(self, arm, gripper, servo=None):
        """Keep the parts; servo: a ServoClient where Servo is to be asked. See setup()."""
        self._arm, self._gripper, self._servo = arm, gripper, servo
        self.why_not = None

    def setup(self, listener):
        """Create publishers and clients; listener: has on_topic_problem(topic, message)."""
        self._arm.setup(listener)
        self._gripper.setup(listener)
        if self._servo is not None:
            self._servo.setup()

    def activate(self):
        """Let publish what was made after the node was activated."""
        self._arm.activate()
        self._gripper.activate()

    def teardown(self):
        """Destroy them."""
        for part in (self._arm, self._gripper, self._servo):
            if part is not None:
                part.teardown()

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Return the resolved names of the topics on which the robot is commanded."""
        return tuple(part.topic_name for part in (self._arm, self._gripper) if part.topic_name)

    def use(self, config):
        """Take changed parameters."""
        self._gripper.use(config)

    def begin(self):
        """Forget what was told before this activation."""
        for part in (self._arm, self._gripper, self._servo):
            if part is not None:
                part.begin()
        self.check()

    def check(self):
        """Look who listens; returns (level, text, values) of the status `output`."""
        self._gripper.check()
        servo = self._servo and self._servo.check()
        self.why_not = self._why_no_arm() or servo or self._gripper.why_not()
        level, text = self.why_not or self._how_it_goes()
        return level, text, {'topic': self._arm.topic_name, 'subscribers': self._arm.subscribers,
                             'gripper': self._gripper.state[1]}

    def send(self, command, time_ns: int):
        """Publish a command, stamped; the gripper goes first, for the arm's ends a tick."""
        if command.gripper is not None:
            self._gripper.send(command.gripper)
        self._arm.send(command, time_ns)

    def stop(self, time_ns: int):
        """Publish what stops the arm; the gripper keeps what it holds, and begins nothing new."""
        self._gripper.stop()
        self._arm.stop(time_ns)

    def flush(self):
        """Wait until those who listen have the last command."""
        self._arm.flush()

    def _how_it_goes(self):
        """Return (level, text) while the robot listens."""
        level, gripper = self._gripper.state
        halted = self._servo.halted() if self._servo else ''
        problems = ([f'MoveIt Servo: {halted}'] if halted else []) + (
            [f'gripper: {gripper}'] if level != OK else [])
        return (WARN, '; '.join(problems)) if problems else (
            OK, f'commands on {self._arm.topic_name}')

    def _why_no_arm(self):
        if self._arm.subscribers:
            return None
        return ERROR, (
            f'nothing listens on {self._arm.topic_name}: nothing moves until a controller '
            'subscribes to it. Start the controller, or remap the topic to the one it has '
            '(`ros2 topic list -t` shows them)')
