# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A data set as the robot that it was: units, names, frames, and what cannot be known."""
from __future__ import annotations

from pathlib import Path
import re
from types import SimpleNamespace as Fields

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.recording import Episode, Message, Topic
from sqap_vla_ros.replay.dataset_robot import as_robot
from sqap_vla_ros.replay.recorded_commands import CommandSettings, recorded_commands
from sqap_vla_ros.replay.topics import topic_map

ROBOT = CommandSettings('base_link', ('tool0',), (), 'finger', 0.08, 0.0)
SECOND = 10**9
JOINTS = ('shoulder.pos', 'elbow.pos', 'gripper.pos')


class DataSet:
    """A data set of given rows, one a second in one episode."""

    name, form, fps, slices = 'set', 'LeRobot v2.1, parquet', 1.0, {}

    def __init__(self, columns, rows, **slices):
        """Take {feature: names of columns} and {feature: rows}."""
        self.columns, self._rows, self.losses, self.slices = columns, rows, [], slices
        count = len(next(iter(rows.values())))
        self.episodes = (Episode('0', SECOND, count * SECOND),)
        self.topics = tuple(Topic(name, 'std_msgs/msg/Float64MultiArray', count) for name in rows)
        self.topics += (Topic('front', 'sensor_msgs/msg/Image', count),)

    def messages(self, topics, start_ns=None, end_ns=None):
        """Yield the rows of topics."""
        for at in range(len(next(iter(self._rows.values())))):
            for name in self._rows:
                time_ns = (at + 1) * SECOND
                if name in topics and (start_ns or 0) <= time_ns <= (end_ns or 1e18):
                    yield Message(time_ns, name, 'std_msgs/msg/Float64MultiArray', None,
                                  lambda row=self._rows[name][at]: Fields(data=np.array(row)))

    def close(self):
        """Close nothing."""


def described(tmp_path, text, rows, settings=ROBOT, names=JOINTS, **slices):
    """Return (recording, commands, notes) of a data set with a file of --dataset."""
    path = tmp_path / 'set.yaml'
    path.write_text(text)
    recording, notes = as_robot(DataSet(dict.fromkeys(rows, names), rows, **slices), path,
                                settings)
    commands, more = recorded_commands(recording, topic_map(recording.topics, localized=False),
                                       settings)
    return recording, commands, [*notes, *more]


def heard(recording, topic):
    """Return the messages of a topic."""
    return [message.read() for message in recording.messages({topic})]


def test_joints_in_degrees_and_a_gripper_in_percent(tmp_path):
    text = """
action: &arm
  kind: joint_position
  names: [shoulder, elbow, gripper]
  scale: {shoulder: 0.0174533, elbow: 0.0174533}
  gripper_open: 100
  gripper_closed: 0
state: *arm
"""
    rows = {'observation.state': [[90, -90, 25]] * 2, 'action': [[180, 0, 100]] * 2}
    recording, commands, notes = described(tmp_path, text, rows)
    arm, gripper = commands
    assert (arm.kind, arm.names) == ('joints', ('shoulder', 'elbow')) and notes == []
    assert np.allclose(arm.values, [[np.pi, 0]] * 2, atol=1e-4)
    assert gripper.values.tolist() == [[1.0], [1.0]]
    assert arm.times_ns.tolist() == [SECOND, 2 * SECOND]
    joints = heard(recording, '/joint_states')[0]
    assert joints.name == ['shoulder', 'elbow', 'finger']
    assert np.allclose(joints.position, [np.pi / 2, -np.pi / 2, 0.02], atol=1e-4)
    assert joints.header.stamp.sec == 1
    assert {topic.name for topic in recording.topics} == {
        'front', '/joint_states', '/joint_trajectory', '/gripper_command'}
    order = [each.topic for each in recording.messages({'/joint_states', '/joint_trajectory'})]
    assert order == ['/joint_states', '/joint_trajectory'] * 2
    assert len(list(recording.messages({'/joint_states'}, start_ns=2 * SECOND))) == 1


def test_deltas_become_the_twists_that_a_node_would_publish(tmp_path):
    names = tuple('abcdefg')
    text = """
action: {kind: delta, names: [dx, dy, dz, rx, ry, rz, gripper], frame: end_effector,
         rotation: rotvec, gripper_open: 0, gripper_closed: 1}
"""
    settings = CommandSettings('base_link', ('tool0',), (), 'finger', 0.08, 0.0, (0.4, 0.8))
    rows = {'action': [[0.1, 0, 0, 0, 0, 0.2, 1]]}
    recording, commands, _ = described(tmp_path, text, rows, settings, names)
    twist, gripper = commands
    assert (twist.kind, twist.frame) == ('twist', 'end_effector')
    assert np.allclose(twist.values, [[0.1, 0, 0, 0, 0, 0.2]])  # m/s: a row a second
    published = heard(recording, '/delta_twist_cmds')[0]
    assert published.twist.linear.x == pytest.approx(0.25)  # unitless, as Servo takes it
    assert gripper.values.tolist() == [[0.0]]


