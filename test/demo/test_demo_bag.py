# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla record-demo`, and the bag that it made for the tests."""
from types import SimpleNamespace

from libero_bag import FIRST_NS, INSTRUCTION, LIBERO_BAG, PERIOD_NS
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from sim_doubles import PointEnv
from sqap_vla_ros import cli
from sqap_vla_ros.demo.bag import BagOptions, GAP_STEPS, TAIL_STEPS, write_episodes
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.geometry.transform_buffer import TransformBuffer
from sqap_vla_ros.ingest.images import to_rgb
from sqap_vla_ros.recordings import bag_writer

TOPICS = {
    '/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/delta_twist_cmds': 'geometry_msgs/msg/TwistStamped',
    '/gripper_command': 'std_msgs/msg/Float64',
    '/image/compressed': 'sensor_msgs/msg/CompressedImage',
    '/instruction': 'std_msgs/msg/String', '/joint_states': 'sensor_msgs/msg/JointState',
    '/robot_description': 'std_msgs/msg/String', '/tf': 'tf2_msgs/msg/TFMessage',
    '/tf_static': 'tf2_msgs/msg/TFMessage'}
LATCHED = {'/instruction', '/robot_description', '/tf_static'}
SPEED = 0.2


class Scene(PointEnv):
    """A PointEnv with the names that a LiberoEnv has beside a simulator node's needs."""

    instructions = ('go to the right', 'go there again')

    def __init__(self, size=(24, 32)):
        super().__init__(SimpleNamespace(image_height=size[0], image_width=size[1]))
        self.image_size = size


def to_the_right(env, instruction):
    """Yield commands that fulfil the task; the gripper closes behind the fourth."""
    for number in range(10 ** 6):
        yield np.array([SPEED, 0, 0, 0, 0, 0.1]), float(number < 4)


