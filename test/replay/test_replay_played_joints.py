# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted poses, played as joints by the recorded description: they lead the hand there."""

from contextlib import closing
from dataclasses import replace
from xml.etree import ElementTree

from libero_bag import LIBERO_BAG
from made_results import made_results
import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from sqap_vla_ros.control.action_space import ActionSpace, POSE_NAMES
from sqap_vla_ros.ingest.observer import ObserverOptions
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.export.side_by_side import MCAP, write_mcap
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.play_options import PlayOptions
from sqap_vla_ros.replay.played import play
from sqap_vla_ros.replay.playing import playing
from sqap_vla_ros.replay.topics import topic_map
from sqap_vla_ros.ros.vla.config import NodeConfig

pytest.importorskip('pinocchio', reason='joint outputs need pinocchio')

COUNT, ROWS, DT_S = 40, 8, 0.05
ARM = tuple(f'panda_joint{number}' for number in range(1, 8))
SPACE = ActionSpace('pose', POSE_NAMES, DT_S, 'base', execute_steps=4, rotation='rotvec')
CONFIG = NodeConfig.from_parameters({
    'output': 'joint_trajectory', 'base_frame': 'base', 'end_effector_frames': ['end_effector'],
    'gripper_joint': 'panda_finger_joint1', 'max_linear_acceleration': 0.0,
    'max_angular_acceleration': 0.0, 'max_joint_acceleration': 0.0, 'max_linear_speed': 0.5,
    'max_angular_speed': 4.5, 'first_action_distance': 0.0, 'first_action_angle': 0.0})


@pytest.fixture(scope='module')
def recorded():
    """Return (images of the bag's first two seconds, the text of its robot_description)."""
    recording = open_recording(LIBERO_BAG)
    looking = Looking(recording, topic_map(recording.topics, None, {'': 'compressed'}),
                      LookOptions({'': ObserverOptions.of(CONFIG)}, end_s=COUNT * DT_S + 0.5))
    looks = list(looking)[:COUNT]
    assert len(looks) == COUNT and {look.problem for look in looks} == {''}
    images = replace(
        made_results(COUNT, ROWS).images, problems=('',) * COUNT, joint_names=looking.joint_names,
        times_ns=np.array([look.time_ns for look in looks]),
        stamps_ns=np.array([look.stamp_ns for look in looks]),
        poses=np.stack([look.pose for look in looks]),
        joints=np.stack([look.joints for look in looks]))
    return images, looking.robot_description


def hand_at(urdf, joints):
    """Return (place, Rotation) of the end effector in the base: joint by joint, from the URDF."""
    by_child = {joint.find('child').get('link'): joint
                for joint in ElementTree.fromstring(urdf).iter('joint')}
    link, place, turn = 'end_effector', np.zeros(3), Rotation.identity()
    while link != 'base':
        joint = by_child[link]
        origin = joint.find('origin')
        xyz, rpy = ([float(text) for text in origin.get(name, '0 0 0').split()]
                    for name in ('xyz', 'rpy'))
        fixed = Rotation.from_euler('xyz', rpy)
        if joint.get('type') == 'revolute':
            axis = np.array([float(text) for text in joint.find('axis').get('xyz').split()])
            fixed = fixed * Rotation.from_rotvec(axis * joints[ARM.index(joint.get('name'))])
        place, turn = xyz + fixed.apply(place), fixed * turn
        link = joint.find('parent').get('link')
    return place, turn


def way(images, times_ns):
    """Return (places [N, 3], Rotation of N) of a way that leaves the recorded one bit by bit."""
    s, known_s = ((each - images.stamps_ns[0]) * 1e-9 for each in (times_ns, images.stamps_ns))
    s = np.minimum(s, known_s[-1])
    places = np.stack([np.interp(s, known_s, axis) for axis in images.poses[:, :3].T], axis=-1)
    turns = Slerp(known_s, Rotation.from_quat(images.poses[:, 3:]))(s)
    return (places + s[:, None] * [0.03, 0.03, -0.02],
            Rotation.from_rotvec(s[:, None] * [0, 0, 0.2]) * turns)


