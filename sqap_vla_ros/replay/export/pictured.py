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
from ...observation import ProtectedPoints
from ...tokens.overlay import draw_overlay


def pictured(results, pictures: Callable, recording=None) -> Iterator[tuple]:
    """
    Yield (time, topic, kind, fields) of each image and of an overlay for each variant that prunes.

    Of a policy that takes several images, the further cameras' are below their names.  pictures:
    see pictures.py; what cannot be read is left out.  recording: which tells the frames of the
    images.
    """
    images, frames = results.images, {}
    transform = _transform(results.facts)
    pruned = [(f'/replay/{values.topic_part(answers.title)}/', answers)
              for answers in results.answers
              if answers.control == 'none' and (~answers.kept).any()]
    for index, shown in zip(range(len(images)), pictures(range(len(images)))):
        time_ns, stamp_ns = int(images.times_ns[index]), int(images.stamps_ns[index])
        points = _points(images.pixels[index])
        for view, (camera, image) in views_of(results.facts, shown).items():
            if camera not in frames:
                frames[camera] = _frame(results.facts, camera, recording)
            below = values.below(camera, view)
            yield (time_ns, f'/replay/{below}image/compressed', values.PICTURE,
                   values.picture(image, stamp_ns, frames[camera]))
            for prefix, answers in pruned:
                if answers.answered[index]:
                    drawn = draw_overlay(image, answers.of_view(index, view), transform,
                                         None if view else points)
                    yield (time_ns, f'{prefix}{below}overlay/compressed', values.PICTURE,
                           values.picture(drawn, stamp_ns, frames[camera]))


def views_of(facts, shown) -> dict:
    """
    Return {number: (camera, image)} of those shown that the policy takes, in its order.

    shown: {camera: image}, that of the main one first.
    """
    cameras = facts.get('policy_cameras', ())
    if len(cameras) < 2:
        return dict(enumerate(list(shown.items())[:1]))
    return {number: (camera, shown[camera]) for number, camera in enumerate(cameras)
            if camera in shown}


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


def _points(pixels) -> ProtectedPoints:
    points = np.array(list(pixels.values()), np.float64).reshape(-1, 3)
    return ProtectedPoints(points[:, :2], points[:, 2], tuple(pixels))
