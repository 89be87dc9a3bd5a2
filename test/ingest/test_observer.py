# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From messages to observations, without ROS; SciPy and OpenCV say where a point is seen."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer
from sqap_vla_ros.ingest.camera_info import InfoStream
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.observer import Heard, Observer, ObserverOptions
from sqap_vla_ros.observation import STATE_NAMES

SECOND = 10**9
NOW_NS = 1_795_000_000 * SECOND
K = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
D = [0.05, -0.02, 0.003, -0.001, 0.01]
WIDTH, HEIGHT = 64, 48
OPTIONS = ObserverOptions(
    base_frame='base', end_effector_frames=('hand', 'finger'), camera_frame='',
    gripper_joint='grip', max_linear_speed=0.5)
# Where a camera sees points a metre before it; y and z are swapped and turned by the rotation.
CAMERA = Pose(np.array([0.3, -1.0, 0.5]), Rotation.from_euler('xyz', [-100, 5, 3], True).as_quat())
IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (WIDTH, HEIGHT),
                   interpolation=cv2.INTER_CUBIC)


def header(stamp_ns, frame_id):
    """Return a std_msgs/Header."""
    return SimpleNamespace(frame_id=frame_id, stamp=SimpleNamespace(
        sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND))


def picture(stamp_ns=NOW_NS, frame_id='camera', pixels=IMAGE):
    """Return a sensor_msgs/Image."""
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), height=height, width=width, encoding='rgb8',
        step=3 * width, data=array('B', pixels.tobytes()))


