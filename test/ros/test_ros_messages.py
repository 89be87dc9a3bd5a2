# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Our records as ROS messages."""
import numpy as np
from sqap_vla_ros.ingest.images import image_to_rgb
from sqap_vla_ros.ros.messages import rgb_to_message
from std_msgs.msg import Header


def test_an_image_survives_the_way_into_a_message_and_back():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)[:, ::-1]
    header = Header(frame_id='camera')
    sent = rgb_to_message(pixels, header)
    assert (sent.header, sent.encoding, sent.step) == (header, 'rgb8', 3 * 8)
    np.testing.assert_array_equal(image_to_rgb(sent), pixels)
