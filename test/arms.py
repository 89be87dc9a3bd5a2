# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Arms to test kinematics with: URDFs written by a line a joint, and MuJoCo's Panda as one."""
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


def joint(name, xyz, axis, kind='revolute', limits=(-3.0, 3.0), speed=2.0, rpy=(0, 0, 0),
          parent=None, child=None, more=''):
    """Return a joint for `urdf`; without a parent and a child it continues the chain."""
    return (name, xyz, axis, kind, limits, speed, rpy, parent, child, more)


def urdf(joints: Sequence[tuple], base: str = 'base_link', end: str = 'tool0') -> str:
    """Return a URDF: a chain from `base` to `end`, and joints with parents of their own."""
    links, elements, last = {base}, [], base
    chain = [item for item in joints if item[7] is None]
    for name, xyz, axis, kind, limits, speed, rpy, parent, child, more in joints:
        if parent is None:
            parent, child = last, end if name == chain[-1][0] else f'{name}_link'
            last = child
        links |= {parent, child}
        limit = '' if limits is None else (
            f'<limit lower="{limits[0]!r}" upper="{limits[1]!r}" effort="9"'
            + ('' if speed is None else f' velocity="{speed!r}"') + '/>')
        elements.append(
            f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>'
            f'<origin xyz="{_text(xyz)}" rpy="{_text(rpy)}"/><axis xyz="{_text(axis)}"/>{limit}'
            f'{more}</joint>')
    return '<?xml version="1.0"?><robot name="arm">' + ''.join(
        f'<link name="{link}"/>' for link in sorted(links)) + ''.join(elements) + '</robot>'


def planar(lengths: Sequence[float], **facts) -> str:
    """Return an arm that bends in the x, y plane, stretched along x at zero."""
    starts = (0.0, *lengths[:-1])
    joints = [joint(f'joint{number}', (x, 0, 0), (0, 0, 1), **facts)
              for number, x in enumerate(starts, 1)]
    return urdf([*joints, joint('flange', (lengths[-1], 0, 0), (0, 0, 1), 'fixed')])


def six_joints(*more, **facts) -> str:
    """Return an arm with a spherical wrist, shoulder and elbow before it; more: joints."""
    return urdf([
        *more,
        joint('joint1', (0, 0, 0.3), (0, 0, 1), **facts),
        joint('joint2', (0, 0, 0), (0, 1, 0), **facts),
        joint('joint3', (0, 0, 0.4), (0, 1, 0), **facts),
        joint('joint4', (0, 0, 0.35), (0, 0, 1), **facts),
        joint('joint5', (0, 0, 0), (0, 1, 0), **facts),
        joint('joint6', (0, 0, 0), (0, 0, 1), **facts),
        joint('flange', (0, 0, 0.12), (0, 0, 1), 'fixed')])


def five_joints(**facts) -> str:
    """Return a small arm of five joints: its hand cannot turn about every axis."""
    return urdf([
        joint('pan', (0, 0, 0.06), (0, 0, 1), **facts),
        joint('lift', (0, 0, 0.05), (0, 1, 0), **facts),
        joint('elbow', (0, 0, 0.12), (0, 1, 0), **facts),
        joint('pitch', (0, 0, 0.13), (0, 1, 0), **facts),
        joint('roll', (0, 0, 0.06), (0, 0, 1), **facts),
        joint('flange', (0, 0, 0.05), (0, 0, 1), 'fixed')])


def seven_joints() -> str:
    """Return an arm like many of seven joints: shoulder, elbow and wrist of three, one, three."""
    ranges = [(-2.9, 2.9), (-1.8, 1.8), (-2.9, 2.9), (0.05, 3.0), (-2.9, 2.9), (-1.9, 1.9),
              (-2.9, 2.9)]
    places = [(0, 0, 0.33), (0, 0, 0), (0, 0, 0.32), (0, 0, 0), (0, 0, 0.38), (0, 0, 0),
              (0, 0, 0)]
    axes = [(0, 0, 1), (0, 1, 0)] * 3 + [(0, 0, 1)]
    return urdf([*(joint(f'joint{number}', place, axis, limits=limits)
                   for number, (place, axis, limits) in enumerate(zip(places, axes, ranges), 1)),
                 joint('flange', (0, 0, 0.2), (0, 0, 1), 'fixed')])


def mujoco_panda():
    """Return (mujoco.MjModel, its arm as a URDF); base link0, end effector right_hand."""
    import mujoco
    package = Path(find_spec('robosuite').origin).parent  # importing it takes seconds
    path = package / 'models/assets/robots/panda/robot.xml'
    model = mujoco.MjModel.from_xml_path(str(path))
    joints = []
    for body in range(model.body('link1').id, model.body('right_hand').id + 1):
        w, *xyz = model.body_quat[body]
        rpy = Rotation.from_quat([*xyz, w]).as_euler('xyz')
        place, names = model.body_pos[body], (
            model.body(model.body_parentid[body]).name, model.body(body).name)
        first = model.body_jntadr[body]
        axis, kind = ((0, 0, 1), 'fixed') if first < 0 else (model.jnt_axis[first], 'revolute')
        joints.append(joint(f'panda_{names[1]}', place, axis, kind, rpy=rpy, parent=names[0],
                            child=names[1]))
    return model, urdf(joints, 'link0')


def _text(values) -> str:
    return ' '.join(repr(float(value)) for value in np.asarray(values, float))
