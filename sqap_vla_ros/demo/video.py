# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The demo's video: H.264 in MP4, which browsers and every player show.

It runs at true speed: each picture stays for as long as it was the newest one, in simulated time
(lockstep) or by the clock (real time); the end of an episode stays HOLD_S longer.
"""
from collections.abc import Iterator
from fractions import Fraction
import os
from pathlib import Path

import numpy as np

from sqap_vla_ros.demo.pictures import Frame, FrameComposer, frames_of
from sqap_vla_ros.demo.session import Records

HOLD_S = 1.0
SHORTEST_S = 0.02  # of a picture: stamps can be equal
CODEC, OPTIONS = 'libx264', {'preset': 'veryfast', 'crf': '20'}
TIME_BASE = Fraction(1, 1000)  # of the pictures' times


def write_video(path: Path, records: Records, composer: FrameComposer, episodes: int,
                progress) -> float:
    """
    Write the first episodes as a video, whole or not at all, and return its length, s.

    progress: a support.progress.Progress that counts pictures.  Raises OSError when the file
    cannot be written.
    """
    part, length_s = path.with_name(f'.{path.name}.part'), 0.0
    try:
        with _Encoder(part) as encoder:
            for picture, shown_s in _pictures(records, composer, episodes):
                encoder.add(picture, length_s)
                length_s += shown_s
                progress.advance()
            encoder.end(length_s)
        if length_s:
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return length_s


def picture_count(records: Records, episodes: int) -> int:
    """Return how many pictures the first episodes have."""
    indices = {episode['index'] for episode in records.episodes[:episodes]}
    return sum(line['episode'] in indices for line in (*records.frames, *records.final_frames))


def timeline(frames: list[Frame]) -> list[float]:
    """Return for how long each frame of an episode is shown, s."""
    times = [frame.time_s for frame in frames]
    shown = [max(SHORTEST_S, later - earlier) for earlier, later in zip(times, times[1:])]
    return [*shown, HOLD_S][:len(frames)]


def _pictures(records, composer, episodes) -> Iterator[tuple[np.ndarray, float]]:
    successes = 0
    for episode in records.episodes[:episodes]:
        frames = list(frames_of(records, episode))
        for frame, shown_s in zip(frames, timeline(frames)):
            successes += bool(frame.is_last and episode['success'])
            yield composer.compose(frame, successes, episode['index'] + frame.is_last), shown_s


class _Encoder:
    """Writes pictures [h, w, 3] of one size with the times at which they begin."""

    def __init__(self, path: Path):
        self._path, self._file, self._stream, self._last = path, None, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._file is not None:
            self._file.close()

    def add(self, picture, at_s: float) -> None:
        import av
        if self._file is None:
            self._open(picture.shape[:2])
        frame = av.VideoFrame.from_ndarray(_even(picture), format='rgb24')
        frame.pts, frame.time_base = round(at_s / TIME_BASE), TIME_BASE
        self._file.mux(self._stream.encode(frame))
        self._last = picture

    def end(self, at_s: float) -> None:
        """Let the last picture stay until then."""
        if self._file is None:
            return
        self.add(self._last, max(0.0, at_s - SHORTEST_S))
        self._file.mux(self._stream.encode(None))

    def _open(self, size) -> None:
        import av
        self._file = av.open(str(self._path), 'w', format='mp4',
                             options={'movflags': 'faststart'})
        self._stream = self._file.add_stream(CODEC, rate=50, options=OPTIONS)
        self._stream.height, self._stream.width = (side + side % 2 for side in size)
        self._stream.pix_fmt = 'yuv420p'
        self._stream.codec_context.time_base = TIME_BASE


def _even(picture) -> np.ndarray:
    """Return the picture with even sides, as video encoders want them."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)))
