# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the demo shows: a video of the first episodes and one page of pictures.

Left the camera's image, right what the policy kept of it (see overlay.py), above them the
instruction and how the episode stands.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sqap_vla_ros.demo.session import Records
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import ProtectedPoints, TokenSelection
from sqap_vla_ros.tokens.overlay import draw_overlay, LEGEND_PX, SMALLEST_SIDE_PX

# VP9 plays in browsers; MPEG-4 part 2 is what every build of OpenCV can write.
CODECS = ('vp09', 'mp4v')
FRAMES_PER_S = 10.0
HOLD_FRAMES = 10  # how long the end of an episode stays
HEADER_PX = 84
MARGIN_PX = 8
LEGEND_ROWS = 2
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, GREY, BLACK = (255, 255, 255), (170, 170, 170), (0, 0, 0)
GREEN, RED = (80, 220, 110), (255, 110, 90)
PICTURES_A_ROW, ROWS_OF_OVERVIEW = 4, 5
THUMBNAIL_PX = 264


@dataclass(frozen=True)
class Frame:
    """
    One picture to compose.

    image: uint8 [H, W, 3] RGB; selection, protected: what was kept of it, None where the policy
    did not look; episode: the finished EpisodeRecord as a dictionary; time_s: simulated or wall
    time since the episode began; is_last: shows the outcome.
    """

    image: np.ndarray
    selection: TokenSelection | None
    protected: ProtectedPoints | None
    episode: dict
    time_s: float
    is_last: bool = False


