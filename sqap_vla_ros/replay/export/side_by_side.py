# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
replay.mcap: what was recorded and what was predicted, side by side on standard types.

Foxglove and PlotJuggler open it as it is: the one message of our own, TokenSelection, has its
definition in the file. All times are the recording's. What sensors said keeps its name,
commands and instructions are below /recorded/: an arm that hears the file must not move. Of each
row of the summary's table /replay/<variant>/ has what is listed in `_Row`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
import os
from pathlib import Path
import tempfile

import numpy as np

from . import values
from .passed import Passed
from .pictured import pictured
from ..metrics.held import frame_lengths, group_unit
from ..metrics.truths import held_against
from ...control.output_modes import CARTESIAN_KINDS
from ...errors import ConfigError
from ...recordings.bag_writer import opened_bag
from ...recordings.made import serialized
from ...support.files import saving_to
from ...support.progress import Progress
from ...support.requirements import missing_modules_as
from ...tokens.overlay import SMALLEST_SIDE_PX

MCAP = 'replay.mcap'
BYTES_A_PIXEL = 0.35  # about what a JPEG takes
BYTES_AN_ANSWER = 3000  # about what messages of numbers take

Event = tuple[int, str, str, object]  # time, topic, kind, and the fields or serialized bytes


def write_mcap(results, out: Path, played=(), pictures: Callable | None = None, recording=None,
               kept: str = '') -> str:
    """
    Write replay.mcap into a directory, whole or not at all; return its name.

    played: Played, see played.py.  pictures: see pictures.py; None leaves pictures out.
    recording: what it is of, from which recorded topics are passed on; without it they are made
    again from the results.  kept: what to say is on the disk where it is full.  Raises
    ConfigError.
    """
    with missing_modules_as(ConfigError):
        store = values.types_with_ours()
    images, played = results.images, {each.title: each for each in played}
    base = _base_frame(results)
    passed = Passed(results, recording, store, base)
    rows = [_Row(results, answers, played.get(answers.title), base)
            for answers in results.answers]
    sources: list[Iterable[Event]] = [passed.events(), *(row.events() for row in rows)]
    sources += [row.played_events() for row in rows if row.played is not None]
    if pictures is not None:
        sources.append(pictured(results, pictures, recording))
    with saving_to(out, _needed(results, pictures is not None), kept), tempfile.TemporaryDirectory(
            prefix=f'.{MCAP}.', dir=out) as room, Progress(
                f'writing {MCAP}', total=len(images), unit='image') as progress:
        part = Path(room) / 'replay'
        with opened_bag(part, store=store) as bag:
            _write(bag, merge(*sources, key=lambda event: event[0]), passed, store,
                   _counting(images.times_ns, progress))
        os.replace(part / 'replay.mcap', out / MCAP)
    return MCAP


def _needed(results, is_pictured: bool) -> int:
    """Return about how many bytes a file takes."""
    each = BYTES_AN_ANSWER * len(results.answers)
    if is_pictured:
        width, height = results.facts.get('image_size', (0, 0))
        drawn = max(width * height, SMALLEST_SIDE_PX ** 2)
        each += BYTES_A_PIXEL * (width * height + drawn * sum(
            bool((~answers.kept).any()) for answers in results.answers))
    return round(len(results.images) * each)


def _counting(times_ns: np.ndarray, progress: Progress) -> Callable[[int], None]:
    """Return what advances progress by the images up to a time."""
    def count(time_ns: int) -> None:
        done = int(np.searchsorted(times_ns, time_ns, side='right'))
        if done > progress.done:
            progress.advance(done - progress.done)
    return count


def _write(bag, events: Iterable[Event], passed: Passed, store, count) -> None:
    known = set()
    for time_ns, topic, kind, content in events:
        if topic not in known:
            known.add(topic)
            bag.add_topic(topic, kind, passed.offers(topic))
        data = content if isinstance(content, bytes) else serialized(store, kind, content)
        bag.write(topic, time_ns, data)
        count(time_ns)


def _base_frame(results) -> str:
    if results.robot is not None:
        return results.robot.base_frame
    parameters = results.facts.get('decides', {}).get('parameters', {})
    return parameters.get('base_frame', 'base')


