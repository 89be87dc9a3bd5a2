# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From messages to observations, without ROS; SciPy and OpenCV say where a point is seen."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from observer_scene import (
    CAMERA, camera_info, D, header, HEIGHT, IMAGE, joint_state, K, NOW_NS, OPTIONS, picture, Scene,
    SECOND, WIDTH)
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.ingest.camera_info import InfoStream
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.observer import Observer
from sqap_vla_ros.observation import STATE_NAMES


# Where frames are seen

@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3),
       st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6))
def test_frames_are_seen_where_opencv_projects_them(angles, places):
    turn = Rotation.from_euler('xyz', np.add([-100, 5, 3], angles), degrees=True)
    scene = Scene(np.add((0.3, 0.1, 0.5), places[:3]), np.add((0.3, 0.1, 0.5), places[3:]),
                  Pose(CAMERA.translation, turn.as_quat()))
    protected = scene.observe()[0].protected
    np.testing.assert_allclose(protected.pixels, scene.seen()[0], atol=1e-6)
    assert protected.names == ('hand', 'finger')
    assert protected.radii_px.tolist() == [0, 0]


def test_an_image_turned_by_180_degrees_is_turned_with_its_pixels():
    scene = Scene()
    plain, turned = (scene.observe(rotate_image_180=value)[0] for value in (False, True))
    np.testing.assert_array_equal(plain.image, IMAGE)
    np.testing.assert_array_equal(turned.image, IMAGE[::-1, ::-1])
    pixels = scene.seen()[0]
    np.testing.assert_allclose(
        turned.protected.pixels, np.array([WIDTH - 1, HEIGHT - 1]) - pixels, atol=1e-6)
    column, row = np.rint(pixels[0]).astype(int)
    turned_column, turned_row = np.rint(turned.protected.pixels[0]).astype(int)
    assert (turned.image[turned_row, turned_column] == plain.image[row, column]).all()