def read(path):
    """Return {topic: [(time, message)]} of a bag, and its connections by topic."""
    with AnyReader([path]) as reader:
        messages = {}
        for connection, time_ns, data in reader.messages():
            messages.setdefault(connection.topic, []).append(
                (time_ns, reader.deserialize(data, connection.msgtype)))
        return messages, {connection.topic: connection for connection in reader.connections}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Return (messages by topic, connections, what was executed, the result) of two episodes."""
    env, path = Scene(), tmp_path_factory.mktemp('bags') / 'made'
    result = write_episodes(
        env, BagOptions(path, episodes=2, image_every=2, images='png'), to_the_right)
    return *read(path), env, result


def test_all_topics_of_the_simulator_and_the_commands_are_there(bag):
    _, connections, _, result = bag
    assert {name: item.msgtype for name, item in connections.items()} == TOPICS
    for name, item in connections.items():
        offer, = item.ext.offered_qos_profiles
        assert offer.reliability == QosReliability.RELIABLE
        assert (offer.durability == QosDurability.TRANSIENT_LOCAL) == (name in LATCHED)
    assert result.successes == result.episodes == 2
    assert result.messages == sum(len(each) for each in bag[0].values())


def test_commands_are_those_that_were_executed_in_si_units(bag):
    messages, _, env, _ = bag
    twists = [message.twist for _, message in messages['/delta_twist_cmds']]
    assert len(twists) == len(env.executed)
    assert twists[0].linear.x == SPEED and twists[0].angular.z == 0.1
    openings = [message.data for _, message in messages['/gripper_command']]
    assert openings == [opening for _, opening in env.executed]
    assert openings[:5] == [1, 1, 1, 1, 0]


def test_an_image_comes_behind_what_localizes_it_and_before_the_command(bag):
    messages = bag[0]
    images, infos = messages['/image/compressed'], messages['/camera_info']
    assert len(images) == len(infos) > 4
    for (time_ns, image), (info_ns, info) in zip(images, infos):
        stamp = image.header.stamp
        assert info.header == image.header
        assert info.header.frame_id == 'agentview_optical_frame'
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        tf_ns, = [at for at, _ in messages['/tf'] if 0 <= at - stamp_ns < PERIOD_NS]
        twist_ns = min(at for at, _ in messages['/delta_twist_cmds'] if at > stamp_ns)
        assert stamp_ns < tf_ns < info_ns < time_ns < twist_ns < stamp_ns + PERIOD_NS
    stamps = [message.header.stamp for _, message in images]
    assert stamps[1].nanosec - stamps[0].nanosec == 2 * PERIOD_NS


def test_pixels_are_those_of_the_scene(bag):
    (_, first), = bag[0]['/image/compressed'][:1]
    scene = Scene()
    scene.reset(0, '')
    np.testing.assert_array_equal(to_rgb(first), scene.render())


def test_episodes_follow_each_other_with_a_gap_and_end_behind_the_success(bag):
    messages, _, env, result = bag
    times = np.array([at for at, _ in messages['/tf']])
    gaps = np.diff(times)
    assert gaps.max() == (GAP_STEPS + 1) * PERIOD_NS and np.median(gaps) == PERIOD_NS
    asked = [message.data for _, message in messages['/instruction']]
    assert asked == list(Scene.instructions)
    assert len(messages['/robot_description']) == 1 and len(messages['/tf_static']) == 2
    first = int(np.argmax(gaps)) + 1
    steps = np.cumsum([twist[0] * env.dt for twist, _ in env.executed[:first]])
    scene = Scene()
    scene.reset(0, '')
    needed = int(np.argmax(scene.position[0] + steps >= 0.1)) + 1
    assert first == needed + TAIL_STEPS
    assert result.seconds == pytest.approx((len(times) + GAP_STEPS - 1) * 0.05)


def test_a_failure_is_recorded_too_and_counted(tmp_path):
    result = write_episodes(
        Scene(), BagOptions(tmp_path / 'made', max_steps=3, storage='sqlite3', images='raw'),
        to_the_right)
    assert (result.successes, result.episodes) == (0, 1)
    messages, _ = read(tmp_path / 'made')
    assert len(messages['/image']) == len(messages['/tf']) == 3
    scene = Scene()
    scene.reset(0, '')
    raw = messages['/image'][0][1]
    np.testing.assert_array_equal(raw.data.reshape(24, 32, 3), scene.render())


def test_what_breaks_off_leaves_nothing(tmp_path):
    def broken(env, instruction):
        yield np.zeros(6), 1.0
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        write_episodes(Scene(), BagOptions(tmp_path / 'made'), broken)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(bag_writer.BagWriter, 'write', full)
    with pytest.raises(ConfigError, match='No space left.*nothing of .*made was kept'):
        write_episodes(Scene(), BagOptions(tmp_path / 'made'), to_the_right)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('arguments, words', [
    (['--out', '.'], 'exists already'), (['--out', 'none/bag'], 'does not exist'),
    (['--out', 'bag', '--episodes', '0'], '--episodes is 0, expected 1 to 1000'),
    (['--out', 'bag', '--image-every', '0'], '--image-every is 0, expected 1 to 100'),
    (['--out', 'bag', '--checkpoint', 'libero_gaol'], "did you mean 'libero_goal'")])
def test_what_makes_no_sense_is_told_before_anything_is_loaded(arguments, words, tmp_path,
                                                               monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['record-demo', *arguments]) == 1
    told = capsys.readouterr().err
    assert words in told and told.count('\n') == 1


def test_the_bag_of_the_tests_is_an_episode_that_an_observer_can_look_at():
    messages, connections = read(LIBERO_BAG)
    assert {name: item.msgtype for name, item in connections.items()} == TOPICS
    assert [message.data for _, message in messages['/instruction']] == [INSTRUCTION]
    images = messages['/image/compressed']
    assert len(images) == len(messages['/camera_info']) == len(messages['/delta_twist_cmds'])
    stamps = [item.header.stamp.sec * 10**9 + item.header.stamp.nanosec for _, item in images]
    assert stamps == [FIRST_NS + number * PERIOD_NS for number in range(len(images))]
    assert to_rgb(images[0][1]).shape == (256, 256, 3)
    buffer = TransformBuffer()
    for topic in ('/tf_static', '/tf'):
        for _, message in messages[topic]:
            for item in message.transforms:
                t, q = item.transform.translation, item.transform.rotation
                buffer.insert_numbers(
                    item.header.frame_id, item.child_frame_id, FIRST_NS,
                    (t.x, t.y, t.z, q.x, q.y, q.z, q.w), static=topic == '/tf_static')
            break
    in_camera = buffer.lookup('agentview_optical_frame', 'end_effector', FIRST_NS).translation
    k = messages['/camera_info'][0][1].k.reshape(3, 3)
    u, v, depth = k @ in_camera
    assert depth > 0.3 and 0 < u / depth < 256 and 0 < v / depth < 256
    assert LIBERO_BAG.joinpath('libero_bag.mcap').stat().st_size < 3e6
