# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers and what they are held against, row by row, in the same axes and units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .truth_errors import Truth
from ...control.action_space import TWIST_NAMES
from ...geometry.quaternion_arrays import conjugate, product, rotation_vectors

POSE_AXES = ('x', 'y', 'z', 'rx', 'ry', 'rz')
POSE_COLUMNS = ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw')
LINEAR = ('vx', 'vy', 'vz', 'x', 'y', 'z')
Part = slice | np.ndarray  # of images
PART = 20_000  # images that are worked on at once, so that memory stays flat


@dataclass(frozen=True, eq=False)
class Held:
    """
    Answers of N images held against a truth, T rows each.

    facts: of the truth.  names: of the axes A.  units: one an axis.  groups: {group: its axes}.
    said_of, truth_of: from a slice of images, or their indices int64 [n], to float64 [n, T, D],
    NaN where there is none.
    turn: a quaternion [4] that rotations are told from, where D are x y z and a quaternion; None
    where the columns are the axes.
    """

    facts: Truth
    names: tuple[str, ...]
    units: tuple[str, ...]
    groups: Mapping[str, slice]
    said_of: Callable[[Part], np.ndarray]
    truth_of: Callable[[Part], np.ndarray]
    turn: np.ndarray | None = field(default=None)

    def said(self, part: Part) -> np.ndarray:
        """Return float64 [n, T, A]: what answers say, along the axes."""
        return self._along_axes(self.said_of(part))

    def truth(self, part: Part) -> np.ndarray:
        """Return float64 [n, T, A]: what they are held against, along the axes."""
        return self._along_axes(self.truth_of(part))

    def errors(self, part: Part) -> np.ndarray:
        """Return float64 [n, T, A]: answer less truth, NaN where there is none of either."""
        said, truth = self.said_of(part), self.truth_of(part)
        if self.turn is None:
            return said - truth
        return np.concatenate([said[..., :3] - truth[..., :3], rotation_vectors(
            product(said[..., 3:], conjugate(truth[..., 3:])))], -1)

    def _along_axes(self, values: np.ndarray) -> np.ndarray:
        if self.turn is None:
            return values
        return np.concatenate([values[..., :3], rotation_vectors(
            product(values[..., 3:], conjugate(self.turn)))], -1)


def axes_of(names, compared_as: str, slides=()) -> tuple[tuple, tuple, Mapping[str, slice]]:
    """
    Return names, units and groups of the axes.

    names: twists' (or some of theirs), poses' (with the quaternion, or without) or joints';
    slides: joints of which a unit is a metre.
    """
    per = '/s' if compared_as == 'velocity' else ''
    if names == POSE_COLUMNS:
        names = POSE_AXES
    if is_cartesian(names):
        linear = sum(name in LINEAR for name in names)
        units = ('m' + per,) * linear + ('rad' + per,) * (len(names) - linear)
        groups = {'linear': slice(0, linear), 'angular': slice(linear, len(names))}
        return tuple(names), units, {
            name: where for name, where in groups.items() if where.start < where.stop}
    units = tuple(('m' if name in slides else 'rad') + per for name in names)
    return tuple(names), units, {'joints': slice(0, len(names))}


def is_cartesian(names) -> bool:
    """Return whether columns are of twists or poses, and not of joints."""
    return bool(names) and (set(names) <= set(TWIST_NAMES) or tuple(names) in (
        POSE_AXES, POSE_COLUMNS, POSE_COLUMNS[:3]))


def parts(count: int) -> list[slice]:
    """Return slices of so many images, each small enough to be worked on."""
    return [slice(begin, min(begin + PART, count)) for begin in range(0, count, PART)]


def group_unit(held: Held, group: str) -> str:
    """Return the unit of a group's axes, 'mixed' where joints turn and slide."""
    units = set(held.units[held.groups[group]])
    return units.pop() if len(units) == 1 else 'mixed'


def lengths(errors: np.ndarray, groups: Mapping[str, slice]) -> dict[str, np.ndarray]:
    """Return {group: float64 [...]}: lengths of vectors [..., A] along each group's axes."""
    return {group: np.linalg.norm(errors[..., axes], axis=-1) for group, axes in groups.items()}


def frame_lengths(held: Held, count: int, execute_steps: int) -> dict[str, np.ndarray]:
    """Return {group: float64 [N]}: mean error lengths of an image's executed rows, or NaN."""
    found = {group: np.full(count, np.nan) for group in held.groups}
    for part in parts(count):
        errors = held.errors(part)[:, :execute_steps]
        for group, values in lengths(errors, held.groups).items():
            known = np.isfinite(values)
            total = np.where(known, values, 0.0).sum(1)
            found[group][part] = np.divide(total, known.sum(1), out=np.full(len(total), np.nan),
                                           where=known.any(1))
    return found


def frame_error(held: Held, answers) -> tuple[np.ndarray, str, str]:
    """
    Return one number an image to find the worst by: float64 [N], its unit, and what it is.

    It is the mean length of the error over executed rows, of linear motion or of joints.
    """
    group = next(iter(held.groups))
    values = frame_lengths(held, len(answers.velocities), answers.execute_steps)[group]
    return values, group_unit(held, group), (
        f'{group} error against {held.facts.title}, mean of {answers.execute_steps} rows')
