# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where the URDF comes from, and what is said when it does not come or does not fit."""
import threading
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.vla.robot_description import BRIEF_S, read_urdf, urdf_for
from std_msgs.msg import String

pytestmark = pytest.mark.ros
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def node():
    """Return a node that can be interrupted, as vla_node can."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node('reader', context=context)
    node.interrupted = threading.Event()
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def config(**changes):
    """Return what read_urdf looks at."""
    return SimpleNamespace(**{
        'urdf_file': '', 'robot_description_timeout': 20.0, 'output': 'joint_trajectory',
        'max_joint_speeds': (0.0,), **changes})


def test_a_description_that_was_published_once_and_latched_is_read(node):
    publisher = node.create_publisher(String, 'robot_description', LATCHED)
    publisher.publish(String(data='<robot/>'))
    assert read_urdf(node, config(), 20.0) == ('<robot/>', '')


def test_a_description_that_is_repeated_but_not_latched_is_read_too(node):
    publisher = node.create_publisher(String, 'robot_description', 1)
    ended = threading.Event()

    def repeat():
        while not ended.wait(0.05):
            publisher.publish(String(data='<robot/>'))
    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        assert read_urdf(node, config(), 20.0) == ('<robot/>', '')
    finally:
        ended.set()
        thread.join()


def test_without_a_publisher_it_says_whom_to_start(node):
    text, why_not = read_urdf(node, config(), 0.1)
    assert text is None
    assert why_not == (
        'no URDF came on /robot_description within 0.1 s, for output joint_trajectory: '
        'nobody publishes it. Start robot_state_publisher, remap robot_description, or set '
        'urdf_file')


@pytest.mark.parametrize('kind, speeds, waits', [
    ('joint_position', (1.0, 0.5), BRIEF_S), ('joint_position', (1.0, 0.0), 20.0),
    ('joint_delta', (1.0,), BRIEF_S), ('delta', (1.0,), 20.0)])
def test_a_policy_that_tells_joints_whose_speeds_are_given_does_not_wait_for_long(
        node, monkeypatch, kind, speeds, waits):
    waited = []
    monkeypatch.setattr(
        'sqap_vla_ros.ros.vla.robot_description._wait',
        lambda node, topics, timeout_s: waited.append(timeout_s) or '<robot/>')
    assert urdf_for(node, config(max_joint_speeds=speeds), kind) == '<robot/>'
    assert waited == [waits]


def test_a_publisher_whose_message_cannot_arrive_is_named_with_its_qos(node):
    publisher = node.create_publisher(String, 'robot_description', 1)
    publisher.publish(String(data='<robot/>'))  # before anybody listens
    _, why_not = read_urdf(node, config(), 0.3)
    assert 'reader (reliable, volatile) publishes it' in why_not
    assert 'as reliable, transient_local' in why_not


def test_an_interrupt_ends_the_wait(node):
    node.interrupted.set()
    with pytest.raises(ConfigError, match='interrupted while waiting for /robot_description'):
        read_urdf(node, config(), 20.0)


def test_a_file_is_read_instead_and_one_that_cannot_be_is_named(node, tmp_path):
    path = tmp_path / 'arm.urdf'
    path.write_text('<robot name="arm"/>')
    assert read_urdf(node, config(urdf_file=str(path)), 0.0) == ('<robot name="arm"/>', '')
    for name in ('missing.urdf', '.'):
        with pytest.raises(ConfigError, match=f'urdf_file is .*{name}.*which cannot be read'):
            read_urdf(node, config(urdf_file=str(tmp_path / name)), 0.0)
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(ConfigError, match='cannot be read'):
        read_urdf(node, config(urdf_file=str(path)), 0.0)