@pytest.mark.parametrize('rotation', ['rotvec', 'rpy'])
def test_poses_of_state_and_action(tmp_path, rotation):
    names = tuple('abcdef')
    text = f"""
action: &pose {{kind: pose, names: [x, y, z, rx, ry, rz], rotation: {rotation},
                scale: {{x: 0.001}}}}
state: *pose
"""
    angles = [0.3, -0.2, 0.5]
    rows = {'state': [[400, 0.1, 0.2, *angles]], 'action': [[500, 0.1, 0.2, *angles]]}
    recording, (pose,), _ = described(tmp_path, text, rows, names=names)
    turn = (Rotation.from_rotvec(angles) if rotation == 'rotvec'
            else Rotation.from_euler('xyz', angles)).as_quat()
    assert (pose.kind, pose.frame) == ('pose', 'base')
    assert np.allclose(pose.values, [[0.5, 0.1, 0.2, *turn]])
    transform = heard(recording, '/tf')[0].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ('base_link', 'tool0')
    assert transform.transform.translation.x == pytest.approx(0.4)
    found = transform.transform.rotation
    assert np.allclose([found.x, found.y, found.z, found.w], turn)
    assert '/joint_states' not in {topic.name for topic in recording.topics}


def test_a_pose_with_a_quaternion_in_any_order(tmp_path):
    names = tuple('abcdefgh')
    text = """
state: {kind: pose, names: [qw, qx, qy, qz, x, y, z, gripper], gripper_open: 1,
        gripper_closed: 0}
"""
    rows = {'state': [[np.cos(0.2), 0, 0, np.sin(0.2), 0.4, 0.1, 0.2, 0.5], [0] * 8]}
    recording, _, _ = described(tmp_path, text, rows, names=names)
    messages = list(recording.messages({'/tf'}))
    turn = messages[0].read().transforms[0].transform
    assert np.allclose([turn.rotation.z, turn.rotation.w], [np.sin(0.2), np.cos(0.2)])
    assert turn.translation.z == pytest.approx(0.2)
    assert heard(DataSetHead(recording), '/joint_states')[0].position.tolist() == [0.04]
    with pytest.raises(ValueError, match='a quaternion of length 0'):
        messages[1].read()


class DataSetHead:
    """The first message of each topic of a recording."""

    def __init__(self, recording):
        """Take a recording."""
        self._recording = recording

    def messages(self, topics):
        """Yield the first message."""
        yield next(self._recording.messages(topics))


def test_columns_by_name_by_number_and_by_part_of_the_robot(tmp_path):
    names = tuple(f'motor_{at}' for at in range(6))
    rows = {'action': [[0, 1, 2, 3, 4, 5]]}
    for columns, expected in (('[4, motor_1]', [4, 1]), ('right_arm', [2, 3]),
                              ('[left_arm, 5]', [0, 1, 5])):
        text = f'action: {{kind: joint_position, columns: {columns}}}'
        _, (arm,), _ = described(tmp_path, text, rows, names=names, action={
            'left_arm': (0, 2), 'right_arm': (2, 4)})
        assert arm.values.tolist() == [expected]
        assert arm.names == tuple(f'motor_{at}' for at in expected)


def test_static_transforms_are_latched_at_the_beginning(tmp_path):
    text = """
static_transforms: [{parent: base_link, child: camera, xyz: [1, 0, 0.5],
                     quaternion: [0, 0, 1, 0]}]
"""
    recording, _, _ = described(tmp_path, text, {'action': [[1, 2, 3]]})
    topic = next(topic for topic in recording.topics if topic.name == '/tf_static')
    assert topic.latched and topic.count == 1
    first = next(iter(recording.messages({'/tf_static', 'action'})))
    assert first.topic == '/tf_static' and first.time_ns == SECOND
    transform = first.read().transforms[0]
    assert transform.child_frame_id == 'camera' and transform.transform.rotation.z == 1.0
    assert list(recording.messages({'/tf_static'}, start_ns=SECOND + 1)) == []


@pytest.mark.parametrize('text, what', [
    ('acton: {}', "unknown keys .*'acton'"), ('[1]', 'found list'), ('a: [', 'is no YAML'),
    ('action: {kind: joint_position, columns: [elbo]}', "'elbo' .did you mean"),
    ('action: {kind: joint_position, columns: [7]}', 'columns has 7.*expected 0..2'),
    ('action: {kind: joint_position, columns: [1, 1]}', 'expected each once'),
    ('action: {kind: joint_position, names: [a]}', r'1 names \(a\) for 3 columns'),
    ('action: {kind: jont}', "kind is 'jont'"), ('action: 3', 'found 3, expected what an'),
    ('action: {kind: delta, names: [dx]}', 'rotation is missing'),
    ('action: {kind: pose, names: [x, qw]}', 'expected each of x, y, z, qx'),
    ('action: bridge', '7 names .* for 3 columns'),
    ('action: {feature: actoin}', "has no feature 'actoin' .did you mean 'action'"),
    ('state: {kind: joint_position}', "has no feature 'observation.state'"),
    ('static_transforms: [{parent: a}]', "static_transforms: KeyError.'child'"),
    ('static_transforms: [{parent: a, child: b, quaternion: [1, 1, 0, 0]}]', 'of length 1')])
