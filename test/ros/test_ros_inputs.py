# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the node subscribes to, and what it finds there when it looks."""

from dataclasses import fields
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import KnownPolicy, StatePolicy, transform
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.vla.config import NodeConfig
from sqap_vla_ros.ros.vla.image_topics import image_topic
from sqap_vla_ros.ros.vla.inputs import Inputs
from sqap_vla_ros.ros.vla.joint_states import JointStates, MOST_AT_ONCE
from tf2_msgs.msg import TFMessage

SECOND = 10**9
START = 1_700_000_000 * SECOND
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def node(request):
    """Return a plain node; a test's parameter `node` gives its remappings."""
    context = rclpy.Context()
    rclpy.init(context=context)
    rules = [word for rule in getattr(request, 'param', ()) for word in ('-r', rule)]
    node = Node('inputs', context=context, cli_args=['--ros-args', *rules] if rules else None)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize('age_s, starts_first', [(0, False), (3600, False), (3600, True)])
def test_a_camera_info_that_is_latched_is_heard_however_old(make_world, age_s, starts_first):
    world = make_world(KnownPolicy)
    robot = world.robot
    robot.destroy_publisher(robot.info)
    robot.publishes.remove('info')
    robot.info = robot.create_publisher(CameraInfo, 'camera_info', LATCHED)
    if not starts_first:
        robot.info.publish(robot.camera_info(robot.now_ns() - age_s * SECOND))
    world.start()
    if starts_first:
        robot.info.publish(robot.camera_info(robot.now_ns() - age_s * SECOND))
    world.move()
    np.testing.assert_allclose(world.policy.observations[-1].protected.pixels, [[37.5, 23.5]])


@pytest.mark.parametrize('latched', [False, True])
def test_a_camera_info_that_streams_and_stalls_expires_and_one_sent_once_does_not(
        make_world, latched):
    world = make_world(KnownPolicy, {'camera_info_max_age': 0.3})
    robot = world.robot
    if latched:
        robot.destroy_publisher(robot.info)
        robot.info = robot.create_publisher(CameraInfo, 'camera_info', LATCHED)
    world.start()
    robot.info.publish(robot.camera_info(robot.now_ns() - 3600 * SECOND))  # once, long ago
    robot.publishes.remove('info')
    world.move()
    robot.publishes.add('info')
    end = time.monotonic() + 0.5
    world.until(lambda: time.monotonic() > end, meanwhile=robot.look)
    world.until(world.is_moving, meanwhile=robot.look)
    robot.publishes.remove('info')
    world.until(lambda: world.says('commands', 'limit: camera_info_max_age, 0.3 s'),
                meanwhile=robot.look)


def test_images_that_never_arrive_are_told_with_the_cure(world):
    robot = world.robot
    robot.publishes = {'info', 'tf'}
    world.until(lambda: world.says('inputs', 'camera_info comes in and no image on /image: large '
                                   'images get lost'), meanwhile=robot.look)
    assert 'config/fastdds.xml' in robot.said('inputs')[1]


def test_the_middleware_numbers_images(world):
    world.move()
    numbers = [number for _, number in world.node._parts.inputs.main.delivery._images]
    if None in numbers:
        pytest.skip('this middleware does not')
    assert len(numbers) > 1 and numbers == sorted(set(numbers))


@pytest.mark.parametrize('node, raw, compressed', [
    ((), '/image', '/image/compressed'),
    (('image:=/cam/image_raw',), '/cam/image_raw', '/cam/image_raw/compressed'),
    (('image:=/cam/image_raw/compressed',), '/cam/image_raw/compressed',
     '/cam/image_raw/compressed'),
    (('image/compressed:=/jpegs',), '/image', '/jpegs'),
    (('image:=/cam', 'image/compressed:=/jpegs'), '/cam', '/jpegs'),
    (('__ns:=/left',), '/left/image', '/left/image/compressed'),
    (('__ns:=/left', 'image:=cam'), '/left/cam', '/left/cam/compressed')], indirect=['node'])
def test_the_compressed_transport_follows_the_remapping_of_the_image(node, raw, compressed):
    assert [node.resolve_topic_name(image_topic(node, is_compressed))
            for is_compressed in (False, True)] == [raw, compressed]


