# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A node with two cameras by name, one of them at the wrist and compressed."""

from dataclasses import replace
from functools import partial
import shutil
from types import SimpleNamespace

import cv2
import golden_data
import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_harness import KnownPolicy, transform
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.msg import TokenSelection as TokenSelectionMessage
from sqap_vla_ros.observation import TokenSelection
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.vla.config import NodeConfig, PARAMETERS
from sqap_vla_ros.ros.vla.image_topics import why_no_image
from sqap_vla_ros.ros.vla.loading import load_configured_policy
from sqap_vla_ros.ros.vla.overrides import check_overrides
from sqap_vla_ros.ros.vla.parameters import changed
from sqap_vla_ros.ros.vla.topics import check_cameras
from tf2_msgs.msg import TFMessage

WRIST = '/wrist/image/compressed'
OFT = {'chunk_length': 8, 'images': 2, 'normalization': 'q01_q99'}
CAMERAS = {'cameras': ['front', 'wrist'], 'wrist.image_transport': 'compressed',
           'wrist.protected_frames': ['tip'], 'wrist.calibration_error_px': 2.0}
REMAPPED = {'cli_args': ['--ros-args', '-r', 'front/image:=image', '-r',
                         'front/camera_info:=camera_info']}


class Wrist:
    """The camera at the robot's wrist."""

    def __init__(self, robot):
        self.robot, self.looks, self.repeats, self.last = robot, True, False, None
        self.front_looks = True
        self.image = robot.create_publisher(CompressedImage, WRIST, 1)
        self.info = robot.create_publisher(CameraInfo, '/wrist/camera_info', 1)
        self.overlays = []

    def look(self, wrist_last=False):
        """
        Publish what both cameras see, and where the wrist and what it carries are.

        wrist_last: for a policy that is asked about its images.
        """
        robot, now_ns = self.robot, self.robot.now_ns()
        robot.tf.publish(TFMessage(transforms=[
            transform('end_effector', 'wrist_optical', (0.05, 0.0, 0.0), now_ns),
            transform('end_effector', 'tip', (0.05, 0.1, 0.5), now_ns)]))
        info = robot.camera_info(now_ns)
        info.header.frame_id = 'wrist_optical'
        self.info.publish(info)
        picture = self.picture(now_ns)
        if self.looks and not wrist_last:
            self.image.publish(picture)
        robot.publishes = {'info', 'tf', *(['image'] if self.front_looks else [])}
        robot.look(now_ns)
        if self.looks and wrist_last:
            self.image.publish(picture)

    def picture(self, stamp_ns):
        """Return a compressed picture, the last one again if it repeats."""
        if not (self.repeats and self.last):
            pixels = np.reshape(self.robot.picture(stamp_ns).data, (48, 64, 3)).astype(np.uint8)
            self.last = CompressedImage(
                format='png', data=cv2.imencode('.png', pixels)[1].tobytes())
            self.last.header.frame_id = 'wrist_optical'
        self.last.header.stamp = time_message(stamp_ns)
        return self.last


def test_both_cameras_are_needed_checked_and_drawn(make_world):
    world = make_world(KnownPolicy, CAMERAS, REMAPPED)
    robot = world.robot
    world.start()
    robot.say()
    world.until(lambda: world.says('commands', f'camera wrist: no image has come in on {WRIST}: '
                                   'nobody publishes it'), meanwhile=robot.look)
    wrist = Wrist(robot)
    robot.create_subscription(Image, 'vla_node/wrist/overlay', wrist.overlays.append, 1)
    world.until(world.is_moving, meanwhile=wrist.look)
    observation = world.policy.observations[-1]
    assert observation.camera == 'front' and observation.protected.names == ('end_effector',)
    view = observation.view('wrist')
    assert 0 <= observation.stamp_ns - view.stamp_ns <= 10**8 and view.image.shape == (48, 64, 3)
    np.testing.assert_allclose(view.protected.pixels, [[31.5, 35.5]], atol=1e-3)
    assert view.protected.names == ('tip',) and view.protected.radii_px[0] >= 2.0
    world.until(lambda: wrist.overlays, meanwhile=wrist.look)
    assert wrist.overlays[-1].header.frame_id == 'wrist_optical'
    assert wrist.overlays[-1].height % 48 == 0

    wrist.looks = False
    world.until(lambda: world.says('commands', f'camera wrist: no image on {WRIST} for more than'),
                meanwhile=wrist.look)
    world.stays_still(meanwhile=wrist.look)
    wrist.looks = True
    world.until(world.is_moving, meanwhile=wrist.look)
    wrist.repeats = True
    world.until(lambda: world.says('commands', f'camera wrist: the images on {WRIST} do not ch'),
                meanwhile=wrist.look)
    wrist.repeats = False
    world.until(world.is_moving, meanwhile=wrist.look)
    second = robot.create_publisher(CompressedImage, WRIST, 1)
    world.until(lambda: world.says('commands', f'2 publishers on {WRIST}'), meanwhile=lambda: (
        wrist.look(), second.publish(wrist.picture(robot.now_ns()))))
    for name, taken in (('wrist.max_image_change', True), ('max_image_change', False)):
        result, = world.node.set_parameters([Parameter(name, value=70.0)])
        assert result.successful == taken, result.reason
    assert 'set front.max_image_change or wrist.max_image_change' in result.reason
    observers = world.node._observer._main, world.node._observer._further['wrist']
    assert [camera.options.max_image_change for camera in observers] == [80.0, 70.0]


