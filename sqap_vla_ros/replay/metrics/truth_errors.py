# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay's summary says of answers held against a truth; see summary.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Truth:
    """
    What answers of one kind were held against.

    title: such as '/delta_twist_cmds' or 'measured motion'.  source: the topic, or 'tf' or
    'joint_states' where nothing was commanded.  measured: whether it is motion and no command.
    kind: 'twist', 'pose', 'joints', 'joint_velocity' or 'gripper', as it was recorded.
    compared_as: 'velocity' (m/s, rad/s, at the row) or 'position' (m, rad, at the row's end).
    frame: that the axes are in, 'base' or 'end_effector'; '' for joints.  rule: how it was
    aligned and converted, in a sentence.  commands: recorded ones, 0 for measured motion.
    """

    title: str
    source: str
    measured: bool
    kind: str
    compared_as: str
    frame: str
    rule: str
    commands: int


@dataclass(frozen=True)
class AxisErrors:
    """
    Errors along one axis; error = answer - truth, of rotations the rotation vector between them.

    axis: vx..wz, x y z rx ry rz, or a joint.  unit: 'm', 'rad', 'm/s' or 'rad/s' ('rad' and
    'rad/s' for joints, or m where they slide).  count: rows compared.  mae, rmse, bias (mean
    error), largest (magnitude): in `unit`.  mse: in its square.  low, high: of the truth in the
    rows compared.  nrmse: rmse / (high - low), without a unit; None where the truth does not
    vary (high - low <= 1e-6).
    """

    axis: str
    unit: str
    count: int
    mae: float | None
    mse: float | None
    rmse: float | None
    nrmse: float | None
    bias: float | None
    largest: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class NormErrors:
    """
    Lengths of the error vector of a group of axes, in the mean over an image's executed rows.

    group: 'linear', 'angular' or 'joints'.  unit: as of its axes.  count: images.  mean, low95,
    high95: the mean over images and its 95 % interval (see Interval).  p95, largest: over images.
    """

    group: str
    unit: str
    count: int
    mean: float | None
    low95: float | None
    high95: float | None
    p95: float | None
    largest: float | None


@dataclass(frozen=True)
class Gripper:
    """
    The gripper of executed rows; 0 closed .. 1 open, more than a half is open.

    count: rows compared.  agreement: share of them in which both are open or both closed.
    when_open, when_closed: the same of rows whose truth is open, or closed; a gripper that never
    moves agrees in most rows and fails here.  mae: of the opening.
    """

    source: str
    count: int
    agreement: float | None
    when_open: float | None
    when_closed: float | None
    mae: float | None


@dataclass(frozen=True)
class Growth:
    """
    How errors grow over the rows of an answer.

    times_s: of each row from the image's stamp, [T].  rmse: {axis: [T]}, in the axis' unit;
    None where no row was compared.  norms: {group: [T]}, mean lengths.
    """

    times_s: tuple[float, ...]
    rmse: Mapping[str, tuple[float | None, ...]]
    norms: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class TruthErrors:
    """
    One row of the table against one truth.

    truth: its title.  executed, first, whole: axes over executed rows, row 0, and all rows.
    norms: see NormErrors.  growth: see Growth.  unmatched: executed rows of answers without a
    truth, such as those behind the recording's end.
    shift_s: by how much later (below 0: earlier) the truth is taken where answers agree with it
    best, in whole rows; 0 unless that makes the error of the first group less by a fifth.
    shifted: the rms of that group's error there, as a share of that without a shift.
    None where too few rows say so.
    """

    truth: str
    executed: tuple[AxisErrors, ...]
    first: tuple[AxisErrors, ...]
    whole: tuple[AxisErrors, ...]
    norms: tuple[NormErrors, ...]
    growth: Growth
    unmatched: int
    shift_s: float | None = None
    shifted: float | None = None
