# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where an arm's joints put its end effector, by pinocchio on the chain of a URDF.

Joint velocities for a twist: inverse_kinematics.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from xml.etree import ElementTree

import numpy as np

from .urdf import Chain, chain_between, Joint, read_joints
from ..errors import ConfigError, ObservationError
from ..geometry.quaternions import conjugate, product, rotation_vector
from ..geometry.transform_buffer import Pose
from ..support.validation import unknown_names

PINOCCHIO = ('outputs that turn the motion of the end effector into joints need pinocchio: '
             '`pip install pin`, or `apt install ros-$ROS_DISTRO-pinocchio`')
BEYOND = {'rad': 0.1, 'm': 0.01}  # further beyond a limit, joint_states are of something else


class Kinematics:
    """
    One arm: the joints between a base and an end effector that are commanded, in order.

    names: of those joints, [n].  units: 'rad' or 'm' of each.  lower, upper: float64 [n], of the
    URDF, infinite where there is none.  described: the joints by name, see urdf.Joint.
    locked: names of the joints in the chain that others move; `lock` tells where they are.
    """

    def __init__(self, chain: Chain, arm: Sequence[Joint], joints: Mapping[str, Joint]):
        """Build the model of a chain; from_urdf is the way to get one."""
        self._pin = _pinocchio()
        self.base_frame, self.end_effector_frame = chain.base, chain.end_effector
        self.names = tuple(joint.name for joint in arm)
        self.units = tuple('m' if joint.kind == 'prismatic' else 'rad' for joint in arm)
        self.lower = np.array([joint.lower for joint in arm])
        self.upper = np.array([joint.upper for joint in arm])
        self.described = {joint.name: joint for joint in arm}
        moving = [joint for joint in chain.down if joint.moves]
        self.reach = _reach(chain)
        self._model = self._pin.buildModelFromXML(_as_urdf(chain))
        self._data = self._model.createData()
        self._frame = self._frame_of(chain.end_effector)
        self._base_turn, self._base_origin = self._fixed(chain.base)
        self._to_base = np.kron(np.eye(2), self._base_turn.T)  # of both halves of a twist
        self._spread, self._followed = _spread(moving, self.names, joints)
        self.locked = tuple(sorted({name for name, _, _ in self._followed if name}))
        self._rest = np.zeros(len(moving))
        self.lock({})

    @classmethod
    def from_urdf(cls, text: str, base_frame: str, end_effector_frame: str,
                  joints: Sequence[str] = ()) -> Kinematics:
        """
        Return the kinematics of the chain from base_frame to end_effector_frame of a URDF.

        text: the URDF itself, as robot_description has it.  joints: those that are commanded,
        in this order; empty for all that move in the chain, from the base on.
        Raises ConfigError that says what is wrong with the URDF or the names.
        """
        known = read_joints(text)
        chain = chain_between(known, base_frame, end_effector_frame)
        return cls(chain, _arm(chain, known, tuple(joints)), known)

    def lock(self, measured: Mapping[str, float]) -> None:
        """Take the joints that are not commanded where they were measured, by name; else at 0."""
        self._rest = np.array([
            factor * measured.get(name, 0.0) + offset for name, factor, offset in self._followed])

    def forward(self, joints: np.ndarray) -> Pose:
        """Return the pose of the end effector in base_frame for joints [n]."""
        self._place(joints)
        placement = self._data.oMf[self._frame]
        turn = self._base_turn.T @ placement.rotation
        quaternion = self._pin.Quaternion(turn).coeffs()
        return Pose(self._base_turn.T @ (placement.translation - self._base_origin),
                    np.array(quaternion) / np.linalg.norm(quaternion))

    def jacobian(self, joints: np.ndarray, frame: str = 'base') -> np.ndarray:
        """
        Return the Jacobian [6, n]: the twist of the end effector's origin for joint velocities.

        frame: 'base' or 'end_effector', along whose axes the twist is expressed.
        """
        self._place(joints)
        reference = (self._pin.LOCAL if frame == 'end_effector'
                     else self._pin.LOCAL_WORLD_ALIGNED)
        full = self._pin.getFrameJacobian(self._model, self._data, self._frame, reference)
        return full @ self._spread if frame == 'end_effector' else self._to_base @ (
            full @ self._spread)

    def check_joints(self, joints: np.ndarray) -> None:
        """Raise ObservationError for measured joints [n] that can't be this arm's."""
        for name, unit, value, low, high in zip(
                self.names, self.units, joints, self.lower, self.upper):
            if not math.isfinite(value):
                raise ObservationError(f'joint_states tell {value} for {name}')
            if not low - BEYOND[unit] <= value <= high + BEYOND[unit]:
                raise ObservationError(
                    f'joint_states put {name} at {value:.4g} {unit}, beyond its limits '
                    f'{low:.4g}..{high:.4g} of the URDF: are they of this robot, and in {unit}?')

    def check_agreement(self, joints: np.ndarray, pose: Pose, most_m: float, most_rad: float):
        """Raise ObservationError unless measured joints [n] put the end effector at a TF pose."""
        told = self.forward(joints)
        off_m = float(np.linalg.norm(told.translation - pose.translation))
        off_rad = float(np.linalg.norm(rotation_vector(
            product(conjugate(told.quaternion), pose.quaternion))))
        if off_m > most_m or off_rad > most_rad:
            raise ObservationError(
                f'URDF, joint_states and TF disagree: the joints put {self.end_effector_frame} at '
                f'{_rounded(told.translation)} m in {self.base_frame}, TF at '
                f'{_rounded(pose.translation)} m: {1000 * off_m:.1f} mm and '
                f'{math.degrees(off_rad):.1f} deg apart, at most {1000 * most_m:.1f} mm and '
                f'{math.degrees(most_rad):.1f} deg are let pass. Is the URDF that of this robot, '
                'are base_frame and end_effector_frames links of it, and are both of one time?')

    def _place(self, joints: np.ndarray) -> None:
        place = self._spread @ joints + self._rest
        self._pin.computeJointJacobians(self._model, self._data, place)
        self._pin.updateFramePlacement(self._model, self._data, self._frame)

    def _frame_of(self, link: str) -> int:
        """Return the index of a link's frame; a joint may have the same name."""
        return self._model.getFrameId(link, self._pin.FrameType.BODY)

    def _fixed(self, frame: str) -> tuple[np.ndarray, np.ndarray]:
        """Return rotation [3, 3] and origin [3] of a frame that does not move in the model."""
        self._pin.framesForwardKinematics(
            self._model, self._data, self._pin.neutral(self._model))
        placement = self._data.oMf[self._frame_of(frame)]
        return placement.rotation.copy(), placement.translation.copy()


