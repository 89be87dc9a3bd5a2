# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Bags and LeRobot data sets, looked at as replay does: what the node would have given the policy.

Images of which nothing could be made are left out, and what was wrong with them is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .sample import chosen, Opened, Sample
from ..formats.checkpoint import CheckpointConfig
from ..replay.looking import Look, Looking, LookOptions
from ..replay.part import expected_images
from ..replay.topics import TopicMap
from ..replay.unanswered import none_answered, reasons, ROBOT
from ..support.progress import Progress

SPARE = 2  # times as many images are looked at as are wanted: some may have a problem


@dataclass(frozen=True)
class Recorded:
    """
    A recording that is open, and how it is looked at.

    check(text): raises ObservationError for an instruction that the policy cannot follow.
    notes: what was guessed of the recording.
    """

    recording: object
    topics: TopicMap
    looking: LookOptions
    check: Callable[[str], None]
    notes: tuple[str, ...] = ()


def recorded(source: Recorded, count: int, config: CheckpointConfig) -> Opened:
    """
    Return `count` samples, evenly chosen from as many episodes as there are.

    Raises ObservationError, with the reasons, where no image could be used.
    """
    recording, topics = source.recording, source.topics
    looking, total = _thinned(source, count * SPARE)
    found, problems = [], []
    with Progress(f'looking at {recording.name}', total, 'image') as progress:
        for look in Looking(recording, topics, looking, source.check):
            if look.problem:
                problems.append(look.problem)
            else:
                found.append(_sample(look, config, looking))
            progress.advance(note=look.instruction)
    if not found:
        raise none_answered(len(problems), problems, recording.losses,
                            [name for name in ROBOT if getattr(topics, name)])
    notes = (*recording.losses, *source.notes, *_told(problems, len(found)))
    kept = iter([found[index] for index in chosen(len(found), count)])
    return Opened(recording.name, recording.form, len(found), kept, notes)


def _thinned(source: Recorded, count: int) -> tuple[LookOptions, int]:
    """Return options by which about `count` images are looked at, and about how many."""
    recording, looking = source.recording, source.looking
    places = looking.episodes
    places = tuple(range(len(recording.episodes))) if places is None else places
    looking = replace(looking, episodes=tuple(
        places[index] for index in chosen(len(places), count)))
    expected = expected_images(recording, source.topics, looking)
    stride = max(1, expected // count)
    return replace(looking, stride=stride), max(1, expected // stride)


def _sample(look: Look, config: CheckpointConfig, looking: LookOptions) -> Sample:
    observation = look.observation
    views = (observation.views_of(config.cameras) if config.model.images > 1
             else [observation.view(*config.cameras)])
    names = looking.seen or (looking.main,)
    is_known = all(looking.observers[name].needs_localization for name in names)
    return Sample(
        tuple(np.array(view.image) for view in views), look.instruction, observation.state,
        tuple(view.protected for view in views) if is_known else None, episode=look.episode)


def _told(problems, used: int) -> list[str]:
    if not problems:
        return []
    why = '; '.join(f'{number} x {text}' for number, text in reasons(problems))
    return [f'{len(problems)} of {len(problems) + used} images that were looked at could not be '
            f'used: {why}']
