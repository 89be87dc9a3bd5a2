# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether a camera still shows what happens, or repeats its last pictures with new stamps.

A sensor has noise, so no two pictures of it are the same. A simulated one may be without, and
then a scene in which nothing moves gives the same picture for ever, as it should: hence only time
counts in which the arm was commanded to move. Of a camera whose pictures were seen to have noise,
one in which hardly anything but a clock in a corner changes is a repeated one, too.
"""

from collections import OrderedDict
from functools import lru_cache
import zlib

import numpy as np

REMEMBERED = 8  # a driver that hangs may hand out its few buffers in turns
LONGEST_TICK_S = 0.1  # a command is in force until the next one, but not for longer than this
SAMPLES = 16_384  # bytes of two pictures in a row that are compared
LIVELY = 0.4  # of them differ from picture to picture: a camera with noise
HARDLY_ANY = 0.1  # of the usual share
LEARNING = 0.1  # share of a picture in what is usual
SLOWEST = 0.005  # of a command's numbers (m/s, rad/s); below it the arm as good as stands


class FrozenImages:
    """Watches the bytes of the pictures as they come in, and the commands as they go out."""

    def __init__(self):
        """Begin without a picture."""
        self.clear()

    def clear(self):
        """Forget all pictures: what comes next is new."""
        self._seen = OrderedDict()
        self._moving_s, self._repeats = 0.0, 0
        self._moving_since_s = None
        self._last, self._usual = np.zeros(0, np.uint8), 0.0

    def heard(self, data):
        """Take the bytes of an image message (anything with a buffer)."""
        key = digest(data)
        if key in self._seen or self._hardly_changes(np.frombuffer(data, np.uint8)):
            self._repeats += 1
            return
        self._moving_s, self._repeats = 0.0, 0
        self._seen[key] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _hardly_changes(self, octets):
        """Return whether a picture is the last one but for a little, of a camera with noise."""
        last, now = self._last, octets[::octets.size // SAMPLES + 1].copy()
        self._last = now
        if now.size != last.size or not now.size:  # compressed, or another camera
            return False
        share = np.count_nonzero(now != last) / now.size
        if self._usual > LIVELY and share < HARDLY_ANY * self._usual:
            return True
        self._usual += LEARNING * (share - self._usual)
        return False

    def commanded(self, velocity, now_s: float):
        """Take the velocities that the arm is told from now on, None for a stop; now_s: steady."""
        if self._moving_since_s is not None:
            self._moving_s += min(now_s - self._moving_since_s, LONGEST_TICK_S)
        moves = velocity is not None and np.abs(velocity).max() > SLOWEST
        self._moving_since_s = now_s if moves else None

    def why_stop(self, timeout_s: float, topic: str) -> str:
        """Return why the arm must stop, '' if it need not; timeout_s: 0 looks at nothing."""
        if not timeout_s or not self._repeats or self._moving_s <= timeout_s:
            return ''
        return (f'the images on {topic} do not change: {self._repeats} pictures came in with new '
                f'stamps that were the same as before, while the arm was commanded to move for '
                f'{self._moving_s:.2f} s (limit: frozen_image_timeout, {timeout_s:g} s): restart '
                'the camera; a simulated camera without noise that does not see the arm needs 0')


def digest(data) -> tuple:
    """Return a few numbers that differ for bytes that differ; a megabyte takes 0.1 ms."""
    octets = np.frombuffer(data, np.uint8)
    whole = octets.size // 8 * 8
    words = octets[:whole].view(np.uint64)
    return (octets.size, int(words @ _weights(words.size)), zlib.crc32(octets[whole:]))


@lru_cache(maxsize=2)
def _weights(size):
    """Return odd numbers: one changed word always changes the sum."""
    return np.random.default_rng(0).integers(0, 2**63, size, np.uint64) * 2 + 1
