# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All that a replay writes for other programs, and what it needs to be played for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .side_by_side import write_mcap
from .tables import write_tables
from ..metrics.robot import sliding_joints
from ..play_options import check_latency, PlayOptions
from ..played import play, Played
from ..playing import Playing, playing
from ...errors import ConfigError
from ...support.progress import Progress


def as_commanded(results, space, config,
                 latency_s: float | None = None) -> tuple[tuple[Played, ...], str]:
    """
    Return what each row of the table would have had the arm told, and why that is not known.

    space: the ActionSpace of the answers.  config: a NodeConfig.  latency_s: see PlayOptions.
    Raises ConfigError for a latency that none can be.
    """
    description = None if results.robot is None else results.robot.description
    check_latency(latency_s)
    try:
        options = PlayOptions.of(config, space, description, latency_s)
        with Progress('playing the answers', total=len(results.answers), unit='row') as progress:
            return tuple(_each(results, space, options, progress)), ''
    except ConfigError as error:
        return (), f'what a node would have had the arm told is left out: {error}'


def _each(results, space, options: PlayOptions, progress: Progress):
    for answers in results.answers:
        yield play(results.images, answers, replace(space, execute_steps=answers.execute_steps),
                   options)
        progress.advance()


def numbers_of(results, played) -> tuple[Playing, ...]:
    """Return the numbers of what was played."""
    slides, begun_ns = sliding_joints(results), int(results.images.times_ns[0])
    return tuple(playing(each, begun_ns, slides) for each in played)


def export(results, out: Path, played, pictures, recording, kept: str) -> tuple[str, ...]:
    """Write all files into a directory, and return their names; see write_tables, write_mcap."""
    with Progress('writing the tables'):
        names = write_tables(results, out, played, kept)
    return (*names, write_mcap(results, out, played, pictures, recording, kept))
