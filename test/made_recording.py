# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A recording in memory: a hand before a camera, as observer_scene has it, message by message."""

from types import SimpleNamespace

import numpy as np
from observer_scene import CAMERA, camera_info, header, joint_state, NOW_NS, picture
from scipy.spatial.transform import Rotation
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.recordings.recording import Episode, Message, Topic
from sqap_vla_ros.replay.topics import TopicMap

MS = 10**6
IMAGE, INFO, TF, STATIC = 'image', 'camera_info', '/tf', '/tf_static'
JOINTS, SAID, CLOCK = 'joint_states', 'instruction', '/clock'
KINDS = {IMAGE: 'sensor_msgs/msg/Image', INFO: 'sensor_msgs/msg/CameraInfo',
         TF: 'tf2_msgs/msg/TFMessage', STATIC: 'tf2_msgs/msg/TFMessage',
         JOINTS: 'sensor_msgs/msg/JointState', SAID: 'std_msgs/msg/String',
         CLOCK: 'rosgraph_msgs/msg/Clock'}
TOPICS = TopicMap({'': IMAGE}, {'': INFO}, TF, STATIC, JOINTS, SAID)
TURNED = Rotation.from_euler('z', 30, True).as_quat()


class MadeRecording:
    """Messages (time_ns, topic, object) in the order in which they are given."""

    name, form, losses = 'made', 'in memory', []

    def __init__(self, messages, episodes=None, latched=()):
        self._messages = messages
        self.topics = tuple(
            Topic(name, KINDS.get(name, KINDS[IMAGE]), sum(each[1] == name for each in messages),
                  name in latched) for name in sorted({each[1] for each in messages}))
        self.episodes = episodes or (
            Episode('made', messages[0][0], max(each[0] for each in messages)),)

    def messages(self, topics, start_ns=None, end_ns=None):
        """Yield what is asked for."""
        for time_ns, topic, content in self._messages:
            if topic in topics and (start_ns is None or start_ns <= time_ns) and (
                    end_ns is None or time_ns <= end_ns):
                yield Message(time_ns, topic, KINDS.get(topic, ''), None, reading(content))


def reading(content):
    """Return read() of a message; an ObservationError is raised."""
    def read():
        if isinstance(content, ObservationError):
            raise content
        return content
    return read


def hand(at, stamp_ns):
    """Return a TFMessage that puts the hand somewhere in base."""
    return transforms(('hand', Pose(np.array(at), TURNED), stamp_ns))


def transforms(*frames):
    """Return a TFMessage of (child, Pose, stamp_ns) in base."""
    return SimpleNamespace(transforms=[SimpleNamespace(
        header=header(stamp_ns, 'base'), child_frame_id=child, transform=SimpleNamespace(
            translation=SimpleNamespace(**dict(zip('xyz', pose.translation))),
            rotation=SimpleNamespace(**dict(zip('xyzw', pose.quaternion)))))
        for child, pose, stamp_ns in frames])


def said(text):
    """Return a std_msgs/String."""
    return SimpleNamespace(data=text)


def clock(time_ns):
    """Return a rosgraph_msgs/Clock."""
    return SimpleNamespace(clock=header(time_ns, '').stamp)


def place(index):
    """Return where the hand is at an image."""
    return 0.35 + 0.002 * index, 0.1, 0.55


def beginning(start_ns=NOW_NS):
    """Return what is latched."""
    return [(start_ns, STATIC, transforms(('camera', CAMERA, start_ns))),
            (start_ns, SAID, said('stack the cups'))]


def tick(index, start_ns=NOW_NS, period_ms=50):
    """Return what a robot says of one image: its own time, then what comes in before it."""
    stamp_ns = start_ns + index * period_ms * MS
    noise = np.random.default_rng(index).integers(0, 60, (6, 8, 3), np.uint8)
    pixels = np.kron(noise + np.uint8(90), np.ones((8, 8, 1), np.uint8))
    return [(stamp_ns + 1 * MS, TF, hand(place(index), stamp_ns)),
            (stamp_ns + 2 * MS, JOINTS, joint_state(stamp_ns, grip=0.001 * (index % 30))),
            (stamp_ns + 3 * MS, INFO, camera_info(stamp_ns)),
            (stamp_ns + 4 * MS, IMAGE, picture(stamp_ns, pixels=pixels))]


def ticks(count, **changes):
    """Return the messages of so many images."""
    return [message for index in range(count) for message in tick(index, **changes)]
