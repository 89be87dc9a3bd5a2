# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Images that were sent and did not arrive."""

import sys
from threading import Event, Thread

import pytest

from sqap_vla_ros.ingest.delivery import Delivery


def told(numbers, hz=30.0, now_s=None, numbered=True, infos=0):
    """Return what is said when the images of these numbers arrive, each at its time."""
    delivery = Delivery()
    for number in numbers:
        delivery.image(number if numbered else None, number / hz)
    for index in range(infos):
        delivery.info(index / 5)
    return delivery.problem('/cam', numbers[-1] / hz if now_s is None else now_s)


@pytest.mark.parametrize('numbers, text', [
    (range(1, 151, 15), 'only 10 of 136 images arrived on /cam in the last 5 s'),
    ([1, 2, 150], 'only 3 of 150'), ([40, 41, 100], 'only 3 of 61')])
def test_lost_images_are_counted_and_the_cure_is_told(numbers, text):
    assert text in told(numbers) and 'config/fastdds.xml' in told(numbers)


@pytest.mark.parametrize('numbers, hz', [
    (range(1, 151), 30), (range(1, 50), 10), (range(1, 21), 4), ([7], 30), (range(1, 150, 2), 30),
    (range(1, 1000, 8), 200)])
def test_slow_cameras_and_floods_are_no_loss(numbers, hz):
    assert told(list(numbers), hz) == ''


def test_what_was_lost_long_ago_counts_no_more():
    assert told([1, 150, *range(151, 310)], now_s=310 / 30) == ''


def test_another_publisher_begins_to_count_anew():
    assert told([900, 901, 1, 2, 3, 4], 30, 30.0) == ''
    assert 'only 2 of 40 images' in told([50, 51, 1, 40], now_s=2.0)


@pytest.mark.parametrize('first, second, most', [(10_000, 5, 0), (5, 10_000, 0), (5, 25, 19)])
def test_the_numbers_of_two_publishers_are_not_taken_for_lost_images(first, second, most):
    delivery = Delivery()
    for index in range(300):
        number = (second if index % 2 else first) + index // 2
        delivery.image(number, index / 60)
    assert delivery.facts(5.0)['lost'] <= most and delivery.problem('/cam', 5.0) == ''
    start = 10_000 + 300  # one of them alone goes on, and counts again after a second
    for index in range(61):
        delivery.image(start + index, 5.0 + index / 30)
    before = delivery.facts(7.0)['lost']
    delivery.image(start + 70, 7.1)
    assert delivery.facts(7.1)['lost'] == before + 9


def test_one_thread_may_tell_while_another_one_asks():
    delivery, ended, failed = Delivery(), Event(), []
    for _ in range(3000):
        delivery.info(1.0)

    def ask():
        try:
            for _ in range(100):
                assert delivery.facts(2.0)['camera_info_hz'] >= 2999
        except RuntimeError as error:
            failed.append(error)
        finally:
            ended.set()
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    asker = Thread(target=ask)
    asker.start()
    try:
        while not ended.is_set() and len(delivery._infos) < 50_000:
            delivery.info(1.0)
    finally:
        sys.setswitchinterval(interval_s)
        asker.join(30.0)
    assert ended.is_set() and not failed


def test_a_camera_info_without_images_is_told_and_one_without_numbers_never_wrongly():
    silent = Delivery()
    for index in range(10):
        assert silent.problem('/cam', index / 5) == ''
        silent.info(index / 5)
    assert 'camera_info comes in and no image on /cam: large images' in silent.problem('/cam', 2)
    assert silent.problem('/cam', 20) == ''
    assert told([30, 90, 140], numbered=False, infos=25) == ''
