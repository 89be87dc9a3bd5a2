# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which episodes of a recording `--episodes` asks for."""

from __future__ import annotations

from collections.abc import Iterable

from .replay_config import numbers
from ..errors import ConfigError
from ..recordings.recording import episode_numbers

FLAG = '--episodes'
SHOWN = 3  # reasons in a message


def chosen_episodes(text: str, recording, image_topic: str) -> tuple[int, ...] | None:
    """
    Return the places of the episodes that a list such as 0,3-5 asks for, None for all.

    Episodes of a data set are asked for by its own numbers, those of a bag by their places.
    Raises ConfigError for one that is not there, or of which no image can be read.
    """
    asked, there = numbers(text, FLAG), episode_numbers(recording)
    unread = {}
    if asked and recording.episodes[0].number is not None:
        unread = recording.unreadable(asked, image_topic)
    absent = [number for number in asked if number not in there and number not in unread]
    if absent:
        raise ConfigError(f'{FLAG} has {spans(absent)}, but {recording.name} has {len(there)} '
                          f'episode{"s" * (len(there) != 1)}: {spans(there)}')
    if unread:
        raise ConfigError(_why_unread(recording, asked, unread, image_topic))
    return tuple(map(there.index, asked)) or None


def spans(found: Iterable[int]) -> str:
    """Return whole numbers as `--episodes` takes them, such as 0,3-5."""
    pieces: list[list[int]] = []
    for number in sorted(found):
        if pieces and number == pieces[-1][1] + 1:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    return ','.join(f'{first}-{last}' if last > first else f'{first}' for first, last in pieces)


def _why_unread(recording, asked, unread, image_topic) -> str:
    """Return what cannot be replayed, why, and what to ask for."""
    reasons = '; '.join(f'{number}: {why}' for number, why in list(unread.items())[:SHOWN])
    more = f'; and {len(unread) - SHOWN} more' if len(unread) > SHOWN else ''
    rest = set(asked) - set(unread)
    whole = set(episode_numbers(recording))
    other = rest or whole - set(recording.unreadable(whole, image_topic))
    cure = f'give {FLAG} {spans(other)}' if other else 'none of its episodes has images'
    return (f'{FLAG} has {spans(unread)}, of which {recording.name} has no {image_topic} that '
            f'can be read ({reasons}{more}): {cure}')
