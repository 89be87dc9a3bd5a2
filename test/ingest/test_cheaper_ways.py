# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is worked out in a cheaper way is what the plain one finds."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.quaternions import from_rotation_vector, product
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer
from sqap_vla_ros.ingest import image_health, joints, plausibility
from sqap_vla_ros.ingest.transform_intake import TransformIntake
from sqap_vla_ros.ingest.wire import WireTransform

START, STEP_NS = 1_000 * 10**9, 10_000_000
BACK, SAME, GAP, JUMP, ABSURD, OTHERWISE = range(6)
NAMES = 'a', 'b', 'c'


@pytest.mark.parametrize('size', [(480, 640), (481, 643), (240, 320), (7, 5), (1080, 1921)])
def test_the_pixels_that_are_looked_at_are_those_of_a_grid(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)[::-1, ::-1]
    down, across = max(1, size[0] // 120), max(1, size[1] // 160)
    assert np.array_equal(image_health._part(image), image[::down, ::across])


@pytest.mark.parametrize('size', [(480, 640), (31, 17), (2, 1), (1, 1), (1080, 1920)])
def test_neighbours_correlate_as_numpy_finds(size):
    random = np.random.default_rng(1)
    image = np.cumsum(random.integers(-3, 4, (*size, 3)), axis=1).astype(np.uint8)
    rows = image[:, :, 1].astype(float)
    step = max(2, size[0] // 24)
    upper, lower = rows[::step], rows[1::step]
    pairs = (upper[:len(lower)], lower), (upper[:len(lower), 1:], upper[:len(lower), :-1])
    expected = [np.corrcoef(first.ravel(), second.ravel())[0, 1]
                if first.size > 1 and first.std() and second.std() else 1.0
                for first, second in pairs]
    assert image_health.neighbours_alike(image) == pytest.approx(min(expected), abs=1e-9)


def stream(random, odd, share):
    """Return (stamp, names, positions) of messages; a share of them is odd in one of some ways."""
    now_ns, place, found = START, np.zeros(3), []
    for _ in range(400):
        kind = random.choice(odd) if odd and random.random() < share else None
        now_ns += {BACK: -3 * STEP_NS, SAME: 0, GAP: 3 * 10**9}.get(kind, STEP_NS)
        place = place + random.normal(0, 0.01, 3) + (kind == JUMP) * random.choice([0.3, 5.0])
        values = [*place.tolist()]
        if kind == ABSURD:
            values[random.integers(3)] = [np.nan, 2e4, -6e3][random.integers(3)]
        names = NAMES[::-1] if kind == OTHERWISE else NAMES
        found.append((now_ns, names, values))
    return found


def answers(history, time_ns):
    """Return what a history says of its joints at a time, and what it refused."""
    found = [history.refused]
    for name in NAMES[:2]:
        for ask in (history.at, history.nearest, lambda name, _: history.newest(name)):
            try:
                found.append(ask(name, time_ns))
            except ObservationError as error:
                found.append(str(error))
    return found


@pytest.mark.parametrize('share', [0.01, 0.2])
@pytest.mark.parametrize('odd', [(), *((kind,) for kind in range(6)), tuple(range(6))])
def test_joints_that_are_taken_many_at_once_are_those_taken_one_by_one(monkeypatch, odd, share):
    random = np.random.default_rng(0)
    at_once, singly = (joints.JointHistory(NAMES[:2]) for _ in range(2))
    for number, message in enumerate(stream(random, odd, share)):
        at_once.take(*message, latest_ns=START + 10**11)
        with monkeypatch.context() as odd_ones:
            odd_ones.setattr(joints.JointHistory, '_begins', lambda *_: False)
            singly.take(*message, latest_ns=START + 10**11)
        if number % 37 == 0 or number > 390:
            asked_ns = message[0] - int(random.integers(-STEP_NS, 40 * STEP_NS))
            assert answers(at_once, asked_ns) == answers(singly, asked_ns)
    at_once._settle()
    assert not singly._rows and list(at_once._samples['a']) == list(singly._samples['a'])


def test_a_joint_that_is_asked_about_between_stamps_that_go_back_is_found_at_each():
    history = joints.JointHistory(['a'])
    for place, after_ns in ((0.1, 0), (0.2, 20), (0.3, 10), (0.4, 30), (0.5, 5)):
        history.take(START + after_ns, ('a',), (place,))
        assert history.nearest('a', START + after_ns) == (place, 0)
    assert history.nearest('a', START + 10) == (0.3, 0)
    history.take(START + 40, ('a',), (float('nan'),))
    assert 'nan' in history.refused and history.newest('a') == (START + 5, 0.5)


def test_a_message_that_is_used_again_changes_no_joint_that_was_told():
    history, positions = joints.JointHistory(['a']), np.array([0.25])
    history.take(START, ('a',), positions)
    positions[0] = 0.5
    assert history.newest('a') == (START, 0.25)


def test_what_hardly_moves_has_no_jump_and_what_jumps_does_not_hardly_move():
    random, told = np.random.default_rng(2), {True: 0, False: 0}
    for _ in range(400):
        buffer, turn = TransformBuffer(), np.array([0.0, 0, 0, 1])
        far, wide = 10 ** random.uniform(-3, 0.5, 2)
        for number in range(4):
            vector = random.normal(size=3) * wide * plausibility.JUMP_RAD * random.integers(2)
            quaternion = product(from_rotation_vector(vector), turn) * random.choice([-1, 1])
            place = random.normal(size=3) * far * plausibility.JUMP_M
            buffer.insert('base', 'hand', Pose(place, quaternion, START + number))
        step, = buffer.steps('base', 'hand', 0)
        little = plausibility._hardly_moves(step)
        told[little] += 1
        if little:
            plausibility._check_alike([step], 'hand', 1e-9)  # raises where it jumps
    assert min(told.values()) > 50


def test_the_way_between_two_frames_is_found_anew_when_a_frame_has_another_parent():
    buffer = TransformBuffer()
    for child, x in (('base', 1.0), ('other', 2.0), ('hand', 4.0)):
        parent = {'base': 'world', 'other': 'world', 'hand': 'base'}[child]
        buffer.insert(parent, child, SimpleNamespace(
            translation=(x, 0, 0), quaternion=(0, 0, 0, 1), stamp_ns=0), static=True)
    assert buffer.lookup('world', 'hand', 0).translation[0] == 5
    buffer.insert('other', 'hand', Pose(np.array([4.0, 0, 0]), np.array([0, 0, 0, 1.0])),
                  static=True)
    assert buffer.lookup('world', 'hand', 0).translation[0] == 6
    assert [step.parent for step in buffer.steps('world', 'hand', 0)] == ['other', 'world']


@pytest.mark.parametrize('size', [(120, 160), (7, 5), (1, 9), (9, 1)])
def test_rows_and_columns_of_one_colour_are_those_that_opencv_finds(size):
    random, found = np.random.default_rng(3), 0
    for _ in range(60):
        part = random.integers(0, 255, (*size, 3), np.uint8)
        part[random.random(size[0]) < 0.2] = random.choice([0, 7], 3)
        part[:, random.random(size[1]) < 0.2] = 0
        part[random.integers(size[0]), random.integers(size[1])] += np.uint8(random.integers(2))
        for axis in (0, 1):
            largest, least = (cv2.reduce(part, axis, how).reshape(-1, 3)
                              for how in (cv2.REDUCE_MAX, cv2.REDUCE_MIN))
            alike, black = image_health._one_colour(part, axis)
            assert np.array_equal(alike, (largest == least).all(axis=1))
            assert np.array_equal(black, (largest == 0).all(axis=1))
            found += alike.sum()
    assert found > 30


def odd_transforms(random, stamp_ns):
    """Return WireTransforms of a chain, a few of which are odd in one of many ways."""
    found = []
    for number, (parent, child) in enumerate((('base', 'a'), ('a', 'b'), ('b', 'c'))):
        place, turn = random.normal(size=3), random.normal(size=4)
        turn, at_ns = turn / np.linalg.norm(turn), stamp_ns
        odd = random.integers(60)
        if odd < 4:
            at_ns += int(random.choice([-12 * 10**9, -3 * STEP_NS, 10**8 + 1, 10**9]))
        elif odd == 4:
            at_ns = 0
        elif odd == 5:
            place[number] = random.choice([np.nan, np.inf, 1e308])
        elif odd == 6:
            turn *= random.choice([1.009, 1.02])
        elif odd == 7:
            parent = random.choice(['other', 'c', '/base', ''])
        found.append(WireTransform(str(parent), child, at_ns, (*place.tolist(), *turn.tolist())))
    return found


def told_of(buffer, time_ns):
    """Return what a buffer says of all frames at a time and since then."""
    found = []
    for ask in (buffer.lookup, buffer.steps):
        for frame in 'abc':
            try:
                found.append(str(ask('base', frame, time_ns)))
            except ObservationError as error:
                found.append(str(error))
    return found


@pytest.mark.parametrize('future_s', [0.1, None])
def test_transforms_that_are_taken_together_are_those_taken_one_by_one(future_s):
    random, refused = np.random.default_rng(4), 0
    together, singly = (TransformIntake(future_s) for _ in range(2))
    for number in range(1500):
        now_ns = START + number * STEP_NS
        transforms = odd_transforms(random, now_ns)
        told = [text for each in transforms if (text := singly.take(each, now_ns, number))]
        assert together.take_moving(transforms, now_ns, number) == told
        refused += len(told)
        if number % 50 == 0:
            asked_ns = now_ns - int(random.integers(0, 20 * STEP_NS))
            assert told_of(together.buffer, asked_ns) == told_of(singly.buffer, asked_ns)
    assert refused > 50
