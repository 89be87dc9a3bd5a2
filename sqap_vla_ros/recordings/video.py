# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Videos read from their beginning to their end, two frames in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .lerobot_info import why_unread
from ..errors import ObservationError
from ..support.requirements import missing_modules_as

FORWARD_S = 10.0  # what is further ahead is sought, and nearer frames are decoded on the way
SLACK = 0.6  # of the time between two frames, by which one may be off the time asked for


class Video:
    """
    The frames of a video file, by their times; meant to be asked in order.

    frames: how many the file says that it has, None if it does not.  Raises ObservationError
    when made of a file that is no video.
    """

    def __init__(self, path: Path):
        """Open a file, of any codec that PyAV has."""
        with missing_modules_as(ObservationError):
            import av
        self.path, self._error = Path(path), av.error.FFmpegError
        try:
            self._container = av.open(str(path))
        except (self._error, OSError) as error:
            raise ObservationError(why_unread(self.path, error)) from error
        if not self._container.streams.video:
            raise ObservationError(f'{path} ({self.path.stat().st_size} bytes) has no video in '
                                   'it: was it cut off?')
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = 'AUTO'
        self.frames = self._stream.frames or None
        self.period_s = 1 / float(self._stream.average_rate or 30)
        self.damaged = 0  # pieces that could not be decoded
        self._begin(None)

    def at(self, time_s: float) -> np.ndarray:
        """
        Return the frame nearest to a time, uint8 [H, W, 3] RGB.

        Raises ObservationError where there is none within half the time between two frames.
        """
        here_s = self._here and self._here[0]
        if here_s is not None and not here_s - self.period_s / 2 <= time_s <= here_s + FORWARD_S \
                or here_s is None and time_s > FORWARD_S:
            self._begin(time_s)
        while self._next is not None and self._next[0] <= time_s:
            self._step()
        near = [frame for frame in (self._here, self._next) if frame is not None]
        found = min(near, key=lambda frame: abs(frame[0] - time_s), default=None)
        if found is None or abs(found[0] - time_s) > SLACK * self.period_s:
            raise ObservationError(self._no_frame(time_s))
        return found[1].to_ndarray(format='rgb24')

    @property
    def has_ended(self) -> bool:
        """Whether no frame comes behind those that were read."""
        return self._next is None

    @property
    def end_s(self) -> float:
        """Return the time of the last frame that was read."""
        return self._here[0] if self._here else 0.0

    def _begin(self, time_s):
        """Start decoding at the frame of a time, or before it; None: at the first."""
        if time_s is not None:
            offset = int(time_s / self._stream.time_base) - 1
            self._container.seek(max(offset, 0), stream=self._stream)
        self._decoded = self._decode()
        self._here, self._next = None, None
        self._step()

    def _step(self):
        self._here, self._next = self._next or self._here, next(self._decoded, None)

    def _decode(self) -> Iterator[tuple]:
        """Yield (time in s, frame); what is damaged is passed over and counted."""
        for packet in self._packets():
            for frame in self._frames(packet):
                if frame.pts is not None:
                    yield float(frame.pts * self._stream.time_base), frame

    def _packets(self) -> Iterator:
        """Yield packets, and last None or an empty one for the frames that are held back."""
        try:
            yield from self._container.demux(self._stream)
        except self._error:  # the file ends here
            self.damaged += 1
            yield None

    def _frames(self, packet):
        try:
            return self._stream.decode(packet)
        except self._error:
            self.damaged += 1
            return ()

    def _no_frame(self, time_s) -> str:
        told = f'{self.path} has no frame at {time_s:.3f} s'
        if self.has_ended:
            told += f': it ends at {self.end_s:.3f} s'
        return told + (f'; {self.damaged} of its pieces are damaged' if self.damaged else '')


def why_no_video(path: Path) -> str:
    """Return why there is nothing to see in a file, '' where there is."""
    try:
        Video(path)
    except ObservationError as error:
        return str(error)
    return ''
