# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The chain of joints between two links of a URDF, and what is said of each joint.

Only joints are read: links may lack inertias and meshes. What could let an arm move wrongly is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from xml.etree import ElementTree

from ..errors import ConfigError
from ..support.validation import unknown_names

MOVING = ('revolute', 'continuous', 'prismatic')
TYPES = (*MOVING, 'fixed', 'floating', 'planar')
LARGEST = 32 * 2**20  # characters
XACRO = 'is a xacro file that was not expanded: run `xacro robot.urdf.xacro > robot.urdf`'


@dataclass(frozen=True)
class Joint:
    """
    One joint of a URDF.

    xyz: m and rpy: rad (fixed axes), of the joint's frame in its parent link.  axis: length 1.
    lower, upper: rad or m, the narrower of <limit> and <safety_controller>; infinite where none
    are needed.  velocity: rad/s or m/s, 0 where none is given.
    mimic: (joint, multiplier, offset) that it follows, or None.
    """

    name: str
    kind: str
    parent: str
    child: str
    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    axis: tuple[float, float, float]
    lower: float
    upper: float
    velocity: float
    mimic: tuple[str, float, float] | None

    @property
    def moves(self) -> bool:
        """Whether it has one degree of freedom."""
        return self.kind in MOVING

    def check_can_be_commanded(self) -> None:
        """Raise ConfigError for a joint that does not move, follows another, or has no limits."""
        if not self.moves or self.mimic:
            raise _error(f'has a joint {self.name!r} that cannot be commanded: it '
                         + (f'mimics {self.mimic[0]!r}' if self.mimic else f'is {self.kind}'))
        if math.isnan(self.lower) or self.lower >= self.upper:
            found = ('no <limit>' if math.isnan(self.lower)
                     else f'the limits {self.lower:g}..{self.upper:g}')
            raise _error(f'gives the {self.kind} joint {self.name!r} {found}: expected lower < '
                         'upper; a joint that turns for ever is of type continuous')
        if self.velocity < 0:
            raise _error(f'gives joint {self.name!r} the velocity limit {self.velocity:g}, '
                         'expected more than 0')


@dataclass(frozen=True)
class Chain:
    """
    The joints between two links: `up` from the base to `root`, then `down` to the end effector.

    root: the last link that both hang from; the base itself in most robots.
    """

    base: str
    end_effector: str
    root: str
    up: tuple[Joint, ...]
    down: tuple[Joint, ...]


def read_joints(text: str) -> dict[str, Joint]:
    """
    Return the joints of a URDF by name, in the file's order; raise ConfigError.

    A joint may still lack the limits that it needs to be moved: its lower is NaN then.
    """
    root = _parsed(text)
    joints = {}
    for element in root.findall('joint'):
        joint = _joint(element)
        if joint.name in joints:
            raise _error(f'has two joints of the name {joint.name!r}')
        joints[joint.name] = joint
    children = [joint.child for joint in joints.values()]
    doubled = sorted({child for child in children if children.count(child) > 1})
    if doubled:
        raise _error(f'link {doubled[0]!r} hangs from several joints: expected a tree')
    if not joints:
        raise _error('has no joints')
    return joints


def chain_between(joints: dict[str, Joint], base: str, end_effector: str) -> Chain:
    """
    Return the chain of joints from a base link to an end effector; raise ConfigError.

    Frames are links, by names with or without a leading slash.
    """
    base, end_effector = base.lstrip('/'), end_effector.lstrip('/')
    links = {joint.parent for joint in joints.values()} | {
        joint.child for joint in joints.values()}
    for parameter, link in (('base_frame', base), ('end_effector_frames', end_effector)):
        if link not in links:
            raise _error(f'has no link {unknown_names([link], links)}, which parameter '
                         f'{parameter} names')
    up, down = _to_root(joints, base), _to_root(joints, end_effector)
    while up and down and up[-1] is down[-1]:
        up.pop(), down.pop()
    if _top(up, base) != _top(down, end_effector):
        raise _error(f'connects links {base!r} and {end_effector!r} by no joints')
    return Chain(base, end_effector, _top(up, base), tuple(up), tuple(reversed(down)))


