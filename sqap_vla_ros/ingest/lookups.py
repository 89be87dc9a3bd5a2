# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of the questions for transforms: found, after what wait, or not and why."""

from collections import Counter

from ..support.timing import Rate, Recent


def uncounted(transforms):
    """Return what answers as transforms do and counts no question: the buffer of live ones."""
    return getattr(transforms, 'filled_buffer', transforms)


class Lookups:
    """
    Counts questions; one that is asked again, while its answer is waited for, is one.

    refused: transforms that were heard and not taken.  not_found: questions without an answer in
    the end, by reason; the last one only counts when there is another.  Several threads may ask:
    a count that is one off is not worth a lock.
    """

    def __init__(self):
        """Begin without a question."""
        self.asked = self.refused = 0
        self.not_found, self._open = Counter(), {}
        self._waits_ms, self._ages_ms, self._messages = Recent(), Recent(), Rate()

    def note(self, frames, stamp_ns: int, now_s: float, problem: str = ''):
        """
        Note an answer.

        frames: what was asked about.  problem: the reason of a TransformLookupError; ''
        where the pose was found.  now_s: of a steady clock.
        """
        asked = self._open.get(frames)
        if asked is None or asked[0] != stamp_ns:
            self._close(asked)
            self.asked += 1
            asked = (stamp_ns, now_s, True)
        if asked[2] and not problem:
            self._waits_ms.add((now_s - asked[1]) * 1e3)
        self._open[frames] = (stamp_ns, asked[1], problem)

    def heard(self, count: int, now_s: float, age_s: float | None):
        """Note messages, and how old the newest was when it was read."""
        self._messages.add(now_s, count)
        if age_s is not None:
            self._ages_ms.add(age_s * 1e3)

    def facts(self, now_s: float) -> dict:
        """
        Return messages_hz, lookups, not_found by reason, refused, and times.

        wait_ms: from the first try until a pose was found.  age_ms: from the stamp of the newest
        transform until it was read.
        """
        waits, ages = (times.percentiles(50, 95) for times in (self._waits_ms, self._ages_ms))
        return {'messages_hz': self._messages.hz(now_s), 'lookups': self.asked,
                **{f'not_found_{reason}': count for reason, count in sorted(
                    self.not_found.items())},
                'refused': self.refused, 'wait_ms_p50': waits[0], 'wait_ms_p95': waits[1],
                'age_ms_p50': ages[0], 'age_ms_p95': ages[1]}

    def _close(self, asked):
        """Count a question that nobody asks any more."""
        if asked is not None and asked[2]:
            self.not_found[asked[2]] += 1
