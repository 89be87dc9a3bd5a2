# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a replay as the fields of ROS messages, see recordings/made.py."""

from __future__ import annotations

import re

import numpy as np

from ...recordings.made import header_values, stamp_values
from ...support.resources import share_directory

ARRAY = 'geometry_msgs/msg/PoseArray'
FLOAT = 'std_msgs/msg/Float64'
JOINTS = 'sensor_msgs/msg/JointState'
PICTURE = 'sensor_msgs/msg/CompressedImage'
POSE = 'geometry_msgs/msg/PoseStamped'
SELECTION = 'sqap_vla_ros/msg/TokenSelection'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
TWIST = 'geometry_msgs/msg/TwistStamped'
LINEAR, ANGULAR = ('vx', 'vy', 'vz'), ('wx', 'wy', 'wz')


def types_with_ours():
    """Return a store of the types that a ROS 2 installation has, and of this package's."""
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores
    store = get_typestore(Stores.ROS2_JAZZY)
    path = share_directory() / 'msg' / f'{SELECTION.rpartition("/")[2]}.msg'
    store.register(get_types_from_msg(path.read_text(), SELECTION))
    return store


def topic_part(text: str) -> str:
    """Return a text as a part of a topic's name: sqap_154 for sqap@154."""
    return re.sub(r'[^A-Za-z0-9]+', '_', text).strip('_') or 'unnamed'


def twist(velocity, stamp_ns: int, frame: str) -> dict:
    """Return a TwistStamped of [6] m/s and rad/s."""
    values = list(map(float, velocity))
    return {'header': header_values(stamp_ns, frame), 'twist': {
        'linear': dict(zip('xyz', values[:3])), 'angular': dict(zip('xyz', values[3:]))}}


def named_twist(names, values, stamp_ns: int, frame: str) -> dict:
    """Return a TwistStamped of values by name, of vx .. wz; what is not named is 0."""
    found = dict(zip(names, values))
    return twist([found.get(name, 0.0) for name in LINEAR + ANGULAR], stamp_ns, frame)


def pose(position, stamp_ns: int, frame: str) -> dict:
    """Return a PoseStamped of [7] x y z qx qy qz qw."""
    return {'header': header_values(stamp_ns, frame), 'pose': _pose(position)}


def poses(positions, stamp_ns: int, frame: str) -> dict:
    """Return a PoseArray of [T, 7]."""
    return {'header': header_values(stamp_ns, frame), 'poses': list(map(_pose, positions))}


def _pose(position) -> dict:
    values = list(map(float, position))
    return {'position': dict(zip('xyz', values[:3])),
            'orientation': dict(zip('xyzw', values[3:]))}


def joints(names, stamp_ns: int, positions=None, velocities=None) -> dict:
    """Return a JointState; positions in rad or m, velocities in rad/s or m/s, None for none."""
    return {'header': header_values(stamp_ns), 'name': list(names),
            **{field: np.asarray(values, np.float64) for field, values in (
                ('position', positions), ('velocity', velocities)) if values is not None}}


def trajectory(names, stamp_ns: int, dt_s: float, positions, velocities) -> dict:
    """Return a JointTrajectory from a stamp on, of which each row [T, n] ends dt_s later."""
    return {'header': header_values(stamp_ns), 'joint_names': list(names), 'points': [
        {'positions': at, 'velocities': speed,
         'time_from_start': stamp_values(round((index + 1) * dt_s * 1e9))}
        for index, (at, speed) in enumerate(zip(positions, velocities))]}


def below(camera: str, view: int) -> str:
    """Return what stands in front of the names of a policy's further cameras, view > 0."""
    return f'{topic_part(camera)}/' if view else ''


def selection(chosen, image_size, pixels, stamp_ns: int) -> dict:
    """
    Return a TokenSelection.

    chosen: that of observation.py, of one image; image_size: (width, height), px; pixels:
    {frame: (u, v, radius)}, px.
    """
    u, v, radius = (np.array([point[each] for point in pixels.values()], np.float32)
                    for each in range(3))
    return {'header': header_values(stamp_ns), 'image_width': int(image_size[0]),
            'image_height': int(image_size[1]), 'rows': int(chosen.grid[0]),
            'cols': int(chosen.grid[1]), 'kept': chosen.kept, 'reason': chosen.reason,
            'frames': list(pixels), 'protected_u': u,
            'protected_v': v, 'protected_radius_px': radius}


def picture(image: np.ndarray, stamp_ns: int, frame: str = '', quality: int = 90) -> dict:
    """Return a CompressedImage, a JPEG, of uint8 [H, W, 3] RGB."""
    import cv2
    _, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return {'header': header_values(stamp_ns, frame), 'format': 'jpeg', 'data': data.ravel()}