class PairPolicy(KnownPolicy):
    """Sees the wrist's camera, then the front one; keeps the first patches of each."""

    cameras = ('wrist', 'front')

    def infer(self, observation):
        chunk = super().infer(observation)
        kept, patches = np.array([1, 3, 17, 20, 31]), 16
        return replace(chunk, doubts=('far off',), selection=TokenSelection(
            (4, 4), kept, np.uint8([1, 0, 1, 2, 0]), images=len(kept[kept >= patches]) and 2))


def test_a_policy_of_two_cameras_is_asked_about_its_first_and_tells_what_it_kept_in_each(
        make_world):
    world = make_world(PairPolicy, CAMERAS, REMAPPED)
    robot = world.robot
    world.start()
    assert world.node._parts.inputs.main.name == 'wrist'
    wrist, kept, drawn = Wrist(robot), [], []
    robot.create_subscription(
        TokenSelectionMessage, 'vla_node/front/token_selection', kept.append, 1)
    robot.create_subscription(Image, 'vla_node/front/overlay', drawn.append, 1)
    robot.say()
    look = partial(wrist.look, wrist_last=True)
    world.until(lambda: world.is_moving() and robot.selections and kept and drawn, meanwhile=look)
    observation, = {id(each): each for each in world.policy.observations[-1:]}.values()
    assert observation.camera == 'wrist' and list(observation.views) == ['front']
    assert observation.protected.names == ('tip',)
    assert observation.view('front').protected.names == ('end_effector',)
    assert list(robot.selections[-1].kept) == [1, 3] and list(kept[-1].kept) == [1, 4, 15]
    assert list(kept[-1].reason) == [1, 2, 0]
    assert robot.selections[-1].frames == ['tip'] and kept[-1].frames == ['end_effector']
    assert robot.selections[-1].header.frame_id == 'wrist_optical'
    assert kept[-1].header.frame_id == 'camera' and drawn[-1].header.frame_id == 'camera'
    assert drawn[-1].height > drawn[-1].width * 48 // 64, 'with a legend of what was kept'
    assert world.node._observer._twins._shown == ('wrist', 'front')
    world.until(lambda: world.says('inference', 'far off'), meanwhile=look)
    wrist.front_looks = False
    world.until(lambda: world.says('commands', 'camera front: no image on /image for more than'),
                meanwhile=look)
    world.stays_still(meanwhile=look)


@pytest.fixture(scope='module')
def oft(tmp_path_factory):
    """Return an OpenVLA-OFT of two images whose data set is of no known robot."""
    path = shutil.copytree(golden_data.oft('oft_tiny'), tmp_path_factory.mktemp('oft') / 'oft')
    golden_data.edit(path / 'dataset_statistics.json',
                     lambda stats: stats.update(mine=stats.pop(next(iter(stats)))))
    return path


