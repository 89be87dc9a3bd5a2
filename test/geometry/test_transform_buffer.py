# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The transform buffer against SciPy's rotations: composition, lerp + slerp, and refusals."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer, TransformLookupError

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


def random_pose(rng, stamp_ns=0):
    """Return any pose within a metre or so."""
    return Pose(rng.normal(size=3), Rotation.random(random_state=rng).as_quat(), stamp_ns)


def matrix(pose):
    """Return the 4x4 matrix of a pose, by SciPy."""
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(pose.quaternion).as_matrix()
    result[:3, 3] = pose.translation
    return result


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_between_two_samples_it_interpolates_as_scipy_does(seed, ratio):
    rng = np.random.default_rng(seed)
    first, second = random_pose(rng, START), random_pose(rng, START + SECOND)
    buffer = TransformBuffer()
    buffer.insert('base', 'tool', second)
    buffer.insert('base', 'tool', first)
    stamp = START + round(ratio * SECOND)
    found = buffer.lookup('base', 'tool', stamp)
    exact = (stamp - START) / SECOND
    slerp = Slerp([0, 1], Rotation.from_quat([first.quaternion, second.quaternion]))
    np.testing.assert_allclose(
        found.translation, (1 - exact) * first.translation + exact * second.translation,
        atol=1e-12)
    error = Rotation.from_quat(found.quaternion).inv() * slerp(exact)
    assert error.magnitude() < 1e-7
    assert found.stamp_ns == stamp


@given(st.integers(0, 2**32 - 1))
def test_a_lookup_across_the_tree_is_the_product_of_the_matrices(seed):
    rng = np.random.default_rng(seed)
    parents = {'link': 'base', 'tool': 'link', 'mast': 'base', 'camera': 'mast', 'base': 'map'}
    poses = {child: random_pose(rng, START) for child in parents}
    buffer = TransformBuffer()
    for child, parent in parents.items():
        buffer.insert(parent, child, poses[child], static=child == 'camera')
    world = {'map': np.eye(4)}
    for child in ('base', 'link', 'tool', 'mast', 'camera'):
        world[child] = world[parents[child]] @ matrix(poses[child])
    for target in world:
        for source in world:
            found = buffer.lookup(target, source, START)
            np.testing.assert_allclose(
                matrix(found), np.linalg.inv(world[target]) @ world[source], atol=1e-9)


def test_the_newest_common_time_is_that_of_the_frame_that_lags():
    rng = np.random.default_rng(0)
    buffer = TransformBuffer()
    for stamp in range(4):
        buffer.insert('base', 'link', random_pose(rng, START + stamp * SECOND))
    for stamp in range(2):
        buffer.insert('link', 'tool', random_pose(rng, START + stamp * SECOND))
    buffer.insert('base', 'camera', random_pose(rng), static=True)
    assert buffer.latest('camera', 'tool').stamp_ns == START + SECOND


def test_the_span_between_two_frames_is_the_time_that_all_that_moves_has():
    buffer, rng = TransformBuffer(), np.random.default_rng(3)
    for parent, child, seconds in (('base', 'link', (0, 2, 5)), ('link', 'tool', (1, 4))):
        for second in seconds:
            buffer.insert(parent, child, random_pose(rng, START + second * SECOND))
    buffer.insert('base', 'camera', random_pose(rng), static=True)
    buffer.insert('tool', 'tip', random_pose(rng), static=True)
    assert buffer.span('/camera', 'tip') == (START + SECOND, START + 4 * SECOND)
    assert buffer.span('tip', 'link') == (START + SECOND, START + 4 * SECOND)
    assert buffer.span('camera', 'base') is buffer.span('tool', 'tip') is None
    with pytest.raises(TransformLookupError, match='never heard of'):
        buffer.span('camera', 'finger')
    assert buffer.latest('camera', 'base').stamp_ns == 0


@pytest.mark.parametrize('target, source', [('base', 'tool'), ('tool', 'base'),
                                            ('base', 'arm'), ('camera', 'tool')])
