# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What is told about an image's stamp."""

import pytest

from sqap_vla_ros.ingest.stamps import duration_text, why_stamp_is_off

NOW_NS = 1_795_000_000 * 10**9
SECOND = 10**9


@pytest.mark.parametrize('stamp_ns, text', [
    (0, 'the images on /image have no stamp'),
    (1234 * SECOND, 'are 56 years old: the camera stamps by another clock'),
    (NOW_NS - 3 * 86400 * SECOND, 'are 3 days old: the camera stamps by another clock'),
    (2 * NOW_NS, 'are stamped 56 years in the future: the camera stamps by another clock'),
    (NOW_NS - 700_000_000, 'are 0.700 s old when they come in (limit: image_timeout, 0.5 s)'),
    (NOW_NS + 300_000_000, 'are stamped 0.300 s in the future (limit: 0.1 s)')])
def test_a_stamp_that_is_off_is_told_with_numbers(stamp_ns, text):
    assert text in why_stamp_is_off(stamp_ns, NOW_NS, 0.5, '/image')


def test_a_clock_that_was_never_set_is_the_nodes_fault():
    assert 'nothing has come in' in why_stamp_is_off(NOW_NS, 0, 0.5, '/image')


@pytest.mark.parametrize('age_ns', [-100_000_000, 0, 500_000_000])
def test_a_stamp_within_the_limits_is_well(age_ns):
    assert why_stamp_is_off(NOW_NS - age_ns, NOW_NS, 0.5, '/image') == ''


def test_the_first_image_of_a_simulation_may_be_stamped_zero():
    assert why_stamp_is_off(0, 200_000_000, 0.5, '/image') == ''


@pytest.mark.parametrize('seconds, text', [
    (0.0004, '0.000 s'), (-1.5, '1.500 s'), (7199, '7199.000 s'), (7200, '2 hours'),
    (172800, '2 days'), (57 * 365.25 * 86400 - 1, '56 years')])
def test_durations_in_words(seconds, text):
    assert duration_text(seconds) == text
