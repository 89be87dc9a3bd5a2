# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a camera of the simulator sends: its image and its camera_info, with one stamp."""
from builtin_interfaces.msg import Time
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from sqap_vla_ros.ros.messages import rgb_to_message
from sqap_vla_ros.ros.simulator.faults import Faults
from sqap_vla_ros.sim.sensors import camera_info_fields
from std_msgs.msg import Header

QUEUE = QoSProfile(depth=10)  # reliable: fits subscriptions of either kind


class CameraPublishers:
    """
    Publishers of one camera; frame: its optical one.

    sensors: what faults call its camera_info and its image; '' for none of them.
    """

    def __init__(self, node: Node, prefix: str, frame: str, intrinsics: np.ndarray,
                 size: tuple[int, int], faults: Faults, sensors: tuple[str, str]):
        """Make them; prefix: of the topics' names.  intrinsics: [3, 3].  size: (height, width)."""
        self.frame, self._faults, self._sensors = frame, faults, sensors
        self._fields = camera_info_fields(np.asarray(intrinsics), size)
        self.image = node.create_publisher(Image, f'{prefix}image', QUEUE)
        self._info = node.create_publisher(CameraInfo, f'{prefix}camera_info', QUEUE)

    def messages(self, stamp: Time, image: np.ndarray) -> list[tuple]:
        """Return (publisher, message) pairs for an image uint8 [H, W, 3]."""
        header = Header(stamp=stamp, frame_id=self.frame)
        pairs = ((self._info, CameraInfo(**self._fields, header=header)),
                 (self.image, rgb_to_message(image, header)))
        return [sent for sensor, pair in zip(self._sensors, pairs)
                for sent in (self._faults.applied(sensor, *pair) if sensor else [pair])]
