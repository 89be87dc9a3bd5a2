# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator's topics, live and in a bag: types, and the QoS that their publishers offer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SimTopic:
    """A topic, offered reliably; kind: its type; latched: late subscribers get the last one."""

    name: str
    kind: str
    depth: int = 10
    latched: bool = False


IMAGE = SimTopic('image', 'sensor_msgs/msg/Image')
COMPRESSED_IMAGE = SimTopic('image/compressed', 'sensor_msgs/msg/CompressedImage')
CAMERA_INFO = SimTopic('camera_info', 'sensor_msgs/msg/CameraInfo')
JOINT_STATES = SimTopic('joint_states', 'sensor_msgs/msg/JointState')
TF = SimTopic('/tf', 'tf2_msgs/msg/TFMessage', 100)
TF_STATIC = SimTopic('/tf_static', 'tf2_msgs/msg/TFMessage', 100, latched=True)
INSTRUCTION = SimTopic('instruction', 'std_msgs/msg/String', 1, latched=True)
ROBOT_DESCRIPTION = SimTopic('robot_description', 'std_msgs/msg/String', 1, latched=True)
# what the policy's node publishes
TWIST = SimTopic('delta_twist_cmds', 'geometry_msgs/msg/TwistStamped', 1)
GRIPPER = SimTopic('gripper_command', 'std_msgs/msg/Float64', 1)
