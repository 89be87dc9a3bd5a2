# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a replay found, as arrays: images in a row N, rows of a chunk T, patches P.

run.py fills it; metrics, the report and the exported files read it. All numbers are in SI units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..observation import TokenSelection

DROPPED = 255  # the reason of a patch that was not kept


@dataclass(frozen=True, eq=False)
class Images:
    """
    The images that were looked at, N of them.

    numbers: int64 [N], of the recording's images of the main camera, from 0.  episodes: int32
    [N], their numbers, see recordings.recording.episode_numbers.  times_ns: int64 [N], when they
    came in.  stamps_ns: int64 [N], when they were taken.  problems: why the node would not move
    on them, '' where it would.  warnings: a tuple of texts each.  poses: float64 [N, 7], x y z
    qx qy qz qw of the end effector in the base frame at the stamp, NaN where not known.  joints:
    float64 [N, J], in the order of joint_names, NaN where not known.  instructions: what was
    asked.  pixels: of each, {frame: (u, v, radius)} of protected frames in the image that the
    policy was given.  shifts_ns: int64 [N] or [1], what was added to
    times_ns where the recorder's clock was set back, see recordings.recording.Episode.
    """

    numbers: np.ndarray
    episodes: np.ndarray
    times_ns: np.ndarray
    stamps_ns: np.ndarray
    problems: tuple[str, ...]
    warnings: tuple[tuple[str, ...], ...]
    poses: np.ndarray
    joints: np.ndarray
    joint_names: tuple[str, ...]
    instructions: tuple[str, ...]
    pixels: tuple[Mapping[str, tuple[float, float, float]], ...]
    shifts_ns: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def arrived_ns(self) -> np.ndarray:
        """Return int64 [N]: when they came in by the clock of then, to hold against stamps."""
        return self.times_ns - self.shifts_ns

    def __len__(self) -> int:
        """Return N."""
        return len(self.numbers)


@dataclass(frozen=True, eq=False)
class Answers:
    """
    What one variant of the policy answered, under one control; NaN where it did not.

    name: of the variant, with the tokens that it keeps, such as sqap@154.  control: 'none' or what
    it was given instead of the truth.  kind: of the action space (control/action_space.py).
    frame: 'base' or 'end_effector', of velocities.  names: of the arm's columns D: vx.. wz, or
    joints.  dt_s: between rows.  execute_steps: rows that the node would play.
    velocities: float64 [N, T, D], m/s and rad/s.  positions: float64 [N, T, 7 or D], poses or
    joints at the END of each row; None where the kind has none and no pose was known.
    gripper: float64 [N, T], 0 closed .. 1 open; NaN throughout for an arm without.
    actions: float32 [N, T, A], as the policy told them, in the checkpoint's units.
    latency_ms: {stage: float64 [N]}, with 'observe' (ingest), and 'total' of the policy.
    grid: (rows, columns) of patches of an image.  reasons: uint8 [N, P], of observation.REASONS,
    or DROPPED; all 'preserved' without pruning.  P is of all images that the policy takes at once.
    covered: bool [N, P], the patches that the robot's protected frames cover, for any variant.
    problems: why there is no answer, '' where there is one or the image had a problem.
    """

    name: str
    control: str
    kind: str
    frame: str
    names: tuple[str, ...]
    dt_s: float
    execute_steps: int
    velocities: np.ndarray
    positions: np.ndarray | None
    gripper: np.ndarray
    actions: np.ndarray
    latency_ms: Mapping[str, np.ndarray]
    grid: tuple[int, int]
    reasons: np.ndarray
    covered: np.ndarray
    problems: tuple[str, ...]

    @property
    def title(self) -> str:
        """Return the name with the control, if there is one."""
        return self.name if self.control == 'none' else f'{self.name}, {self.control}'

    @property
    def views(self) -> int:
        """Return how many cameras' images a policy takes at once."""
        return self.reasons.shape[1] // (self.grid[0] * self.grid[1])

    def of_view(self, row: int, view: int) -> TokenSelection:
        """Return what was kept of one camera's image in a row."""
        kept = np.flatnonzero(self.kept[row])
        return TokenSelection(
            self.grid, kept, self.reasons[row][kept], self.views).of_image(view)

    @property
    def kept(self) -> np.ndarray:
        """Return bool [N, P]: the tokens that were kept."""
        return self.reasons != DROPPED

    @property
    def answered(self) -> np.ndarray:
        """Return bool [N]: where there is an answer."""
        return np.isfinite(self.actions).all(axis=(1, 2))


@dataclass(frozen=True, eq=False)
class Commands:
    """
    Commands that were recorded on one topic, M of them, in SI units.

    source: the topic.  kind: 'twist', 'pose', 'joints', 'joint_velocity' or 'gripper'.  names: of
    the columns D: vx.. wz, x y z qx qy qz qw, joints, or 'gripper'.  frame: that the numbers are
    in, 'base' or 'end_effector' for Cartesian kinds.  times_ns: int64 [M], when they came in, in
    order.  values: float64 [M, D]; gripper: 0 closed .. 1 open.
    """

    source: str
    kind: str
    names: tuple[str, ...]
    frame: str
    times_ns: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Robot:
    """
    The robot_description that was recorded, a URDF, and the frames that poses are between.

    With it, joints and poses can be held against each other (extra `kinematics`).
    """

    description: str
    base_frame: str
    end_effector_frame: str


@dataclass(frozen=True, eq=False)
class Results:
    """
    All that a replay found.

    facts: what it was: source, form, checkpoint, instruction, options, versions, machine, date;
    JSON values.  losses: what of the recording could not be read.  commands: recorded ones.
    robot: None where no robot_description was recorded.
    """

    facts: Mapping
    losses: tuple[str, ...]
    images: Images
    answers: tuple[Answers, ...]
    commands: tuple[Commands, ...] = field(default=())
    robot: Robot | None = None
