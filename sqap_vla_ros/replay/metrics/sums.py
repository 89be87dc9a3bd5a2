# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Errors by row and axis, added up part by part, so that no recording is too long."""

from __future__ import annotations

import numpy as np

from .held import group_unit, Held, lengths, parts
from .truth_errors import AxisErrors, Growth

CONSTANT = 1e-6  # what varies by no more, in SI units, has no range to divide by


class Sums:
    """What errors [n, T, A] add up to, by row and axis [T, A], and by row and group."""

    def __init__(self, held: Held, rows: int):
        """Begin with nothing."""
        shape = (rows, len(held.names))
        self._held = held
        self.count = np.zeros(shape, np.int64)
        self.magnitude, self.square, self.signed, self.largest = np.zeros((4, *shape))
        self.low, self.high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self.norms = {group: np.zeros(rows) for group in held.groups}
        self.normed = {group: np.zeros(rows, np.int64) for group in held.groups}

    def add(self, errors: np.ndarray, truth: np.ndarray) -> None:
        """Add errors [n, T, A] and the truth that they are against; NaN is left out."""
        known = np.isfinite(errors)
        errors, magnitude = np.where(known, errors, 0.0), np.where(known, np.abs(errors), 0.0)
        self.count += known.sum(0)
        self.magnitude += magnitude.sum(0)
        self.square += (magnitude ** 2).sum(0)
        self.signed += errors.sum(0)
        self.largest = np.maximum(self.largest, magnitude.max(0, initial=0.0))
        self.low = np.minimum(self.low, np.where(known, truth, np.inf).min(0, initial=np.inf))
        self.high = np.maximum(self.high, np.where(known, truth, -np.inf).max(
            0, initial=-np.inf))
        whole = {group: known[..., axes].all(-1) for group, axes in self._held.groups.items()}
        for group, values in lengths(errors, self._held.groups).items():
            self.norms[group] += np.where(whole[group], values, 0.0).sum(0)
            self.normed[group] += whole[group].sum(0)

    def axes(self, rows: slice) -> tuple[AxisErrors, ...]:
        """Return the errors of some rows, by axis."""
        return tuple(self._axis(column, rows) for column in range(len(self._held.names)))

    def growth(self, dt_s: float) -> Growth:
        """Return the errors by row."""
        with np.errstate(invalid='ignore', divide='ignore'):
            rmse = np.sqrt(self.square / self.count)
            norms = {group: self.norms[group] / self.normed[group] for group in self.norms}
        times = tuple((np.arange(len(self.count)) * dt_s).tolist())
        return Growth(times, {name: _known(rmse[:, column])
                              for column, name in enumerate(self._held.names)},
                      {group: _known(values) for group, values in norms.items()})

    def _axis(self, column: int, rows: slice) -> AxisErrors:
        name, unit = self._held.names[column], self._held.units[column]
        count = int(self.count[rows, column].sum())
        if not count:
            return AxisErrors(name, unit, 0, *(None,) * 8)
        mae, mse, bias = (float(each[rows, column].sum()) / count
                          for each in (self.magnitude, self.square, self.signed))
        low, high = float(self.low[rows, column].min()), float(self.high[rows, column].max())
        rmse = mse ** 0.5
        nrmse = rmse / (high - low) if high - low > CONSTANT else None
        return AxisErrors(name, unit, count, mae, mse, rmse, nrmse, bias,
                          float(self.largest[rows, column].max()), low, high)


def summed(held: Held, count: int, rows: int) -> Sums:
    """Return the sums of all that is held, of so many images and rows."""
    sums = Sums(held, rows)
    for part in parts(count):
        sums.add(held.errors(part), held.truth(part))
    return sums


def group_units(held: Held) -> dict[str, str]:
    """Return {group: unit}."""
    return {group: group_unit(held, group) for group in held.groups}


def _known(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)
