# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The end effector and the gripper as the policy is told of them."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from observer_scene import header, joint_state, NOW_NS, picture, Scene, SECOND
import pytest
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.joints import JointHistory


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
