# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The simulated Panda as a URDF: joints, limits and frames, without inertias and shapes.

panda.urdf is made from the benchmark's MuJoCo model by `describe`, and test/sim/
test_sim_robot_description.py compares the two; so nothing has to load MuJoCo to read it.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .sensors import BASE_FRAME, END_EFFECTOR_FRAME, JOINT_NAMES

FILE = Path(__file__).with_name('panda.urdf')
# rad/s; MuJoCo's model has none, these are the maker's data sheet's
SPEEDS = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
FINGER_SPEED, FINGER_EFFORT = 0.2, 20.0  # m/s, N
_HEADER = (
    '<?xml version="1.0"?>\n'
    '<!-- Copyright 2026 The sqap_vla_ros Authors, SPDX-License-Identifier: Apache-2.0 -->\n'
    '<!-- The simulated Panda; made by sqap_vla_ros/sim/robot_description.py -->\n'
    '<robot name="panda">\n')


def robot_description(base_frame: str = BASE_FRAME,
                      end_effector_frame: str = END_EFFECTOR_FRAME) -> str:
    """Return the URDF with the names that these two frames have in TF."""
    text = FILE.read_text(encoding='utf-8')
    for name, wanted in ((BASE_FRAME, base_frame), (END_EFFECTOR_FRAME, end_effector_frame)):
        text = text.replace(f'"{name}"', f'"{wanted}"')
    return text


def describe(env) -> str:
    """Return the URDF of a LiberoEnv's arm."""
    model, robot = env.model, env.scene.benchmark.robots[0]
    joints = [model.joint(name) for name in (*robot.robot_joints, *robot.gripper_joints)]
    limits = np.concatenate([robot.torque_limits[1], 2 * [FINGER_EFFORT]])
    speeds = (*SPEEDS, FINGER_SPEED, FINGER_SPEED)
    bodies = [int(joint.bodyid[0]) for joint in joints]
    hand = int(model.body_parentid[bodies[7]])
    base = model.body(robot.robot_model.root_body).id
    links = {base: BASE_FRAME, hand: 'panda_hand', **{
        body: f'panda_link{number}' for number, body in enumerate(bodies[:7], 1)},
        bodies[7]: 'panda_leftfinger', bodies[8]: 'panda_rightfinger'}
    parts = [f'  <link name="{name}"/>\n' for name in (*links.values(), END_EFFECTOR_FRAME)]
    for name, joint, effort, speed in zip(JOINT_NAMES, joints, limits, speeds):
        body = int(joint.bodyid[0])
        parts.append(_moving(name, joint, _between(model, links, body), links, effort, speed))
    parts.append(_fixed('panda_hand_joint', links, _between(model, links, hand), 'panda_hand'))
    site = robot.eef_site_id
    pose = _pose(model.site_pos[site], model.site_quat[site])
    parent, above = _between(model, links, int(model.site_bodyid[site]), inclusive=True)
    parts.append(_fixed('end_effector_joint', links, (parent, above @ pose), END_EFFECTOR_FRAME))
    return _HEADER + ''.join(parts) + '</robot>\n'


def _between(model, links, body: int, inclusive: bool = False) -> tuple[int, np.ndarray]:
    """Return the nearest body above that is a link, and the pose 4x4 of a body in it."""
    pose = np.eye(4)
    while not (inclusive and body in links):
        pose = _pose(model.body_pos[body], model.body_quat[body]) @ pose
        body = int(model.body_parentid[body])
        inclusive = True
    return body, pose


def _pose(position, quaternion) -> np.ndarray:
    """Return 4x4 of MuJoCo's position [3] and quaternion (w, x, y, z)."""
    pose = np.eye(4)
    pose[:3, 3] = position
    pose[:3, :3] = Rotation.from_quat(np.roll(quaternion, -1)).as_matrix()
    return pose


def _moving(name, joint, place, links, effort, speed) -> str:
    parent, pose = place
    kind = 'prismatic' if 'finger' in name else 'revolute'
    axis, limits = joint.axis, joint.range
    mimic = ''
    if name == JOINT_NAMES[8]:  # joint_states tell both fingers' distance from the middle
        axis, limits = 0.0 - axis, 0.0 - limits[::-1]
        mimic = f'    <mimic joint="{JOINT_NAMES[7]}"/>\n'
    return (f'  <joint name="{name}" type="{kind}">\n'
            + _ends(parent, pose, links, links[int(joint.bodyid[0])])
            + f'    <axis xyz="{_text(axis)}"/>\n'
            f'    <limit lower="{limits[0]:.6g}" upper="{limits[1]:.6g}" effort="{effort:.6g}" '
            f'velocity="{speed:.6g}"/>\n' + mimic + '  </joint>\n')


def _fixed(name, links, place, child) -> str:
    return f'  <joint name="{name}" type="fixed">\n{_ends(*place, links, child)}  </joint>\n'


def _ends(parent, pose, links, child) -> str:
    turn = Rotation.from_matrix(pose[:3, :3]).as_euler('xyz')
    return (f'    <parent link="{links[parent]}"/>\n    <child link="{child}"/>\n'
            f'    <origin xyz="{_text(pose[:3, 3])}" rpy="{_text(turn)}"/>\n')


def _text(numbers) -> str:
    return ' '.join(f'{round(float(number), 7) + 0.0:.8g}' for number in numbers)