def test_compressed_images_move_the_arm(make_world):
    world = make_world(KnownPolicy, {'image_transport': 'compressed'}, {
        'cli_args': ['--ros-args', '-r', 'image:=/cam/image_raw']})
    robot = world.robot
    jpegs = robot.create_publisher(CompressedImage, '/cam/image_raw/compressed', 1)
    raw = robot.picture

    def picture(stamp_ns):
        pixels = np.reshape(raw(stamp_ns).data, (48, 64, 3)).astype(np.uint8)
        message = CompressedImage(format='png', data=cv2.imencode('.png', pixels)[1].tobytes())
        message.header.frame_id, message.header.stamp = 'camera', time_message(stamp_ns)
        return message
    robot.destroy_publisher(robot.image)
    robot.image, robot.picture = jpegs, picture
    world.start()
    world.robot.say()
    world.until(lambda: world.says('commands', 'no image has come in on /cam/image_raw/compr'))
    world.move()
    shown = world.policy.observations[-1].image
    assert np.ptp(shown, axis=(0, 2)).max() == 0 and (shown[..., 0] >= 96).all() and np.ptp(shown)


@pytest.mark.parametrize('policy, parameters, expected', [
    (KnownPolicy, {}, {'camera_info', '/tf', '/tf_static'}),
    (KnownPolicy, {'keep_tokens': 0}, set()),
    (KnownPolicy, {'protect': False}, set()),
    (StatePolicy, {'keep_tokens': 0, 'gripper_joint': 'finger'},
     {'joint_states', '/tf', '/tf_static'})])
def test_only_what_is_needed_is_subscribed_to(make_world, policy, parameters, expected):
    world = make_world(policy, parameters)
    assert world.node.start(), world.node.problem
    found = {topic for topic in ('camera_info', 'joint_states', '/tf', '/tf_static')
             if world.node.count_subscribers(topic)}
    assert found == expected


def test_images_without_a_stamp_are_told(world):
    world.robot.say()
    world.until(lambda: world.says('commands', 'the images on /image have no stamp'),
                meanwhile=lambda: world.robot.look(0))


def test_a_gripper_off_the_image_is_a_warning_that_asks_for_the_frame(world):
    """The camera's frame is a body frame, x forward, as a simulator stamps it."""
    robot = world.robot

    def look():
        now_ns = robot.now_ns()
        robot.tf.publish(TFMessage(transforms=[
            transform('base', 'end_effector', (0.6, 0.0, 0.1), now_ns),
            transform('base', 'camera', (0.0, 0.0, 0.0), now_ns)]))
        robot.info.publish(robot.camera_info(now_ns))
        robot.image.publish(robot.picture(now_ns))
    robot.say()
    world.until(lambda: world.says(
        'inference', 'end_effector projects to pixel (391.5, 23.5), off the image of 64 x 48'),
        meanwhile=look)
    assert "is 'camera' an optical frame" in robot.said('inference')[1]
    assert robot.said('inference')[0] == b'\x01'


def config(**changes):
    """Return the parameters that say what is subscribed to, of a node that prunes nothing."""
    return NodeConfig(gripper_joint='grip', **changes)


def send_joints(publisher, first_ms, last_ms):
    """Publish an arm at 1 kHz and its gripper, which stands at its time, at 10 Hz."""
    for millisecond in range(first_ms, last_ms):
        stamp = time_message(START + millisecond * 10**6)
        message = JointState(name=['arm'], position=[9.0])
        message.header.stamp = stamp
        publisher.publish(message)
        if millisecond % 100 == 0:
            message = JointState(name=['grip'], position=[millisecond / 1000])
            message.header.stamp = stamp
            publisher.publish(message)