def camera_info(stamp_ns=NOW_NS, frame_id='camera', k=K, d=D, size=(HEIGHT, WIDTH)):
    """Return a sensor_msgs/CameraInfo."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), height=size[0], width=size[1],
        distortion_model='plumb_bob', k=k, d=d, r=np.eye(3).ravel(), roi=roi,
        p=np.column_stack([np.reshape(k, (3, 3)), np.zeros(3)]).ravel(), binning_x=0, binning_y=0)


def joint_state(stamp_ns, **positions):
    """Return a sensor_msgs/JointState."""
    return SimpleNamespace(header=header(stamp_ns, ''), name=list(positions),
                           position=list(positions.values()))


class Scene:
    """A robot whose hand and finger a camera sees; everything is stamped NOW_NS."""

    def __init__(self, hand=(0.35, 0.1, 0.55), finger=(0.2, -0.1, 0.4), camera=CAMERA,
                 stamp_ns=NOW_NS):
        self.buffer = TransformBuffer()
        self.points = {'hand': np.array(hand), 'finger': np.array(finger)}
        self.camera = camera
        for name in self.points:
            self.place(name, stamp_ns)
        self.place('camera', stamp_ns)
        self.heard = Heard(camera_info(), joints=JointHistory(['grip']))
        self.heard.joints.add(joint_state(NOW_NS, grip=0.01))

    def place(self, name, stamp_ns):
        """Tell where a frame is at a time."""
        pose = (self.camera if name == 'camera' else
                Pose(self.points[name], Rotation.from_euler('z', 30, True).as_quat()))
        self.buffer.insert('base', name, replace(pose, stamp_ns=stamp_ns))

    def forget(self, *names):
        """Never have heard of frames."""
        rest = {'hand', 'finger', 'camera'} - set(names)
        self.buffer = TransformBuffer()
        for name in rest:
            self.place(name, NOW_NS)
        return self

    def observe(self, message=None, state_names=STATE_NAMES, waiting=None, **changes):
        """Return (observation, warnings) under changed options."""
        observer = Observer(replace(OPTIONS, **changes), self.heard, self.buffer, state_names,
                            **({'waiting': waiting} if waiting else {}))
        return observer.observe(message or picture(), 'stack the cups')

    def seen(self, names=('hand', 'finger')):
        """Return the pixels [M, 2] and depths [M] of frames, by SciPy and OpenCV."""
        turn = Rotation.from_quat(self.camera.quaternion)
        points = turn.inv().apply([self.points[name] - self.camera.translation for name in names])
        pixels, _ = cv2.projectPoints(
            points.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), np.reshape(K, (3, 3)), np.array(D))
        return pixels.reshape(-1, 2), points[:, 2]


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

@pytest.mark.parametrize('lagging, lags_s', [
    ((), (0, 0)), (('hand',), (0.08, 0)), (('finger',), (0, 0.08)), (('camera',), (0.08, 0.08)),
    (('camera', 'hand'), (0.16, 0.08))])
def test_the_radius_counts_calibration_error_and_the_age_of_both_transforms(lagging, lags_s):
    scene = Scene().forget(*lagging)
    for name in lagging:
        scene.place(name, NOW_NS - 80_000_000)
    radii = scene.observe(calibration_error_px=3.0)[0].protected.radii_px
    np.testing.assert_allclose(radii, 3 + 60 * 0.5 * np.array(lags_s) / scene.seen()[1], rtol=1e-6)


@pytest.mark.parametrize('moves', ['hand', 'camera'])
def test_between_two_poses_the_radius_counts_how_far_the_nearer_one_is(moves):
    scene = Scene().forget(moves)
    for offset_ms in (-30, 50):
        scene.place(moves, NOW_NS + offset_ms * 10**6)
    protected = scene.observe()[0].protected
    np.testing.assert_allclose(protected.radii_px[0], 60 * 0.5 * 0.03 / scene.seen()[1][0])


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


# Poses that can't be

def told(scene, **changes):
    """Return the error, after checking that without require_localization it is a warning."""
    observation, (warning,) = scene.observe(
        state_names=(), require_localization=False, **changes)
    assert observation.protected.names == ()
    with pytest.raises(ObservationError) as caught:
        scene.observe(state_names=(), **changes)
    assert warning == f'no protected tokens: {caught.value}' and '\n' not in warning
    return str(caught.value)


def test_a_frame_behind_the_lens_is_refused():
    scene = Scene((0.6, 0.0, -0.1), (0.0, 0.0, 1.0), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])))
    assert told(scene).startswith('hand lies 0.100 m behind the lens, off the image of 64 x 48: '
                                  "is 'camera' an optical frame")


@pytest.mark.parametrize('aside', [(10, 0, 0), (0, -2.6, 0), (0, 0, 1e9)])
@pytest.mark.parametrize('frame', ['hand', 'finger'])
def test_a_frame_out_of_reach_is_refused_with_pixel_and_size(frame, aside):
    scene = Scene(**{frame: aside})
    text = told(scene)
    assert f'{frame} is {np.linalg.norm(aside):.3f} m from base (limit: max_reach, 2.5 m)' in text
    other = {'hand': 'finger', 'finger': 'hand'}[frame]
    assert f'{other} projects to pixel (' in text and 'the image of 64 x 48' in text
    if frame == 'hand':  # proprioception needs no localization
        with pytest.raises(ObservationError, match='limit: max_reach'):
            scene.observe(needs_localization=False)
    with pytest.raises(ObservationError, match='limit: max_reach, 0.5 m'):
        Scene().observe(max_reach=0.5)


def test_a_camera_far_from_the_robot_is_refused():
    scene = Scene(camera=replace(CAMERA, translation=np.array([0.0, -11.0, 0.5])))
    assert ('the camera camera is 11.011 m from base (limit: 4 times max_reach, 10 m)'
            in told(scene))
    assert scene.observe(max_reach=0.0)[0].protected.names == ('hand', 'finger')


@pytest.mark.parametrize('frame, hz, step_m, jumps', [
    ('hand', 30, 0.3, True), ('camera', 30, 0.3, True), ('finger', 5, 0.4, True),
    ('hand', 1000, 0.06, True), ('hand', 1000, 0.04, False), ('hand', 30, 0.045, False)])
def test_frames_that_jump_are_refused_for_a_second(frame, hz, step_m, jumps):
    scene, period_ns = Scene(stamp_ns=NOW_NS - 5 * SECOND), SECOND // hz
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    found = {}
    for tick in range(-2 * hz, 2 * hz + 1):
        stamp_ns = NOW_NS + tick * period_ns
        aside = [0, 0, step_m if -5 < tick <= 0 and tick % 2 else 0]
        for name in ('hand', 'finger', 'camera'):
            pose = scene.camera if name == 'camera' else Pose(
                scene.points[name], np.array([0, 0, 0, 1.0]))
            moved = pose.translation + (aside if name == frame else 0)
            scene.buffer.insert('base', name, replace(pose, translation=moved, stamp_ns=stamp_ns))
        if tick % max(1, hz // 5) == 0:
            scene.heard.camera_info = camera_info(stamp_ns)
            try:
                observer.observe(picture(stamp_ns), 'go')
                found[tick / hz] = ''
            except ObservationError as error:
                found[tick / hz] = str(error)
    assert len(found) >= 20
    refused = [when for when, text in found.items() if text]
    assert bool(refused) == jumps
    if jumps:
        assert -5 / hz <= min(refused) <= 0.2 and max(refused) <= 1.3
        assert f'TF of {frame} jumps: base -> {frame} moved by {step_m:.3f} m' in found[
            refused[0]]
        assert 'projects to pixel' in found[refused[0]]


@pytest.mark.parametrize('aside_m, drift_m_s, hz', [(0.3, 0, 30), (1.5, 0, 30), (0, 2.0, 60)])
def test_a_frame_that_jumped_or_flew_is_refused_until_it_is_back_or_reset(aside_m, drift_m_s, hz):
    scene = Scene(stamp_ns=NOW_NS - 5 * SECOND)
    observer, away = Observer(OPTIONS, scene.heard, scene.buffer), np.zeros(3)

    def looks(first_s, last_s):
        """Return what is said of five images a second."""
        told = []
        for tick in range(round(first_s * hz), round(last_s * hz)):
            stamp_ns = NOW_NS + tick * SECOND // hz
            aside = away + [0, drift_m_s * max(0, min(tick, hz // 2)) / hz * bool(away[0]), 0]
            scene.buffer.insert('base', 'hand', Pose(
                scene.points['hand'] + aside, np.array([0, 0, 0, 1.0]), stamp_ns))
            for name in ('finger', 'camera'):
                scene.place(name, stamp_ns)
            if tick % (hz // 5) == 0:
                scene.heard.camera_info = camera_info(stamp_ns)
                try:
                    observer.observe(picture(stamp_ns), 'go')
                    told.append('')
                except ObservationError as error:
                    told.append(str(error))
        return told
    assert not any(looks(-1, 0))
    away = np.array([aside_m or 1e-9, 0, 0])
    told = looks(0, 4)
    assert all('TF of hand jumps' in text for text in told[2:])
    away = np.zeros(3)
    assert looks(4, 5)[-1] and not any(looks(5.4, 6))
    away = np.array([aside_m or 1e-9, 0, 0])
    looks(6, 8)
    observer.reset()
    assert not any(looks(8, 9)[2:]) or aside_m == 0


def test_an_arm_that_may_be_fast_is_believed_to_be():
    scene = Scene(stamp_ns=NOW_NS)
    moved = scene.points['hand'] + [0.0, 0.1, 0.0]  # 3 m/s
    scene.buffer.insert('base', 'hand', Pose(
        moved, Rotation.from_euler('z', 30, True).as_quat(), NOW_NS - SECOND // 30))
    assert scene.observe(max_linear_speed=2.0)[0].protected.names
    with pytest.raises(ObservationError, match='moved by 0.100 m'):
        scene.observe(max_linear_speed=1.0)


def test_a_hand_that_turns_at_once_jumps_and_limits_of_0_look_at_nothing():
    scene = Scene(stamp_ns=NOW_NS)
    scene.buffer.insert('base', 'hand', Pose(
        scene.points['hand'], np.array([1.0, 0, 0, 0]), NOW_NS - SECOND // 30))
    assert 'moved by 0.000 m and 3.14 rad within 0.033 s' in told(scene)
    for options in ({'max_end_effector_speed': 0.0}, {'lockstep': True}):
        assert scene.observe(**options)[0].protected.names


def test_a_static_camera_that_moves_is_refused_until_reset():
    scene = Scene().forget('camera')
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    scene.buffer.insert('base', 'camera', CAMERA, static=True)
    observer.observe(picture(), 'go')
    scene.buffer.insert('base', 'camera', CAMERA, static=True)  # is said again
    observer.observe(picture(), 'go')
    moved = replace(CAMERA, translation=CAMERA.translation + [0, 0.01, 0])
    scene.buffer.insert('base', 'camera', moved, static=True)
    for _ in range(2):
        with pytest.raises(ObservationError, match='moved by 10 mm and 0.000 rad, though /tf_st'):
            observer.observe(picture(), 'go')
    observer.reset()
    observer.observe(picture(), 'go')


def test_a_camera_on_a_mast_that_turns_is_no_static_one():
    scene = Scene(stamp_ns=NOW_NS - SECOND)
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    for tick in range(100):
        stamp_ns = NOW_NS + tick * SECOND // 30
        scene.camera = replace(CAMERA, translation=CAMERA.translation + [0, 0.005 * tick, 0])
        for name in ('hand', 'finger', 'camera'):
            scene.place(name, stamp_ns)
        observer.observe(picture(stamp_ns), 'go')


@pytest.mark.parametrize('changes', [{'k': [61.0, *K[1:]]}, {'d': [0.06, *D[1:]]}])
def test_a_camera_info_that_changes_is_refused_until_reset(changes):
    scene = Scene()
    observer = Observer(OPTIONS, scene.heard, scene.buffer)
    observer.observe(picture(), 'go')
    scene.heard.camera_info = camera_info(NOW_NS + 1)
    observer.observe(picture(), 'go')
    scene.heard.camera_info = camera_info(**changes)
    with pytest.raises(ObservationError, match='camera_info changed: [kd] is .*6.* and was'):
        observer.observe(picture(), 'go')
    observer.reset()
    observer.observe(picture(), 'go')


# State

def test_the_first_frame_is_the_commanded_one():
    scene = Scene()
    for frames in (('hand', 'finger'), ('finger', 'hand')):
        state = scene.observe(end_effector_frames=frames)[0].state
        np.testing.assert_allclose(state[:3], scene.points[frames[0]], rtol=1e-6)
    np.testing.assert_allclose(
        state[3:7], Rotation.from_euler('z', 30, True).as_quat(), atol=1e-6)


@given(st.floats(-1, 2), st.floats(-0.1, 0.1), st.floats(0.01, 1))
def test_the_gripper_is_0_when_closed_and_1_when_open(opening, closed, travel):
    for sign in (1, -1):  # some joints grow as the gripper closes
        scene, position = Scene(), closed + sign * travel * opening
        scene.heard.joints.clear()
        scene.heard.joints.add(joint_state(NOW_NS, arm=9.0, grip=position))
        state = scene.observe(gripper_closed_position=closed,
                              gripper_open_position=closed + sign * travel)[0].state
        assert state[7] == pytest.approx(np.clip(opening, 0, 1), abs=1e-5)


def test_the_joint_position_nearest_to_the_image_is_taken_not_the_newest():
    scene = Scene()
    scene.heard.joints.clear()
    for offset_ms, position in ((-90, 0.0), (-40, 0.01), (20, 0.03), (80, 0.0)):
        scene.heard.joints.add(joint_state(NOW_NS + offset_ms * 10**6, grip=position))
    assert scene.observe()[0].state[7] == pytest.approx(0.75)


@pytest.mark.parametrize('options, offset_ns, text', [
    ({}, 101_000_000, r'0.101 s off the image \(limit: tf_max_age, 0.1 s\)'),
    ({}, -101_000_000, r'0.101 s off the image \(limit: tf_max_age, 0.1 s\)'),
    ({'lockstep': True}, 1, r'0.000 s off the image \(limit: lockstep'),
    ({}, -NOW_NS, '56 years off the image'),
    ({'gripper_joint': 'claw'}, 0, "has not told the position of 'claw'")])
def test_joint_states_of_another_time_or_joint_are_refused(options, offset_ns, text):
    scene = Scene()
    scene.heard.joints.clear()
    scene.heard.joints.add(joint_state(NOW_NS + offset_ns, grip=0.04))
    with pytest.raises(ObservationError, match=text):
        scene.observe(**options)


@pytest.mark.parametrize('message, text', [
    (joint_state(NOW_NS, grip=np.inf), "have 'grip' at inf, expected a finite"),
    (joint_state(NOW_NS, grip=np.nan), "have 'grip' at nan, expected a finite"),
    (joint_state(NOW_NS, grip=1e30), "have 'grip' at 1e\\+30, expected"),
    (joint_state(NOW_NS, grip=0.5), "joint 'grip' at 0.5, far outside 0 .closed. to 0.04 .open."),
    (joint_state(0, grip=0.01), 'have no stamp: let their driver'),
    (joint_state(NOW_NS + SECOND // 5, grip=0.01), 'stamped 0.100 s further in the future than'),
    (SimpleNamespace(header=header(NOW_NS, ''), name=['arm', 'grip'], position=[0.01]),
     '2 names and 1 positions'),
    (SimpleNamespace(header=header(NOW_NS, ''), name=['grip', 'arm', 'grip'],
                     position=[0.01, 0.02, 0.03]), "name 'grip' 2 times")])
def test_joint_states_that_make_no_sense_are_refused_with_one_line(message, text):
    for before in ((), (joint_state(NOW_NS - SECOND, grip=0.01),)):
        scene = Scene()
        scene.heard.joints.clear()
        for one in (*before, message):
            scene.heard.joints.add(one, NOW_NS + SECOND // 10)
        with pytest.raises(ObservationError, match=text) as caught:
            scene.observe()
        assert '\n' not in str(caught.value)
        if 'far outside' in text:
            scene.heard.joints.clear()
        scene.heard.joints.add(joint_state(NOW_NS, grip=0.04), NOW_NS)
        assert scene.observe()[0].state[7] == 1


def test_what_other_joints_say_and_a_clock_that_begins_at_0_is_nobodys_business():
    joints = JointHistory(['grip'])
    joints.add(joint_state(NOW_NS, grip=0.01, arm=np.inf, wheel=1e30))
    joints.add(SimpleNamespace(header=header(NOW_NS, ''), name=['grip'], position=[]))
    joints.add(SimpleNamespace(header=header(NOW_NS, ''), name=['a', 'b'], position=[1.0]))
    assert joints.nearest('grip', NOW_NS) == (0.01, 0) and not joints.refused
    joints.clear()
    joints.add(joint_state(0, grip=0.02), SECOND // 20)
    assert joints.nearest('grip', 0) == (0.02, 0)


def test_joints_that_jump_are_doubted_for_a_second():
    joints = JointHistory(['elbow'])
    for tick in range(100):
        joints.add(joint_state(NOW_NS + tick * SECOND // 100, elbow=0.02 * tick))
    assert joints.nearest('elbow', NOW_NS + SECOND)[0] == pytest.approx(1.98)
    for tick in range(100, 210):
        joints.add(joint_state(NOW_NS + tick * SECOND // 100, elbow=3.0))
    with pytest.raises(ObservationError, match="'elbow' jump by 1.020 within 0.010 s"):
        joints.nearest('elbow', NOW_NS + 19 * SECOND // 10)
    assert joints.nearest('elbow', NOW_NS + 21 * SECOND // 10)[0] == 3.0


def test_a_fast_arm_does_not_push_a_slow_gripper_out_of_the_history():
    """1 kHz of arm and 10 Hz of gripper on one topic, images at 30 Hz: all have a state."""
    scene, missing = Scene(), 0
    joints = scene.heard.joints = JointHistory(['grip'])
    for millisecond in range(3000):
        stamp_ns = NOW_NS + millisecond * 10**6
        joints.add(joint_state(stamp_ns, arm=1.0))
        if millisecond % 100 == 0:
            joints.add(joint_state(stamp_ns, grip=0.02))
        if millisecond % 33 == 0:
            for name in ('hand', 'finger', 'camera'):
                scene.place(name, stamp_ns)
            image = picture(stamp_ns - 300_000_000 * (millisecond > 400))  # one that waited
            missing += scene.observe(image)[0].state is None
    assert not missing


def test_the_history_ends_after_two_seconds_and_survives_a_stray_stamp():
    joints = JointHistory(['grip'])
    for seconds in (0, 1.5, 500, 2.5):
        joints.add(joint_state(NOW_NS + round(seconds * SECOND), grip=seconds))
    assert joints.nearest('grip', NOW_NS + 500 * SECOND) == (2.5, pytest.approx(497.5))
    joints.add(joint_state(NOW_NS + 4 * SECOND, grip=4.0))
    assert joints.nearest('grip', NOW_NS)[0] == 2.5


def test_without_a_state_joint_states_are_not_looked_at():
    scene = Scene()
    scene.heard.joints = None
    assert scene.observe(state_names=())[0].state is None


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
    (('x', 'y'), {}, 'this node offers'),
    (STATE_NAMES, {'gripper_joint': ''}, 'parameter gripper_joint is empty')])
def test_a_state_that_cannot_be_built_is_refused_at_once(state_names, options, text):
    scene = Scene()
    with pytest.raises(ConfigError, match=text):
        Observer(replace(OPTIONS, **options), scene.heard, scene.buffer, state_names)
