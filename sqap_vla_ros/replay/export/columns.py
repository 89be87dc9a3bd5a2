# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a replay found as columns: a row an image and row of the summary's table.

Names of columns end with their unit, where they have one.

- variant, control: as in results.Answers; image: its number in the recording, from 0; episode.
- time_s: when the image came in, from the first one; time_ns, stamp_ns: when it came in and was
  taken, in nanoseconds since 1970.
- instruction; image_problem: why a node would not move on it, answer_problem: why this row has
  no answer; both empty where all is well; warnings: joined by '; '.
- answered; asked, played: whether a running node would have asked about this image, and played
  the answer; known_s: when it would have been known, from the first image.
- latency_<stage>_ms.
- measured_<axis>_m and measured_q<x y z w>: the end effector in the base frame, and
  measured_<joint>_<unit>, at the stamp. Joints are in rad; in m where the recorded
  robot_description says that they slide.
- <frame>_u_px, <frame>_v_px, <frame>_radius_px: protected frames in the image.
- predicted_<axis>_<unit>: velocities of row 0; predicted_end_<axis>_<unit> and, of poses,
  predicted_end_q<x y z w>: where row 0 ends; predicted_gripper: 0 closed .. 1 open.
- held_against: what was really done or commanded; recorded_<axis>_<unit>, recorded_gripper: it,
  for row 0; error_<axis>_<unit>: answer less that; error_<group>_mean_<unit>: length of the
  error, in the mean over executed rows.
- tokens_kept, tokens_<reason>; robot_patches: those that the robot's frames cover, and
  robot_patches_kept.