def joint_values(names: Sequence[str], heard: Mapping[str, float]) -> np.ndarray:
    """
    Return the positions [n] of joints by name, from what joint_states told.

    Raises ObservationError that names those that are missing: joint_states of another robot.
    """
    missing = [name for name in names if name not in heard]
    if missing:
        raise ObservationError(
            f'joint_states do not tell {", ".join(missing)}: they tell '
            f'{", ".join(sorted(heard)) or "nothing yet"}. Are they of this robot?')
    return np.array([heard[name] for name in names])


def _pinocchio():
    """Return the module pinocchio; raise ConfigError, with the cure, where there is none."""
    try:
        import pinocchio
    except ImportError as error:
        raise ConfigError(f'{PINOCCHIO} ({error})') from error
    if not hasattr(pinocchio, 'buildModelFromXML'):
        raise ConfigError(f'{pinocchio.__file__} is not the rigid body library: {PINOCCHIO}')
    return pinocchio


def _arm(chain: Chain, known: Mapping[str, Joint], asked: tuple[str, ...]) -> list[Joint]:
    """Return the joints to command; raise ConfigError for a chain or names that can't be."""
    for joint in (*chain.up, *chain.down):
        if joint.kind in ('floating', 'planar'):
            raise _chain_error(chain, f'joint {joint.name!r} is {joint.kind}: only revolute, '
                               'continuous and prismatic joints can be commanded')
    rising = [joint.name for joint in chain.up if joint.moves]
    if rising:
        raise _chain_error(chain, f'base_frame itself is moved by {", ".join(rising)}: choose a '
                           f'base_frame between {chain.root!r} and the arm')
    free = {joint.name: joint for joint in chain.down if joint.moves and joint.mimic is None}
    for name in asked:
        if name in known and known[name].mimic:
            raise _chain_error(chain, f'joint {name!r} mimics {known[name].mimic[0]!r} and '
                               'cannot be commanded: leave it out of arm_joints')
    unknown = unknown_names(asked, free)
    if unknown:
        raise _chain_error(chain, f'arm_joints has {unknown}, expected some of {list(free)}')
    if len(set(asked)) < len(asked):
        raise _chain_error(chain, f'arm_joints has a joint twice: {list(asked)}')
    arm = [free[name] for name in asked] or list(free.values())
    if not arm:
        raise _chain_error(chain, 'no joint in it can be commanded: are base_frame and '
                           'end_effector_frames the two ends of the arm?')
    for joint in arm:
        joint.check_can_be_commanded()
    return arm