class _Row:
    """
    One row of the table, and what it is on under /replay/<variant>/.

    predicted_twist, predicted_pose or predicted_joints: row 0 of the answer to each image.
    predicted_poses or joint_trajectory: all its rows.  predicted_gripper, latency_ms.
    error_<group>_<unit>: mean length over executed rows.  token_selection where it prunes, of
    further cameras of the policy <camera>/token_selection.
    Of what a node would have said, in its control periods: delta_twist_cmds or joint_velocities,
    target_pose or joint_commands, gripper_command.
    """

    def __init__(self, results, answers, played, base: str):
        self._results, self._answers, self.played = results, answers, played
        self._base, self._prefix = base, f'/replay/{values.topic_part(answers.title)}/'
        parameters = results.facts.get('decides', {}).get('parameters', {})
        ends = parameters.get('end_effector_frames') or ['end_effector']
        self._frame = base if answers.frame == 'base' else ends[0]
        self._is_cartesian = answers.kind in CARTESIAN_KINDS
        self._prunes = bool((~answers.kept).any())
        self._errors = self._error_lengths()

    def events(self) -> Iterator[Event]:
        """Yield what it answered, image by image."""
        images = self._results.images
        for index in np.flatnonzero(self._answers.answered).tolist():
            time_ns, stamp_ns = int(images.times_ns[index]), int(images.stamps_ns[index])
            found = [*self._predicted(index, stamp_ns), *self._numbers(index)]
            if self._prunes:
                found += self._selections(index, stamp_ns)
            for name, kind, content in found:
                yield time_ns, self._prefix + name, kind, content

    def played_events(self) -> Iterator[Event]:
        """Yield what a node would have said."""
        played, last = self.played, None
        for index, (time_ns, stamp_ns) in enumerate(zip(
                played.times_ns.tolist(), played.stamps_ns.tolist())):
            yield (time_ns, *self._velocity(index, stamp_ns))
            if played.positions is not None and np.isfinite(played.positions[index]).all():
                yield (time_ns, *self._position(index, stamp_ns))
            opening = float(played.gripper[index])
            if np.isfinite(opening):
                last = opening
            if last is not None:
                yield time_ns, f'{self._prefix}gripper_command', values.FLOAT, {'data': last}

    def _velocity(self, index: int, stamp_ns: int):
        played = self.played
        if self._is_cartesian and played.names == self._answers.names:
            return (f'{self._prefix}delta_twist_cmds', values.TWIST, values.named_twist(
                played.names, played.velocities[index], stamp_ns, self._frame))
        return (f'{self._prefix}joint_velocities', values.JOINTS, values.joints(
            played.names, stamp_ns, velocities=played.velocities[index]))

    def _position(self, index: int, stamp_ns: int):
        played, position = self.played, self.played.positions[index]
        if played.position_names[0] == 'x' and len(position) == 7:
            return (f'{self._prefix}target_pose', values.POSE,
                    values.pose(position, stamp_ns, self._base))
        return (f'{self._prefix}joint_commands', values.JOINTS,
                values.joints(played.position_names, stamp_ns, position))

    def _predicted(self, index: int, stamp_ns: int) -> list[tuple]:
        answers = self._answers
        speeds, ends = answers.velocities[index], None
        if answers.positions is not None and np.isfinite(answers.positions[index]).all():
            ends = answers.positions[index]
        if not self._is_cartesian:
            found = [('predicted_joints', values.JOINTS, values.joints(
                answers.names, stamp_ns, None if ends is None else ends[0], speeds[0]))]
            if ends is not None:
                found.append(('joint_trajectory', values.TRAJECTORY, values.trajectory(
                    answers.names, stamp_ns, answers.dt_s, ends, speeds)))
            return found
        found = [('predicted_twist', values.TWIST, values.named_twist(
            answers.names, speeds[0], stamp_ns, self._frame))]
        if ends is not None:
            found += [('predicted_pose', values.POSE, values.pose(ends[0], stamp_ns, self._base)),
                      ('predicted_poses', values.ARRAY,
                       values.poses(ends, stamp_ns, self._base))]
        return found

    def _numbers(self, index: int) -> list[tuple]:
        answers = self._answers
        numbers = {'predicted_gripper': answers.gripper[index, 0],
                   'latency_ms': answers.latency_ms.get('total', [np.nan] * (index + 1))[index],
                   **{name: lengths[index] for name, lengths in self._errors.items()}}
        return [(name, values.FLOAT, {'data': float(number)})
                for name, number in numbers.items() if np.isfinite(number)]

    def _selections(self, index: int, stamp_ns: int) -> list[tuple]:
        facts, answers = self._results.facts, self._answers
        cameras = facts.get('policy_cameras') or [''] * answers.views

        def where(view: int) -> tuple:  # only of the first one the size and the frames are known
            return ((0, 0), {}) if view else (facts.get('image_size', (0, 0)),
                                              self._results.images.pixels[index])
        return [(f'{values.below(camera, view)}token_selection', values.SELECTION,
                 values.selection(answers.of_view(index, view), *where(view), stamp_ns))
                for view, camera in enumerate(cameras)]

    def _error_lengths(self) -> dict[str, np.ndarray]:
        held = held_against(self._results, self._answers)
        if not held:
            return {}
        lengths = frame_lengths(held[0], len(self._answers.velocities),
                                self._answers.execute_steps)
        return {f'error_{group}_{group_unit(held[0], group).replace("/", "_")}': found
                for group, found in lengths.items()}
