# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One picture of the demo: left the camera's image, right what the policy kept of it.

Above them the instruction and how the episode stands; each half says what it shows.
"""
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from sqap_vla_ros.demo.session import Records
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import ProtectedPoints, TokenSelection
from sqap_vla_ros.tokens.overlay import draw_overlay, enlarged, LEGEND_PX, LEGEND_ROWS

HEADER_PX, TITLE_PX, MARGIN_PX = 84, 24, 8
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, GREY, BLACK = (255, 255, 255), (170, 170, 170), (0, 0, 0)
GREEN, RED = (80, 220, 110), (255, 110, 90)


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
        """Keep what all pictures have in common."""
        self._transform, self._caption = transform, caption

    def compose(self, frame: Frame, successes: int, finished: int) -> np.ndarray:
        """Return uint8 [h, w, 3] RGB; successes of finished episodes are told above."""
        plain, marked = enlarged(frame.image), self.overlay(frame)
        height = max(marked.shape[0], plain.shape[0] + LEGEND_ROWS * LEGEND_PX)
        gap = np.zeros((height + TITLE_PX, MARGIN_PX, 3), np.uint8)
        body = np.concatenate([
            _titled('camera', _pad_to(plain, height)), gap,
            _titled(right_title(frame), _pad_to(marked, height))], axis=1)
        header = self._header(body.shape[1], frame, successes, finished)
        return np.concatenate([header, body])

    def overlay(self, frame: Frame) -> np.ndarray:
        """Return the image with its patches marked, the bare one where none were chosen."""
        if frame.selection is None:
            return enlarged(frame.image)
        return draw_overlay(frame.image, frame.selection, self._transform, frame.protected)

    def _header(self, width, frame, successes, finished) -> np.ndarray:
        header = np.zeros((HEADER_PX, width, 3), np.uint8)
        episode = frame.episode
        write_text(header, f'"{episode["instruction"]}"', (8, 28), 0.8, WHITE)
        state = (f'episode {episode["index"] + 1}/{episode["episodes"]}   seed '
                 f'{episode["seed"]}   t = {frame.time_s:4.1f} s')
        write_text(header, state, (8, 54), 0.5, WHITE)
        write_text(header, self._caption, (8, 76), 0.45, GREY)
        score = f'{successes}/{finished} succeeded'
        write_text(header, score, (width - 190, 54), 0.5, WHITE)
        if frame.is_last:
            text, color = outcome(episode)
            write_text(header, text, (width - 190, 28), 0.8, color)
        return header


def outcome(episode: dict) -> tuple[str, tuple[int, int, int]]:
    """Return 'SUCCESS' or 'FAILURE' and its colour."""
    return ('SUCCESS', GREEN) if episode['success'] else ('FAILURE', RED)


def right_title(frame: Frame) -> str:
    """Return what the right half shows."""
    if frame.is_last:
        return 'the end of the episode'
    if frame.selection is None:
        return 'what the policy keeps: all'
    kept, total = len(frame.selection.kept), frame.selection.total
    return f'what the policy keeps: {kept} of {total} patches'


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


def write_text(picture, text, origin, scale, color) -> None:
    """Write letters with a dark edge into a picture, from the lower left (x, y) on."""
    for stroke, thickness in ((BLACK, 3), (color, 1)):
        cv2.putText(picture, text, origin, FONT, scale, stroke, thickness, cv2.LINE_AA)


def _titled(title, picture) -> np.ndarray:
    strip = np.full((TITLE_PX, picture.shape[1], 3), 40, np.uint8)
    write_text(strip, title, (8, 17), 0.5, WHITE)
    return np.concatenate([strip, picture])


def _pad_to(picture, height) -> np.ndarray:
    below = np.zeros((max(0, height - picture.shape[0]), *picture.shape[1:]), np.uint8)
    return np.concatenate([picture, below])


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
