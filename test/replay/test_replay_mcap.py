# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""replay.mcap: recorded and predicted side by side, on types that other programs know."""
from contextlib import closing
from dataclasses import replace

import cv2
from full_disk import full_disk  # noqa: F401
from libero_bag import LIBERO_BAG
from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.export.side_by_side import MCAP, write_mcap
from sqap_vla_ros.replay.play_options import PlayOptions
from sqap_vla_ros.replay.played import play
from sqap_vla_ros.replay.results import Commands
from sqap_vla_ros.replay.topics import topic_map

COUNT, BLIND, SHOWN = 60, 5, 10
TOPICS = {'tf': '/tf', 'tf_static': '/tf_static', 'joint_states': '/joint_states',
          'instruction': '/instruction', 'image': '/image/compressed',
          'twist': '/delta_twist_cmds', 'camera_info': '/none'}
RED = np.full((96, 96, 3), (200, 10, 10), np.uint8)


def pictures(rows):
    """Yield red pictures of the first images, but none of one of them."""
    yield from ({} if row == 7 or row >= SHOWN else {'': RED} for row in rows)


def read(path) -> dict:
    """Return {topic: [(time, message, bytes)]} of a file, in its order."""
    found = {}
    with closing(open_recording(path)) as recording:
        for message in recording.messages([topic.name for topic in recording.topics]):
            found.setdefault(message.topic, []).append(
                (message.time_ns, message.read(), bytes(message.data)))
        assert not recording.losses
    return found


@pytest.fixture(scope='module')
def results():
    """Return results as of the bag, whose images are at the same times."""
    made = made_results(COUNT, controls=('none', 'blank-image'))
    return replace(made, facts={**made.facts, 'topics': TOPICS})


@pytest.fixture(scope='module')
def played(results):
    """Return what a row would have had the arm told."""
    return play(results.images, results.answers[2], ActionSpace(execute_steps=4),
                PlayOptions(latency_s=0.03))


@pytest.fixture(scope='module')
def beside(results, played, tmp_path_factory):
    """Return the path of a file with what was recorded passed on."""
    out = tmp_path_factory.mktemp('mcap')
    with closing(open_recording(LIBERO_BAG)) as recording:
        assert write_mcap(results, out, [played], pictures, recording) == MCAP
    assert [path.name for path in out.iterdir()] == [MCAP]
    return out / MCAP


@pytest.fixture(scope='module')
def found(beside):
    """Return its messages."""
    return read(beside)


def test_what_was_recorded_is_passed_on_as_it_is_with_commands_where_no_arm_listens(
        results, found):
    last_ns = results.images.times_ns[-1] + 10**9
    recorded = read(LIBERO_BAG)
    for topic, name in (('/delta_twist_cmds', '/recorded/delta_twist_cmds'), ('/tf', '/tf'),
                        ('/joint_states', '/joint_states'),
                        ('/gripper_command', '/recorded/gripper_command'),
                        ('/instruction', '/recorded/instruction')):
        expected = [(time_ns, data) for time_ns, _, data in recorded[topic] if time_ns <= last_ns]
        assert [(time_ns, data) for time_ns, _, data in found[name]] == expected != []
    assert '/image/compressed' not in found and '/camera_info' not in found
    assert len(found['/tf_static']) == len(recorded['/tf_static'])
    outside = {topic for topic in found if not topic.startswith(('/recorded/', '/replay/'))}
    assert outside == {'/tf', '/tf_static', '/joint_states'}


def test_what_is_latched_stays_so(beside):
    with closing(open_recording(beside)) as recording:
        topics = {topic.name: topic for topic in recording.topics}
    assert topics['/tf_static'].latched and not topics['/tf'].latched
    assert topics['/recorded/instruction'].latched


def test_the_file_is_replayed_against_its_recorded_commands_not_what_was_predicted(beside):
    with closing(open_recording(beside)) as recording:
        topics = topic_map(recording.topics, {})
        predicted = [topic for topic in recording.topics if not topic.name.startswith('/recorded')]
    commands = {role: topic.name for role, topic in topics.commands.items()}
    assert commands == {'twist': '/recorded/delta_twist_cmds',
                        'gripper': '/recorded/gripper_command'}
    assert topics.instruction == '/recorded/instruction'
    assert not topic_map(predicted, {}).commands


def test_pictures_are_in_the_frame_of_the_camera(found):
    for topic in ('/replay/image/compressed', '/replay/sqap_154/overlay/compressed'):
        assert {message.header.frame_id for _, message, _ in found[topic]} == {
            'agentview_optical_frame'}


def test_what_is_latched_from_long_before_is_there_when_it_begins(results, tmp_path):
    late = replace(results.images, times_ns=results.images.times_ns + 2 * 10**9)
    with closing(open_recording(LIBERO_BAG)) as recording:
        write_mcap(replace(results, images=late, answers=(), commands=()), tmp_path,
                   recording=recording)
    found, begin_ns = read(tmp_path / MCAP), late.times_ns[0] - 10**9
    assert [time_ns for time_ns, *_ in found['/tf_static']] == [begin_ns]
    assert found['/tf'][0][0] >= begin_ns, 'what moves is not kept from before'


def test_commanded_joints_are_told_apart_from_poses(results, played, tmp_path):
    names = tuple(f'j{index}' for index in range(7))
    joints = replace(played, positions=np.tile(np.arange(7.0), (len(played.times_ns), 1)),
                     position_names=names)
    write_mcap(replace(results, commands=()), tmp_path, [joints])
    found = read(tmp_path / MCAP)
    message = found['/replay/sqap_154/joint_commands'][0][1]
    assert message.name == list(names) and list(message.position) == list(range(7))
    assert '/replay/sqap_154/target_pose' not in found


