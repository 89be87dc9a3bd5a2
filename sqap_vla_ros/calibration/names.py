# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Names that are there, the nearest first, for messages about one that is not."""

from __future__ import annotations

from difflib import SequenceMatcher
import re

MOST = 6
_MISSING = re.compile(r"frame '([^']+)' was never heard of")


def nearest_first(name: str, known) -> list[str]:
    """Return the known names, the most similar first."""
    return sorted(known, key=lambda other: (
        -SequenceMatcher(None, name.lower(), other.lower()).ratio(), other))


def those_there(name: str, known, what: str) -> str:
    """Return 'there are WHAT: a, b, ...' with the nearest first, or that there are none."""
    known = nearest_first(name, set(known))
    if not known:
        return f'there are no {what}'
    more = f' and {len(known) - MOST} more' if len(known) > MOST else ''
    return f'there are {what}: {", ".join(known[:MOST])}{more}'


def sibling_info(image_topic: str) -> str:
    """Return the camera_info that belongs to an image topic, as image_transport has it."""
    base = image_topic.removesuffix('/compressed')
    return base.rpartition('/')[0] + '/camera_info'


def with_frames(text: str, frames) -> str:
    """Return what was said of a frame that is missing, with those that TF has."""
    missing = _MISSING.search(text)
    if missing is None:
        return text
    return f'{text}; {those_there(missing.group(1), frames, "frames in TF")}'
