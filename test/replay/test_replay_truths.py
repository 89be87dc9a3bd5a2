# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What answers are held against: by time and never later, in their frame and their kind."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from libero_bag import LIBERO_BAG
from made_results import made_results, START_NS
import numpy as np
import pytest
import sqap_vla_ros
from sqap_vla_ros.control.action_space import TWIST_NAMES
from sqap_vla_ros.control.kinematics import Kinematics
from sqap_vla_ros.control.row_positions import pose_of, step_between
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.metrics.held import frame_error, frame_lengths, POSE_COLUMNS
from sqap_vla_ros.replay.metrics.times import row_times_ns
from sqap_vla_ros.replay.metrics.timing import timing
from sqap_vla_ros.replay.metrics.truths import clock_note, explained, gripper_truth, held_against
from sqap_vla_ros.replay.recorded_commands import CommandSettings, recorded_commands
from sqap_vla_ros.replay.results import Commands, Robot
from sqap_vla_ros.replay.topics import topic_map

Rotation = pytest.importorskip('scipy.spatial.transform').Rotation
ALL = slice(None)
URDF = (Path(sqap_vla_ros.__file__).parent / 'sim/panda.urdf').read_text()
JOINTS = tuple(f'panda_joint{number}' for number in range(1, 8))


def numbered(count=100, kind='twist', every_ns=50_000_000, first_ns=START_NS, names=TWIST_NAMES):
    """Return commands whose first column counts them."""
    values = np.zeros((count, len(names)))
    values[:, 0] = np.arange(count)
    if names == POSE_COLUMNS:
        values[:, 6] = 1.0
    return Commands('/numbered', kind, names, 'base',
                    first_ns + every_ns * np.arange(count), values)


def truth_of(results, commands, row=0):
    """Return the first column of the truth of all rows, [N, T]."""
    results = replace(results, commands=(commands,))
    return held_against(results, results.answers[row])[0].truth(ALL)[..., 0]


def turned(results, rotations):
    """Return results whose arm was turned so at each image."""
    poses = results.images.poses.copy()
    poses[:, 3:] = rotations.as_quat()
    return replace(results, images=replace(results.images, poses=poses))


@pytest.mark.parametrize('late_ns, expected', [
    (0, 0), (9_000_000, 0), (25_000_000, 0), (26_000_000, -1), (-20_000_000, 0)])
def test_a_row_has_the_last_command_by_its_middle(late_ns, expected):
    results = made_results(40, 4)
    truth = truth_of(results, numbered(first_ns=START_NS + late_ns))
    at = np.arange(40)[:, None] + np.arange(4) + expected
    np.testing.assert_array_equal(truth[5:], at[5:])


def test_nothing_later_than_a_rows_middle_changes_its_truth():
    results = made_results(40, 4)
    plain = numbered(80, every_ns=31_000_000)
    before = truth_of(results, plain)
    middles = row_times_ns(results.images, 4, 0.05, 0.5)
    for image, row in ((0, 0), (7, 2), (20, 3)):
        values = plain.values.copy()
        values[plain.times_ns > middles[image, row]] = 1e6
        after = truth_of(results, replace(plain, values=values))
        assert after[image, row] == before[image, row] < 1e6


def test_a_velocity_expires_and_a_place_to_go_to_holds():
    results = made_results(40, 4)
    once = [replace(numbered(3, kind, 20_000_000, names=names)) for kind, names in (
        ('twist', TWIST_NAMES), ('pose', POSE_COLUMNS))]
    twist, pose = (truth_of(results, each) for each in once)
    ages = row_times_ns(results.images, 4, 0.05, 0.5) - once[0].times_ns[-1]
    np.testing.assert_array_equal(np.isfinite(twist), ages <= 200_000_000)
    end = results.images.times_ns[-1] + 20_000_000
    np.testing.assert_array_equal(
        np.isfinite(pose), row_times_ns(results.images, 4, 0.05, 0.5) <= end)