@pytest.mark.parametrize('shown', [WIDTH // 2, WIDTH * 2])
def test_a_camera_info_of_another_resolution_of_the_same_camera_is_scaled(shown):
    pixels = cv2.resize(IMAGE, (shown, HEIGHT * shown // WIDTH))
    scene, scale = Scene(), shown / WIDTH
    protected = scene.observe(picture(pixels=pixels))[0].protected
    np.testing.assert_allclose(protected.pixels, (scene.seen()[0] + 0.5) * scale - 0.5, atol=1e-6)


def test_a_camera_info_of_another_aspect_is_refused():
    with pytest.raises(ObservationError, match='which is another aspect'):
        Scene().observe(picture(pixels=cv2.resize(IMAGE, (100, HEIGHT))))


# How far off they may be

def moved_by(scene, moved_m):
    """Return how far the pixels of hand and finger move at most when these do, by OpenCV."""
    turn = Rotation.from_quat(scene.camera.quaternion)
    steps = np.random.default_rng(0).normal(size=(4000, 3))
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    radii = []
    for (name, place), moved, pixel in zip(scene.points.items(), moved_m, scene.seen()[0]):
        points = turn.inv().apply(place - scene.camera.translation + moved * steps)
        pixels = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)),
                                   np.array(D))[0].reshape(-1, 2)
        radii.append(np.linalg.norm(pixels - pixel, axis=1).max())
    return radii


@pytest.mark.parametrize('lagging, moved_m', [
    ((), (0, 0)), (('hand',), (0.04, 0)), (('finger',), (0, 0.04)),
    (('hand', 'finger'), (0.04, 0.04))])
def test_the_radius_counts_calibration_error_and_the_age_of_the_transform(lagging, moved_m):
    scene = Scene().with_a_static_camera(*lagging)
    for name in lagging:
        scene.place(name, NOW_NS - 80_000_000)  # and nothing else: the limit, 0.5 m/s, counts
    radii = scene.observe(calibration_error_px=3.0)[0].protected.radii_px
    np.testing.assert_allclose(radii, np.add(3, moved_by(scene, moved_m)), rtol=0.01)


@pytest.mark.parametrize('speed', [0.0, 0.3, 0.8])
def test_between_two_poses_the_measured_speed_counts_and_how_far_the_nearer_one_is(speed):
    scene = Scene().with_a_static_camera('hand')
    still = scene.points['hand']
    for offset_ms in (-80, -30, 50):
        scene.points['hand'] = still + [0, 0, speed * offset_ms * 1e-3]
        scene.place('hand', NOW_NS + offset_ms * 10**6)
    scene.points['hand'] = still
    protected = scene.observe()[0].protected
    np.testing.assert_allclose(protected.radii_px, moved_by(scene, (0.03 * speed, 0)), rtol=0.01)


@pytest.mark.parametrize('frame', ['hand', 'finger', 'camera'])
@pytest.mark.parametrize('stamps_s, text', [
    ([-0.11], 'the newest is 0.110 s older'), ([-3600 * 30], 'the newest is 30 hours older'),
    ([0.001], 'the newest is stamped 0.001 s after the image'),
    ([0.05, 0.06], 'the newest is stamped 0.060 s after the image'),
    ([5.0], "stamped 5.000 s after the image and none near it was heard: is the robot's clock"),
    ([-4.0, 5.0], 'nearest ones are 4.000 s or more before and after it'),
    ([-0.6, 0.5], 'nearest ones are 0.500 s or more before and after it'),
    ([], 'never heard of')])
def test_a_transform_that_is_not_of_the_images_time_is_refused(frame, stamps_s, text):
    scene = Scene().forget(frame)
    for seconds in stamps_s:
        scene.place(frame, NOW_NS + round(seconds * SECOND))
    with pytest.raises(ObservationError, match=f'no transform base -> {frame}.*{text}'):
        scene.observe()


@pytest.mark.parametrize('offset_s', [-0.1, -0.05, 0.0])
def test_a_transform_up_to_tf_max_age_before_the_image_is_taken(offset_s):
    scene = Scene().forget('hand')
    scene.place('hand', NOW_NS + round(offset_s * SECOND))
    assert scene.observe()[0].protected.names == ('hand', 'finger')


def test_lockstep_takes_no_transform_of_another_time():
    scene = Scene().forget('hand')
    scene.place('hand', NOW_NS - 1)
    assert scene.observe()[0].protected.names
    with pytest.raises(ObservationError, match='lockstep'):
        scene.observe(lockstep=True)


def test_late_transforms_name_the_parameter_and_by_how_much():
    scene = Scene().forget('hand')
    scene.place('hand', NOW_NS - 150_000_000)
    with pytest.raises(ObservationError, match=(
            r'after waiting 0.05 s \(tf_timeout\) the newest is still 0.150 s older .*so TF comes '
            '0.200 s late: set tf_timeout above that')):
        scene.observe(tf_timeout=0.05)


def test_what_is_still_on_its_way_is_waited_for():
    scene, told = Scene().forget('hand'), []
    scene.heard.camera_info, scene.heard.joints = None, JointHistory(['grip'])
    news = iter([lambda: setattr(scene.heard, 'camera_info', camera_info()),
                 lambda: scene.place('hand', NOW_NS),
                 lambda: scene.heard.joints.add(joint_state(NOW_NS, grip=0.04))])

    def waiting(timeout_s):
        told.append(timeout_s)

        def wait(attempt):
            try:
                return attempt()
            except ObservationError:
                next(news)()
                return wait(attempt)
        return wait
    observation, warnings = scene.observe(waiting=waiting, tf_timeout=0.3)
    assert observation.protected.names == ('hand', 'finger') and observation.state[-1] == 1
    assert told == [0.3] and not warnings


# Frames that the image does not show

@pytest.mark.parametrize('hand, text', [
    ((0.6, 0.0, 0.1), 'hand projects to pixel (391.5, 23.5)'),
    ((0.0, -0.5, 1.0), 'hand projects to pixel (31.5, -6.5)'),
    ((0.0, 0.41, 1.0), 'hand projects to pixel (31.5, 48.1)'),
    ((-0.54, 0.0, 1.0), 'hand projects to pixel (-0.9, 23.5)'),
    ((0.54, 0.0, 1.0), 'hand projects to pixel (63.9, 23.5)')])
def test_a_frame_off_the_image_is_told_with_pixel_size_and_frame(hand, text):
    """A body frame (x forward) in place of an optical one is the common reason."""
    scene = Scene(hand, (0.0, 0.0, 1.0), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])))
    scene.heard.camera_info = camera_info(d=[0.0] * 5)
    observation, (warning,) = scene.observe()
    assert 'finger' in observation.protected.names
    assert warning.startswith(
        f"{text}, off the image of 64 x 48: is 'camera' an optical frame")


