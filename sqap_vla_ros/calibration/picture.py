# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The picture of one sample: frames with their axes, what is protected, and where points are seen.

Everything lies where the node would put it in the published image; enlarged, so that letters can
be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .judgement import is_on
from .mistakes import AS_IS, Candidate
from .sample import Sample
from .trials import Evidence
from ..geometry.image_transform import ImageTransform
from ..geometry.patches import patch_centers, patch_step, protected_distances

AXIS_M, BASE_AXIS_M = 0.05, 0.1
AXES = (('x', (230, 40, 40)), ('y', (40, 190, 60)), ('z', (50, 110, 255)))
PROTECTED, SEEN, OTHERWISE = (86, 180, 233), (255, 255, 255), (255, 170, 0)
SMALLEST_WIDTH_PX = 900
LINE_PX, FONT = 22, cv2.FONT_HERSHEY_SIMPLEX
STEPS = 8  # of a line through a distorted image


@dataclass(frozen=True)
class Patches:
    """How the network cuts its input: transform, (rows, columns) and radius in patches."""

    transform: ImageTransform = ImageTransform((224, 224))
    grid: tuple[int, int] = (16, 16)
    radius: float = 2.0


def draw_check(sample: Sample, frames, patches: Patches, evidence: Evidence | None = None,
               otherwise: Candidate | None = None) -> np.ndarray:
    """
    Return the picture uint8 [h, w, 3] RGB, with a legend below.

    frames: those to draw.  evidence: where points are seen in this image.  otherwise: a
    candidate whose projections are drawn, too.
    """
    scale = max(1, -(-SMALLEST_WIDTH_PX // sample.size[0]))
    canvas = _Canvas(np.repeat(np.repeat(sample.image, scale, axis=0), scale, axis=1), scale)
    _draw_patches(canvas, sample, patches)
    _draw_axes(canvas, sample, AS_IS, np.eye(4), BASE_AXIS_M, sample.base_frame)
    for frame in frames:
        _draw_axes(canvas, sample, AS_IS, sample.frames[frame], AXIS_M, frame)
    for pixel, radius in zip(sample.protected.pixels, sample.protected.radii_px):
        canvas.circle(pixel, max(radius, 1.0), PROTECTED)
    if otherwise is not None and otherwise is not AS_IS:
        _draw_otherwise(canvas, sample, frames, otherwise)
    if evidence is not None:
        _draw_seen(canvas, sample, evidence)
    return canvas.with_legend(_legend(evidence, otherwise, frames, sample))


class _Canvas:
    """An enlarged picture that is drawn on in the pixels of the image."""

    def __init__(self, picture, scale):
        self.picture, self.scale = picture, scale
        self._labels = []

    def at(self, pixel):
        """Return an image's pixel in the enlarged one, as OpenCV takes it; None if far off."""
        place = self.scale * (np.asarray(pixel, float) + 0.5) - 0.5
        if not np.isfinite(place).all() or np.abs(place).max() > 30000:
            return None
        return int(round(place[0])), int(round(place[1]))

    def line(self, pixels, color, thickness=2):
        """Draw a line through pixels [N, 2]."""
        places = [self.at(pixel) for pixel in pixels]
        for first, second in zip(places, places[1:]):
            if first is None or second is None:
                continue
            cv2.line(self.picture, first, second, (0, 0, 0), thickness + 2, cv2.LINE_AA)
        for first, second in zip(places, places[1:]):
            if first is not None and second is not None:
                cv2.line(self.picture, first, second, color, thickness, cv2.LINE_AA)

    def circle(self, pixel, radius, color, thickness=2):
        """Draw a circle of a radius in pixels of the image."""
        place = self.at(pixel)
        if place is not None:
            for stroke, more in (((0, 0, 0), 2), (color, 0)):
                cv2.circle(self.picture, place, max(2, round(radius * self.scale)), stroke,
                           thickness + more, cv2.LINE_AA)

    def cross(self, pixel, color, size=9):
        """Mark a pixel."""
        place = self.at(pixel)
        if place is not None:
            for stroke, thickness in (((0, 0, 0), 4), (color, 2)):
                cv2.drawMarker(self.picture, place, stroke, cv2.MARKER_CROSS, 2 * size, thickness,
                               cv2.LINE_AA)

    def label(self, pixel, text, color=(255, 255, 255)):
        """Write beside a pixel, where nothing is written yet."""
        place = self.at(pixel)
        if place is None:
            return
        (width, height), _ = cv2.getTextSize(text, FONT, 0.5, 1)
        limit = self.picture.shape[1] - width - 4, self.picture.shape[0] - 6
        x, y = np.clip(place[0] + 12, 2, max(2, limit[0])), np.clip(place[1] - 10, 16, limit[1])
        while any(abs(y - b) < height + 8 and x < a + w and a < x + width
                  for a, b, w in self._labels) and y < limit[1]:
            y += height + 8
        self._labels.append((x, y, width))
        corner = int(x), int(y)
        for stroke, thickness in (((0, 0, 0), 4), (color, 1)):
            cv2.putText(self.picture, text, corner, FONT, 0.5, stroke, thickness, cv2.LINE_AA)

    def with_legend(self, entries):
        """Return the picture over a strip of lines, each of (color, text) pairs."""
        strip = np.full((LINE_PX * len(entries) + 8, self.picture.shape[1], 3), 24, np.uint8)
        for number, line in enumerate(entries):
            x, y = 8, 8 + number * LINE_PX
            for color, text in line:
                cv2.rectangle(strip, (x, y), (x + 12, y + 12), color, -1)
                cv2.putText(strip, text, (x + 20, y + 11), FONT, 0.45, (235, 235, 235), 1,
                            cv2.LINE_AA)
                x += 40 + cv2.getTextSize(text, FONT, 0.45, 1)[0][0]
        return np.concatenate([self.picture, strip])


def _draw_patches(canvas, sample, patches):
    """Lighten what is protected, and outline its patches."""
    size = sample.image.shape[:2]
    protected = sample.protected
    near = np.isfinite(protected_distances(
        protected.pixels, protected.radii_px, size, patches.transform, patches.grid,
        patches.radius))
    centers = patch_centers(patches.grid, patches.transform.size)
    half = patch_step(patches.grid, patches.transform.size) / 2
    ends = [patches.transform.input_to_pixels(centers[near] + sign * half, size)
            for sign in (-1, 1)]
    for low, high in zip(np.minimum(*ends), np.maximum(*ends)):
        first, last = canvas.at(low), canvas.at(high)
        cv2.rectangle(canvas.picture, first, last, PROTECTED, 1)
        part = canvas.picture[max(first[1], 0):last[1], max(first[0], 0):last[0]]
        part[:] = (0.75 * part + 0.25 * np.array(PROTECTED)).astype(np.uint8)


def _draw_axes(canvas, sample, candidate, pose, length_m, name):
    """Draw the axes of a pose [4, 4] in the base, and its name with pixel and distance."""
    origin, depths = candidate.project(sample, pose[:3, 3])
    _draw_lines(canvas, sample, candidate, pose, length_m)
    if is_on(origin, sample.size)[0]:
        canvas.label(origin[0], f'{name} ({origin[0, 0]:.0f}, {origin[0, 1]:.0f}) '
                                f'{depths[0]:.2f} m')
    elif np.isfinite(origin).all() and name != sample.base_frame:
        _draw_way_out(canvas, sample, origin[0], name)


def _draw_lines(canvas, sample, candidate, pose, length_m):
    for axis, (_, color) in enumerate(AXES):
        along = np.linspace(0, length_m, STEPS)[:, None] * pose[:3, axis] + pose[:3, 3]
        canvas.line(candidate.project(sample, along)[0], color)


def _draw_way_out(canvas, sample, pixel, name):
    """Draw an arrow at the image's edge to something off it."""
    middle = np.array(sample.size) / 2
    way = pixel - middle
    edge = middle + way * (0.94 * middle / np.maximum(np.abs(way), 1e-9)).min()
    start = middle + 0.85 * (edge - middle)
    first, last = canvas.at(start), canvas.at(edge)
    for stroke, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.arrowedLine(canvas.picture, first, last, stroke, thickness, cv2.LINE_AA,
                        tipLength=0.4)
    canvas.label(start, f'{name} off the image ({pixel[0]:.0f}, {pixel[1]:.0f})')


def _draw_otherwise(canvas, sample, frames, candidate):
    for frame in frames:
        pixels, _ = candidate.project(sample, sample.frames[frame][:3, 3])
        if is_on(pixels, sample.size)[0]:
            _draw_lines(canvas, sample, candidate, sample.frames[frame], AXIS_M)
            canvas.circle(pixels[0], 14 / canvas.scale, OTHERWISE)
            canvas.label(pixels[0], f'{frame}, if that is mended', OTHERWISE)


def _draw_seen(canvas, sample, evidence):
    """Draw where points are seen, and lines to there from where they are projected."""
    projected, _ = AS_IS.project(sample, evidence.points)
    for pixel, place in zip(evidence.pixels, projected):
        if np.abs(place - pixel).max() < max(sample.size) / 2:  # NaN compares false
            canvas.line([place, pixel], SEEN, 1)
        canvas.cross(pixel, SEEN, 9 if len(evidence.pixels) < 5 else 4)


def _legend(evidence, otherwise, frames, sample):
    off = [frame for frame in frames
           if not is_on(AS_IS.project(sample, sample.frames[frame][:3, 3])[0], sample.size)[0]]
    lines = [[(color, name) for name, color in AXES[:2]] + [(
        AXES[2][1], f'{AXES[2][0]} of each frame, {1e2 * AXIS_M:g} cm; of {sample.base_frame} '
        f'{1e2 * BASE_AXIS_M:g} cm')]]
    lines.append([(PROTECTED, 'patches that are protected; circle: how far a frame may be off')])
    if evidence is not None:
        lines.append([(SEEN, 'where points are seen, and lines to where they are projected')])
    if otherwise is not None and otherwise is not AS_IS:
        lines.append([(OTHERWISE, f'where frames would be: {otherwise.title}')])
    if off:
        lines.append([(AXES[0][1], f'not on the image: {", ".join(off)}')])
    return lines
