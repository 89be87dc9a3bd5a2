# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Why no image of a recording can be answered, told before the policy is loaded if that shows."""

from __future__ import annotations

import re

from .results import Results
from ..errors import ObservationError
from ..support.progress import Progress

ROBOT = ('tf', 'tf_static', 'joint_states')


def reasons(problems, most: int = 5) -> list[tuple[int, str]]:
    """Return (count, an example) of texts that differ in more than their numbers, most first."""
    found: dict[str, list] = {}
    for text in filter(None, problems):
        each = found.setdefault(re.sub(r'\d+(\.\d+)?', '#', text), [0, text])
        each[0] += 1
    return sorted(map(tuple, found.values()), reverse=True)[:most]


def check_answered(results: Results) -> None:
    """Raise ObservationError, with the reasons, where no image was answered."""
    if any(answers.answered.any() for answers in results.answers):
        return
    count = len(results.images)
    problems = [*results.images.problems, *(text for answers in results.answers
                                            for text in answers.problems)] if count else []
    raise none_answered(count, problems, results.losses, results.facts.get('topics'))


def check_answerable(looking, expected: int, losses, topics) -> None:
    """
    Raise ObservationError where no image has an observation, before anything is loaded.

    looking: a Looking; it is gone through up to the first image that could be answered.
    expected: about how many images there are.  losses: of the recording.  topics: a TopicMap.
    """
    problems = []
    with Progress('looking for an image that can be answered', expected, 'image') as progress:
        for look in looking:
            if not look.problem:
                return
            problems.append(look.problem)
            progress.advance()
    raise none_answered(len(problems), problems, losses,
                        [name for name in ROBOT if getattr(topics, name)])


def none_answered(count, problems, losses, topics) -> ObservationError:
    """Return why none of so many images can be answered; topics: names of what is heard."""
    if count:
        return ObservationError(f'none of {count} images could be answered: ' + '; '.join(
            f'{number} x {text}' for number, text in reasons(problems)) + _unheard(topics))
    lost = f'. Lost: {"; ".join(losses)}' if losses else ''
    return ObservationError('there is no image in this part of the recording: see --start, --end '
                            f'and --episodes{lost}')


def _unheard(topics) -> str:
    """Return what of the robot was not heard, as nothing was found, or asked for, to be it."""
    lacks = [] if topics is None else [name for name in ROBOT if name not in topics]
    return (f'. Nothing was heard as {", ".join(lacks)}: --topics {lacks[0]}=TOPIC names one'
            if lacks else '')