@pytest.mark.parametrize('hand', [(0.53, 0.0, 1.0), (-0.53, 0.0, 1.0), (0.0, 0.39, 1.0)])
def test_a_frame_at_the_edge_of_the_image_is_no_warning(hand):
    scene = Scene(hand, (0.0, 0.0, 1.0), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])))
    scene.heard.camera_info = camera_info(d=[0.0] * 5)
    assert scene.observe()[1] == []


def test_a_frame_beyond_the_reach_of_the_distortion_says_so():
    scene = Scene((3.0, 0.0, 1.0), (0.0, 0.0, 1.0), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])))
    scene.heard.camera_info = camera_info(d=[-0.3, 0.0, 0.0, 0.0, 0.0])
    observation, warnings = scene.observe(max_reach=0.0)
    assert observation.protected.names == ('finger',)
    assert 'hand lies beyond the angle up to which the distortion' in warnings[0]


# camera_info

@pytest.mark.parametrize('image_frame, info_frame, camera_frame', [
    ('/camera', 'camera', ''), ('camera', '/camera', ''), ('', 'camera', ''), ('camera', '', ''),
    ('camera', 'camera_link', 'camera'), ('link', 'camera_link', '/camera'), ('', '', 'camera')])
def test_frame_ids_are_compared_without_slash_and_camera_frame_wins(
        image_frame, info_frame, camera_frame):
    scene = Scene()
    scene.heard.camera_info = camera_info(frame_id=info_frame)
    observation, _ = scene.observe(picture(frame_id=image_frame), camera_frame=camera_frame)
    np.testing.assert_allclose(observation.protected.pixels, scene.seen()[0], atol=1e-6)


@pytest.mark.parametrize('image_frame, info_frame, text', [
    ('camera', 'camera_link', "the image has frame_id 'camera', camera_info has 'camera_link': is "
     'it of another camera.* set the parameter camera_frame'),
    ('', '/', 'neither the image nor camera_info has a frame_id: set the parameter camera_frame')])
def test_frame_ids_that_differ_or_lack_are_refused(image_frame, info_frame, text):
    scene = Scene()
    scene.heard.camera_info = camera_info(frame_id=info_frame)
    with pytest.raises(ObservationError, match=text):
        scene.observe(picture(frame_id=image_frame))


def test_a_camera_info_of_another_time_is_refused_unless_it_was_latched():
    scene = Scene()
    for stamp_ns in (0, NOW_NS - 10 * SECOND, NOW_NS + 10 * SECOND):
        scene.heard.camera_info = camera_info(stamp_ns)
        assert scene.observe()[0].protected.names
    scene.heard.camera_info = camera_info(NOW_NS - 11 * SECOND)
    with pytest.raises(ObservationError, match='11.000 s off the image .limit: camera_info_max_a'):
        scene.observe()
    scene.heard.info_is_latched = True
    assert scene.observe()[0].protected.names


@pytest.mark.parametrize('period_s, count, expected', [
    (1 / 30, 3, True), (1.0, 3, True), (1 / 30, 2, False), (1 / 30, 1, False), (4.0, 3, True),
    (6.0, 3, False)])
def test_a_camera_info_that_comes_again_and_again_is_told_from_one_that_was_sent_once(
        period_s, count, expected):
    stream = InfoStream()
    for index in range(count):
        for _ in range(2):  # it comes both ways, volatile and latched
            stream.heard(camera_info(NOW_NS + round(index * period_s * SECOND)))
    assert stream.is_live(10.0) == expected


@pytest.mark.parametrize('k, text', [
    ([0.0] * 9, 'the camera is not calibrated'),
    ([float('nan')] * 9, 'finite numbers'),
    ([1, 0, 0.5, 0, 1, 0.5, 0, 0, 1], 'fx = 1, fy = 1 for 64 x 48 pixels, a field of view of'),
    ([60, 0, 31.5, 0, 1e5, 23.5, 0, 0, 1], 'fx = 60, fy = 100000'),
    ([120, 0, 64, 0, 120, 48, 0, 0, 1], r'principal point at \(64, 48\), outside its image of 64'),
    ([60, 0, 31.5, 0, 60, -3, 0, 0, 1], r'principal point at \(31.5, -3\), outside'),
    ([60, 0, 0, 0, 60, 23.5, 0, 0, 1], r'principal point at \(0, 23.5\), outside')])
