# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""check-camera on live topics: it hears what the node hears, and says what is not there."""

from contextlib import contextmanager
import threading

import numpy as np
import pytest

from sqap_vla_ros.calibration.judgement import judged_by_geometry, UNJUDGED
from sqap_vla_ros.calibration.mistakes import AS_IS
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ros.check_camera import samples_live
from sqap_vla_ros.ros.vla.config import NodeConfig

CONFIG = NodeConfig.from_parameters({
    'base_frame': 'base', 'end_effector_frames': ('end_effector',), 'keep_tokens': 8,
    'calibration_error_px': 2.0})


@contextmanager
def publishing(robot):
    """Let a robot publish from a thread of its own."""
    stop = threading.Event()

    def loop():
        while not stop.wait(0.03):
            robot.look()
    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_live_topics_are_heard_as_the_node_hears_them_and_missing_ones_named(make_world):
    robot, told = make_world(None).robot, []
    with publishing(robot):
        samples, topics = samples_live(CONFIG, {}, (), 3, 20.0, told.append)
        assert topics == ('/image', '/camera_info') and len(samples) == 3 and told
        assert len({sample.stamp_ns for sample in samples}) == 3
        for sample in samples:
            assert sample.refusal == '' and sample.protected.names == ('end_effector',)
            np.testing.assert_allclose(sample.protected.pixels, [[37.5, 23.5]])
            np.testing.assert_allclose(sample.protected.radii_px, [2.0])
            np.testing.assert_allclose(
                AS_IS.project(sample, sample.frames['end_effector'][:3, 3])[0], [[37.5, 23.5]])
        assert judged_by_geometry(samples, ('end_effector',)).status == UNJUDGED
        with pytest.raises(ObservationError, match='topics of that kind: /image. Name one by'):
            samples_live(CONFIG, {'image': '/imaeg'}, (), 1, 0.2, told.append)
        with pytest.raises(ObservationError, match='topics of that kind: /camera_info. Name'):
            samples_live(CONFIG, {'camera_info': '/info'}, (), 1, 4.0, told.append)
