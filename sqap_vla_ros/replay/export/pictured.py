# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The pictures of replay.mcap: what the policy was given, and which of its tokens were kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from . import values
from ...errors import ObservationError
from ...geometry.image_transform import ImageTransform
from ...observation import ProtectedPoints, TokenSelection
from ...tokens.overlay import draw_overlay

IMAGE = '/replay/image/compressed'


def pictured(results, pictures: Callable, recording=None) -> Iterator[tuple]:
    """
    Yield (time, topic, kind, fields) of each image and of an overlay for each variant that prunes.

    pictures: see pictures.py; what cannot be read is left out.  recording: which tells the frame
    of the images.
    """
    images, frame = results.images, None
    transform = _transform(results.facts)
    pruned = [(f'/replay/{values.topic_part(answers.title)}/overlay/compressed', answers)
              for answers in results.answers
              if answers.control == 'none' and (~answers.kept).any()]
    for index, shown in zip(range(len(images)), pictures(range(len(images)))):
        if not shown:
            continue
        camera, image = next(iter(shown.items()))
        if frame is None:
            frame = _frame(results.facts, camera, recording)
        time_ns, stamp_ns = int(images.times_ns[index]), int(images.stamps_ns[index])
        yield time_ns, IMAGE, values.PICTURE, values.picture(image, stamp_ns, frame)
        for topic, answers in pruned:
            if answers.answered[index]:
                drawn = draw_overlay(image, _selection(answers, index), transform,
                                     _points(images.pixels[index]))
                yield time_ns, topic, values.PICTURE, values.picture(
                    drawn, stamp_ns, frame)


def _frame(facts, camera: str, recording) -> str:
    """Return the frame of a camera's images, '' where none tells it."""
    topic = facts.get('topics', {}).get(f'{camera}/image' if camera else 'image')
    if recording is None or topic is None:
        return ''
    for message in recording.messages({topic}):
        with suppress(ObservationError):
            return message.read().header.frame_id
    return ''


def _transform(facts) -> ImageTransform:
    """Return what images go through on their way into the network; the whole where not told."""
    return ImageTransform(**facts.get('image_transform', {'size': (224, 224)}))


def _selection(answers, index: int) -> TokenSelection:
    kept = np.flatnonzero(answers.kept[index])
    return TokenSelection(answers.grid, kept, answers.reasons[index][kept])


def _points(pixels) -> ProtectedPoints:
    points = np.array(list(pixels.values()), np.float64).reshape(-1, 3)
    return ProtectedPoints(points[:, :2], points[:, 2], tuple(pixels))
