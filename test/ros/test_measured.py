# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A TF jump is doubted by what measures the arm, at images' stamps and now, in turns."""

from types import SimpleNamespace

import numpy as np
import pytest
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer
from sqap_vla_ros.ros.vla.measured import MeasuredArm

START_NS, MS = 1_795_000_000 * 10**9, 10**6
CONFIG = SimpleNamespace(
    base_frame='base', end_effector_frames=('hand',), image_timeout=0.5, tf_max_age=0.1,
    tf_timeout=0.0, max_reach=2.0, max_end_effector_speed=1.0, max_linear_speed=0.25,
    lockstep=False, require_localization=True, limits=SimpleNamespace(has_workspace=False))


@pytest.mark.parametrize('images_ago_ms', [150, 400])
def test_a_frame_that_jumped_is_not_believed_until_it_is_back_for_a_second(images_ago_ms):
    """TF at 100 Hz, commands at 20 Hz, and an answer about an older image at 10 Hz."""
    buffer = TransformBuffer()
    arm = MeasuredArm(CONFIG, buffer, None, {'pose'})
    believed = {'now': [], 'then': []}
    for ms in range(0, 8000, 10):
        x = 0.9 if 1000 <= ms < 6000 else 0.4
        now_ns = START_NS + ms * MS
        buffer.insert('base', 'hand', Pose(
            np.array([x, 0.0, 0.3]), np.array([0.0, 0.0, 0.0, 1.0]), now_ns))
        if ms % 50 == 0:
            believed['now'] += [ms] if arm.now(now_ns).pose is not None else []
        if ms % 100 == 0 and ms >= images_ago_ms:
            then = arm.at(now_ns - images_ago_ms * MS)
            believed['then'] += [ms] if then.pose is not None else []
    assert not [ms for ms in believed['now'] if 1000 <= ms < 7000]
    assert {*range(0, 1000, 50), *range(7100, 8000, 50)} <= set(believed['now'])
    assert not [ms for ms in believed['then'] if 1100 + images_ago_ms <= ms < 7000]
    assert max(believed['then']) == 7900


def test_a_clock_that_was_set_back_is_begun_anew():
    arm = MeasuredArm(CONFIG, buffer := TransformBuffer(), None, {'pose'})
    for start_ns, is_known in ((START_NS, False), (START_NS - 3600 * 10**9, True)):
        buffer.clear()
        for ms in range(0, 100, 10):
            x = 0.9 if ms >= 50 and not is_known else 0.4
            buffer.insert('base', 'hand', Pose(
                np.array([x, 0.0, 0.3]), np.array([0.0, 0.0, 0.0, 1.0]), start_ns + ms * MS))
        assert (arm.now(start_ns + 100 * MS).pose is not None) == is_known