def played(recorded, **options):
    """Return what is commanded when each image is answered by the rest of the way."""
    images, urdf = recorded
    made = made_results(COUNT, ROWS).answers[0]
    ends_ns = images.stamps_ns[:, None] + round(DT_S * 1e9) * np.arange(1, ROWS + 1)
    places, turns = way(images, ends_ns.ravel())
    rows = np.concatenate([places, turns.as_rotvec()], axis=1).reshape(COUNT, ROWS, 6)
    answers = replace(made, kind='pose', actions=rows, execute_steps=SPACE.execute_steps,
                      velocities=np.zeros((COUNT, ROWS, 6)))
    return play(images, answers, SPACE, replace(
        PlayOptions.of(CONFIG, SPACE, urdf, latency_s=0.06), **options))


def off(recorded, found):
    """Return how far (m, rad) [K] commands have the hand from the way at their ends."""
    images, urdf = recorded
    there = ~np.isnan(found.positions).any(axis=1)
    ends_ns = found.stamps_ns[there] + round(found.period_s * 1e9)
    places, turns = way(images, ends_ns)
    hands = [hand_at(urdf, joints) for joints in found.positions[there]]
    return (np.linalg.norm([place for place, _ in hands] - places, axis=1),
            np.array([(turn * goal.inv()).magnitude() for (_, turn), goal in zip(hands, turns)]))


def test_the_description_has_the_hand_where_it_was_measured(recorded):
    images, urdf = recorded
    columns = [images.joint_names.index(name) for name in ARM]
    for joints, pose in zip(images.joints[::8], images.poses[::8]):
        place, turn = hand_at(urdf, joints[columns])
        np.testing.assert_allclose(place, pose[:3], atol=1e-3)
        assert (turn * Rotation.from_quat(pose[3:]).inv()).magnitude() < 1e-2


def test_commanded_joints_lead_the_hand_to_predicted_poses(recorded):
    found = played(recorded, lockstep=True)
    assert found.names == found.position_names == ARM and found.used.all()
    assert found.velocities.shape == found.positions.shape == (COUNT, 7)
    metres, radians = off(recorded, found)
    assert len(metres) == COUNT and metres[:30].max() < 1e-4 and radians[:30].max() < 1e-4
    assert metres.max() < 5e-4 and radians.max() < 5e-3, 'where inverse kinematics is damped'


def test_in_real_time_they_lag_within_the_limits_and_arrive(recorded):
    found = played(recorded)
    metres, radians = off(recorded, found)
    assert len(metres) >= COUNT and metres.max() < 0.05
    assert metres[-3:].max() < 1e-3 and radians[-3:].max() < 1e-3


def test_a_recorded_arm_that_goes_elsewhere_is_no_fault(recorded):
    images, _ = recorded
    for lockstep in (True, False):
        found = played(recorded, lockstep=lockstep)
        there = ~np.isnan(found.positions).any(axis=1)
        columns = [images.joint_names.index(name) for name in ARM]
        away = np.abs(found.positions[there][-1] - images.joints[-1, columns]).max()
        assert away > 2 * CONFIG.joint_tracking_error > 0
        assert not found.faults and there.sum() >= COUNT - 2


def test_joints_are_written_as_joints(recorded, tmp_path):
    found, images = played(recorded, lockstep=True), recorded[0]
    results = replace(made_results(COUNT, ROWS), images=images)
    answers = replace(results.answers[0], kind='pose')
    write_mcap(replace(results, answers=(answers,)), tmp_path, [found])
    with closing(open_recording(tmp_path / MCAP)) as recording:
        said = [message.read() for message in recording.messages({'/replay/fp/joint_velocities'})]
        told = [message.read() for message in recording.messages({'/replay/fp/joint_commands'})]
        assert '/replay/fp/delta_twist_cmds' not in {topic.name for topic in recording.topics}
    assert tuple(said[0].name) == tuple(told[0].name) == ARM
    np.testing.assert_array_equal([each.position for each in told], found.positions)
    assert [(steps.group, steps.unit) for steps in playing(found).steps] == [('joints', 'rad/s')]
