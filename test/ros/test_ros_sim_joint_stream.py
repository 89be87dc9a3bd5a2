# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""joint_states at up to 1 kHz: how many, with which stamps, and of which moment."""
from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.messages import nanoseconds_of
from sqap_vla_ros.ros.simulator.joint_stream import JointStream
from sqap_vla_ros.ros.simulator.parameters import SimSettings

MS = 10**6


def env_at(position, velocity=0.0):
    """Return what note() asks of an environment, all arm joints alike."""
    return SimpleNamespace(gripper_open=lambda: 1.0, joint_state=lambda: (
        [], np.full(9, position), np.full(9, velocity)))


@pytest.fixture
def stream():
    return JointStream(None, None, 1000.0, ())


def test_between_physics_steps_joints_are_interpolated_and_beyond_them_held(stream):
    assert stream.state_at(0) is None
    stream.note(10 * MS, env_at(1.0, 0.0))
    stream.note(12 * MS, env_at(3.0, 4.0))
    found = [stream.state_at(ms * MS)[:, 0].tolist() for ms in (5, 10, 11, 12, 50)]
    assert found == [[1, 0], [1, 0], [2, 2], [3, 4], [3, 4]]


def test_a_step_that_was_told_already_is_not_told_again(stream):
    stream.note(12 * MS, env_at(3.0))
    stream.note(12 * MS, env_at(5.0))
    assert stream.state_at(12 * MS)[0, 0] == 3


def test_an_episode_forgets_the_last_one(stream):
    stream.note(12 * MS, env_at(3.0))
    stream.begin(0)
    assert stream.state_at(12 * MS) is None


def test_joints_come_often_and_at_the_times_at_which_they_are_so(simulator, policy):
    double = policy(lambda stamp, count, image: None)
    double.node.create_subscription(JointState, 'joint_states', double._keeper('stream'), 1000)
    simulator(lockstep=False, max_steps=16, joint_states_rate=500.0).run()
    messages = double.messages['stream']
    stamps = np.array([nanoseconds_of(message.header.stamp) for message in messages])
    steps = np.array([message.position[0] for message in messages])
    under_way = steps < steps[-1]  # it goes on until the node is closed
    stamps, steps = stamps[under_way], steps[under_way]
    assert (np.diff(stamps) > 0).all() and (np.diff(steps) >= 0).all()
    assert len(stamps) / (1e-9 * np.ptp(stamps)) < 520, 'a busy machine gives fewer, in bursts'
    assert len(set(steps)) > 16 and (steps % 1 > 0.01).any(), 'they move between control steps'
    rate = np.polyfit((stamps - stamps[0]) / 1e9, steps, 1)[0]
    assert rate == pytest.approx(20, rel=0.25)


def test_faults_of_joints_reach_the_stream(simulator, policy):
    double = policy(lambda stamp, count, image: None)
    simulator(lockstep=False, max_steps=6, joint_states_rate=100.0,
              faults=['joints_nan@0.1']).run()
    broken = [np.isnan(message.position[0]) for message in double.messages['joint_states']]
    assert any(broken) and not all(broken) and broken == sorted(broken)


def test_lockstep_has_its_joints_with_the_ticks():
    with pytest.raises(ConfigError, match='joint_states_rate needs lockstep: false'):
        SimSettings(joint_states_rate=100.0)
