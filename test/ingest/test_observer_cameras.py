# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that looks on, and one at the wrist: their images together are one observation."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
from observer_scene import camera_info, D, IMAGE, K, NOW_NS, OPTIONS, picture, Scene, SECOND
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.ingest.cameras import cameras_seen, check_names, ImageHistory
from sqap_vla_ros.ingest.observer import Heard, Observer
from sqap_vla_ros.ingest.points import measured_speed
from sqap_vla_ros.ingest.stamps import stamp_ns

MS = 10**6
# in the hand's frame: before the lens, which looks along the hand's z, lies the finger tip
MOUNT = Pose(np.array([0.05, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0]))
TIP = np.array([0.0, 0.02, 0.2])


class WristScene(Scene):
    """The scene with a second camera on its hand, which moves; the first one stands still."""

    def __init__(self, speed=0.0, turn=0.0, still=(), **pose):
        super().__init__(**pose)
        self.speed, self.turn, self.still = speed, turn, still
        self.with_a_static_camera('hand', 'finger')
        self.buffer.insert('hand', 'wrist_optical', MOUNT, static=True)
        self.buffer.insert('hand', 'tip', Pose(TIP, MOUNT.quaternion), static=True)
        self.heard.camera_info.header.frame_id = 'camera'
        self.wrist = Heard(camera_info(frame_id='wrist_optical'), image_topic='/wrist/image',
                           info_topic='/wrist/camera_info')
        for name in ('hand', 'finger'):
            self.move(name, -200, 0)

    def move(self, name, first_ms, last_ms, step_ms=20):
        """Tell where a frame was, it flies along y and turns about z."""
        for at_ms in range(first_ms, last_ms + 1, step_ms):
            self.buffer.insert('base', name, self.pose(name, at_ms))

    def pose(self, name, at_ms):
        """Return where a frame is."""
        at_ms, stamp_ns = (0 if name in self.still else at_ms), NOW_NS + at_ms * MS
        turn = Rotation.from_euler('z', self.turn * at_ms * 1e-3)
        return Pose(self.points[name] + [0, self.speed * at_ms * 1e-3, 0], turn.as_quat(),
                    stamp_ns)

    def observer(self, wrist=None, shown=(), **changes):
        """
        Return an observer of both.

        wrist: what differs of the second one's options.  shown: what a policy of several sees.
        """
        options = replace(OPTIONS, end_effector_frames=('hand',), camera='front', **changes)
        wrist = replace(options, camera='wrist', **{'protected_frames': ('tip',), **(wrist or {})})
        return Observer(options, self.heard, self.buffer, further={'wrist': (wrist, self.wrist)},
                        shown=shown)

    def shown(self, *stamps_ns, **options):
        """Let the wrist's camera send images."""
        for taken_ns in stamps_ns:
            self.wrist.images.add(picture(taken_ns, 'wrist_optical', **options))
        return self


def seen_from_the_wrist(point):
    """Return the pixel of a point in the hand's frame, by OpenCV."""
    return cv2.projectPoints(np.array([point - MOUNT.translation]), np.zeros(3), np.zeros(3),
                             np.reshape(K, (3, 3)), np.array(D))[0].reshape(2)


def test_both_cameras_are_seen_and_the_robot_is_protected_in_each():
    scene = WristScene().shown(NOW_NS)
    alone, _ = Observer(replace(OPTIONS, end_effector_frames=('hand',)), scene.heard,
                        scene.buffer).observe(picture(), 'go')
    observation, warnings = scene.observer({'calibration_error_px': 2.0}).observe(picture(), 'go')
    assert not warnings and observation.camera == 'front' and list(observation.views) == ['wrist']
    np.testing.assert_array_equal(observation.image, alone.image)
    np.testing.assert_array_equal(observation.protected.pixels, alone.protected.pixels)
    wrist = observation.view('wrist')
    assert wrist.stamp_ns == NOW_NS and wrist.frame_id == 'wrist_optical'
    assert wrist.protected.names == ('tip',) and wrist.protected.radii_px.tolist() == [2.0]
    np.testing.assert_allclose(wrist.protected.pixels, [seen_from_the_wrist(TIP)], atol=1e-6)
    assert observation.view('front').image is observation.view().image is observation.image
    with pytest.raises(ObservationError, match="no image of the camera 'rear', but of front, wr"):
        observation.view('rear')
    assert alone.view('rear').image is alone.image, 'a camera without a name may be any'


