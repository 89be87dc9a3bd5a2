# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of this package, built by colcon, go through real DDS."""
import time

import numpy as np
import pytest
from sqap_vla_ros.ingest.images import image_to_rgb

pytestmark = pytest.mark.ros


def test_an_action_chunk_arrives_as_it_was_sent():
    import rclpy
    from rclpy.node import Node
    from sqap_vla_ros.msg import ActionChunk

    sent = ActionChunk(kind='twist', names=['vx', 'gripper'], horizon=2, dim=2, dt=0.05,
                       data=[0.1, 1.0, -0.1, 0.0])
    received = []
    rclpy.init()
    try:
        node = Node('message_test')
        node.create_subscription(ActionChunk, 'chunk', received.append, 1)
        publisher = node.create_publisher(ActionChunk, 'chunk', 1)
        end = time.monotonic() + 10.0
        while not received and time.monotonic() < end:
            publisher.publish(sent)
            rclpy.spin_once(node, timeout_sec=0.2)
        node.destroy_node()
    finally:
        rclpy.shutdown()
    assert received[0] == sent


def test_an_image_survives_the_way_into_a_message_and_back():
    from sqap_vla_ros.ros.messages import rgb_to_message
    from std_msgs.msg import Header

    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)[:, ::-1]
    header = Header(frame_id='camera')
    sent = rgb_to_message(pixels, header)
    assert (sent.header, sent.encoding, sent.step) == (header, 'rgb8', 3 * 8)
    np.testing.assert_array_equal(image_to_rgb(sent), pixels)