@pytest.mark.parametrize('asked_ms, off_ms', [(0, 0), (10, 10), (70, 30), (100, 0)])
def test_it_tells_how_far_the_nearest_pose_is_that_was_heard(target, source, asked_ms, off_ms):
    rng = np.random.default_rng(0)
    buffer = TransformBuffer()
    for stamp_ms in (0, 100):
        buffer.insert('base', 'arm', random_pose(rng, START + stamp_ms * 10**6))
    for stamp_ms in range(0, 110, 5):
        buffer.insert('arm', 'wrist', random_pose(rng, START + stamp_ms * 10**6))
    buffer.insert('wrist', 'tool', random_pose(rng), static=True)
    buffer.insert('base', 'camera', random_pose(rng), static=True)
    pose = buffer.lookup(target, source, START + asked_ms * 10**6)
    assert pose.off_ns == off_ms * 10**6


@pytest.mark.parametrize('offset, message', [(-0.25, 'before the oldest'),
                                             (1.25, 'after the newest')])
def test_it_never_extrapolates_and_says_how_far_off_the_time_is(offset, message):
    buffer = TransformBuffer()
    rng = np.random.default_rng(1)
    buffer.insert('base', 'tool', random_pose(rng, START))
    buffer.insert('base', 'tool', random_pose(rng, START + SECOND))
    with pytest.raises(TransformLookupError, match=f'0.250 s {message}'):
        buffer.lookup('base', 'tool', START + round(offset * SECOND))


def test_one_sample_holds_at_its_own_stamp_only():
    buffer = TransformBuffer()
    buffer.insert('base', 'tool', random_pose(np.random.default_rng(2), START))
    assert buffer.lookup('base', 'tool', START).stamp_ns == START
    with pytest.raises(TransformLookupError):
        buffer.lookup('base', 'tool', START + 1)


def test_missing_frames_and_unconnected_trees_are_named():
    buffer = TransformBuffer()
    with pytest.raises(TransformLookupError, match="frame 'tool' was never heard of"):
        buffer.lookup('base', 'tool', START)
    buffer.insert('base', 'tool', random_pose(np.random.default_rng(3)), static=True)
    buffer.insert('map', 'camera', random_pose(np.random.default_rng(3)), static=True)
    with pytest.raises(TransformLookupError, match='unconnected'):
        buffer.lookup('base', 'camera', START)


@pytest.mark.parametrize('pose', [
    Pose(np.array([np.nan, 0, 0]), np.array([0, 0, 0, 1.0])),
    Pose(np.zeros(3), np.zeros(4)), Pose(np.zeros(3), np.array([0, 0, 0, np.nan])),
    Pose(np.zeros(3), np.array([0, 0, 0, 1.1]))])
def test_numbers_that_are_no_pose_are_refused_and_not_stored(pose):
    buffer = TransformBuffer()
    with pytest.raises(TransformLookupError, match='ignored'):
        buffer.insert('base', 'tool', pose)
    with pytest.raises(TransformLookupError, match='never heard'):
        buffer.lookup('base', 'tool', 0)


def test_history_is_bounded_and_a_cleared_buffer_keeps_static_frames():
    buffer = TransformBuffer(cache_time_s=2.0)
    rng = np.random.default_rng(4)
    for stamp in range(10):
        buffer.insert('base', 'tool', random_pose(rng, START + stamp * SECOND))
    buffer.lookup('base', 'tool', START + 7 * SECOND)
    with pytest.raises(TransformLookupError, match='before the oldest'):
        buffer.lookup('base', 'tool', START + 6 * SECOND)
    buffer.insert('tool', 'camera', random_pose(rng), static=True)
    buffer.clear()
    buffer.lookup('tool', 'camera', START)
    with pytest.raises(TransformLookupError, match='unconnected|never heard'):
        buffer.lookup('base', 'camera', START)


def test_a_new_parent_replaces_the_old_one_and_leading_slashes_do_not_matter():
    buffer = TransformBuffer()
    rng = np.random.default_rng(5)
    buffer.insert('/base', '/tool', random_pose(rng, START))
    late_ns = START + SECOND + 1
    buffer.insert('hand', 'tool', random_pose(rng, late_ns))
    assert buffer.lookup('/hand', 'tool', late_ns).stamp_ns == late_ns