Parquet has these, too, as lists: chunk_velocities, chunk_positions, chunk_gripper and
chunk_actions (rows of an answer; the latter in the checkpoint's units), chunk_recorded,
chunk_recorded_gripper, kept_patches (row by row, from 0) and kept_reasons. What their columns are
stands in the file's metadata, key sqap_vla_replay.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..metrics.held import axes_of, frame_lengths, group_unit
from ..metrics.robot import sliding_joints
from ..metrics.truths import gripper_truth, held_against
from ...control.output_modes import CARTESIAN_KINDS
from ...observation import REASONS

PART = 1000  # images in memory as rows at once
POSE = ('x_m', 'y_m', 'z_m', 'qx', 'qy', 'qz', 'qw')
LISTS = ('chunk_velocities', 'chunk_positions', 'chunk_gripper', 'chunk_actions',
         'chunk_recorded', 'chunk_recorded_gripper', 'kept_patches', 'kept_reasons')


class Frames:
    """
    The rows of a replay, a part at a time.

    columns: {name: kind}, in their order; kinds: 'text', 'int', 'bool', 'float', and of LISTS
    'floats', 'rows' (lists of lists), 'ints' and 'texts'.  about: of the lists' columns, JSON.
    """

    def __init__(self, results, played=()):
        """played: Played of some or all answers, by title; see played.py."""
        self._results = results
        self._played = {each.title: each for each in played}
        self._slides = sliding_joints(results)
        self._frames = tuple(dict.fromkeys(
            name for pixels in results.images.pixels for name in pixels))
        first = next(self._parts(results.answers[0]))
        self.columns = {name: kind for name, (kind, _) in first.items()}
        self._stages = self._all_stages()
        self.columns = self._with_stages()
        self.about = self._about()

    def __iter__(self) -> Iterator[dict]:
        """Yield {column: values, one a row} of consecutive rows."""
        for answers in self._results.answers:
            for part in self._parts(answers):
                count = len(part['image'][1])
                yield {name: part[name][1] if name in part else _nothing(kind, count)
                       for name, kind in self.columns.items()}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._results.images) * len(self._results.answers)

    @property
    def numbers(self) -> int:
        """Return how many numbers a row has, those of lists included."""
        answers = self._results.answers[0]
        rows, width = answers.velocities.shape[1:]
        chunk = rows * (2 * width + answers.actions.shape[2] + 2 + 7 * (
            answers.positions is not None))
        return 2 * len(self.columns) + chunk + int(answers.kept.sum(1).max(initial=0))

    def _all_stages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(
            stage for answers in self._results.answers for stage in answers.latency_ms))

    def _with_stages(self) -> dict:
        """Return the columns with the stages of all answers, in the place of the first's."""
        names, columns = [f'latency_{stage}_ms' for stage in self._stages], {}
        for name, kind in self.columns.items():
            if not name.startswith('latency_'):
                columns[name] = kind
            if name == 'answered':
                columns.update(dict.fromkeys(names, 'float'))
        return columns

    def _about(self) -> dict:
        answers = self._results.answers[0]
        held = held_against(self._results, answers)
        names, units, _ = self._velocity_axes(answers)
        cartesian = answers.kind in CARTESIAN_KINDS
        return {
            'chunk_velocities': _labels(names, units), 'chunk_positions': list(POSE) if cartesian
            else _labels(*axes_of(answers.names, 'position', self._slides)[:2]),
            'chunk_recorded': _labels(held[0].names, held[0].units) if held else [],
            'held_against': held[0].facts.title if held else '', 'dt_s': answers.dt_s,
            'frame': answers.frame, 'kind': answers.kind, 'patch_grid': list(answers.grid),
            'execute_steps': answers.execute_steps}

    def _velocity_axes(self, answers):
        return axes_of(answers.names, 'velocity', self._slides)

    def _parts(self, answers) -> Iterator[dict]:
        """Yield {column: (kind, values)} of parts of one row of the table."""
        held = held_against(self._results, answers)
        held = held[0] if held else None
        lengths = frame_lengths(held, len(answers.velocities), answers.execute_steps) if held \
            else {}
        opening = gripper_truth(self._results, answers)
        count = len(self._results.images)
        for begin in range(0, max(count, 1), PART):
            part = slice(begin, min(begin + PART, count))
            yield {**self._image(answers, part), **self._timing(answers, part),
                   **self._arm(part), **self._predicted(answers, part),
                   **self._recorded(held, lengths, opening, part),
                   **_tokens(answers, part), **self._lists(answers, held, opening, part)}

    def _image(self, answers, part: slice) -> dict:
        images = self._results.images
        times_ns = images.times_ns[part]
        count = len(times_ns)
        begun_ns = images.times_ns[0] if len(images) else 0
        return {
            'variant': ('text', [answers.name] * count),
            'control': ('text', [answers.control] * count),
            'image': ('int', images.numbers[part]), 'episode': ('int', images.episodes[part]),
            'time_s': ('float', (times_ns - begun_ns) / 1e9), 'time_ns': ('int', times_ns),
            'stamp_ns': ('int', images.stamps_ns[part]),
            'instruction': ('text', list(images.instructions[part])),
            'image_problem': ('text', list(images.problems[part])),
            'answer_problem': ('text', list(answers.problems[part])),
            'warnings': ('text', list(map('; '.join, images.warnings[part]))),
            'answered': ('bool', np.isfinite(answers.actions[part]).all((1, 2)))}

    def _timing(self, answers, part: slice) -> dict:
        found = {f'latency_{stage}_ms': ('float', values[part])
                 for stage, values in answers.latency_ms.items()}
        played = self._played.get(answers.title)
        if not self._played:
            return found
        images = self._results.images
        count = len(images)
        asked, used, known_s = np.zeros(count, bool), np.zeros(count, bool), np.full(
            count, np.nan)
        if played is not None:
            asked[played.asked], used[played.asked] = True, played.used
            known_s[played.asked] = np.where(
                played.known_ns >= 0, (played.known_ns - images.times_ns[0]) / 1e9, np.nan)
        return {**found, 'asked': ('bool', asked[part]), 'played': ('bool', used[part]),
                'known_s': ('float', known_s[part])}

    def _arm(self, part: slice) -> dict:
        images = self._results.images
        found = {f'measured_{name}': ('float', images.poses[part, index])
                 for index, name in enumerate(POSE)}
        if images.joint_names:
            names, units, _ = axes_of(images.joint_names, 'position', self._slides)
            found.update(_floats('measured_', names, units, images.joints[part]))
        for name in self._frames:
            points = np.array([pixels.get(name, (np.nan,) * 3)
                               for pixels in images.pixels[part]]).reshape(-1, 3)
            found.update({f'{name}_{what}_px': ('float', points[:, index])
                          for index, what in enumerate(('u', 'v', 'radius'))})
        return found

    def _predicted(self, answers, part: slice) -> dict:
        names, units, _ = self._velocity_axes(answers)
        found = _floats('predicted_', names, units, answers.velocities[part, 0])
        if answers.positions is not None:
            ends = answers.positions[part, 0]
            if answers.kind in CARTESIAN_KINDS:
                found.update({f'predicted_end_{name}': ('float', ends[:, index])
                              for index, name in enumerate(POSE)})
            else:
                names, units, _ = axes_of(answers.names, 'position', self._slides)
                found.update(_floats('predicted_end_', names, units, ends))
        found['predicted_gripper'] = 'float', answers.gripper[part, 0]
        return found

    def _recorded(self, held, lengths, opening, part: slice) -> dict:
        found = {'recorded_gripper': ('float', opening[part, 0])}
        if held is None:
            return found
        truth, errors = held.truth(part)[:, 0], held.errors(part)[:, 0]
        return {
            'held_against': ('text', [held.facts.title] * len(truth)),
            **_floats('recorded_', held.names, held.units, truth), **found,
            **_floats('error_', held.names, held.units, errors),
            **{f'error_{group}_mean_{_unit(group_unit(held, group))}': ('float', values[part])
               for group, values in lengths.items()}}

    def _lists(self, answers, held, opening, part: slice) -> dict:
        kept = [np.flatnonzero(row) for row in answers.kept[part]]
        words = np.array(REASONS)
        positions = answers.positions
        known = answers.answered[part]
        truth = held.truth(part) if held is not None else np.full(
            (len(kept), *answers.velocities.shape[1:2], 0), np.nan)
        return {
            'chunk_velocities': ('rows', _where(known, answers.velocities[part])),
            'chunk_positions': ('rows', _where(
                known & (positions is not None),
                answers.velocities[part] if positions is None else positions[part])),
            'chunk_gripper': ('floats', _where(known, answers.gripper[part])),
            'chunk_actions': ('rows', _where(known, answers.actions[part])),
            'chunk_recorded': ('rows', _where(np.isfinite(truth).any((1, 2)), truth)),
            'chunk_recorded_gripper': ('floats', _where(
                np.isfinite(opening[part]).any(1), opening[part])),
            'kept_patches': ('ints', _where(known, kept)),
            'kept_reasons': ('texts', _where(known, [
                words[row[index]] for row, index in zip(answers.reasons[part], kept)]))}


def _tokens(answers, part: slice) -> dict:
    known, kept = answers.answered[part], answers.kept[part]
    covered = answers.covered[part]

    def counted(flags):
        return 'float', np.where(known, flags.sum(1), np.nan)
    return {'tokens_kept': counted(kept),
            **{f'tokens_{reason}': counted(answers.reasons[part] == number)
               for number, reason in enumerate(REASONS)},
            'robot_patches': counted(covered), 'robot_patches_kept': counted(covered & kept)}


def _floats(prefix: str, names, units, values) -> dict:
    return {f'{prefix}{label}': ('float', values[:, index])
            for index, label in enumerate(_labels(names, units))}


def _labels(names, units) -> list[str]:
    return [f'{name}_{_unit(unit)}' for name, unit in zip(names, units)]


def _unit(unit: str) -> str:
    """Return a unit as names of columns have it: m_s for m/s."""
    return unit.replace('/', '_').replace('^', '')


def _where(known, values) -> list:
    return [value if is_known else None for is_known, value in zip(known, values)]


def _nothing(kind: str, count: int) -> list:
    return [np.nan if kind == 'float' else '' if kind == 'text' else None] * count