@pytest.mark.parametrize('says, parameters, text', [
    ({'state': 'libero'}, {}, "takes the cameras ['full', 'wrist'] (deployment.json), the "
     'parameter cameras has []: full, wrist are missing'),
    ({'state': 'libero'}, {'cameras': ('full', 'wrist')}, 'parameter gripper_joint is empty'),
    ({'state': 'libero'}, {'cameras': ('full', 'wrist'), 'gripper_joint': 'finger'},
     'and state_base_frame and state_end_effector_frame are empty'),
    ({}, {'cameras': ('full', 'wrist')}, 'a state of 8 values, and nothing says what they are: '
     'write it into its deployment.json, "state": "libero" or a list of 8 names'),
    ({'cameras': ['wrist', 'front']}, {'cameras': ('full', 'wrist')}, 'front is missing')])
def test_an_oft_that_a_robot_cannot_serve_is_refused_before_a_weight_is_read(
        says, parameters, text, oft, monkeypatch):
    golden_data.recipe().write_json(oft / 'deployment.json', {
        'action_space': {'preset': 'libero', 'execute_steps': 8}, 'oft': OFT, **says})
    monkeypatch.setattr('sqap_vla_ros.policy.load_policy', lambda *args: pytest.fail('loaded'))
    with pytest.raises(ConfigError) as caught:
        load_configured_policy(NodeConfig(checkpoint=str(oft), **parameters))
    assert text in str(caught.value) and '\n' not in str(caught.value)


class RearPolicy(KnownPolicy):
    """Was trained on another camera."""

    cameras = ('rear',)


@pytest.mark.parametrize('parameters, text', [
    ({'cameras': ['front', 'wrist']}, r"takes the cameras ['rear'] (deployment.json), the "
     "parameter cameras has ['front', 'wrist']"),
    ({'cameras': ['front', 'a b']}, "parameter cameras has 'a b'"),
    ({'cameras': ['front', 'rear'], 'qos_overrides./vla_node/rear/overlay.publisher.depth': 1},
     'rear/overlay.publisher.depth is for no topic of this node'),
    ({'cameras': ['rear'], 'rear.calibration_error_px': 2.0, 'raer.camera_frame': 'x'},
     "raer.camera_frame is of a camera 'raer', and cameras has ['rear']: did you mean "
     'rear.camera_frame?')])
def test_cameras_that_do_not_fit_are_refused_when_configured(make_world, parameters, text):
    world = make_world(RearPolicy, parameters)
    assert not world.node.start() and text in world.node.problem, world.node.problem


def test_a_policy_sees_the_camera_that_it_names(make_world):
    world = make_world(RearPolicy, {'cameras': ['front', 'rear']})
    assert world.node.start(), world.node.problem
    assert world.node._parts.inputs.main.name == 'rear'
    assert list(world.node._observer._further) == ['front']


def told(cameras, **overrides):
    """Return what check_overrides finds wrong with parameters of a node with these cameras."""
    node = SimpleNamespace(
        _parameter_overrides=overrides, has_parameter=lambda name: False,
        get_fully_qualified_name=lambda: '/vla_node',
        get_parameter_or=lambda name: SimpleNamespace(value=cameras))
    with pytest.raises(ConfigError) as caught:
        check_overrides(node, PARAMETERS)
    return str(caught.value)


@pytest.mark.parametrize('cameras, name, text', [
    (['front', 'wrist'], 'wirst.camera_frame', 'did you mean wrist.camera_frame?'),
    (['front', 'wrist'], 'side.min_contrast', "cameras has ['front', 'wrist']: add side to cam"),
    ([''], 'wrist.camera_frame', 'cameras has []: add wrist to cameras, or set camera_frame'),
    (['wrist'], 'wrist.camera_farme', 'did you mean camera_frame')])
def test_a_parameter_of_a_camera_that_is_not_there_is_refused(cameras, name, text):
    assert text in told(cameras, **{name: 'x'})


def test_each_camera_has_its_own_values_and_those_without_a_name_else():
    config = NodeConfig.from_parameters({
        'cameras': ('front', 'wrist'), 'min_contrast': 5.0, 'wrist.min_contrast': 1.0,
        'wrist.rotate_image_180': True})
    front, wrist = config.for_camera('front'), config.for_camera('wrist')
    assert (front.min_contrast, front.rotate_image_180) == (5.0, False)
    assert (wrist.min_contrast, wrist.rotate_image_180) == (1.0, True)
    assert NodeConfig().for_camera('') == NodeConfig()
    config, result = changed(config, [Parameter('front.min_contrast', value=2.0)])
    assert result.successful and config.for_camera('front').min_contrast == 2.0
    assert config.for_camera('wrist').min_contrast == 1.0
    _, result = changed(config, [Parameter('wrist.min_contrast', value=-2.0)])
    assert not result.successful and 'camera wrist: min_contrast is -2.0' in result.reason