@pytest.mark.parametrize('sent_ms, taken_ms', [
    ((-60, -30, 0), 0), ((-60, -30, 20), -30), ((-60, -30, 4), 4), ((0, -30), 0), ((-100,), -100)])
def test_the_newest_image_that_was_not_taken_later_goes_with_it(sent_ms, taken_ms):
    scene = WristScene().shown(*(NOW_NS + at_ms * MS for at_ms in sent_ms))
    scene.move('hand', 1, 41)
    view = scene.observer().observe(picture(), 'go')[0].view('wrist')
    assert view.stamp_ns == NOW_NS + taken_ms * MS


@pytest.mark.parametrize('sent_ms, text', [
    ((), 'camera wrist: no image has come in on /wrist/image'),
    ((-101,), 'camera wrist: no image on /wrist/image goes with the one that is asked about: the '
     r'nearest was taken 0.101 s before it \(limit: camera_tolerance, 0.1 s\)'),
    ((-300, 20), 'nearest was taken 0.020 s after it')])
def test_an_image_of_another_time_is_not_taken(sent_ms, text):
    scene = WristScene().shown(*(NOW_NS + at_ms * MS for at_ms in sent_ms))
    with pytest.raises(ObservationError, match=text):
        scene.observer().observe(picture(), 'go')


def test_in_lockstep_both_are_of_one_tick():
    scene = WristScene().shown(NOW_NS - 1)
    with pytest.raises(ObservationError, match='in lockstep all cameras are of one tick'):
        scene.observer(lockstep=True).observe(picture(), 'go')
    scene.shown(NOW_NS)
    view = scene.observer(lockstep=True).observe(picture(), 'go')[0].view('wrist')
    assert view.stamp_ns == NOW_NS


