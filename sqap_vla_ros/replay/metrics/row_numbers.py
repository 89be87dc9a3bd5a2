# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay's summary says of answers alone, and how it says what varies; see summary.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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

    grid: (rows, columns) of patches of an image.  total: patches of all images that the policy
    takes at once.  kept: mean number.  by_view: the same of each image.  by_reason: {reason: mean
    share of the kept ones}.  projected: share of images in which a protected frame's pixel was
    known.  in_image: share in which the robot covers at least one patch.  recall: mean share of
    the robot's patches that were kept, of the images with any.  recall_least: in the worst of
    them.
    recall_whole: share of them in which all were kept.  overlap_frames: kept by this image and
    the one before, of what either kept (Jaccard), in the mean.  overlap_reference: the same
    with the row `reference` (the first that prunes, too) on the same image; None for itself.
    """

    grid: tuple[int, int]
    total: int
    kept: float | None
    by_view: tuple[float | None, ...]
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
