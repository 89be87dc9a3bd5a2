# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What of the transforms that come in is believed, and what is said of the rest."""

import math

from .stamps import duration_text
from ..geometry.transform_buffer import TransformBuffer, TransformLookupError

REFUSED_S = 2.0  # for how long what was refused explains what is missing


class TransformIntake:
    """
    A TransformBuffer that takes no transform of the future, and remembers why it took none.

    future_s: how far a stamp may be ahead of the clock, None for any: the pose that now has the
    image's stamp was measured that much before it.  buffer: what was taken.
    """

    def __init__(self, future_s: float | None = None):
        """Begin without a transform."""
        self.future_s, self.buffer = future_s, TransformBuffer()
        self._refused = None  # (time, why) of the last one

    def take(self, transform, now_ns: int | None, steady_s: float) -> str:
        """
        Take a WireTransform; return why it is not taken, '' if it is.

        now_ns: the clock that stamps are of, 0 where it stands there; None for a static one.
        steady_s: time of a steady clock.
        """
        try:
            if now_ns and self.future_s is not None:
                self._check_stamp(transform, now_ns)
            self.buffer.insert_numbers(*transform, static=now_ns is None)
        except TransformLookupError as error:
            return self.refuse(error, steady_s)
        return ''

    def take_moving(self, transforms, now_ns: int, steady_s: float) -> list[str]:
        """Take WireTransforms that move, one after the other; return why some are not taken."""
        latest_ns, refused, done = self._latest_ns(now_ns), [], 0
        while (done := done + self.buffer.append(transforms[done:], latest_ns)) < len(transforms):
            refused.append(self.take(transforms[done], now_ns, steady_s))
            done += 1
        return list(filter(None, refused))

    def _latest_ns(self, now_ns) -> float:
        """Return up to when a stamp is surely not of the future."""
        if not now_ns or self.future_s is None:
            return math.inf
        return now_ns + int(self.future_s * 1e9) - 1

    def refuse(self, error, steady_s: float) -> str:
        """Remember why something was not taken, and return it."""
        self._refused = steady_s, str(error)
        return str(error)

    def explained(self, error: TransformLookupError, steady_s: float) -> TransformLookupError:
        """Return an error of a lookup, with what was refused shortly before."""
        if self._refused is None or steady_s - self._refused[0] > REFUSED_S:
            return error
        return TransformLookupError(f'{error} ({self._refused[1]})', error.reason)

    def _check_stamp(self, transform, now_ns):
        ahead_s = (transform.stamp_ns - now_ns) * 1e-9
        if ahead_s > self.future_s:
            raise TransformLookupError(
                f'transform {transform.parent} -> {transform.child} is ignored: '
                f'it is stamped {duration_text(ahead_s)} in the future (limit: '
                f"{self.future_s:g} s): synchronize the robot's clock, or check use_sim_time")
