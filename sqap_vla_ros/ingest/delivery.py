# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the images that a camera sends arrive.

Publishers number their messages; what is missing between two that came in was lost on the way. An
image of a megabyte is lost when a hundredth of it is, while a camera_info always arrives.
"""

from collections import deque

from ..support.timing import Recent

WINDOW_S = 5.0
ENOUGH = 10  # images sent, or camera_infos heard, to speak of
LEAST_ARRIVED = 0.5
NO_NUMBER = 2**64 - 1  # of a middleware that tells none
SLOW_HZ = 10.0  # what arrives faster serves, whatever was lost
CURE = ('large images get lost between processes: start the camera driver with the Fast DDS '
        'profile of this package (config/fastdds.xml), or use smaller images or image_transport '
        'compressed, or relieve this machine; docs/troubleshooting.md')


class Delivery:
    """
    Counts what came in over the last seconds; times are of any steady clock.

    heard, lost: images since clear(), and those that were sent between them and did not come.
    """

    def __init__(self):
        """Begin without a message."""
        self.clear()

    def clear(self):
        """Forget all messages."""
        self._images, self._infos = deque(), deque()
        self.heard = self.lost = 0
        self._ages_ms = Recent(WINDOW_S * SLOW_HZ)

    def image(self, number: int | None, now_s: float, age_s: float | None = None):
        """
        Note an image.

        number: its publisher's, None where the middleware does not tell.  age_s: from its stamp
        to now, None where that says nothing.
        """
        number = None if number is None or number >= NO_NUMBER else number
        before = self._images[-1][1] if self._images else None
        if None not in (number, before):
            if number <= before:
                self._images.clear()  # another publisher
            self.lost += max(0, number - before - 1)
        self._images.append((now_s, number))
        self.heard += 1
        if age_s is not None:
            self._ages_ms.add(age_s * 1e3)

    def info(self, now_s: float):
        """Note a camera_info."""
        self._infos.append((now_s, None))

    def problem(self, topic: str, now_s: float) -> str:
        """Return what is lost and what to do, '' if nothing is."""
        self._forget_before(now_s - WINDOW_S)
        arrived, sent = len(self._images), self._sent()
        if sent is None:
            if arrived or len(self._infos) < ENOUGH:
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
        self._forget_before(now_s - WINDOW_S)
        heard_hz = _rate([time_s for time_s, _ in self._images], now_s)
        sent = self._sent()
        share = len(self._images) / sent if sent else float('nan')
        p50, p95 = self._ages_ms.percentiles(50, 95)
        return {'images': self.heard, 'lost': self.lost, 'arrived': len(self._images),
                'heard_hz': heard_hz,
                'sent_hz': heard_hz / share,
                'camera_info_hz': _rate([time_s for time_s, _ in self._infos], now_s),
                'age_ms_p50': p50, 'age_ms_p95': p95}

    def _forget_before(self, time_s):
        for heard in (self._images, self._infos):
            while heard and heard[0][0] < time_s:
                heard.popleft()

    def _sent(self):
        """Return how many images were sent between the first and the last that arrived."""
        if not self._images or self._images[0][1] is None:
            return None
        return self._images[-1][1] - self._images[0][1] + 1


def _rate(times_s, now_s) -> float:
    """Return how many a second these times are, up to now; 0 of less than two."""
    return (len(times_s) - 1) / (now_s - times_s[0]) if len(times_s) > 1 else 0.0