def test_predictions_lie_beside_it_at_the_times_of_their_images(results, found):
    answers = results.answers[2]
    there = np.flatnonzero(np.arange(COUNT) != BLIND)
    twists = found['/replay/sqap_154/predicted_twist']
    assert [time_ns for time_ns, *_ in twists] == results.images.times_ns[there].tolist()
    np.testing.assert_array_equal([message.twist.linear.y for _, message, _ in twists],
                                  answers.velocities[there, 0, 1])
    first = twists[1][1]
    assert first.header.frame_id == 'base'
    assert first.header.stamp.sec * 10**9 + first.header.stamp.nanosec == (
        results.images.stamps_ns[1])
    poses = found['/replay/sqap_154/predicted_poses'][3][1].poses
    assert len(poses) == answers.positions.shape[1]
    assert poses[-1].position.x == answers.positions[3, -1, 0]
    assert found['/replay/sqap_154/latency_ms'][0][1].data == answers.latency_ms['total'][0]
    assert found['/replay/fp_blank_image/error_linear_m_s'][0][1].data > 0.05


def test_commands_are_those_that_a_node_would_say(played, found):
    twists = found['/replay/sqap_154/delta_twist_cmds']
    assert [time_ns for time_ns, *_ in twists] == played.times_ns.tolist()
    np.testing.assert_array_equal([message.twist.linear.x for _, message, _ in twists],
                                  played.velocities[:, 0])
    opening = played.gripper[np.isfinite(played.gripper)]
    assert found['/replay/sqap_154/gripper_command'][0][1].data == opening[0]
    assert '/replay/fp/delta_twist_cmds' not in found


def test_tokens_and_pictures_say_what_was_kept(results, found):
    answers = results.answers[2]
    message = found['/replay/sqap_154/token_selection'][4][1]
    np.testing.assert_array_equal(message.kept, np.flatnonzero(answers.kept[4]))
    np.testing.assert_array_equal(message.reason, answers.reasons[4][answers.kept[4]])
    u, v, radius = results.images.pixels[4]['end_effector']
    assert (message.rows, message.cols, message.image_width) == (16, 16, 224)
    assert message.frames == ['end_effector'] and message.protected_u[0] == np.float32(u)
    assert '/replay/fp/token_selection' not in found
    shown = found['/replay/image/compressed']
    assert len(shown) == SHOWN - 1 and shown[0][1].format == 'jpeg'
    pixels = cv2.imdecode(np.asarray(shown[0][1].data), cv2.IMREAD_COLOR)[..., ::-1]
    assert pixels.shape == RED.shape and np.abs(pixels.astype(int) - RED).max() < 8
    overlays = {topic for topic in found if 'overlay' in topic}
    assert overlays == {'/replay/sqap_154/overlay/compressed'}
    assert len(found['/replay/sqap_154/overlay/compressed']) == SHOWN - 2


def test_our_own_message_has_its_definition_in_the_file(beside):
    with closing(open_recording(beside)) as recording:
        store = recording.type_store('/replay/sqap_154/token_selection')
    names = [name for name, _ in store.fielddefs['sqap_vla_ros/msg/TokenSelection'][1]]
    assert names[:3] == ['header', 'image_width', 'image_height'] and 'reason' in names


def test_a_data_set_has_what_was_commanded_made_again(results, tmp_path):
    joints = Commands('action', 'joints', ('j1', 'j2'), 'base', results.images.times_ns,
                      np.arange(2.0 * COUNT).reshape(COUNT, 2))
    write_mcap(replace(results, commands=(*results.commands, joints)), tmp_path)
    found = read(tmp_path / MCAP)
    twists = found['/recorded/delta_twist_cmds']
    np.testing.assert_array_equal([message.twist.linear.x for _, message, _ in twists],
                                  results.commands[0].values[:, 0])
    assert found['/recorded/gripper_command'][0][1].data == 1.0
    action = found['/recorded/action'][1][1]
    assert action.name == ['j1', 'j2'] and list(action.position) == [2.0, 3.0]
    assert found['/replay/measured_joints'][0][1].name == ['panda_finger_joint1']
    assert not any('image' in topic.rpartition('/')[2] for topic in found)


def test_answers_in_joints_are_trajectories(results, tmp_path):
    answers = results.answers[0]
    answers = replace(answers, kind='joint_position', names=('j1', 'j2'),
                      velocities=answers.velocities[..., :2], positions=answers.positions[..., :2])
    write_mcap(replace(results, answers=(answers,)), tmp_path)
    found = read(tmp_path / MCAP)
    trajectory = found['/replay/fp/joint_trajectory'][2][1]
    assert trajectory.joint_names == ['j1', 'j2'] and len(trajectory.points) == 8
    np.testing.assert_array_equal(trajectory.points[1].positions, answers.positions[2, 1])
    assert trajectory.points[1].time_from_start.nanosec == 100_000_000
    state = found['/replay/fp/predicted_joints'][2][1]
    np.testing.assert_array_equal(state.velocity, answers.velocities[2, 0])


@pytest.mark.parametrize('room', [0, 60_000])
def test_a_full_disk_leaves_no_half_of_it(results, tmp_path, full_disk, room):  # noqa: F811
    (tmp_path / MCAP).write_text('of before')
    full_disk(room)
    with pytest.raises(ConfigError, match='No space left for .*; answers are kept'):
        write_mcap(results, tmp_path, kept='answers are kept')
    assert [path.name for path in tmp_path.iterdir()] == [MCAP]
    assert (tmp_path / MCAP).read_text() == 'of before'
