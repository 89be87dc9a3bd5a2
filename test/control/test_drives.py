# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The pure half of an output: from a plan's positions to velocities and back."""
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sqap_vla_ros.control.command import Command, Measured
from sqap_vla_ros.control.drives import PoseDrive, TwistDrive
from sqap_vla_ros.control.row_positions import moved
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose

MS, PERIOD_NS, START_NS = 10**6, 20 * 10**6, 1_790_000_000_123_456_789
FRAMES = ('base', 'end_effector')
steps = arrays(np.float64, 6, elements=st.floats(-1, 1))


def pose(step):
    return Pose(step[:3], Rotation.from_rotvec(step[3:]).as_quat())


def numbers(pose):
    return np.concatenate([pose.translation, pose.quaternion])


def begun(frame, start):
    drive = PoseDrive(frame)
    drive.begin(Measured(pose(start)))
    return drive


def test_a_twist_goes_out_as_it_was_admitted_and_tells_no_position():
    drive, said = TwistDrive(), Command(np.arange(6.0), 1.0, np.zeros(7))
    drive.begin(None)
    assert drive.toward(said, 0, PERIOD_NS) is said
    sent = drive.advance(said, 0, PERIOD_NS)
    assert sent.position is None and sent.gripper == 1.0
    np.testing.assert_array_equal(sent.velocity, said.velocity)


@pytest.mark.parametrize('frame', FRAMES)
@given(start=steps, goal=steps)
def test_the_velocity_toward_a_position_reaches_it_within_a_period(frame, start, goal):
    drive, target = begun(frame, start), numbers(pose(goal))
    asked = drive.toward(Command(np.zeros(6), position=target), START_NS, PERIOD_NS)
    sent = drive.advance(asked, START_NS, PERIOD_NS)
    np.testing.assert_allclose(sent.position[:3], target[:3], atol=1e-9)
    assert abs(sent.position[3:] @ target[3:]) > 1 - 1e-9


@pytest.mark.parametrize('frame', FRAMES)
@given(start=steps, speed=steps)
def test_the_reference_moves_by_what_was_admitted_for_the_time_that_passed(frame, start, speed):
    """A command that comes early has moved it by less; a late one by no more than a period."""
    drive, admitted = begun(frame, start), Command(speed)
    drive.advance(admitted, START_NS, PERIOD_NS)
    early = drive.advance(admitted, START_NS + 5 * MS, PERIOD_NS)
    reference = moved(pose(start), speed * 0.005, frame)
    expected = moved(reference, speed * 0.02, frame)
    np.testing.assert_allclose(early.position, numbers(expected), atol=1e-9)
    late = drive.advance(admitted, START_NS + 500 * MS, PERIOD_NS)
    expected = moved(expected, speed * 0.02, frame)
    np.testing.assert_allclose(late.position, numbers(expected), atol=1e-9)


def test_a_step_in_the_end_effectors_frame_is_turned_with_it():
    quarter = Pose(np.zeros(3), Rotation.from_rotvec([0, 0, np.pi / 2]).as_quat())
    step = np.array([0.1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(moved(quarter, step, 'end_effector').translation, [0, 0.1, 0],
                               atol=1e-12)
    np.testing.assert_allclose(moved(quarter, step, 'base').translation, [0.1, 0, 0])
    turn = np.array([0, 0, 0, 0.3, 0, 0])
    for frame, expected in (('base', Rotation.from_rotvec(turn[3:]) *
                             Rotation.from_quat(quarter.quaternion)),
                            ('end_effector', Rotation.from_quat(quarter.quaternion) *
                             Rotation.from_rotvec(turn[3:]))):
        found = Rotation.from_quat(moved(quarter, turn, frame).quaternion)
        assert (found.inv() * expected).magnitude() < 1e-9


@pytest.mark.parametrize('measured', [None, Measured(joints=np.zeros(6))])
def test_a_pose_output_does_not_begin_without_a_pose(measured):
    with pytest.raises(ObservationError, match='pose of the end effector is not known'):
        PoseDrive().begin(measured)
