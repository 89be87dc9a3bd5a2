# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm and a gripper that are commanded together."""

from ..diagnostics import ERROR, OK


class Output:
    """
    What the node commands.

    why_not: (level, text) while nothing may move because the robot does not listen, else None;
    check() looks.
    """

    def __init__(self, arm, gripper):
        """Keep both; see setup()."""
        self._arm, self._gripper = arm, gripper
        self.why_not = None

    def setup(self, listener):
        """Create publishers and clients; listener: has on_topic_problem(topic, message)."""
        self._arm.setup(listener)
        self._gripper.setup(listener)

    def teardown(self):
        """Destroy them."""
        self._arm.teardown()
        self._gripper.teardown()

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Return the resolved names of the topics on which the robot is commanded."""
        return tuple(part.topic_name for part in (self._arm, self._gripper) if part.topic_name)

    def begin(self):
        """Forget what was told before this activation."""
        self._arm.begin()
        self._gripper.begin()
        self.check()

    def check(self):
        """Look who listens; returns (level, text, values) of the status `output`."""
        self.why_not = self._why_no_arm() or self._gripper.why_not()
        level, text = self.why_not or (OK, f'commands on {self._arm.topic_name}')
        return level, text, {'topic': self._arm.topic_name, 'subscribers': self._arm.subscribers}

    def send(self, command, time_ns: int):
        """Publish a command, stamped; the gripper goes first, for the arm's ends a tick."""
        if command.gripper is not None:
            self._gripper.send(command.gripper)
        self._arm.send(command, time_ns)

    def stop(self, time_ns: int):
        """Publish what stops the arm; the gripper keeps what it holds."""
        self._arm.stop(time_ns)

    def flush(self):
        """Wait until those who listen have the last command."""
        self._arm.flush()

    def _why_no_arm(self):
        if self._arm.subscribers:
            return None
        return ERROR, (
            f'nothing listens on {self._arm.topic_name}: nothing moves until a controller '
            'subscribes to it. Start the controller, or remap the topic to the one it has '
            '(`ros2 topic list -t` shows them)')
