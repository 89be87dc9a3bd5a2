# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which part of an episode is looked at: times of `--start` and `--end` count from its first image.

Not from its first message: that is latched, and heard whenever the recorder began, or a stray
one of a clock that was not set yet, years before all others.
"""

from __future__ import annotations

from contextlib import closing
from weakref import WeakKeyDictionary

from ..ingest.stamps import duration_text

_FOUND = WeakKeyDictionary()  # {recording: {(image_topic, episode): when its first image came}}


def first_image_ns(recording, image_topic: str, episode) -> int:
    """Return when an episode's first image came in; its beginning where there is none."""
    if episode.number is not None:  # of a data set, whose times are those of its images
        return episode.start_ns
    known, key = _FOUND.setdefault(recording, {}), (image_topic, episode)
    if key not in known:
        known[key] = _looked_for(recording, image_topic, episode)
    return known[key]


def _looked_for(recording, image_topic, episode) -> int:
    with closing(recording.messages({image_topic}, episode.start_ns, episode.end_ns)) as found:
        return next((message.time_ns for message in found), episode.start_ns)


def counted_from(recording, image_topic: str, episode, options) -> int:
    """Return from when on an episode's images are counted; no image is looked for in vain."""
    if not options.start_s and options.end_s is None:
        return episode.start_ns
    return first_image_ns(recording, image_topic, episode)


def window(recording, image_topic: str, episode, options) -> tuple[int, int]:
    """Return the times from which to which images of an episode are looked at, ns."""
    if not options.start_s and options.end_s is None:
        return episode.start_ns, episode.end_ns
    first_ns = counted_from(recording, image_topic, episode, options)
    begin_ns = first_ns + round(options.start_s * 1e9) if options.start_s else episode.start_ns
    if options.end_s is None:
        return begin_ns, episode.end_ns
    return begin_ns, min(episode.end_ns, first_ns + round(options.end_s * 1e9))


def expected_images(recording, topics, options) -> int:
    """Return about how many images will be looked at, by their times; see looking.LookOptions."""
    topic = topics.images[options.main]
    counts = {each.name: each.count for each in recording.topics}
    whole = sum(each.end_ns - counted_from(recording, topic, each, options)
                for each in recording.episodes)
    spans = [window(recording, topic, each, options) for index, each in enumerate(
        recording.episodes) if options.episodes is None or index in options.episodes]
    share = sum(max(0, end_ns - begin_ns) for begin_ns, end_ns in spans) / max(whole, 1)
    return max(1, round(min(share, 1.0) * counts.get(topic, 0) / options.stride))


def told_beginning(recording, image_topic: str, episode) -> str:
    """Return in words from when on the times of a part count."""
    first_ns = first_image_ns(recording, image_topic, episode)
    behind_s = (first_ns - episode.start_ns) * 1e-9
    return ('--start and --end count from the first image, which came in at '
            f'{first_ns * 1e-9:.3f} s, {duration_text(behind_s)} behind the first message '
            f'({episode.name})')