def test_joint_states_that_came_in_while_nobody_looked_are_all_there(node):
    """No executor runs: it may be busy for as long as it likes."""
    publisher = node.create_publisher(JointState, 'joint_states', QoSProfile(depth=2000))
    inputs = Inputs(node, config(), ['grip'])
    inputs.setup(SimpleNamespace(on_topic_problem=None))
    wait_for(lambda: publisher.get_subscription_count())
    send_joints(publisher, 0, 1500)
    wait_for(lambda: _heard(inputs, START + 1400 * 10**6) == (1.4, 0))
    for millisecond in range(0, 1500, 33):
        position, off_s = inputs.joints.nearest('grip', START + millisecond * 10**6)
        assert off_s <= 0.1 and position == pytest.approx(round(position, 1))

    def forgets_what_is_queued():  # nobody acknowledges: some may come in afterwards
        send_joints(publisher, 1500, 1600)
        time.sleep(0.2)
        inputs.forget_moving()
        return _heard(inputs, START) is None
    wait_for(forgets_what_is_queued)
    inputs.teardown()


def test_joint_states_at_1_khz_are_read_bit_by_bit_and_do_not_pile_up(node):
    publisher = node.create_publisher(JointState, 'joint_states', QoSProfile(depth=2000))
    states = JointStates(node, ['arm'])
    states.setup()
    wait_for(lambda: publisher.get_subscription_count())
    send_joints(publisher, 0, 600)
    looks_ms = [0]

    def newest_ms():
        try:
            looks_ms.append((states.history.newest('arm')[0] - START) // 10**6)
        except ObservationError:  # none has arrived
            return 0
        return looks_ms[-1]
    wait_for(lambda: newest_ms() == 599)
    assert len(looks_ms) >= 4 and max(np.diff(looks_ms)) <= MOST_AT_ONCE
    send_joints(publisher, 600, 700)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end = time.monotonic() + 30
    while states._history.newest('arm')[0] < START + 699 * 10**6:  # nobody looks
        assert time.monotonic() < end
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    states.teardown()


@pytest.mark.parametrize('lockstep', [False, True])
def test_a_picture_of_another_publisher_is_not_taken_where_time_goes_on_without_it(
        node, lockstep):
    taken = []
    inputs = Inputs(node, config(lockstep=lockstep))
    inputs.setup(SimpleNamespace(on_topic_problem=None, on_frame=taken.append))
    for nanosecond, number in enumerate((50, 51, 2, 52)):
        message = Image(data=[nanosecond])
        message.header.stamp.nanosec = nanosecond
        inputs.main._image_heard(message, {'publication_sequence_number': number})
    inputs.teardown()
    assert [frame.stamp_ns for frame in taken] == ([0, 1, 2, 3] if lockstep else [0, 1, 3])


def _heard(inputs, stamp_ns):
    try:
        return inputs.joints.nearest('grip', stamp_ns)
    except ValueError:
        return None


def wait_for(condition, timeout_s=30.0):
    """Wait for what no executor of this process has to do."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f'waited {timeout_s} s in vain'
        time.sleep(0.005)


def test_the_observers_defaults_are_those_of_the_parameters():
    parameters = {item.name: item.default for item in fields(NodeConfig)}
    for item in fields(ObserverOptions):
        if item.name not in ('needs_localization', 'tf_timeout'):
            assert item.default == parameters[item.name], item.name


@pytest.mark.parametrize('blind, text', [
    ('frozen', 'the images on /image do not change'), ('black', 'shows almost nothing'),
    ('noise', 'is noise'), ('mono', "of 'mono8' now and was 64 x 48 of 'rgb8' before")])
def test_a_camera_that_goes_blind_stops_the_arm_until_it_sees_again(world, blind, text):
    robot = world.robot
    world.move()
    sees, last, noise = robot.picture, robot.picture(0), np.random.default_rng(0)

    def picture(stamp_ns):
        message = sees(stamp_ns)
        if blind == 'frozen':
            message.data = last.data
        elif blind == 'mono':
            message.encoding, message.step, message.data = 'mono8', 64, message.data[::3]
        else:
            message.data.frombytes(noise.bytes(9216) if blind == 'noise' else bytes(9216))
            del message.data[:9216]
        return message
    robot.picture = picture
    world.until(lambda: world.says('commands', text), meanwhile=robot.look)
    assert robot.said('commands')[0] == b'\x02'
    world.stays_still(meanwhile=robot.look)
    robot.picture = sees
    world.until(world.is_moving, meanwhile=robot.look)
