# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A robot whose hand and finger a camera sees, as messages and transforms without ROS."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.observer import Heard, Observer, ObserverOptions
from sqap_vla_ros.observation import STATE_NAMES

SECOND = 10**9
NOW_NS = 1_795_000_000 * SECOND
K = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
D = [0.05, -0.02, 0.003, -0.001, 0.01]
WIDTH, HEIGHT = 64, 48
OPTIONS = ObserverOptions(
    base_frame='base', end_effector_frames=('hand', 'finger'), camera_frame='',
    gripper_joint='grip', max_linear_speed=0.5)
# Where a camera sees points a metre before it; y and z are swapped and turned by the rotation.
CAMERA = Pose(np.array([0.3, -1.0, 0.5]), Rotation.from_euler('xyz', [-100, 5, 3], True).as_quat())
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (WIDTH, HEIGHT),
                   interpolation=cv2.INTER_CUBIC)


def header(stamp_ns, frame_id):
    """Return a std_msgs/Header."""
    return SimpleNamespace(frame_id=frame_id, stamp=SimpleNamespace(
        sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND))


def picture(stamp_ns=NOW_NS, frame_id='camera', pixels=IMAGE):
    """Return a sensor_msgs/Image."""
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), height=height, width=width, encoding='rgb8',
        step=3 * width, data=array('B', pixels.tobytes()))


def camera_info(stamp_ns=NOW_NS, frame_id='camera', k=K, d=D, size=(HEIGHT, WIDTH)):
    """Return a sensor_msgs/CameraInfo."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), height=size[0], width=size[1],
        distortion_model='plumb_bob', k=k, d=d, r=np.eye(3).ravel(), roi=roi,
        p=np.column_stack([np.reshape(k, (3, 3)), np.zeros(3)]).ravel(), binning_x=0, binning_y=0)


def joint_state(stamp_ns, **positions):
    """Return a sensor_msgs/JointState."""
    return SimpleNamespace(header=header(stamp_ns, ''), name=list(positions),
                           position=list(positions.values()))


class Scene:
    """A robot whose hand and finger a camera sees; everything is stamped NOW_NS."""

    def __init__(self, hand=(0.35, 0.1, 0.55), finger=(0.2, -0.1, 0.4), camera=CAMERA,
                 stamp_ns=NOW_NS):
        self.buffer = TransformBuffer()
        self.points = {'hand': np.array(hand), 'finger': np.array(finger)}
        self.camera = camera
        for name in self.points:
            self.place(name, stamp_ns)
        self.place('camera', stamp_ns)
        self.heard = Heard(camera_info(), joints=JointHistory(['grip']))
        self.heard.joints.add(joint_state(NOW_NS, grip=0.01))

    def place(self, name, stamp_ns):
        """Tell where a frame is at a time."""
        pose = (self.camera if name == 'camera' else
                Pose(self.points[name], Rotation.from_euler('z', 30, True).as_quat()))
        self.buffer.insert('base', name, replace(pose, stamp_ns=stamp_ns))

    def forget(self, *names):
        """Never have heard of frames."""
        rest = {'hand', 'finger', 'camera'} - set(names)
        self.buffer = TransformBuffer()
        for name in rest:
            self.place(name, NOW_NS)
        return self

    def with_a_static_camera(self, *names):
        """Never have heard of frames, and know of the camera for ever."""
        self.forget('camera', *names).buffer.insert('base', 'camera', self.camera, static=True)
        return self

    def observe(self, message=None, state_names=STATE_NAMES, waiting=None, **changes):
        """Return (observation, warnings) under changed options."""
        observer = Observer(replace(OPTIONS, **changes), self.heard, self.buffer, state_names,
                            **({'waiting': waiting} if waiting else {}))
        return observer.observe(message or picture(), 'stack the cups')

    def seen(self, names=('hand', 'finger')):
        """Return the pixels [M, 2] and depths [M] of frames, by SciPy and OpenCV."""
        turn = Rotation.from_quat(self.camera.quaternion)
        points = turn.inv().apply([self.points[name] - self.camera.translation for name in names])
        pixels, _ = cv2.projectPoints(
            points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)), np.array(D))
        return pixels.reshape(-1, 2), points[:, 2]


def told(scene, **changes):
    """Return the error, after checking that without require_localization it is a warning."""
    observation, (warning,) = scene.observe(
        state_names=(), require_localization=False, **changes)
    assert observation.protected.names == ()
    with pytest.raises(ObservationError) as caught:
        scene.observe(state_names=(), **changes)
    assert warning == f'no protected tokens: {caught.value}' and '\n' not in warning
    return str(caught.value)
