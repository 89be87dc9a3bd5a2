# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Images that are unpacked ahead are the same, in the same order, and only those looked at."""

import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.images import to_rgb
from sqap_vla_ros.recordings.recording import Message
from sqap_vla_ros.replay import ahead
from sqap_vla_ros.replay.ahead import IMAGES, unpacked_ahead


def image(number, read_by=None):
    """Return a Message of a small JPEG of one grey; read_by: a list of the threads reading it."""
    data = cv2.imencode('.jpg', np.full((8, 8, 3), 5 * number, np.uint8))[1].tobytes()

    def read():
        if read_by is not None:
            read_by.append((number, threading.current_thread().name))
        if number == 5:
            raise ObservationError('a damaged message')
        return SimpleNamespace(format='jpeg', data=data[:-30] if number == 4 else data, header='h')
    return Message(number, '/image', ahead.COMPRESSED, data, read)


def test_images_are_the_same_in_the_same_order_and_errors_come_where_they_belong():
    others = [Message(number, '/tf', 'tf2_msgs/msg/TFMessage', b'', None) for number in range(7)]
    plain = [item for number in range(7) for item in (others[number], image(number))]
    found = list(unpacked_ahead(iter(plain), lambda item: item.topic == '/image'))
    assert [item[:4] for item in found] == [item[:4] for item in plain]
    for before, after in zip(plain, found):
        if before.topic == '/tf':
            assert after is before
        elif before.time_ns == 5:
            with pytest.raises(ObservationError, match='a damaged message'):
                after.read()
        elif before.time_ns == 4:
            with pytest.raises(ObservationError, match='was lost on the way'):
                to_rgb(after.read())
        else:
            assert after.read().header == 'h'
            assert np.array_equal(to_rgb(after.read()), to_rgb(before.read()))


def test_no_more_are_unpacked_than_wait_and_none_that_is_not_looked_at():
    read_by, taken = [], []

    def coming():
        for number in range(20):
            taken.append(number)
            yield image(20 + number, read_by)
    messages = unpacked_ahead(coming(), lambda item: item.time_ns % 2 == 0)
    next(messages).read()
    assert len(taken) <= 2 * (IMAGES + 1)
    found = list(messages)
    for item in found:
        if item.time_ns % 2 == 0:
            item.read()
    numbers, names = zip(*read_by)
    assert sorted(numbers) == list(range(20, 40, 2))
    assert all(name.startswith('unpack') for name in names)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    messages = unpacked_ahead((image(number) for number in range(9)), lambda item: True)
    next(messages)
    messages.close()
    assert threading.active_count() == before
