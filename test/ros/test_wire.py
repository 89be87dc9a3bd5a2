# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Serialized messages are read as ROS reads them; ROS itself serializes, as the oracle."""
import struct

from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings, strategies as st
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.wire import JointReader, read_transforms, wire_transform
from sqap_vla_ros.ros.messages import time_message
from tf2_msgs.msg import TFMessage

NAMES = st.text(st.characters(blacklist_categories=['Cs'], blacklist_characters='\0'), max_size=9)
NUMBERS = st.floats(allow_nan=False)
STAMPS = st.integers(-2**31 * 10**9, 2**31 * 10**9 - 1)
READER = JointReader()  # one for all: what it remembers of one message must not spoil the next


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, STAMPS, st.lists(NUMBERS, min_size=7, max_size=7)),
                max_size=4))
def test_transforms_are_those_that_were_sent(sent):
    message = TFMessage()
    for parent, child, stamp_ns, numbers in sent:
        item = TransformStamped(child_frame_id=child)
        item.header.frame_id, item.header.stamp = parent, time_message(stamp_ns)
        place, turn = item.transform.translation, item.transform.rotation
        place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w = numbers
        message.transforms.append(item)
    found = read_transforms(serialize_message(message))
    assert [(*item[:3], list(item[3])) for item in found] == sent
    assert found == [wire_transform(item) for item in message.transforms]


def test_frames_of_as_many_bytes_are_told_apart():
    for _ in range(2):  # each is read as one that is known, too
        for pairs in ([('base', 'tool')], [('base', 'hand')], [('hand', 'tool')],
                      [('base_', 'tip'), ('a', 'b')], [('a', 'b'), ('base_', 'tip')]):
            message = TFMessage()
            for number, (parent, child) in enumerate(pairs):
                item = TransformStamped(child_frame_id=child)
                item.header.frame_id, item.header.stamp = parent, time_message(number)
                item.transform.translation.y = number + 0.5
                message.transforms.append(item)
            data = serialize_message(message)
            assert read_transforms(data) == [wire_transform(item) for item in message.transforms]
    damaged = bytearray(serialize_message(message))
    damaged[damaged.index(b'base_') - 4] = 250  # its length, in a message that looks known
    with pytest.raises(ObservationError, match='is damaged'):
        read_transforms(bytes(damaged))


@settings(max_examples=60, deadline=None)
@given(NAMES, STAMPS, st.lists(NAMES, max_size=4), st.lists(NUMBERS, max_size=5))
def test_joints_are_those_that_were_sent(frame, stamp_ns, names, positions):
    message = JointState(name=names, position=positions, velocity=[1.0], effort=[2.0, 3.0])
    message.header.frame_id, message.header.stamp = frame, time_message(stamp_ns)
    for _ in range(2):
        assert READER.read(serialize_message(message)) == (
            stamp_ns, tuple(names), tuple(positions))


def serialized():
    """Return one message of each kind."""
    return (serialize_message(TFMessage(transforms=[TransformStamped(child_frame_id='tool')])),
            serialize_message(JointState(name=['a', 'bc'], position=[1.0, 2.0])))


def test_a_message_that_is_cut_off_is_damaged():
    transforms, joints = serialized()
    last, positions = struct.pack('<d', 1.0), struct.pack('<2d', 1.0, 2.0)  # qw is 1
    for read, data, needed in ((read_transforms, transforms, transforms.index(last) + 8),
                               (JointReader().read, joints, joints.index(positions) + 16)):
        for length in range(2, needed):
            with pytest.raises(ObservationError, match=f'of {length} bytes is damaged'):
                read(data[:length])
        assert read(data[:needed])


@pytest.mark.parametrize('joints', [0, 1, 255, 256])
def test_the_first_message_may_have_any_number_of_joints(joints):
    names = tuple(f'joint{index}' for index in range(joints))
    message = JointState(name=names, position=[0.5] * joints)
    assert JointReader().read(serialize_message(message)) == (0, names, (0.5,) * joints)


def test_another_encoding_is_left_to_ros():
    for data in serialized():
        other = b'\x00\x00' + data[2:]
        assert read_transforms(other) is None and JointReader().read(other) is None
