# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The frames in which a variant errs most, as pictures with what it kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from ..evaluate.plan import Row
from ..geometry.image_transform import ImageTransform
from ..support.html import image_uri
from ..tokens.overlay import draw_overlay

WIDEST_PX, QUALITY = 448, 78
MOST_SHOWN = 12


@dataclass(frozen=True)
class Worst:
    """A row, one of its worst frames, and the picture of it."""

    title: str
    text: str
    uris: tuple[str, ...]

    @property
    def html(self) -> str:
        """Return a figure."""
        images = ''.join(f'<img src="{uri}" alt="{escape(self.text)}">' for uri in self.uris)
        return (f'<figure class="card worst">{images}<figcaption><b>{escape(self.title)}</b>'
                f'<br>{escape(self.text)}</figcaption></figure>')


def worst_of(measured) -> list[Worst]:
    """Return the worst frame of each row, largest errors first, at most MOST_SHOWN."""
    found = [(float(each.error.max()), row, int(each.error.argmax()))
             for row, each in measured.found.items()
             if row.control == 'none' and each.error.any()]
    found.sort(key=lambda item: -item[0])
    return [_worst(measured, *item) for item in found[:MOST_SHOWN]]


def _worst(measured, error: float, row: Row, frame: int) -> Worst:
    sample, columns = measured.samples.samples[frame], measured.columns
    place = int(measured.found[row].normalised[frame].argmax())
    said, full = (answers.actions[frame, :columns.rows, place].mean() * columns.real[place]
                  for answers in (measured.answers[row], measured.full))
    return Worst(
        row.name, f'error {error:.3f}; frame {frame} of episode {sample.episode}, '
        f'\u201c{sample.instruction}\u201d; most in {columns.names[place]}: {said:.3f} '
        f'{columns.units[place]}, full precision {full:.3f}', _pictures(measured, row, frame))


def _pictures(measured, row: Row, frame: int) -> tuple[str, ...]:
    sample, config = measured.samples.samples[frame], measured.source.config
    selections = measured.answers[row].selections
    transform = ImageTransform(**{'size': (config.model.vision.image_size,) * 2, **config.image})
    shown = list(sample.images)
    if selections:
        shown = [draw_overlay(image, selections[frame].of_image(number), transform,
                              sample.protected[number] if sample.protected else None)
                 for number, image in enumerate(sample.images)]
    return tuple(image_uri(_shrunk(image), '.jpg', QUALITY) for image in shown)


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = WIDEST_PX / image.shape[1]
    if scale >= 1:
        return image
    size = WIDEST_PX, max(1, round(scale * image.shape[0]))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
