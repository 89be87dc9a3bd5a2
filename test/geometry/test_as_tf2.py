# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The transform buffer answers as tf2's own does, and refuses what that refuses.

golden/tf2_lookups.json holds what tf2's BufferCore answered over random trees; where tf2_py is
installed it is asked again.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer, TransformLookupError

CASES = json.loads(
    (Path(__file__).resolve().parents[1] / 'golden/tf2_lookups.json').read_text())


def answer(buffer, target, source, stamp_ns):
    """Return [x, y, z, qx, qy, qz, qw] of a lookup, or None where it is refused."""
    try:
        pose = buffer.lookup(target, source, stamp_ns)
    except TransformLookupError:
        return None
    return [*pose.translation, *pose.quaternion]


def filled(transforms):
    """Return our buffer with some transforms."""
    buffer = TransformBuffer()
    for parent, child, static, stamp_ns, translation, quaternion in transforms:
        buffer.insert(parent, child, Pose(np.array(translation), np.array(quaternion), stamp_ns),
                      static)
    return buffer


def assert_same(found, expected):
    """Compare two answers; a quaternion and its negative are one rotation."""
    assert (found is None) == (expected is None)
    if found is not None:
        sign = np.sign(np.dot(found[3:], expected[3:]))
        np.testing.assert_allclose(
            [*found[:3], *sign * np.array(found[3:])], expected, atol=1e-9)


@pytest.mark.parametrize('case', CASES, ids=range(len(CASES)))
def test_lookups_over_random_trees_are_those_of_tf2(case):
    buffer = filled(case['transforms'])
    for target, source, stamp_ns, expected in case['lookups']:
        assert_same(answer(buffer, target, source, stamp_ns),
                    None if isinstance(expected, str) else expected)


def test_the_cases_have_answers_and_every_refusal():
    told = [expected for case in CASES for *_, expected in case['lookups']]
    names = {name for name in told if isinstance(name, str)}
    assert names == {'LookupException', 'ConnectivityException', 'ExtrapolationException'}
    assert sum(not isinstance(expected, str) for expected in told) >= 60


@pytest.mark.ros
@pytest.mark.parametrize('case', CASES, ids=range(len(CASES)))
def test_tf2_still_answers_what_is_kept_here(case):
    tf2_py = pytest.importorskip('tf2_py', reason='tf2_py is not installed')
    from rclpy.duration import Duration
    from rclpy.time import Time
    core = tf2_py.BufferCore(Duration(seconds=10))
    for static, message in map(_message, case['transforms']):
        insert = core.set_transform_static if static else core.set_transform
        insert(message, 'test')
    for target, source, stamp_ns, expected in case['lookups']:
        asked = (target, source, Time(nanoseconds=stamp_ns or 0))
        if isinstance(expected, str):
            with pytest.raises(getattr(tf2_py, expected)):
                core.lookup_transform_core(*asked)
            continue
        told = core.lookup_transform_core(*asked).transform
        assert_same([told.translation.x, told.translation.y, told.translation.z,
                     told.rotation.x, told.rotation.y, told.rotation.z, told.rotation.w],
                    expected)


def _message(transform):
    """Return whether it is static, and the TransformStamped."""
    from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
    parent, child, static, stamp_ns, translation, quaternion = transform
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.transform.translation = Vector3(**dict(zip('xyz', translation)))
    message.transform.rotation = Quaternion(**dict(zip('xyzw', quaternion)))
    return static, message