@pytest.mark.parametrize('values, text', [
    ({'cameras': ('a', 'b'), 'camera_frame': 'optical'}, 'a and b have the same optical frame'),
    ({'cameras': ('a', 'b'), 'a.camera_frame': 'eye', 'b.camera_frame': '/eye'},
     "same optical frame, 'eye'"),
    ({'cameras': ('a', 'b'), 'b.image_transport': 'theora'}, 'camera b: image_transport is')])
def test_values_of_cameras_that_make_no_sense_are_refused(values, text):
    with pytest.raises(ConfigError, match=text):
        NodeConfig.from_parameters(values)


class Graph:
    """A node that knows of topics."""

    def __init__(self, **topics):
        self._topics = {f'/{name}'.replace('__', '/'): kind for name, kind in topics.items()}

    def get_topic_names_and_types(self):
        return [(name, [f'sensor_msgs/msg/{kind}']) for name, kind in self._topics.items()]

    def get_fully_qualified_name(self):
        return '/vla_node'

    def count_publishers(self, name):
        return name in self._topics


@pytest.mark.parametrize('graph, topic, transport, text', [
    (Graph(), '/image', 'raw', ': nobody publishes it'),
    (Graph(image='Image'), '/image', 'raw', ''),
    (Graph(image='CompressedImage'), '/image', 'raw', ': it is a sensor_msgs/msg/CompressedImage, '
     'set image_transport to compressed'),
    (Graph(image='PointCloud2', vla_node__overlay='Image'), '/image', 'raw',
     ': nobody publishes it'),
    (Graph(image__compressed='CompressedImage'), '/image', 'raw', ', but /image/compressed is '
     'published: set image_transport to compressed'),
    (Graph(image='Image'), '/image/compressed', 'compressed', ', but /image is published: set '
     'image_transport to raw'),
    (Graph(cam__b='Image', cam__a='Image', jpegs='CompressedImage'), '/image', 'raw',
     ': nobody publishes it. Images are on /cam/a, /cam/b: remap to one of them')])
def test_while_no_image_comes_in_it_is_told_where_images_are(graph, topic, transport, text):
    assert why_no_image(graph, topic, transport, 'image_transport') == text


class Remapped:
    """A node that resolves names by rules of remapping."""

    def __init__(self, **rules):
        self._rules = rules

    def resolve_topic_name(self, name, only_expand=False):
        return f'/{name.lstrip("/")}' if only_expand else self._rules.get(
            name.lstrip('/').replace('/', '__'), f'/{name.lstrip("/")}')


@pytest.mark.parametrize('rules, transport, text', [
    ({'front__image': '/cam', 'wrist__image': '/cam'}, 'raw',
     'front and wrist are both on the topic /cam: remap front/image and wrist/image to'),
    ({'wrist__image': '/front/image'}, 'compressed', 'on the topic /front/image/compressed'),
    ({'wrist__camera_info': '/front/camera_info'}, 'raw',
     'on the topic /front/camera_info: remap front/camera_info and wrist/camera_info to')])
def test_two_cameras_on_one_topic_are_refused(rules, transport, text):
    pruned = replace(NodeConfig().policy, keep=64)
    config = NodeConfig(
        cameras=('front', 'wrist'), image_transport=transport, policy=pruned)
    with pytest.raises(ConfigError, match=text):
        check_cameras(Remapped(**rules), config)
    check_cameras(Remapped(), config)
    check_cameras(Remapped(), NodeConfig())
    check_cameras(Remapped(wrist__camera_info='/front/camera_info'), replace(
        config, policy=replace(pruned, keep=0)))  # where none is heard


def test_cameras_on_one_topic_are_refused_before_the_policy_is_loaded(make_world):
    world = make_world(KnownPolicy, {'cameras': ['front', 'wrist']}, {
        'cli_args': ['--ros-args', '-r', 'wrist/image:=front/image']})
    assert not world.node.start() and 'on the topic /front/image' in world.node.problem
    assert world.policy is None
