# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Compressed images unpacked ahead, by other threads, while those before them are looked at.

A recording's next images are known, and OpenCV unpacks without Python's lock: JPEGs took half of
the time of looking at them (benchmarks/replay_ingest.py). The pixels are those of the same code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..ingest.images import to_rgb
from ..recordings.recording import Message

COMPRESSED = 'sensor_msgs/msg/CompressedImage'
IMAGES = 3  # that are unpacked at a time, or wait to be looked at
THREADS = 2


def unpacked_ahead(messages: Iterator[Message], wanted: Callable[[Message], bool]
                   ) -> Iterator[Message]:
    """
    Yield messages as they come, with images that are unpacked already, or soon.

    wanted(message): called once a message, in their order; whether it is an image to be looked
    at.  Only compressed ones are unpacked ahead.
    """
    waiting, images = deque(), 0
    with ThreadPoolExecutor(THREADS, 'unpack') as threads:
        try:
            for message in messages:
                if wanted(message) and message.kind == COMPRESSED:
                    future = threads.submit(_unpacked, message)
                    message = message._replace(read=future.result)
                    images += 1
                elif not images:
                    yield message
                    continue
                waiting.append(message)
                while images > IMAGES or waiting and not images:
                    images -= _is_ahead(waiting[0])
                    yield waiting.popleft()
            yield from waiting
        except GeneratorExit:  # nobody looks at the rest
            threads.shutdown(cancel_futures=True)
            raise


def _is_ahead(message) -> bool:
    return isinstance(getattr(message.read, '__self__', None), Future)


def _unpacked(message):
    """Return what a message tells, with its pixels; raise what reading it raises."""
    return UnpackedImage(message.read())


class UnpackedImage:
    """A sensor_msgs/CompressedImage whose pixels, or what is wrong with them, are known."""

    def __init__(self, message):
        """Unpack a message."""
        self._message, self._pixels, self._error = message, None, None
        try:
            self._pixels = to_rgb(message)
        except ValueError as error:  # it is for whoever looks at the image
            self._error = error

    def __getattr__(self, name: str):
        """Return a field of the message."""
        return getattr(self._message, name)

    def pixels(self):
        """Return to_rgb of the message, or raise what that raised."""
        if self._error is not None:
            raise self._error
        return self._pixels