def _to_root(joints: dict[str, Joint], link: str) -> list[Joint]:
    """Return the joints from a link up to the tree's root."""
    above = {joint.child: joint for joint in joints.values()}
    path = []
    while link in above:
        if above[link] in path:
            raise _error(f'its joints run in a circle through link {link!r}')
        path.append(above[link])
        link = above[link].parent
    return path


def _top(path: list[Joint], link: str) -> str:
    return path[-1].parent if path else link


def _parsed(text: str) -> ElementTree.Element:
    """Return the <robot> of a URDF; raise ConfigError for anything else."""
    if not isinstance(text, str) or not text.strip():
        raise _error('is empty: is robot_state_publisher running, or is urdf_file an empty file?')
    if len(text) > LARGEST:
        raise _error(f'has {len(text)} characters, more than {LARGEST}')
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise _error('has a DOCTYPE or entities, which no URDF needs')
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeEncodeError) as error:
        raise _error(f'is broken XML: {error}') from error
    if root.tag != 'robot':
        raise _error(f'begins with <{root.tag}>, expected <robot>')
    if any('/xacro' in element.tag for element in root.iter()):
        raise _error(XACRO)
    return root


def _joint(element: ElementTree.Element) -> Joint:
    name, kind = element.get('name', ''), element.get('type', '')
    parent, child = (_link(element, tag, name) for tag in ('parent', 'child'))
    if not name or kind not in TYPES:
        raise _error(f'joint {name!r} between {parent!r} and {child!r} is of type {kind!r}, '
                     f'expected a name and one of {TYPES}')
    lower, upper, velocity = _limits(element, name, kind)
    origin = element.find('origin')
    origin = ElementTree.Element('origin') if origin is None else origin
    return Joint(name, kind, parent, child, _vector(origin.get('xyz', '0 0 0'), name),
                 _vector(origin.get('rpy', '0 0 0'), name), _axis(element, name, kind), lower,
                 upper, velocity, _mimic(element, name))


def _link(element: ElementTree.Element, tag: str, name: str) -> str:
    found = element.find(tag)
    if found is None or not found.get('link'):
        raise _error(f'joint {name!r} has no <{tag} link="...">')
    return found.get('link')


def _axis(element: ElementTree.Element, name: str, kind: str) -> tuple[float, float, float]:
    found = element.find('axis')
    axis = _vector('1 0 0' if found is None else found.get('xyz', ''), name)
    length = math.hypot(*axis)
    if kind in MOVING and not length > 1e-6:
        raise _error(f'joint {name!r} has the axis {axis}, expected a direction')
    return tuple(value / (length or 1.0) for value in axis)


def _limits(element: ElementTree.Element, name: str, kind: str) -> tuple[float, float, float]:
    """Return (lower, upper, velocity); lower is NaN where a joint needs limits and has none."""
    limit, soft = element.find('limit'), element.find('safety_controller')
    velocity = 0.0 if limit is None else _number(limit.get('velocity', '0'), name)
    if kind == 'continuous' or kind not in MOVING:
        return -math.inf, math.inf, velocity
    if limit is None:
        return math.nan, math.nan, 0.0
    lower, upper = (_number(limit.get(end, '0'), name) for end in ('lower', 'upper'))
    if soft is not None:
        ends = [_number(soft.get(f'soft_{end}_limit', '0'), name) for end in ('lower', 'upper')]
        if ends[0] < ends[1]:
            lower, upper = max(lower, ends[0]), min(upper, ends[1])
    return lower, upper, velocity


def _mimic(element: ElementTree.Element, name: str) -> tuple[str, float, float] | None:
    found = element.find('mimic')
    if found is None:
        return None
    return (found.get('joint', ''), _number(found.get('multiplier', '1'), name),
            _number(found.get('offset', '0'), name))


def _vector(text: str, name: str) -> tuple[float, float, float]:
    values = tuple(_number(part, name) for part in text.split())
    if len(values) != 3:
        raise _error(f'joint {name!r} has {text!r} where three numbers are expected')
    return values


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if '${' in text:
        raise _error(XACRO)
    if not math.isfinite(value):
        raise _error(f'joint {name!r} has {text!r} where a number is expected')
    return value


def _error(text: str) -> ConfigError:
    return ConfigError(f'the URDF (robot_description or parameter urdf_file) {text}')
