# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether the images that a camera sends arrive.

Publishers number their messages; what is missing between two that came in was lost on the way. An
image of a megabyte is lost when a hundredth of it is, while a camera_info always arrives.
"""

from collections import deque

WINDOW_S = 5.0
ENOUGH = 10  # images sent, or camera_infos heard, to speak of
LEAST_ARRIVED = 0.5
SLOW_HZ = 10.0  # what arrives faster serves, whatever was lost
CURE = ('large images get lost between processes: start the camera driver with the Fast DDS '
        'profile of this package (config/fastdds.xml), or use smaller images or image_transport '
        'compressed, or relieve this machine; docs/troubleshooting.md')


class Delivery:
    """Counts what came in over the last seconds; times are of any steady clock."""

    def __init__(self):
        """Begin without a message."""
        self.clear()

    def clear(self):
        """Forget all messages."""
        self._images, self._infos = deque(), deque()

    def image(self, number: int | None, now_s: float):
        """Note an image; number: its publisher's, None where the middleware does not tell."""
        if self._images and None not in (number, self._images[-1][1]) \
                and number <= self._images[-1][1]:
            self._images.clear()  # another publisher
        self._images.append((now_s, number))

    def info(self, now_s: float):
        """Note a camera_info."""
        self._infos.append((now_s, None))

    def problem(self, topic: str, now_s: float) -> str:
        """Return what is lost and what to do, '' if nothing is."""
        for heard in (self._images, self._infos):
            while heard and now_s - heard[0][0] > WINDOW_S:
                heard.popleft()
        arrived, sent = len(self._images), self._sent()
        if sent is None:
            if arrived or len(self._infos) < ENOUGH:
                return ''
            return f'camera_info comes in and no image on {topic}: {CURE}'
        if sent < ENOUGH or arrived >= LEAST_ARRIVED * sent or arrived >= SLOW_HZ * WINDOW_S:
            return ''
        return (f'only {arrived} of {sent} images arrived on {topic} in the last '
                f'{WINDOW_S:g} s: {CURE}')

    def _sent(self):
        """Return how many images were sent between the first and the last that arrived."""
        if not self._images or self._images[0][1] is None:
            return None
        return self._images[-1][1] - self._images[0][1] + 1
