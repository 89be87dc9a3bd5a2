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

from .row_numbers import Interval, Smoothness, Timing, Tokens
from .truth_errors import AxisErrors, Gripper, NormErrors, Truth, TruthErrors

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
