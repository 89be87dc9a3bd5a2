# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo on one page: a row of pictures for each of some episodes, the failures first."""
from pathlib import Path

import cv2
import numpy as np

from sqap_vla_ros.demo.pictures import FrameComposer, frames_of, outcome, WHITE, write_text
from sqap_vla_ros.demo.session import Records
from sqap_vla_ros.support.files import write_whole
from sqap_vla_ros.tokens.overlay import enlarged

PICTURES_A_ROW, ROWS = 4, 5
THUMBNAIL_PX = 264


def shown_episodes(episodes: list[dict], count: int = ROWS) -> list[dict]:
    """Return the episodes that the page shows: failures, then successes, each in their order."""
    return sorted(episodes, key=lambda episode: bool(episode['success']))[:count]


def write_overview(path: Path, records: Records, composer: FrameComposer, title: str,
                   progress) -> None:
    """
    Write the page; nothing where no episode has a picture.

    progress: a support.progress.Progress that counts rows.  Raises OSError when the file cannot
    be written.
    """
    rows, first = [], None
    for episode in shown_episodes(records.episodes):
        frames = list(frames_of(records, episode))
        if frames:
            first = first or frames[0]
            rows.append(_row(episode, frames, composer))
        progress.advance()
    if not rows:
        return
    page = np.concatenate([_header(rows[0].shape[1], title), *rows,
                           _legend(rows[0].shape[1], first, composer)])
    write_whole(path, cv2.imencode('.png', page[..., ::-1])[1].tobytes())


def _header(width, title) -> np.ndarray:
    header = np.zeros((44, width, 3), np.uint8)
    write_text(header, title, (8, 28), 0.55, WHITE)
    return header


def _legend(width, frame, composer) -> np.ndarray:
    """Return what stands below the picture of a frame, as wide as the page."""
    legend = composer.overlay(frame)[enlarged(frame.image).shape[0]:, :width]
    return np.pad(legend, ((4, 4), (0, width - legend.shape[1]), (0, 0)))


def _row(episode, frames, composer) -> np.ndarray:
    chosen = np.linspace(0, len(frames) - 1, PICTURES_A_ROW).round().astype(int)
    pictures = []
    for number in chosen:
        frame = frames[number]
        picture = composer.overlay(frame)[:enlarged(frame.image).shape[0]]  # no legend
        picture = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX),
                             interpolation=cv2.INTER_AREA)
        write_text(picture, f'{frame.time_s:.1f} s', (6, THUMBNAIL_PX - 8), 0.5, WHITE)
        pictures += [picture, np.zeros((THUMBNAIL_PX, 4, 3), np.uint8)]
    strip = np.concatenate(pictures, axis=1)
    label = np.zeros((26, strip.shape[1], 3), np.uint8)
    text, color = outcome(episode)
    write_text(label, f'seed {episode["seed"]}  "{episode["instruction"]}"', (6, 18), 0.5, WHITE)
    write_text(label, f'{text} after {episode["duration_s"]:.1f} s',
               (strip.shape[1] - 230, 18), 0.5, color)
    return np.concatenate([label, strip])