def test_files_that_do_not_fit(tmp_path, text, what):
    with pytest.raises(ConfigError, match=what):
        described(tmp_path, text, {'action': [[1, 2, 3]]})


def test_a_state_says_where_the_arm_is(tmp_path):
    with pytest.raises(ConfigError, match="state: kind 'joint_delta' in 'base', expected pose"):
        described(tmp_path, 'state: {kind: joint_delta}', {'state': [[1, 2, 3]]})


def guessed(space, rows, names=JOINTS):
    """Return (recording, notes) of a data set without a file, with a checkpoint's space."""
    return as_robot(DataSet(dict.fromkeys(rows, names), rows), '', ROBOT, space)


def test_the_checkpoint_stands_in_for_a_file():
    space = ActionSpace('joint_position', ('elbow', 'shoulder', 'gripper'), 0.05,
                        gripper_open=100.0, scale=(0.1, 0.1, 1.0))
    rows = {'observation.state': [[1, 2, 3]], 'action': [[4, 5, 6]]}
    recording, notes = guessed(space, rows)
    point = heard(recording, '/joint_trajectory')[0].points[0]
    assert np.allclose(point.positions, [0.5, 0.4]) and point.time_from_start.sec == 1
    assert np.allclose(heard(recording, '/joint_states')[0].position[:2], [0.2, 0.1])
    assert len(notes) == 1 and "as the checkpoint's action_space says" in notes[0]


def test_a_state_of_other_columns_is_not_read_as_the_action():
    names = {'observation.state': ('x', 'y', 'z'), 'action': JOINTS}
    rows = dict.fromkeys(names, [[1, 2, 3]])
    space = ActionSpace('joint_position', ('elbow', 'shoulder', 'gripper'), 0.05)
    recording, notes = as_robot(DataSet(names, rows), '', ROBOT, space)
    assert '/joint_states' not in {topic.name for topic in recording.topics}
    assert notes[1].startswith('observation.state (x, y, z) is not used')


def test_columns_go_by_their_names_where_they_are_the_checkpoints():
    space = ActionSpace('joint_position', ('elbow', 'shoulder'), 0.05)
    recording, _ = guessed(space, {'action': [[1, 2]]}, ('shoulder.pos', 'elbow.pos'))
    message = heard(recording, '/joint_trajectory')[0]
    assert dict(zip(message.joint_names, message.points[0].positions)) == {
        'shoulder': 1, 'elbow': 2}


@pytest.mark.parametrize('space', [
    ActionSpace(), ActionSpace('joint_position', ('a', 'b')), None])
def test_what_cannot_be_known_is_not_compared_and_told(space):
    names = tuple(f'joint_{at}' for at in range(7))
    rows = {'observation.state': [range(7)], 'action': [range(7)]}
    recording, notes = guessed(space, rows, names)
    assert [topic.name for topic in recording.topics] == ['front']
    assert 'action (7 columns: joint_0, ' in notes[0] and 'is not compared' in notes[0]
    assert 'observation.state (joint_0' in notes[1] and '--dataset FILE.yaml' in notes[1]


SO101 = tuple(f'{name}.pos' for name in (
    'shoulder_pan', 'shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll', 'gripper'))
DOCUMENTED = [
    ({'observation.state': SO101, 'action': SO101},
     {'/joint_states', '/joint_trajectory', '/gripper_command'}),
    ({'state': tuple('01234567'), 'actions': tuple('0123456')},
     {'/joint_states', '/tf', '/delta_twist_cmds', '/gripper_command'}),
    ({'state': tuple('01234567')}, {'/joint_states', '/tf', '/tf_static'})]


@pytest.mark.parametrize('number', range(len(DOCUMENTED)))
def test_the_documented_files(tmp_path, number):
    page = Path(__file__).parents[2] / 'docs/data_sets.md'
    texts = re.findall('```yaml\n(.*?)```', page.read_text(), re.DOTALL)
    assert len(texts) == len(DOCUMENTED)
    (tmp_path / 'set.yaml').write_text(texts[number])
    columns, topics = DOCUMENTED[number]
    rows = {name: [np.full(len(names), 0.5)] for name, names in columns.items()}
    recording, _ = as_robot(DataSet(columns, rows), tmp_path / 'set.yaml', ROBOT)
    assert {topic.name for topic in recording.topics} == {'front', *topics}
    assert all(message.read() for message in recording.messages(topics))


def test_a_bag_is_left_as_it_is():
    bag = Fields(name='bag', form='rosbag2, mcap')
    assert as_robot(bag, '', ROBOT) == (bag, [])
    with pytest.raises(ConfigError, match='of a LeRobot data set are, but bag is a rosbag2'):
        as_robot(bag, 'set.yaml', ROBOT)
