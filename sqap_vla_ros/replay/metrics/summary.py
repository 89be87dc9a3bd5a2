# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The shape of a replay's summary: what `sqap-vla replay` writes as `summary` into replay.json.

All numbers are in SI units and of whole recordings; None where there is nothing to tell one from.
'Executed' rows are the first execute_steps rows of each answer, which the node would play.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
import math

FORM = 1  # of the summary; another one cannot be compared


@dataclass(frozen=True)
class ImageCounts:
    """
    What was looked at.

    count: images.  episodes: of the recording that they are of.  refused: images that the node
    would not move on.  problems: {why: images}, numbers in the texts as '#', the commonest first.
    warned: images with a warning.  duration_s: from the first to the last, without what lies
    between episodes.  rate_hz: images looked at a second.
    digest: 16 hexadecimal digits of their numbers, stamps and instructions; two replays with the
    same one looked at the same frames and asked the same.
    """

    count: int
    episodes: int
    refused: int
    problems: Mapping[str, int]
    warned: int
    duration_s: float
    rate_hz: float | None
    digest: str


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


@dataclass(frozen=True)
class Percentiles:
    """Of `count` numbers, in the unit that the field says; None of none."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None
    largest: float | None


@dataclass(frozen=True)
class Smoothness:
    """
    What happens where one answer takes over from the one before, for linear or angular motion.

    Answers follow one another as if they took no time: the next one is that to the first image
    taken when execute_steps rows were executed.  group, unit (m/s, rad/s): as in NormErrors.
    seams: changes of answer with both sides known.
    jump: of the velocity from the last row executed to the first of the next answer.
    inside: the same between rows of one answer, to hold it against.
    disagreement: between what both answers say about the same time, where the old one still says
    something.  jerk_at_seams, jerk_inside: second differences of the velocity by dt squared,
    m/s^3 or rad/s^3, of three rows that do, or do not, span a seam.
    """

    group: str
    unit: str
    seams: int
    jump: Percentiles
    inside: Percentiles
    disagreement: Percentiles
    jerk_at_seams: Percentiles
    jerk_inside: Percentiles


@dataclass(frozen=True)
class Tokens:
    """
    Visual tokens of one row of the table; shares are 0..1.

    grid: (rows, columns) of patches.  kept: mean number.  by_reason: {reason: mean share of the
    kept ones}.  projected: share of images in which a protected frame's pixel was known.
    in_image: share in which the robot covers at least one patch.  recall: mean share of the
    robot's patches that were kept, of the images with any.  recall_least: in the worst of them.
    recall_whole: share of them in which all were kept.  overlap_frames: kept by this image and
    the one before, of what either kept (Jaccard), in the mean.  overlap_reference: the same
    with the row `reference` (the first that prunes, too) on the same image; None for itself.
    """

    grid: tuple[int, int]
    kept: float | None
    by_reason: Mapping[str, float]
    projected: float | None
    in_image: float | None
    recall: float | None
    recall_least: float | None
    recall_whole: float | None
    overlap_frames: float | None
    overlap_reference: float | None
    reference: str


@dataclass(frozen=True)
class Timing:
    """
    How long answers take, and what that would do to the arm.

    stages: {stage: ms}.  deadline_ms: an answer older than this, from its image's stamp, comes
    when the one before has run out: (rows - execute_steps) x dt; None where answers are executed
    whole, and the arm waits for each.  missed: answers beyond it.  counted: those judged.
    input_age: ms from an image's stamp to when it came in; None where the recorder's clock and
    the camera's are not the same.  answer_age: ms from the stamp until the answer is known;
    without input_age, from when the image came in.
    """

    stages: Mapping[str, Percentiles]
    deadline_ms: float | None
    missed: int
    counted: int
    input_age: Percentiles | None
    answer_age: Percentiles


@dataclass(frozen=True)
class RowSummary:
    """
    One row of the table: a variant under a control.

    title, variant, control: as in results.Answers.  kind, frame, dt_s, rows, execute_steps: of
    its answers.  answered: images with an answer.  missing: images that the node would move on
    and that got none.  problems: {why: images}.  against: one TruthErrors a truth that its kind
    can be held against.  gripper: one a truth that has one.
    """

    title: str
    variant: str
    control: str
    kind: str
    frame: str
    dt_s: float
    rows: int
    execute_steps: int
    answered: int
    missing: int
    problems: Mapping[str, int]
    against: tuple[TruthErrors, ...]
    gripper: tuple[Gripper, ...]
    smoothness: tuple[Smoothness, ...]
    tokens: Tokens
    timing: Timing


@dataclass(frozen=True)
class Interval:
    """
    A mean over images and its 95 % interval.

    Neighbouring images show nearly the same and their errors are alike, so that they do not count
    one by one. drawn: 'episodes' where there are at least 10 with numbers, else 'blocks' of
    neighbours (the circular block bootstrap's error, Politis and Romano 1992; the length by
    Politis and White 2004, corrected 2009, and doubled).  block: images in one, 0 for episodes.
    count: images.  low, high: None where there are fewer than 6 blocks, and `why` says so.
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int
    drawn: str
    block: int
    why: str = ''


@dataclass(frozen=True)
class PairNorm:
    """
    What two rows of the table say of the same images, for one group of axes.

    difference: of their answers, NormErrors.  relative: rms of the difference / rms of what the
    reference says (1 and more: as different as standing still); None where it says nothing.
    worse: {truth: Interval}, error of the row less error of the reference, image by image (above
    0: the row is worse), in `unit`.
    """

    group: str
    unit: str
    difference: NormErrors
    relative: float | None
    worse: Mapping[str, Interval]


@dataclass(frozen=True)
class Pair:
    """
    One row of the table beside a reference on the same images, over executed rows.

    row, reference: titles; the reference of a control is the same variant without, of a variant
    the first one.  compared_as: 'velocity' or 'position'.  count: images with both answers.
    axes: AxisErrors, the reference as the truth.  norms: PairNorm a group.  gripper_agreement:
    share of executed rows.  latency: Interval of ms of `total`, row less reference; None without.
    """

    row: str
    reference: str
    compared_as: str
    count: int
    axes: tuple[AxisErrors, ...]
    norms: tuple[PairNorm, ...]
    gripper_agreement: float | None
    latency: Interval | None


@dataclass(frozen=True)
class Sample:
    """
    Answers of one row of the table to some images, for `sqap-vla compare`.

    title: of the row.  compared_as, names, frame: of the columns D (poses: x y z qx qy qz qw).
    numbers: of the recording's images, evenly spread, [K].  values: [K][executed rows][D], six
    significant digits; None for an image without an answer.  gripper: [K][executed rows]; None
    for an arm without.
    """

    title: str
    compared_as: str
    names: tuple[str, ...]
    frame: str
    numbers: tuple[int, ...]
    values: tuple
    gripper: tuple | None


@dataclass(frozen=True)
class Summary:
    """All numbers of a replay; notes: what could not be told, and why, and what brings it."""

    images: ImageCounts
    truths: tuple[Truth, ...]
    rows: tuple[RowSummary, ...]
    pairs: tuple[Pair, ...]
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]
    form: int = FORM


def as_json(value):
    """Return a summary, or a part of it, as JSON values: objects, lists, numbers, None."""
    if is_dataclass(value):
        return {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
