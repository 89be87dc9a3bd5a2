# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a commander is tried with: an action space of any kind, an output, an arm that follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np

from .following_arm import BASE, Chain, Follower, HAND, HAS_PINOCCHIO, SEVEN, SIX
from .playing import Arm, quaternion
from .scenarios import Scenario
from .told import Joints, Poses, Told
from ...control.action_space import ActionSpace, NAMES_BY_KIND
from ...control.commander import Commander
from ...control.drives import Drive, PoseDrive, TwistDrive
from ...control.joint_drive import JointDrive
from ...control.joint_settings import JointSettings
from ...control.seams import BLENDINGS

LAGS_S = (0.0, 0.02, 0.1)
SPEED = 2.0  # rad/s, of the joints of a Chain


@dataclass(frozen=True)
class Rig:
    """
    All that is tried together.

    what: the scenario, moved to where the arm is.  told: None for an output of velocities.
    chain: of joints that move a hand, None for none.  turns_as_it_comes: whether that hand's
    turning is not asked for.
    """

    what: Scenario
    space: ActionSpace
    drive: Drive
    control: Commander
    arm: Arm
    told: Told | None
    chain: Chain | None
    turns_as_it_comes: bool

    @property
    def name(self) -> str:
        """Return what it is, for counts."""
        name = f'{self.space.kind} by {type(self.drive).__name__}'
        return name + ' with kinematics' if self.chain else name


def rig(what: Scenario, rng: np.random.Generator, rows: int) -> Rig:
    """Return a rig for a scenario; rows: of a chunk."""
    space = _space(what, rng, rows)
    what = replace(what, frame=space.frame)
    lag_s, chain, told = float(rng.choice(LAGS_S)), None, None
    turns_as_it_comes = bool(rng.random() < 0.3)
    output = 'joints' if not space.is_cartesian else str(rng.choice(
        ['twist', 'pose', 'hand'] if HAS_PINOCCHIO else ['twist', 'pose']))
    arm = Arm(what.place, what.turn, what.period_ns, what.frame == 'end_effector',
              what.is_cartesian)
    if output == 'twist':
        drive = TwistDrive()
    elif output == 'pose':
        drive, told = PoseDrive(space.frame), Told(Poses(space.frame), what.period_ns)
        start = np.concatenate([what.place, quaternion(what.turn)])
    elif output == 'joints':
        drive = JointDrive(space.arm_names, what.limits, JointSettings())
        told, start = Told(Joints(), what.period_ns), what.place
    else:
        told, chain = Told(Joints(), what.period_ns), _chain(rng)
        drive, start = _hand_drive(space, chain, turns_as_it_comes, rng), _bent(chain, rng)
        what = _moved(what, chain.hand(start)[:3] - what.place)
    if told:
        arm = Follower(start, told, what.period_ns, lag_s, chain)
    control = Commander(
        space, what.limits, period_ns=what.period_ns, drive=drive,
        missed_chunks=int(rng.choice([0, 0, 2, 5])), blending=str(rng.choice(BLENDINGS)),
        blending_s=float(rng.uniform(0.02, 0.4)))
    return Rig(what, space, drive, control, arm, told, chain, turns_as_it_comes)


def _space(what: Scenario, rng, rows: int) -> ActionSpace:
    """Return an action space of any kind for the scenario's robot."""
    kind = str(rng.choice(('twist', 'delta', 'pose') if what.is_cartesian else (
        'joint_position', 'joint_delta')))
    names = NAMES_BY_KIND[kind] or tuple(f'joint_{i}' for i in range(what.wanted.shape[1]))
    rotation = 'rotvec' if kind in ('delta', 'pose') else None
    return ActionSpace(
        kind, tuple(names) + ('gripper',) * bool(rng.random() < 0.5),
        dt=float(rng.choice([0.02, 0.05, 0.2])),
        frame=what.frame if kind != 'pose' else 'base',
        execute_steps=int(rng.integers(1, rows + 1)), rotation=rotation)


def _chain(rng) -> Chain:
    """Return an arm of six or seven joints, some of which may have no range."""
    parts, are_endless = (SIX, SEVEN)[rng.integers(2)], rng.random() < 0.3
    endless = rng.random(len(parts) - 1) < 0.4
    return Chain(parts, tuple(bool(each and are_endless) for each in endless))


def _bent(chain: Chain, rng) -> np.ndarray:
    """Return joints [n] to begin at."""
    return np.array([rng.uniform(-0.7, 0.7) * most for _, axis, most in chain.parts if axis])


def _hand_drive(space: ActionSpace, chain: Chain, turns_as_it_comes: bool, rng) -> JointDrive:
    """Return the output that turns twists into joints, with limits of these."""
    acceleration = float(rng.choice([math.inf, 5.0, 40.0]))
    settings = JointSettings(
        position_only=turns_as_it_comes, margin=float(rng.choice([0.0, 0.02])),
        speed_factor=float(rng.choice([0.3, 1.0])), acceleration=acceleration,
        jerk=float(rng.choice([math.inf, 10 * acceleration])))
    return JointDrive.of(space, settings, chain.urdf(SPEED), BASE, HAND)


def _moved(what: Scenario, step: np.ndarray) -> Scenario:
    """Return a scenario whose arm, and the boxes round it, are elsewhere."""
    events = {tick: [(name, _moved_box(value, step) if name == 'limits' else value)
                     for name, value in happening] for tick, happening in what.events.items()}
    return replace(what, limits=_moved_box(what.limits, step), events=events,
                   place=what.place + step)


def _moved_box(limits, step: np.ndarray):
    if not limits.has_workspace:
        return limits
    return replace(limits, workspace_low=(np.array(limits.workspace_low) + step).tolist(),
                   workspace_high=(np.array(limits.workspace_high) + step).tolist())
