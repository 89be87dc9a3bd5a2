# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the images that a camera sends arrive.

Publishers number their messages; what is missing between two that came in was lost on the way. An
image of a megabyte is lost when a hundredth of it is, while a camera_info always arrives.
"""

from collections import deque
import math
from threading import Lock

from ..support.timing import Recent

WINDOW_S = 5.0
ENOUGH = 10  # images sent, or camera_infos heard, to speak of
LEAST_ARRIVED = 0.5
NO_NUMBER = 2**64 - 1  # of a middleware that tells none
FASTEST_HZ, BURST = 1000.0, 10  # what one publisher can have sent: so many a second, a few more
ALONE_S = 1.0  # for how long the numbers grow until they are believed to be of one publisher
SLOW_HZ = 10.0  # what arrives faster serves, whatever was lost
CURE = ('large images get lost between processes: start the camera driver with the Fast DDS '
        'profile of this package (config/fastdds.xml), or use smaller images or image_transport '
        'compressed, or relieve this machine; docs/troubleshooting.md')


class Delivery:
    """
    Counts what came in over the last seconds; times are of any steady clock.

    heard, lost: images since clear(), and those that were sent between them and did not come, as
    far as the numbers are of one publisher.  Several threads may tell and ask.
    """

    def __init__(self):
        """Begin without a message."""
        self._lock = Lock()
        self.clear()

    def clear(self):
        """Forget all messages."""
        with self._lock:
            self._images, self._infos = deque(), deque()
            self.heard = self.lost = 0
            self._ages_ms, self._alone_s = Recent(WINDOW_S * SLOW_HZ), -math.inf

    def image(self, number: int | None, now_s: float, age_s: float | None = None):
        """
        Note an image.

        number: its publisher's, None where the middleware does not tell.  age_s: from its stamp
        to now, None where that says nothing.
        """
        number = None if number is None or number >= NO_NUMBER else number
        with self._lock:
            if self._images and None not in (number, self._images[0][1], self._images[-1][1]):
                self._count_lost(number, now_s)
            self._images.append((now_s, number))
            self.heard += 1
            if age_s is not None:
                self._ages_ms.add(age_s * 1e3)

    def _count_lost(self, number, now_s):
        """Count what lies between the last image and this one, unless that is another's."""
        (first_s, first), (_, before) = self._images[0], self._images[-1]
        if not before < number <= first + BURST + (now_s - first_s) * FASTEST_HZ:
            self._images.clear()
            self._alone_s = now_s + ALONE_S
        elif self._is_alone(now_s):
            self.lost += number - before - 1

    def info(self, now_s: float):
        """Note a camera_info."""
        with self._lock:
            self._infos.append((now_s, None))

    def problem(self, topic: str, now_s: float) -> str:
        """Return what is lost and what to do, '' if nothing is."""
        with self._lock:
            self._forget_before(now_s - WINDOW_S)
            arrived, sent, infos = len(self._images), self._sent(now_s), len(self._infos)
        if sent is None:
            if arrived or infos < ENOUGH:
                return ''
            return f'camera_info comes in and no image on {topic}: {CURE}'
        if sent < ENOUGH or arrived >= LEAST_ARRIVED * sent or arrived >= SLOW_HZ * WINDOW_S:
            return ''
        return (f'only {arrived} of {sent} images arrived on {topic} in the last '
                f'{WINDOW_S:g} s: {CURE}')

    def facts(self, now_s: float) -> dict:
        """
        Return what the last seconds were like.

        heard_hz, sent_hz (by the publisher's numbers), camera_info_hz; images and lost, counts
        since clear(); arrived: images of the last seconds; age_ms_p50, age_ms_p95: from an image's
        stamp until it was heard.
        """
        with self._lock:
            self._forget_before(now_s - WINDOW_S)
            heard_hz, infos_hz = (_rate([time_s for time_s, _ in heard], now_s)
                                  for heard in (self._images, self._infos))
            arrived, sent = len(self._images), self._sent(now_s)
            p50, p95 = self._ages_ms.percentiles(50, 95)
            return {'images': self.heard, 'lost': self.lost, 'arrived': arrived,
                    'heard_hz': heard_hz,
                    'sent_hz': heard_hz * sent / arrived if sent else float('nan'),
                    'camera_info_hz': infos_hz, 'age_ms_p50': p50, 'age_ms_p95': p95}

    def _forget_before(self, time_s):
        for heard in (self._images, self._infos):
            while heard and heard[0][0] < time_s:
                heard.popleft()

    def _is_alone(self, now_s):
        return now_s >= self._alone_s

    def _sent(self, now_s):
        """Return how many images one publisher sent from the first to the last that arrived."""
        if not (self._images and self._is_alone(now_s)) or self._images[0][1] is None:
            return None
        return self._images[-1][1] - self._images[0][1] + 1


def _rate(times_s, now_s) -> float:
    """Return how many a second these times are, up to now; 0 of less than two."""
    return (len(times_s) - 1) / (now_s - times_s[0]) if len(times_s) > 1 else 0.0
