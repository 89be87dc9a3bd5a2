# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics count of transforms, images and processor time."""
import math
import time

import pytest
from sqap_vla_ros.geometry.transform_buffer import TransformBuffer, TransformLookupError
from sqap_vla_ros.ingest.delivery import Delivery, NO_NUMBER
from sqap_vla_ros.ingest.lookups import Lookups
from sqap_vla_ros.support.timing import ProcessorTime, Rate, Recent


def test_a_question_that_is_repeated_until_it_is_answered_is_one():
    lookups, tool, camera = Lookups(), ('base', 'tool'), ('base', 'camera')
    for passed_s in (0.0, 0.002, 0.004):
        lookups.note(tool, 1, passed_s, 'after_newest')
    lookups.note(tool, 1, 0.006)
    lookups.note(tool, 1, 0.5)  # asked again by somebody else: no wait
    lookups.note(camera, 1, 0.5)
    facts = lookups.facts(1.0)
    assert facts['lookups'] == 2 and facts['wait_ms_p95'] == pytest.approx(5.7)
    assert not any(name.startswith('not_found') for name in facts)


def test_what_is_not_found_in_the_end_counts_by_its_last_reason():
    lookups, tool = Lookups(), ('base', 'tool')
    for stamp, reasons in enumerate([['unknown_frame'], ['unknown_frame', 'after_newest'],
                                     ['after_newest'], ['']]):
        for reason in reasons:
            lookups.note(tool, stamp, 0.1 * stamp, reason)
    assert lookups.not_found == {'unknown_frame': 1, 'after_newest': 2}
    assert lookups.facts(1.0)['not_found_after_newest'] == 2


def test_messages_are_counted_with_how_old_the_newest_was():
    lookups = Lookups()
    for tick in range(21):
        lookups.heard(25, 0.05 * tick, 0.004 if tick % 2 else 0.008)
    facts = lookups.facts(1.0)
    assert facts['messages_hz'] == pytest.approx(500) and facts['age_ms_p95'] == 8
    assert lookups.facts(9.0)['messages_hz'] == 0


@pytest.mark.parametrize('frames, stamp_ns, reason', [
    (('base', 'nobody'), 5, 'unknown_frame'), (('base', 'moon'), 5, 'unconnected'),
    (('base', 'tool'), 1, 'before_oldest'), (('base', 'tool'), 30, 'after_newest')])
def test_the_reason_of_a_failure_is_one_word(frames, stamp_ns, reason):
    from sqap_vla_ros.geometry.transform_buffer import Pose
    buffer = TransformBuffer()
    for time_ns in (10, 20):
        for parent, child in (('base', 'tool'), ('world', 'moon')):
            buffer.insert(parent, child, Pose((0, 0, 0), (0, 0, 0, 1), time_ns))
    with pytest.raises(TransformLookupError) as caught:
        buffer.lookup(*frames, stamp_ns)
    assert caught.value.reason == reason


def test_images_heard_sent_and_lost_are_told_apart():
    delivery = Delivery()
    for count in range(31):  # every third is lost
        delivery.image(3 * (count // 2) + count % 2, count / 20, 0.01 * (1 + count % 2))
        delivery.info(count / 20)
    facts = delivery.facts(1.5)
    assert (facts['images'], facts['lost']) == (31, 15)
    assert facts['heard_hz'] == pytest.approx(20) and facts['camera_info_hz'] == facts['heard_hz']
    assert facts['sent_hz'] == pytest.approx(20 * 46 / 31)
    assert facts['age_ms_p50'] == 10 and facts['age_ms_p95'] == 20
    later = delivery.facts(9.0)
    assert (later['arrived'], later['heard_hz'], later['images']) == (0, 0.0, 31)
    delivery.image(0, 9.1)  # another publisher: nothing was lost
    assert delivery.facts(9.1)['lost'] == 15
    delivery.clear()
    assert delivery.facts(9.2)['images'] == 0 and math.isnan(delivery.facts(9.2)['age_ms_p50'])


def test_a_middleware_without_numbers_loses_nothing_and_has_a_rate():
    delivery = Delivery()
    for count in range(11):
        delivery.image(NO_NUMBER, 0.1 * count)
    facts = delivery.facts(1.0)
    assert facts['heard_hz'] == pytest.approx(10) and facts['lost'] == 0
    assert math.isnan(facts['sent_hz']) and not delivery.problem('/image', 1.0)


def test_rates_forget_and_percentiles_of_nothing_are_not_numbers():
    rate = Rate(window_s=1.0)
    assert rate.hz(0.0) == 0
    for count in range(40):
        rate.add(0.1 * count)
    assert rate.hz(3.9) == pytest.approx(10) and rate.total == 40 and rate.hz(8.0) == 0
    assert all(map(math.isnan, Recent().percentiles(50, 95)))


def test_processor_time_is_that_of_the_thread_and_not_of_the_clock():
    spent = ProcessorTime()
    with spent:
        time.sleep(0.05)
    assert spent.share() < 0.5
    end_s = time.thread_time() + 0.05
    with spent:
        while time.thread_time() < end_s:
            pass
    assert spent._spent_s >= 0.05 and 0 < spent.share() <= 1.1
