# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures that a policy was given in a replay, read again: for reports and films."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .looking import LookOptions
from .results import Images
from ..errors import ObservationError
from ..ingest.cameras import ImageHistory, REMEMBERED_NS
from ..ingest.images import to_rgb

NEAR_NS = 5 * 10**9  # up to which it is quicker to read on than to look up another place


class Pictures:
    """Reads the pictures of rows of Images, in one pass or from place to place."""

    def __init__(self, recording, topics, options: LookOptions, images: Images):
        """Take what the images were looked at with."""
        self._recording, self._images, self._options = recording, images, options
        self._topics = {topic: name for name, topic in topics.images.items()
                        if name in options.observers}

    def __call__(self, rows: Sequence[int]) -> Iterator[Mapping[str, np.ndarray]]:
        """
        Yield of each row {camera: uint8 [H, W, 3] RGB}, that of the main camera first.

        rows: in ascending order.  A further camera without an image that goes with it is left
        out, and all are where the main one's cannot be read.
        """
        messages, before_ns, histories = iter(()), None, {}
        for row in rows:
            time_ns = int(self._images.times_ns[row])
            if before_ns is None or time_ns - before_ns > NEAR_NS:
                messages = self._recording.messages(
                    self._topics, time_ns - REMEMBERED_NS, None)
                histories = {name: ImageHistory() for name in self._options.observers
                             if name != self._options.main}
            before_ns = time_ns
            yield self._found(messages, histories, time_ns, int(self._images.stamps_ns[row]))

    def _found(self, messages, histories, time_ns, stamp_ns) -> dict:
        for message in messages:
            name = self._topics[message.topic]
            try:
                if name != self._options.main:
                    histories[name].add(message.read())
                elif message.time_ns == time_ns:
                    return self._shown(message.read(), histories, stamp_ns)
            except ObservationError:
                if name == self._options.main and message.time_ns == time_ns:
                    return {}
        return {}

    def _shown(self, image, histories, stamp_ns) -> dict:
        shown = {self._options.main: self._rgb(self._options.main, image)}
        for name, history in histories.items():
            options = self._options.observers[name]
            tolerance_s = 0.0 if options.lockstep else options.camera_tolerance
            try:
                shown[name] = self._rgb(name, history.beside(stamp_ns, tolerance_s, name))
            except ObservationError:
                continue  # the main one is shown alone
        return shown

    def _rgb(self, name, image) -> np.ndarray:
        pixels = to_rgb(image)
        turned = self._options.observers[name].rotate_image_180
        return np.ascontiguousarray(pixels[::-1, ::-1]) if turned else pixels