def test_a_fast_camera_goes_with_a_slow_one_whose_images_come_late():
    history = ImageHistory()
    for index in range(91):  # 90 Hz
        history.add(picture(NOW_NS + index * SECOND // 90))
    late_ns = NOW_NS + 700 * MS
    assert 0 <= late_ns - stamp_ns(history.beside(late_ns, 0.1, '/image')) <= SECOND // 90


def test_only_the_last_second_of_images_is_remembered():
    history = ImageHistory()
    for index in range(2000):
        history.add(picture(NOW_NS + index * MS))
    assert len(history._images) <= 252, 'no three within 5 ms'
    with pytest.raises(ObservationError, match=(
            r'taken 0.\d+ s after it, for the history reaches back only (0.999|1.000) s: ')):
        history.beside(NOW_NS + 400 * MS, 0.1, '/image')
    for at_ms in (1100, 1500, 1997, 1999):
        off_ns = NOW_NS + at_ms * MS - stamp_ns(
            history.beside(NOW_NS + at_ms * MS, 0.1, '/image'))
        assert abs(off_ns) <= 5 * MS
    assert stamp_ns(history.beside(NOW_NS + 1999 * MS, 0, '/image')) == NOW_NS + 1999 * MS
    history.add(picture(NOW_NS - 10 * SECOND))  # its clock was set back
    assert history.beside(NOW_NS - 10 * SECOND, 0.1, '/image').header.stamp.sec < NOW_NS // SECOND
    history.clear()
    with pytest.raises(ObservationError, match='no image has come in on /image'):
        history.beside(NOW_NS, 0.1, '/image')


@pytest.mark.parametrize('what, text', [
    ('black', 'camera wrist: the image shows almost nothing'),
    ('info', 'camera wrist: no camera_info has come in on /wrist/camera_info: publish it, or set '
     'wrist.require_localization to false'),
    ('frame', "camera wrist: the image has frame_id 'wrist_optical', camera_info has 'camera'.*"
     'set the parameter wrist.camera_frame'),
    ('behind', r'camera wrist: palm lies 0.100 m behind the lens.*name other wrist.protected')])
def test_what_is_wrong_with_a_camera_names_it(what, text):
    scene, options = WristScene(), {}
    shown = np.zeros((48, 64, 3), np.uint8) if what == 'black' else None
    scene.shown(NOW_NS, **({} if shown is None else {'pixels': shown}))
    if what == 'info':
        scene.wrist.camera_info = None
    elif what == 'frame':
        scene.wrist.camera_info = camera_info(frame_id='camera')
    elif what == 'behind':
        scene.buffer.insert('hand', 'palm', Pose(np.array([0.0, 0.0, -0.1]), MOUNT.quaternion),
                            static=True)
        options = {'protected_frames': ('palm',)}
    with pytest.raises(ObservationError, match=text):
        scene.observer(options).observe(picture(), 'go')
    if what in ('info', 'behind'):
        observation, (warning,) = scene.observer(
            {**options, 'require_localization': False}).observe(picture(), 'go')
        assert warning.startswith('camera wrist: no protected tokens: ')
        assert observation.view('wrist').protected.names == () != observation.protected.names


@pytest.mark.parametrize('camera_frame', ['', '/camera'])
def test_two_cameras_cannot_be_in_one_place(camera_frame):
    """Drivers of one make stamp one frame_id: the wrist's image would get the front's pixels."""
    scene = WristScene()
    scene.wrist.images.add(picture(NOW_NS, 'camera'))
    scene.wrist.camera_info = camera_info(frame_id='camera')
    options = {'camera_frame': camera_frame, 'protected_frames': ('hand',)}
    with pytest.raises(ObservationError, match=(
            "front and wrist have the same optical frame, 'camera'.*Set front.camera_frame and "
            'wrist.camera_frame')):
        scene.observer(options).observe(picture(), 'go')
    own = {'camera_frame': 'wrist_optical'}
    view = scene.observer(own).observe(picture(), 'go')[0].view('wrist')
    assert view.frame_id == 'wrist_optical' and view.protected.names == ('tip',)
    view = scene.observer({**options, 'needs_localization': False}).observe(
        picture(), 'go')[0].view('wrist')
    assert view.frame_id == '' and view.protected.names == (), 'nothing is projected into it'


def test_what_a_camera_on_the_hand_carries_does_not_age_with_the_arm():
    scene = WristScene(speed=0.4, turn=0.5).shown(NOW_NS + 80 * MS)
    scene.heard.camera_info = camera_info()
    observation, _ = scene.observer().observe(picture(NOW_NS + 80 * MS), 'go')  # TF is 80 ms old
    assert observation.protected.radii_px[0] > 0
    wrist = observation.view('wrist').protected
    np.testing.assert_allclose(wrist.pixels, [seen_from_the_wrist(TIP)], atol=1e-6)
    assert wrist.radii_px.tolist() == [0.0]
    speeds = [measured_speed(scene.buffer, camera, 'tip', NOW_NS + 80 * MS)
              for camera in ('wrist_optical', 'camera')]
    assert speeds == [0.0, pytest.approx(0.4, abs=0.02)]


def test_an_arm_that_stands_by_the_time_it_is_looked_at_moved_when_the_image_was_taken():
    scene = WristScene(speed=0.4).shown(NOW_NS - 10 * MS)
    for at_ms in range(20, 401, 20):
        scene.buffer.insert('base', 'hand', replace(
            scene.pose('hand', 0), stamp_ns=NOW_NS + at_ms * MS))
    speeds = [measured_speed(scene.buffer, 'camera', 'hand', NOW_NS + at_ms * MS)
              for at_ms in (-10, 10, 400)]
    assert speeds == [pytest.approx(0.4, abs=0.05), pytest.approx(0.4, abs=0.05), 0.0]
    assert measured_speed(scene.buffer, 'camera', 'hand', NOW_NS - 400 * MS) is None
    observation, _ = scene.observer().observe(picture(NOW_NS - 10 * MS), 'go')
    assert observation.protected.radii_px[0] > 0.1


def test_of_a_finger_that_tells_late_where_it_is_on_the_hand_that_alone_is_old():
    scene = WristScene(speed=0.4, turn=0.5).shown(NOW_NS)
    for at_ms in range(-200, -39, 20):  # the hand, of which the newest is the image's, flies on
        scene.buffer.insert('hand', 'late', Pose(TIP, MOUNT.quaternion, NOW_NS + at_ms * MS))
    wrist = scene.observer({'protected_frames': ('late',)}).observe(
        picture(), 'go')[0].view('wrist').protected
    np.testing.assert_allclose(wrist.pixels, [seen_from_the_wrist(TIP)], atol=1e-6)
    assert wrist.radii_px.tolist() == [0.0], 'it stands still on the hand'


def test_a_wrist_camera_moves_with_the_arm_and_may_not_move_on_it():
    scene = WristScene(speed=0.4, turn=0.5)
    observer = scene.observer()
    for tick in range(60):
        at_ms = 33 * tick
        scene.move('hand', at_ms, at_ms)
        scene.shown(NOW_NS + at_ms * MS)
        scene.heard.camera_info = camera_info(NOW_NS + at_ms * MS)
        observer.observe(picture(NOW_NS + at_ms * MS), 'go')
    scene.buffer.insert('hand', 'wrist_optical',
                        replace(MOUNT, translation=MOUNT.translation + [0, 0.01, 0]), static=True)
    with pytest.raises(ObservationError, match=(
            'camera wrist: wrist_optical on hand, which carries the camera wrist_optical, moved '
            'by 10 mm and 0.000 rad, though /tf_static')):
        observer.observe(picture(NOW_NS + at_ms * MS), 'go')
    observer.reset()
    observer.observe(picture(NOW_NS + at_ms * MS), 'go')


@pytest.mark.parametrize('age_ms', [5, 40, 80])
@pytest.mark.parametrize('speed, turn', [(0.0, 0.0), (0.5, 0.0), (0.0, 1.5), (0.8, -2.0)])
def test_what_stands_before_a_camera_that_moves_is_seen_within_the_radius(speed, turn, age_ms):
    """The hand with its camera flies and turns, TF of it is old, its speed is known."""
    scene = WristScene(speed, turn, still=('finger',), finger=(0.4, 0.15, 0.9))
    scene.move('finger', 0, 80)
    stamp_ns = NOW_NS + age_ms * MS
    scene.shown(stamp_ns)
    scene.heard.camera_info = camera_info(stamp_ns)
    wrist = scene.observer({'protected_frames': ('finger',)}).observe(
        picture(stamp_ns), 'go')[0].view('wrist').protected
    hand = scene.pose('hand', age_ms)
    truly = seen_from_the_wrist(Rotation.from_quat(hand.quaternion).inv().apply(
        scene.points['finger'] - hand.translation))
    off, radius = np.linalg.norm(wrist.pixels[0] - truly), wrist.radii_px[0]
    assert off <= 1.02 * radius + 1e-6 and radius <= 4 * off + 1e-3 and radius < 12.0


def test_a_radius_that_would_claim_the_image_is_cut_and_told():
    scene = WristScene().shown(NOW_NS)
    observation, (warning,) = scene.observer({'calibration_error_px': 500.0}).observe(
        picture(), 'go')
    assert observation.view('wrist').protected.radii_px.tolist() == [12.0]  # of 48 rows
    assert warning.startswith('camera wrist: tip may be seen anywhere within 12 px or more, a ')
    assert 'wrist.calibration_error_px is 500' in warning


def test_a_policy_of_two_cameras_never_sees_one_of_them_twice():
    """Two topics of one device: each image is fresh, in focus, and of the moment."""
    scene = WristScene().shown(NOW_NS)
    assert scene.observer().observe(picture(), 'go')[0].views, 'it is shown one alone'
    unseen = scene.observer({'min_contrast': 0.0}, shown=('front', 'wrist'))
    assert unseen.observe(picture(), 'go')[0].views, 'nobody looks'
    with pytest.raises(ObservationError, match=(
            'cameras front and wrist show one picture, .* are front/image and wrist/image')):
        scene.observer(shown=('front', 'wrist')).observe(picture(), 'go')


@pytest.mark.parametrize('kind', [bytes, lambda data: np.frombuffer(data, np.uint8),
                                  lambda data: array('B', data)])
def test_pictures_are_compared_in_whatever_their_bytes_came(kind):
    """Those of a bag are NumPy arrays, of images as of JPEG, whose lengths differ."""
    history = ImageHistory()
    for data in (b'123456', b'1234'):
        history.add(SimpleNamespace(header=picture().header, data=kind(data)))
    for data, is_there in ((b'123456', True), (b'1234', True), (b'1235', False), (b'1', False),
                           (b'', False), (b'123457', False)):
        assert history.has(SimpleNamespace(data=kind(data))) is is_there


def test_of_two_topics_of_one_device_one_may_be_a_picture_behind():
    scene = WristScene()
    observer = scene.observer(shown=('front', 'wrist'), max_image_change=0.0)
    shown = [np.roll(IMAGE, 3 * number, axis=1) for number in range(8)]
    for number, at_ms in enumerate(range(0, 100, 33)):
        if number == 1:
            observer.reset()  # with its image before, it is found
        scene.move('hand', at_ms, at_ms)
        scene.heard.camera_info = camera_info(NOW_NS + at_ms * MS)
        if number:
            scene.shown(NOW_NS + at_ms * MS, pixels=shown[number - 1])
        else:
            scene.shown(NOW_NS, pixels=shown[7])
        asked = picture(NOW_NS + at_ms * MS, pixels=shown[number])
        if number < 2:
            assert observer.observe(asked, 'go')[0].views
        else:
            with pytest.raises(ObservationError, match='show one picture'):
                observer.observe(asked, 'go')
    scene.shown(NOW_NS + 200 * MS, pixels=shown[5])
    scene.move('hand', 200, 200)
    scene.heard.camera_info = camera_info(NOW_NS + 200 * MS)
    with pytest.raises(ObservationError, match='show one picture'):
        observer.observe(picture(NOW_NS + 200 * MS, pixels=shown[6]), 'go')
    observer.reset()
    assert observer.observe(picture(NOW_NS + 200 * MS, pixels=shown[6]), 'go')[0].views


# Which cameras a policy sees

@pytest.mark.parametrize('configured, taken, images, names', [
    ((), (), 1, ('',)), (('front', 'wrist'), (), None, ('front',)),
    (('front', 'wrist'), ('wrist',), 1, ('wrist',)),
    (('wrist', 'front', 'side'), ('front', 'wrist'), 2, ('front', 'wrist'))])
def test_a_policy_sees_the_first_camera_or_those_it_names(configured, taken, images, names):
    assert cameras_seen(configured, taken, images) == names


@pytest.mark.parametrize('configured, taken, images, text', [
    (('front', 'side'), ('wrist',), 1, r"the cameras \['wrist'\] .* cameras has \['front', 'si"),
    ((), ('wrist',), 1, r'cameras has \[\]: wrist is missing'),
    (('full',), ('full', 'wrist'), 2, r"cameras has \['full'\]: wrist is missing"),
    (('full', 'wrist'), (), 2, r'takes 2 images, and names 0 cameras, \[\]: write the names of'),
    (('full', 'wrist'), ('full',), 3, 'takes 3 images, and names 1 cameras')])
def test_a_camera_that_is_not_there_is_refused(configured, taken, images, text):
    with pytest.raises(ConfigError, match=text):
        cameras_seen(configured, taken, images)


@pytest.mark.parametrize('names', [('a b',), ('',), ('2nd',), ('a/b',), ('a.b',), ('a', 'b', 'a')])
def test_names_that_can_be_no_topics_are_refused(names):
    with pytest.raises(ConfigError, match='parameter cameras'):
        check_names(names)
    check_names(('front', 'wrist_2'))