def test_episodes_know_nothing_of_one_another():
    results = made_results(40, 4)
    episodes = (np.arange(40) >= 20).astype(np.int32)
    results = replace(results, images=replace(results.images, episodes=episodes))
    truth = truth_of(results, numbered(kind='pose', names=POSE_COLUMNS))
    assert np.nanmax(truth[:20]) == 19  # not the next one's, though time goes on
    assert np.isnan(truth[19, 1:]).all()
    rare = truth_of(results, numbered(kind='pose', every_ns=200_000_000, names=POSE_COLUMNS))
    assert rare[19, 0] == 4 and np.isnan(rare[19, 1:]).all() and rare[20, 0] == 5
    gone = numbered(20, 'pose', names=POSE_COLUMNS)  # the first episode's alone
    assert np.isnan(truth_of(results, gone)[20:]).all()


def test_rows_are_placed_by_arrival_where_the_camera_has_a_simulations_clock():
    results = made_results(40, 4)
    images = results.images
    slow = replace(images, stamps_ns=(images.stamps_ns - START_NS) // 2)  # half of real time
    results = replace(results, images=slow)
    truth = truth_of(results, numbered())
    # a row of 50 ms of its clock takes 100 ms, in which two commands come in
    np.testing.assert_array_equal(truth[10], 10 + 1 + 2 * np.arange(4))
    answers = replace(results.answers[0], dt_s=0.025)
    assert held_against(replace(results, commands=(numbered(),)), answers)[0].truth(
        ALL)[10, :, 0].tolist() == [10, 11, 12, 13]
    assert 'stamps of 40 of 40 images' in clock_note(slow) and not clock_note(images)


def test_what_an_episode_was_shifted_by_is_between_no_clocks():
    results, shift_ns = made_results(40, 4), 6_300_000_000
    images = results.images
    moved = replace(images, times_ns=images.times_ns + shift_ns, shifts_ns=np.full(40, shift_ns))
    later = replace(results, images=moved)
    commands = numbered(first_ns=START_NS + shift_ns)
    np.testing.assert_array_equal(truth_of(later, commands), truth_of(results, numbered()))
    assert not clock_note(moved) and clock_note(replace(moved, shifts_ns=np.zeros(40, int)))
    answers = results.answers[0]
    assert timing(moved, answers) == timing(images, answers)


@pytest.mark.parametrize('recorded, answered', [('base', 'end_effector'),
                                                ('end_effector', 'base')])
def test_twists_are_turned_by_the_measured_pose(recorded, answered):
    rotations = Rotation.from_rotvec(np.linspace(0, 1.5, 40)[:, None] * [0.3, -0.5, 0.8])
    results = turned(made_results(40, 1), rotations)
    rng = np.random.default_rng(0)
    commands = replace(numbered(40), frame=recorded, values=rng.normal(size=(40, 6)))
    answers = replace(results.answers[0], frame=answered)
    held = held_against(replace(results, commands=(commands,)), answers)[0]
    middles = Rotation.from_rotvec(
        (np.linspace(0, 1.5, 40) + 1.5 / 39 / 2)[:-1, None] * [0.3, -0.5, 0.8])
    middles = middles.inv() if recorded == 'base' else middles
    expected = np.concatenate([middles.apply(commands.values[:-1, :3]),
                               middles.apply(commands.values[:-1, 3:])], 1)
    np.testing.assert_allclose(held.truth(ALL)[:-1, 0], expected, atol=1e-9)
    assert held.facts.frame == answered and 'measured pose' in held.facts.rule


def test_poses_are_held_against_where_rows_end_and_turned_by_scipy():
    results = made_results(30, 2)
    answers = results.answers[0]
    said, asked = Rotation.random(60, random_state=1), Rotation.random(30, random_state=2)
    positions = answers.positions.copy()
    positions[..., 3:] = said.as_quat().reshape(30, 2, 4)
    values = np.concatenate([np.random.default_rng(0).normal(size=(30, 3)), -asked.as_quat()], 1)
    commands = replace(numbered(30, 'pose', names=POSE_COLUMNS), values=values)
    held = held_against(replace(results, commands=(commands,)),
                        replace(answers, positions=positions, kind='pose'))[0]
    errors = held.errors(ALL)
    assert held.names == ('x', 'y', 'z', 'rx', 'ry', 'rz')
    assert held.units == ('m', 'm', 'm', 'rad', 'rad', 'rad')
    for image in (0, 9, 29):
        np.testing.assert_allclose(errors[image, 0, :3], positions[image, 0, :3]
                                   - values[image, :3], atol=1e-12)
        difference = said[2 * image] * asked[image].inv()
        np.testing.assert_allclose(errors[image, 0, 3:], difference.as_rotvec(), atol=1e-9)


def test_poses_become_velocities_where_no_place_of_the_arm_was_known():
    results = made_results(30, 2)
    values = numbered(30, 'pose', names=POSE_COLUMNS).values
    values[:, :3] = 0.01 * np.arange(30)[:, None] * [1, 0, -2]
    commands = replace(numbered(30, 'pose', names=POSE_COLUMNS), values=values)
    held = held_against(replace(results, commands=(commands,)),
                        replace(results.answers[0], positions=None))[0]
    np.testing.assert_allclose(held.truth(ALL)[3:28, :, :3], np.broadcast_to(
        [0.2, 0, -0.4], (25, 2, 3)), atol=1e-9)
    assert held.facts.compared_as == 'velocity' and np.isnan(held.truth(ALL)[0, 0, 0])
    assert held.facts.title != commands.source  # no place is ever less a velocity


def joint_answers(results, count, rows, joints=JOINTS, kind='joint_position'):
    """Return answers in joints, and the joints [N, T, 7]."""
    rng = np.random.default_rng(5)
    positions = 0.3 * rng.normal(size=(count, rows, len(joints)))
    positions[..., 3] -= 1.5
    return replace(results.answers[0], kind=kind, names=joints, positions=positions,
                   velocities=0 * positions), positions


def test_joints_are_matched_by_name_in_any_order():
    results = made_results(30, 2)
    answers, said = joint_answers(results, 30, 2)
    names = ('other', *reversed(JOINTS[1:]))
    commands = numbered(30, 'joints', names=names)
    values = np.random.default_rng(1).normal(size=(30, 7))
    held = held_against(replace(results, commands=(replace(commands, values=values),)),
                        answers)[0]
    assert held.names == JOINTS[1:] and '1 of 7 joints are not in it' in held.facts.rule
    np.testing.assert_allclose(held.errors(ALL)[4, 0], said[4, 0, 1:] - values[4, :0:-1])
    unknown = replace(commands, names=tuple('abcdefg'))
    assert 'none of which the policy knows' in explained(
        replace(results, commands=(unknown,)), answers)[1][0]


def test_joints_become_poses_by_the_recorded_description():
    pinocchio = pytest.importorskip('pinocchio')
    results = made_results(30, 2)
    rng = np.random.default_rng(2)
    values = 0.3 * rng.normal(size=(30, 7)) - [0, 0, 0, 1.5, 0, 0, 0]
    commands = replace(numbered(30, 'joints', names=JOINTS), values=values)
    robot = Robot(URDF, 'base', 'panda_hand')
    results = replace(results, commands=(commands,), robot=robot)
    held = held_against(results, results.answers[0])[0]
    model = pinocchio.buildModelFromXML(URDF)
    data, everything = model.createData(), pinocchio.neutral(model)
    everything[:7] = values[4]
    pinocchio.framesForwardKinematics(model, data, everything)
    hand, base = (data.oMf[model.getFrameId(name, pinocchio.FrameType.BODY)]
                  for name in ('panda_hand', 'base'))
    np.testing.assert_allclose(held.truth(ALL)[4, 0, :3], (base.inverse() * hand).translation,
                               atol=1e-9)
    assert held.facts.kind == 'pose'
    lone = replace(results, robot=None)
    held, notes = explained(lone, lone.answers[0])
    assert held[0].facts.measured and 'no robot_description was recorded' in notes[0]
    short = replace(results, commands=(replace(commands, names=(*JOINTS[:6], 'other')),))
    assert 'panda_joint7 missing' in explained(short, short.answers[0])[1][0]


def test_answers_in_joints_are_held_against_poses():
    pytest.importorskip('pinocchio')
    results = made_results(30, 2)
    answers, said = joint_answers(results, 30, 2)
    commands = replace(numbered(30, 'joints', names=JOINTS), values=said[:, 0])
    results = replace(results, robot=Robot(URDF, 'base', 'panda_hand'))
    poses = held_against(replace(results, commands=(commands,)), results.answers[0])[0]
    as_poses = poses.truth_of(ALL)[:, 0]
    asked = replace(numbered(30, 'pose', names=POSE_COLUMNS), values=as_poses)
    held = held_against(replace(results, commands=(asked,)), answers)[0]
    np.testing.assert_allclose(held.errors(ALL)[:, 0], 0.0, atol=1e-9)
    assert np.abs(held.errors(ALL)[:20, 1]).max() > 0.01


def test_velocities_of_joints_become_twists_where_the_joints_were_measured():
    pytest.importorskip('pinocchio')
    results = made_results(30, 2)
    rng = np.random.default_rng(4)
    joints = 0.3 * rng.normal(size=(30, 7)) - [0, 0, 0, 1.5, 0, 0, 0]
    speeds = rng.normal(size=(30, 7))
    images = replace(results.images, joints=joints[:, ::-1], joint_names=JOINTS[::-1])
    robot = Robot(URDF, 'base', 'panda_hand')
    commands = replace(numbered(30, 'joint_velocity', first_ns=START_NS + 10_000_000,
                                names=JOINTS), values=speeds)
    results = replace(results, images=images, robot=robot, commands=(commands,))
    held = held_against(results, results.answers[0])[0]
    kinematics = Kinematics.from_urdf(URDF, 'base', 'panda_hand')
    before, after = (kinematics.forward(joints[4] + sign * 1e-6 * speeds[4])
                     for sign in (-1, 1))
    expected = step_between(before, after, 'base') / 2e-6
    np.testing.assert_allclose(held.truth(ALL)[4, 0], expected, atol=1e-4)
    assert held.facts.kind == 'twist' and held.facts.compared_as == 'velocity'
    unmeasured = replace(results, images=replace(images, joint_names=tuple('abcdefg')))
    assert 'joint_states has not all joints' in explained(
        unmeasured, unmeasured.answers[0])[1][0]


def test_answers_in_joints_are_held_against_twists():
    pytest.importorskip('pinocchio')
    results = replace(made_results(30, 2), robot=Robot(URDF, 'base', 'panda_hand'),
                      commands=(numbered(30),))
    answers, said = joint_answers(results, 30, 2)
    held = held_against(results, answers)[0]
    kinematics = Kinematics.from_urdf(URDF, 'base', 'panda_hand')
    first, second = map(kinematics.forward, said[7])
    start = pose_of(results.images.poses[7])
    np.testing.assert_allclose(held.said(ALL)[7], np.stack([
        step_between(start, first, 'base'), step_between(first, second, 'base')]) / 0.05,
        atol=1e-9)
    held, notes = explained(results, replace(answers, positions=None))
    assert held == () and 'record joint_states' in notes[0]


def test_without_commands_the_measured_motion_is_the_truth_and_says_so():
    results = replace(made_results(40, 4), commands=())
    velocity, position = held_against(results, results.answers[0])
    assert velocity.facts.measured and position.facts.measured
    assert velocity.facts.title == 'measured motion, velocity'
    poses = results.images.poses
    np.testing.assert_allclose(velocity.truth(ALL)[3, 1, :3], (poses[5] - poses[4])[:3] / 0.05,
                               atol=1e-9)
    np.testing.assert_allclose(position.truth(ALL)[3, 1, :3], poses[5, :3], atol=1e-9)
    assert np.isnan(position.truth(ALL)[39]).all()  # nobody measured what came after
    half = replace(results.answers[0], dt_s=0.025)
    np.testing.assert_allclose(
        held_against(results, half)[1].truth(ALL)[3, 0, :3], (poses[3] + poses[4])[:3] / 2)


def test_motion_is_not_told_across_gaps():
    results = replace(made_results(40, 4), commands=())
    stamps = results.images.stamps_ns + np.where(np.arange(40) >= 20, 10**9, 0)
    results = replace(results, images=replace(results.images, stamps_ns=stamps,
                                              times_ns=stamps))
    truth = held_against(results, results.answers[0])[1].truth(ALL)
    assert np.isnan(truth[19]).all() and np.isfinite(truth[20]).all()


def test_twists_of_some_columns_are_held_along_these():
    results = made_results(30, 2)
    commands = numbered(30, names=('vy', 'wz'))
    held = held_against(replace(results, commands=(commands,)), results.answers[0])[0]
    assert held.names == ('vy', 'wz') and held.units == ('m/s', 'rad/s')
    assert held.said(ALL)[3, 1].tolist() == results.answers[0].velocities[3, 1, [1, 5]].tolist()
    assert list(held.groups) == ['linear', 'angular'] and held.facts.frame == 'base'
    turned = replace(results.answers[0], frame='end_effector')
    assert 'all of vx, vy, vz' in explained(replace(results, commands=(commands,)), turned)[1][0]


def test_a_command_of_another_kind_alone_leaves_the_motion():
    results = made_results(30, 2)
    results = replace(results, commands=(numbered(30, 'joints', names=JOINTS),))
    held, notes = explained(results, results.answers[0])
    assert held[0].facts.measured
    assert '/numbered: joints, and the policy answers in poses or twists' in notes[0]


def test_commands_that_are_no_numbers_are_none():
    results = made_results(30, 1)
    commands = numbered(30)
    commands.values[7, 3] = np.inf
    truth = truth_of(results, commands)
    assert np.isnan(truth[7, 0]) and np.isfinite(truth[6:9:2, 0]).all()


def test_the_gripper_holds_what_it_was_told():
    results = made_results(40, 4)
    told = Commands('/grip', 'gripper', ('gripper',), 'base',
                    START_NS + np.array([0, 10**9]), np.array([[1.0], [0.0]]))
    truth = gripper_truth(replace(results, commands=(told,)), results.answers[0])
    late = row_times_ns(results.images, 4, 0.05, 0.5) >= START_NS + 10**9
    known = np.isfinite(truth)
    np.testing.assert_array_equal(truth[known], 1.0 - late[known])
    assert known[:39].all()
    assert np.isnan(gripper_truth(replace(results, commands=()), results.answers[0])).all()


def test_an_images_error_is_the_mean_length_of_its_executed_rows():
    results = made_results(40, 4)
    answers = replace(results.answers[0], execute_steps=2)
    held = held_against(results, answers)[0]
    values, unit, name = frame_error(held, answers)
    errors = held.errors(ALL)
    assert values[3] == pytest.approx(np.linalg.norm(errors[3, :2, :3], axis=1).mean())
    assert np.isnan(values[5]) and unit == 'm/s' and 'linear' in name
    angular = frame_lengths(held, 40, 2)['angular']
    assert angular[3] == pytest.approx(np.linalg.norm(errors[3, :2, 3:], axis=1).mean())


def test_on_the_shipped_bag_each_image_meets_the_command_that_answered_it():
    pytest.importorskip('rosbags')
    recording = open_recording(LIBERO_BAG)
    topics = topic_map(recording.topics, None, {'': 'compressed'})
    commands = recorded_commands(recording, topics, CommandSettings(
        'base', ('end_effector',)))[0]
    read = {topic: [(message.time_ns, message.read()) for message in recording.messages([topic])]
            for topic in ('/image/compressed', '/delta_twist_cmds')}
    stamps = {topic: np.array([header_ns(message) for _, message in messages])
              for topic, messages in read.items()}
    answering = {stamp: [message.twist.linear.x, message.twist.linear.y] for stamp, (_, message)
                 in zip(stamps['/delta_twist_cmds'], read['/delta_twist_cmds'])}
    count = len(read['/image/compressed'])
    made = made_results(count, 1)
    images = replace(made.images, stamps_ns=stamps['/image/compressed'], times_ns=np.array(
        [time_ns for time_ns, _ in read['/image/compressed']]))
    results = replace(made, images=images, commands=commands)
    held = held_against(results, made.answers[0])[0]
    truth = held.truth(ALL)[:, 0, :2]
    met = [image for image in range(count) if images.stamps_ns[image] in answering]
    assert len(met) >= 100
    for image in met:
        assert truth[image].tolist() == answering[images.stamps_ns[image]]


def header_ns(message):
    """Return a message's stamp in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