def _chain_error(chain: Chain, text: str) -> ConfigError:
    return ConfigError(f'the URDF, from {chain.base!r} to {chain.end_effector!r}: {text}')


def _spread(moving: Sequence[Joint], arm: Sequence[str], known: Mapping[str, Joint]):
    """
    Return how the joints of a chain follow those that are commanded: positions are S q + rest.

    S: [m, n].  Beside it, one (joint, factor, offset) a joint, for the rest.
    """
    matrix, rest = np.zeros((len(moving), len(arm))), []
    for row, joint in enumerate(moving):
        name, factor, offset = _source(joint, known)
        if name in arm:
            matrix[row, arm.index(name)] = factor
            name = ''
        rest.append((name, factor, offset))
    return matrix, rest


def _source(joint: Joint, known: Mapping[str, Joint]) -> tuple[str, float, float]:
    """Return (joint, factor, offset) that a joint's position follows from; itself if no mimic."""
    factor, offset, seen = 1.0, 0.0, [joint.name]
    while joint.mimic:
        name, times, plus = joint.mimic
        if name not in known or name in seen:
            raise ConfigError(f'the URDF: joint {joint.name!r} mimics {name!r}, which '
                              + ('does not exist' if name not in known else 'mimics it in turn'))
        factor, offset = factor * times, offset + factor * plus
        joint = known[name]
        seen.append(name)
    return joint.name, factor, offset


def _reach(chain: Chain) -> float:
    """Return the length [m] of an arm that is stretched out, at least a millimetre."""
    first = next(index for index, joint in enumerate(chain.down) if joint.moves)
    links = sum(math.hypot(*joint.xyz) for joint in chain.down[first + 1:])
    slides = sum(max(abs(joint.lower), abs(joint.upper)) for joint in chain.down
                 if joint.kind == 'prismatic' and math.isfinite(joint.upper - joint.lower))
    return max(links + slides, 1e-3)


def _as_urdf(chain: Chain) -> str:
    """Return a URDF of nothing but the chain, every joint that moves with one plain number."""
    robot = ElementTree.Element('robot', name='chain')
    ElementTree.SubElement(robot, 'link', name=chain.root)
    for joint in (*reversed(chain.up), *chain.down):
        ElementTree.SubElement(robot, 'link', name=joint.child)
        kind = 'revolute' if joint.kind == 'continuous' else joint.kind
        element = ElementTree.SubElement(robot, 'joint', name=joint.name, type=kind)
        ElementTree.SubElement(element, 'parent', link=joint.parent)
        ElementTree.SubElement(element, 'child', link=joint.child)
        ElementTree.SubElement(element, 'origin', xyz=_text(joint.xyz), rpy=_text(joint.rpy))
        ElementTree.SubElement(element, 'axis', xyz=_text(joint.axis))
        ElementTree.SubElement(element, 'limit', lower='-1', upper='1', velocity='1', effort='1')
    return ElementTree.tostring(robot, encoding='unicode')


def _text(values: Sequence[float]) -> str:
    return ' '.join(map(repr, values))


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
