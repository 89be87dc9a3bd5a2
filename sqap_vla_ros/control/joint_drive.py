# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The pure half of outputs that tell joint positions.

With kinematics an admitted twist becomes joint velocities, which pass a second gate with the
joints' own limits; without, the policy's joints pass straight through. Either way the reference,
where the joints were told to be, is what is moved: begun at the measured joints, never pulled
after them while the arm is under way.
"""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace

import numpy as np

from .command import Command, Measured
from .drives import Drive
from .following import Following, LOST
from .inverse_kinematics import InverseKinematics
from .joint_box import JointBox, slowed
from .joint_settings import described_joints, JointSettings
from .kinematics import Kinematics
from .limits import JointLimits
from .row_positions import pose_of, step_between
from .safety_gate import SafetyGate
from ..errors import ObservationError
from ..geometry.transform_buffer import Pose

RESUMED_WITHIN = 0.01  # rad or m; nearer than this, the last reference is gone on from: an arm
# that sags a little under its load would sink with every start otherwise
ROUNDING = 1e-12
OVER = 0.005  # of a speed limit of the hand, by which it may be beyond it
SLOWINGS = 4
HELD = 0.1  # of a way, of which limits, a singularity or a wall leave less


class JointDrive(Drive):
    """
    For `joint_trajectory` and `joint_commands`: the reference is the joints' positions.

    joint_names: what Measured.joints has to hold, in this order: the joints that are commanded
    and then those in the chain that others move.  limits: of the joints that are commanded.
    note: why the last step did not go where it was asked to, '' if it did.
    """

    def __init__(self, names, limits: JointLimits, settings: JointSettings,
                 inverse: InverseKinematics | None = None, frame: str = 'base', turning=()):
        """
        Stand; inverse and frame, of the twists: where twists are to become joints.

        turning: names of joints without ends, that a driver may tell whole turns off.
        """
        self.names, self.limits, self._settings = tuple(names), limits, settings
        self._inverse, self._frame, self._turning = inverse, frame, frozenset(turning)
        self._gate = SafetyGate(_behind_kinematics(limits))
        self.joint_names = self.names + (inverse.kinematics.locked if inverse else ())
        self.needs = frozenset({'joints', 'pose'} if inverse else {'joints'})
        self._last = self._since_ns = None
        self.rest()

    @classmethod
    def of(cls, space, settings: JointSettings, urdf: str | None, base_frame: str,
           end_effector_frame: str) -> JointDrive:
        """
        Return the drive for an action space; raise ConfigError where the URDF does not fit.

        urdf: the text of it; None is enough for actions that tell joints, if the settings give
        their speed limits.
        """
        if not space.is_cartesian:
            names = space.arm_names
            described = described_joints(urdf, names)
            return cls(names, settings.limits(names, described), settings,
                       turning=_turning(described))
        arm = Kinematics.from_urdf(urdf or '', base_frame, end_effector_frame, settings.names)
        limits = settings.limits(arm.names, arm.described, whole=True)
        inverse = InverseKinematics(arm, limits, settings.position_only)
        return cls(arm.names, limits, settings, inverse, space.frame, _turning(arm.described))

    def __copy__(self) -> JointDrive:
        """Return a drive that goes on by itself, to see what is ahead: no arm follows that."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._gate, twin._following = deepcopy(self._gate), None
        return twin

    def __deepcopy__(self, memo) -> JointDrive:
        """Return the same as copy.copy does: limits and kinematics are shared."""
        return copy(self)

    def use(self, settings: JointSettings) -> None:
        """Take what of changed settings may change while the arm is under way."""
        self.limits = settings.tolerating(self.limits)
        self._gate.limits = _behind_kinematics(self.limits)

    def begin(self, measured: Measured | None) -> None:
        """Start from the measured joints; raise ObservationError where they can't be right."""
        joints = self._checked(measured)
        goes_on = self._last is not None and np.abs(self._last - joints).max() <= RESUMED_WITHIN
        self._reference = self._last if goes_on else joints
        self._velocity, self._since_ns = np.zeros(len(joints)), None
        self._following = Following(self.names, self._reference, self._settings.tracking,
                                    self._turning)

    def toward(self, said: Command, now_ns: int, period_ns: int) -> Command:
        """Return the velocity that reaches said.position from the reference within a period."""
        if said.position is None:
            return said
        reference = self._at(now_ns)
        if self._inverse is None:
            way = said.position - reference
        else:
            way = step_between(self._inverse.kinematics.forward(reference),
                               pose_of(said.position), self._frame)
            way[self._inverse.rows:] = 0.0
        return replace(said, velocity=way * (1e9 / period_ns))

    def advance(self, admitted: Command, now_ns: int, period_ns: int) -> Command:
        """Move the reference to now, and return the joints one period ahead of it."""
        reference = self._at(now_ns)
        velocity = admitted.velocity if self._inverse is None else self._limited(
            reference, admitted.velocity, now_ns, period_ns)
        return self._go(reference, velocity, admitted.gripper, now_ns, period_ns)

    def watch(self, measured: Measured | None, now_ns: int) -> None:
        """Set fault where the joints do not follow, lost where they are not measured any more."""
        if self.fault is None and self._following is not None:
            joints = None if measured is None else measured.joints
            self.lost = LOST if joints is None and np.isfinite(self._settings.tracking) else None
            self.fault = self._following.why_not(
                None if joints is None else joints[:len(self.names)], self._at(now_ns), now_ns)

    def brake(self, now_ns: int, period_ns: int) -> Command | None:
        """Return what slows the joints down where that takes longer than for the twist."""
        if self._inverse is None or self._reference is None:
            return None
        reference = self._at(now_ns)
        braked = self._gate.brake(now_ns, period_ns, Measured(joints=reference))
        if braked is None:
            return None
        velocity = self._boxed(reference, braked.velocity, braked.velocity, now_ns, period_ns)
        velocity = self._slow_hand(reference, velocity, period_ns * 1e-9)
        return self._go(reference, velocity, None, now_ns, period_ns)

    def reference(self, now_ns: int) -> Measured | None:
        """Return where the arm has been told to be by now."""
        if self._reference is None:
            return None
        joints = self._at(now_ns)
        return Measured(self.hand_at(joints), joints)

    def hand_at(self, joints: np.ndarray) -> Pose | None:
        """Return where joints [n] have the end effector; None where no URDF tells."""
        return self._inverse.kinematics.forward(joints) if self._inverse else None

    def rest(self) -> None:
        """Take the arm to stand where it was told to be."""
        if self._since_ns is not None:
            self._last = self._at(self._since_ns + self._period_ns)
        self._reference = self._velocity = self._since_ns = self._following = None
        self._period_ns, self.share, self.note, self.fault = 1, 1.0, '', None
        self.is_held, self.lost = False, None
        self._gate.rest()
        self._gate.resume()

    def _checked(self, measured: Measured | None) -> np.ndarray:
        """Return the measured joints [n] that are commanded."""
        if measured is None or measured.joints is None:
            raise ObservationError('the positions of the joints are not known, from which the '
                                   f'output begins: do joint_states tell {self.joint_names}?')
        joints = np.asarray(measured.joints, np.float64)
        if len(joints) != len(self.joint_names) or not np.isfinite(joints).all():
            raise ObservationError(f'joint_states tell {joints}, expected {len(self.joint_names)} '
                                   f'finite numbers for {self.joint_names}')
        if self._inverse is not None:
            self._check_arm(joints, measured)
        return joints[:len(self.names)]

    def _check_arm(self, joints: np.ndarray, measured: Measured) -> None:
        arm, count = self._inverse.kinematics, len(self.names)
        arm.lock(dict(zip(self.joint_names[count:], joints[count:])))
        arm.check_joints(joints[:count])
        if measured.pose is None:
            raise ObservationError(f'TF does not tell where {arm.end_effector_frame} is in '
                                   f'{arm.base_frame}, to compare with the URDF and joint_states')
        arm.check_agreement(joints[:count], measured.pose, self._settings.apart_m,
                            self._settings.apart_rad)

    def _limited(self, reference, twist, now_ns: int, period_ns: int) -> np.ndarray:
        """Return the joint velocities [n] for a twist, within the joints' limits."""
        if not np.isfinite(twist).all():
            self.fault = f'a twist is not finite: {twist}'
            return np.zeros(len(reference))
        step = self._inverse.step(reference, twist, period_ns * 1e-9, self._frame)
        passed = self._gate.admit(Command(step.velocity), now_ns, period_ns,
                                  Measured(joints=reference))
        if passed is None:
            self.fault = self._gate.fault
            return np.zeros(len(reference))
        velocity = self._boxed(reference, passed.velocity, step.velocity, now_ns, period_ns)
        velocity = self._slow_hand(reference, velocity, period_ns * 1e-9)
        asked = float(step.velocity @ step.velocity)
        kept = float(velocity @ step.velocity) / asked if asked > ROUNDING else 1.0
        self.share, self.note = step.share * min(max(kept, 0.0), 1.0), self._why(step)
        is_cut = velocity is not passed.velocity and kept < HELD
        self.is_held = bool(twist.any()) and (step.share < HELD or is_cut)
        return velocity

    def _boxed(self, reference, velocity, other, now_ns: int, period_ns: int) -> np.ndarray:
        """Return what of joint velocities [n] stays in the box; other: see JointBox.kept."""
        if self.box is None:
            return velocity
        box, found = JointBox(self._inverse, self.box, reference, period_ns * 1e-9), velocity
        if not box.can_brake(velocity):
            passed_ns = period_ns if self._since_ns is None else now_ns - self._since_ns
            found = slowed(self._velocity, self.limits.acceleration,
                           min(max(passed_ns, 0), period_ns) * 1e-9)
        found = box.kept(found, other)
        if found is not velocity:
            self._gate.go_on_from(found)
        return found

    def _slow_hand(self, reference, velocity, period_s: float) -> np.ndarray:
        """
        Return joint velocities [n] with which the hand is no faster than its limits.

        Near a singularity they give the hand another twist than was asked for, and joints that
        slow down move it on meanwhile. Speed goes before acceleration.
        """
        found = velocity
        for _ in range(SLOWINGS):  # a hand turns on a curve: less of it is not as much less
            over = self._hand_over(reference, found, period_s)
            if over <= 1.0 + OVER:
                break
            found = found / over
        if found is not velocity:
            self._gate.go_on_from(found)
        return found

    def _hand_over(self, reference, velocity, period_s: float) -> float:
        """Return by what the hand's speed over a period is beyond its limits, as a factor."""
        forward = self._inverse.kinematics.forward
        hand = step_between(forward(reference), forward(reference + period_s * velocity),
                            self._frame) / period_s
        return max((dynamics.speed(hand[part].tolist()) for part, dynamics in self.speeds
                    if part.start < self._inverse.rows), default=0.0)

    def _why(self, step) -> str:
        """Return why a step is less than what was asked for."""
        if step.share >= 1.0:
            return ''
        at_limits = ', '.join(self.names[index] for index in step.blocked)
        return (f'{100 * step.share:.0f} % of the speed asked for is left: '
                + (f'{at_limits} is at its limit' if at_limits else
                   'the arm is near a singularity, or the end of its reach' if step.singular else
                   'joints would go faster than their limits'))

    def _go(self, reference, velocity, gripper, now_ns: int, period_ns: int) -> Command:
        """Go on from the reference with a velocity; return the command that says so."""
        self._reference, self._velocity = reference, velocity
        self._since_ns, self._period_ns = now_ns, period_ns
        return Command(velocity, gripper, self._at(now_ns + period_ns))

    def _at(self, now_ns: int) -> np.ndarray:
        """Return the reference [n] at a time, moved at most a period since the last command."""
        if self._since_ns is None:
            return self._reference
        passed_s = min(max(now_ns - self._since_ns, 0), self._period_ns) * 1e-9
        return self._reference + self._velocity * passed_s


def _behind_kinematics(limits: JointLimits) -> JointLimits:
    """Return the limits of the gate there: half the margin, of which kinematics keep the whole."""
    return replace(limits, margin=0.5 * limits.margin, trip_count=0)


def _turning(described) -> list[str]:
    """Return the names of the joints that turn for ever."""
    return [name for name, joint in described.items() if joint.kind == 'continuous']