class FrameComposer:
    """Makes pictures of Frames; transform: the checkpoint's ImageTransform, caption: a line."""

    def __init__(self, transform, caption: str):
        self._transform, self._caption = transform, caption

    def compose(self, frame: Frame, successes: int, finished: int) -> np.ndarray:
        """Return uint8 [h, w, 3] RGB; successes of finished episodes are told above."""
        plain, marked = enlarged(frame.image), self.overlay(frame)
        height = plain.shape[0] + LEGEND_ROWS * LEGEND_PX
        gap = np.zeros((height, MARGIN_PX, 3), np.uint8)
        body = np.concatenate([_pad_to(plain, height), gap, _pad_to(marked, height)], axis=1)
        header = self._header(body.shape[1], frame, successes, finished)
        return _even(np.concatenate([header, body]))

    def overlay(self, frame: Frame) -> np.ndarray:
        """Return the image with its patches marked, the bare one where none were chosen."""
        if frame.selection is None:
            return enlarged(frame.image)
        return draw_overlay(frame.image, frame.selection, self._transform, frame.protected)

    def _header(self, width, frame, successes, finished) -> np.ndarray:
        header = np.zeros((HEADER_PX, width, 3), np.uint8)
        episode = frame.episode
        _text(header, f'"{episode["instruction"]}"', (8, 28), 0.8, WHITE)
        state = (f'episode {episode["index"] + 1}/{episode["episodes"]}   seed '
                 f'{episode["seed"]}   t = {frame.time_s:4.1f} s')
        _text(header, state, (8, 54), 0.5, WHITE)
        _text(header, self._caption, (8, 76), 0.45, GREY)
        score = f'{successes}/{finished} succeeded'
        _text(header, score, (width - 190, 54), 0.5, WHITE)
        if frame.is_last:
            text, color = outcome(episode)
            _text(header, text, (width - 190, 28), 0.8, color)
        return header


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return the image, smoothed, as large as `draw_overlay` makes it."""
    scale = max(1, -(-SMALLEST_SIDE_PX // min(image.shape[:2])))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def outcome(episode: dict) -> tuple[str, tuple[int, int, int]]:
    """Return 'SUCCESS' or 'FAILURE' and its colour."""
    return ('SUCCESS', GREEN) if episode['success'] else ('FAILURE', RED)


def frames_of(records: Records, episode: dict) -> Iterator[Frame]:
    """Yield the frames of one finished episode in order, the outcome last."""
    index = episode['index']
    chosen = {line['stamp']: line for line in records.selections}
    shots = [line for line in records.frames if line['episode'] == index]
    ends = [line for line in records.final_frames if line['episode'] == index]
    start = shots[0]['stamp'] if shots else 0
    for line in shots:
        yield _frame(line, chosen.get(line['stamp']), episode, start)
    for line in ends[-1:]:
        yield _frame(line, None, episode, start, is_last=True)


def write_video(path: Path, records: Records, composer: FrameComposer, episodes: int) -> int:
    """
    Write the first episodes as a video and return the number of its frames.

    Raises ConfigError when OpenCV has no encoder for it or the file cannot be written.
    """
    writer, count, successes = None, 0, 0
    for episode in records.episodes[:episodes]:
        for frame in frames_of(records, episode):
            successes += frame.is_last and episode['success']
            picture = composer.compose(frame, successes, episode['index'] + frame.is_last)
            writer = writer or _open_video(path, picture.shape[:2])
            for _ in range(HOLD_FRAMES if frame.is_last else 1):
                writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
                count += 1
    if writer is not None:
        writer.release()
        if not path.exists() or path.stat().st_size == 0:
            raise ConfigError(f'{path} could not be written: is the disk full?')
    return count


def write_overview(path: Path, records: Records, composer: FrameComposer, title: str) -> None:
    """
    Write one page: a row of pictures from start to end for each of the first episodes.

    Raises ConfigError when the file cannot be written.
    """
    shown = [(episode, list(frames_of(records, episode)))
             for episode in records.episodes[:ROWS_OF_OVERVIEW]]
    rows = [_overview_row(episode, frames, composer) for episode, frames in shown if frames]
    if not rows:
        return
    header = np.zeros((44, rows[0].shape[1], 3), np.uint8)
    _text(header, title, (8, 28), 0.55, WHITE)
    first = next(frames[0] for _, frames in shown if frames)
    legend = composer.overlay(first)[enlarged(first.image).shape[0]:]
    legend = np.pad(legend, ((4, 4), (0, max(0, header.shape[1] - legend.shape[1])), (0, 0)))
    page = np.concatenate([header, *rows, legend[:, :header.shape[1]]])
    if not cv2.imwrite(str(path), cv2.cvtColor(page, cv2.COLOR_RGB2BGR)):
        raise ConfigError(f'{path} could not be written: is the disk full?')


def _overview_row(episode, frames, composer) -> np.ndarray:
    chosen = np.linspace(0, len(frames) - 1, PICTURES_A_ROW).round().astype(int)
    pictures = []
    for number in chosen:
        frame = frames[number]
        picture = composer.overlay(frame)[:enlarged(frame.image).shape[0]]  # no legend
        picture = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX),
                             interpolation=cv2.INTER_AREA)
        _text(picture, f'{frame.time_s:.1f} s', (6, THUMBNAIL_PX - 8), 0.5, WHITE)
        pictures += [picture, np.zeros((THUMBNAIL_PX, 4, 3), np.uint8)]
    strip = np.concatenate(pictures, axis=1)
    label = np.zeros((26, strip.shape[1], 3), np.uint8)
    text, color = outcome(episode)
    _text(label, f'seed {episode["seed"]}  "{episode["instruction"]}"', (6, 18), 0.5, WHITE)
    _text(label, f'{text} after {episode["duration_s"]:.1f} s',
          (strip.shape[1] - 230, 18), 0.5, color)
    return np.concatenate([label, strip])


def _frame(line, selection, episode, start_ns, is_last=False) -> Frame:
    image = cv2.imread(line['path'])
    if image is None:
        raise ConfigError(f'{line["path"]} could not be read: was the disk full?')
    kept = protected = None
    if selection is not None:
        kept = TokenSelection(tuple(selection['grid']), np.array(selection['kept']),
                              np.array(selection['reason'], np.uint8))
        protected = ProtectedPoints(
            np.array(selection['pixels'], float).reshape(-1, 2),
            np.array(selection['radii_px'], float), tuple(selection['frames']))
    time_s = episode['duration_s'] if is_last else (line['stamp'] - start_ns) / 1e9
    return Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), kept, protected, episode, time_s,
                 is_last)


def _open_video(path: Path, size: tuple[int, int]) -> cv2.VideoWriter:
    for codec in CODECS:
        writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*codec), FRAMES_PER_S, size[::-1])
        if writer.isOpened():
            return writer
    raise ConfigError(f'{path} could not be opened: OpenCV has no encoder of {CODECS}, or the '
                      'directory cannot be written; --no-video leaves it out')


def _text(picture, text, origin, scale, color) -> None:
    for stroke, thickness in ((BLACK, 3), (color, 1)):
        cv2.putText(picture, text, origin, FONT, scale, stroke, thickness, cv2.LINE_AA)


def _pad_to(picture, height) -> np.ndarray:
    below = np.zeros((max(0, height - picture.shape[0]), *picture.shape[1:]), np.uint8)
    return np.concatenate([picture, below])


def _even(picture) -> np.ndarray:
    """Return the picture with even sides, as video encoders want them."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)))