def still(stamp_ns=START, x=1.0):
    """Return a pose a metre away."""
    return Pose(np.array([x, 0, 0]), np.array([0, 0, 0, 1.0]), stamp_ns)


def heard(buffer, seconds, frames=(('base', 'link'), ('link', 'tool')), hz=10):
    """Hear of frames for some seconds after START."""
    for tick in range(round(seconds[0] * hz), round(seconds[1] * hz) + 1):
        for parent, child in frames:
            buffer.insert(parent, child, still(START + tick * SECOND // hz))


@pytest.mark.parametrize('parent, child, text', [
    ('tool', 'base', r"contradicts the circle \['base', 'tool', 'link', 'base'\]"),
    ('tool', 'link', r"the circle \['link', 'tool', 'link'\]|base -> link"),
    ('elsewhere', 'tool', 'contradicts link -> tool')])
@pytest.mark.parametrize('static', [False, True])
def test_one_message_that_contradicts_the_rest_is_told_for_a_second_and_forgotten(
        parent, child, text, static):
    buffer = TransformBuffer()
    heard(buffer, (0, 1))
    with pytest.raises(TransformLookupError, match=text + '.* do two programs publish it. It is'):
        buffer.insert(parent, child, still(START + SECOND), static)
    with pytest.raises(TransformLookupError, match='do two programs'):
        buffer.lookup('base', 'tool', START + SECOND)
    heard(buffer, (1.1, 2.1))
    assert buffer.lookup('base', 'tool', START + 2 * SECOND).translation[0] == 2


def test_two_programs_that_give_a_frame_two_parents_are_told_for_as_long_as_they_do():
    buffer = TransformBuffer()
    for tick in range(40):
        stamp_ns = START + tick * SECOND // 10
        buffer.insert('base', 'tool', still(stamp_ns))
        with pytest.raises(TransformLookupError, match='elsewhere -> tool contradicts base ->'):
            buffer.insert('elsewhere', 'tool', still(stamp_ns))
        with pytest.raises(TransformLookupError, match='elsewhere -> tool contradicts base ->'):
            buffer.lookup('base', 'tool', stamp_ns)


def test_a_stray_message_that_came_first_gives_way_once_it_is_old():
    buffer = TransformBuffer()
    buffer.insert('tool', 'base', still())
    with pytest.raises(TransformLookupError, match='circle'):
        heard(buffer, (0, 0), (('base', 'link'), ('link', 'tool')))
    heard(buffer, (1.1, 3))
    assert buffer.lookup('base', 'tool', START + 3 * SECOND).translation[0] == 2


def test_one_message_from_the_far_future_blocks_nothing_for_long():
    buffer = TransformBuffer()
    heard(buffer, (0, 1))
    buffer.insert('link', 'tool', still(START + 3600 * SECOND))
    heard(buffer, (1.1, 2))
    assert buffer.lookup('base', 'tool', START + 2 * SECOND).translation[0] == 2
    assert buffer.latest('base', 'tool').stamp_ns == START + 2 * SECOND
    buffer.insert('link', 'tool', still(START - 3600 * SECOND))  # and one from the past
    assert buffer.lookup('base', 'tool', START + 2 * SECOND).translation[0] == 2


def test_the_steps_between_two_frames_are_what_was_heard_since():
    buffer = TransformBuffer()
    heard(buffer, (0, 1))
    buffer.insert('base', 'camera', still(x=5.0), static=True)
    link, tool, camera = sorted(buffer.steps('camera', 'tool', START + SECOND * 4 // 5),
                                key=lambda step: ('link', 'tool', 'camera').index(step.child))
    assert (link.parent, tool.parent, camera.parent) == ('base', 'link', 'base')
    assert camera.is_static and camera.translations.tolist() == [[5, 0, 0]]
    for step in (link, tool):
        assert not step.is_static and step.translations.tolist() == [[1, 0, 0]] * 4
        assert step.stamps_ns.tolist() == [START + k * SECOND // 10 for k in (7, 8, 9, 10)]
        assert step.quaternions.tolist() == [[0, 0, 0, 1]] * 4
