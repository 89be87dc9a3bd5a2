# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which of a topic's publishers deliver: a camera driver that was killed stays in the graph for long.

Until its participant's lease is over (20 s by default) it counts as a publisher beside the one
that was started in its place. Each publisher numbers its messages one by one; so as long as all
that come in carry ever greater numbers, one publisher alone delivers. A middleware that tells no
numbers leaves it at the count.

Once two have delivered, they are two cameras, however slow one of them is: none is believed until
one of them has left the graph.
"""

import time

from .polled import PolledSubscription
from .. import qos

SINGLE_S, SINGLE_MESSAGES = 1.0, 5  # of one publisher alone, before it is believed
MOST_LOST = 10  # messages of one publisher between two that came in
NO_NUMBER = 2**64 - 1


class Deliverers:
    """Looks at a topic's messages for as long as it has several publishers."""

    def __init__(self, node, kind, topic: str):
        """kind: of its messages."""
        self._node, self._kind, self._topic = node, kind, topic
        self._probe = self._taken = None
        self.forget()

    def forget(self):
        """Stop looking."""
        if self._probe is not None:
            self._probe.destroy()
        self._probe = None
        self._two_delivered = False
        self._begin(time.monotonic())

    def takes(self, number) -> bool:
        """
        Return whether a message is of the publisher that the one before it was of.

        number: its publisher's, None or NO_NUMBER if the middleware tells none.  To be called with
        each message that is heard: of another publisher, or the same one started again, the first
        is not taken.
        """
        before, self._taken = self._taken, number
        if before is None or number is None or number >= NO_NUMBER:
            return True
        return before < number and (self._probe is None or number <= before + MOST_LOST)

    def only_one(self, publishers: int) -> bool:
        """Return whether one alone delivers, of this many; call it regularly."""
        if publishers < 2:
            if self._probe is not None:
                self.forget()
            return True
        if self._probe is None:
            self._probe = PolledSubscription(self._node, self._kind, self._topic, qos.PROBE)
            self._begin(time.monotonic())
        now_s = time.monotonic()
        for number in self._probe.take_numbers():
            self._note(number, now_s)
        return (not self._two_delivered and self._count >= SINGLE_MESSAGES
                and now_s - self._since_s >= SINGLE_S)

    def _note(self, number, now_s):
        is_next = number is not None and self._last < number < NO_NUMBER
        if not is_next:
            self._two_delivered |= number is not None and number < NO_NUMBER
            self._begin(now_s)
        self._last = -1 if number is None else number
        self._count += is_next

    def _begin(self, now_s):
        self._since_s, self._count, self._last = now_s, 0, -1