def test_intrinsics_that_cannot_belong_to_the_image_are_refused(k, text):
    scene = Scene()
    scene.heard.camera_info = camera_info(k=[float(value) for value in k])
    for rectified in (False, True):
        with pytest.raises(ConfigError, match=text):
            scene.observe(camera_rectified=rectified)
    _, (warning,) = scene.observe(require_localization=False)
    assert warning.startswith('no protected tokens: camera_info ')


def test_of_a_rectified_image_the_intrinsics_are_those_of_p():
    scene = Scene()
    scene.heard.camera_info.p[2] = 70.0
    scene.observe()
    with pytest.raises(ConfigError, match=r'principal point at \(70, 23.5\), outside'):
        scene.observe(camera_rectified=True)


@pytest.mark.parametrize('d, text', [
    ([1e6, 0, 0, 0, 0], 'coefficients that no lens has'),
    ([-30.0, 0, 0, 0, 0], 'holds up to 6.0 degrees, while the image shows 28.1 to each side')])
def test_a_distortion_that_no_lens_has_is_refused(d, text):
    scene = Scene()
    scene.heard.camera_info = camera_info(d=[float(value) for value in d])
    with pytest.raises(ConfigError, match=text):
        scene.observe()


@pytest.mark.parametrize('k, text', [
    ([30, 0, 15.5, 0, 30, 11.5, 0, 0, 1], 'principal point at (15.5, 11.5), far from the centre'),
    ([60, 0, 31.5, 0, 60, 40, 0, 0, 1], 'principal point at (31.5, 40), far from the centre'),
    ([60, 0, 31.5, 0, 40, 23.5, 0, 0, 1], 'pixels that are not square (fx = 60, fy = 40)')])
def test_intrinsics_that_look_like_another_resolutions_are_a_warning(k, text):
    scene = Scene((0.3, 0.1, 0.5), (0.3, 0.1, 0.5))
    scene.heard.camera_info = camera_info(k=[float(value) for value in k])
    observation, warnings = scene.observe()
    assert any(text in warning and 'camera_info on camera_info has' in warning
               for warning in warnings)
    assert observation.protected.names == ('hand', 'finger')


def test_without_camera_info_nothing_is_observed_or_nothing_protected():
    scene = Scene()
    scene.heard.camera_info = None
    with pytest.raises(ObservationError, match='no camera_info has come in on camera_info'):
        scene.observe()
    observation, (warning,) = scene.observe(require_localization=False)
    assert observation.protected.names == () and 'no protected tokens: no camera_info' in warning
    assert scene.observe(needs_localization=False)[1] == []


# Images, instruction and state

def test_compressed_images_are_told_by_their_fields():
    _, data = cv2.imencode('.png', IMAGE[..., ::-1])
    message = SimpleNamespace(header=header(NOW_NS, 'camera'), format='png', data=data.tobytes())
    observation = Scene().observe(message)[0]
    np.testing.assert_array_equal(observation.image, IMAGE)
    assert observation.stamp_ns == NOW_NS and observation.instruction == 'stack the cups'


def test_another_image_size_is_refused_until_reset():
    scene = Scene()
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    observer.observe(picture(), 'go')
    small = picture(pixels=IMAGE[::2, ::2])
    for _ in range(2):
        with pytest.raises(ObservationError,
                           match="32 x 24 pixels of 'rgb8' now and was 64 x 48 of"):
            observer.observe(small, 'go')
    observer.reset()
    observer.observe(small, 'go')


def test_another_encoding_is_refused_until_reset():
    scene = Scene()
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    observer.observe(picture(), 'go')
    other = picture()
    other.encoding = 'bgr8'
    with pytest.raises(ObservationError, match="64 x 48 pixels of 'bgr8' now and was 64 x 48 of"):
        observer.observe(other, 'go')
    observer.reset()
    observer.observe(other, 'go')


def test_no_instruction_is_no_observation():
    scene = Scene()
    with pytest.raises(ObservationError, match='no instruction'):
        Observer(OPTIONS, scene.heard, scene.buffer).observe(picture(), '')


@pytest.mark.parametrize('state_names, options, text', [
    (('x', 'height'), {}, "'height' is no value of a robot.*use x y z, qx"),
    (STATE_NAMES, {'gripper_joint': ''}, 'parameter gripper_joint is empty')])
def test_a_state_that_cannot_be_built_is_refused_at_once(state_names, options, text):
    scene = Scene()
    with pytest.raises(ConfigError, match=text):
        Observer(replace(OPTIONS, **options), scene.heard, scene.buffer, state_names)
