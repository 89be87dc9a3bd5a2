# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An arm that lags follows; one that is elsewhere does not, on either side."""
import re

import numpy as np
import pytest
from sqap_vla_ros.control.following import Following, WINDOW_NS

NOW_NS = 1_790_000_000_000_000_000
TICK_NS = 20_000_000


def followed(measured, seconds=1.0, most=0.1, now_ns=NOW_NS):
    """Tell two joints to part at 1 rad/s; return what is said of them measured at the end."""
    following = Following(('left', 'right'), np.zeros(2), most)
    for tick in range(round(seconds * 50) + 1):
        place = np.array([1.0, -1.0]) * tick * 0.02
        why = following.why_not(place if tick < seconds * 50 else np.array(measured), place,
                                now_ns + tick * TICK_NS)
    return why


@pytest.mark.parametrize('measured', [(1.0, -1.0), (0.5, -0.9), (0.41, -0.41), (1.09, -1.09)])
def test_a_lag_of_half_a_second_is_well_and_a_little_more(measured):
    assert followed(measured) is None


@pytest.mark.parametrize('measured, told', [
    ((0.38, -0.7), 'left is at 0.380, but was told to be at 0.5'),
    ((1.12, -0.7), 'left is at 1.120, .*0.500..1.000 within the last 0.5 s, 0.120 rad or m off'),
    ((0.7, -0.38), 'right is at -0.380'), ((0.7, -1.12), 'right is at -1.120')])
def test_what_is_further_off_is_told_on_either_side(measured, told):
    why = followed(measured)
    assert why is not None and re.search(told, why)


def test_no_limit_lets_all_pass_even_nothing():
    following = Following(('left',), np.zeros(1), np.inf)
    assert following.why_not(None, np.ones(1), NOW_NS) is None
    assert following.why_not(np.array([9.0]), np.ones(1), NOW_NS) is None


@pytest.mark.parametrize('turns', [-1, 1, 3])
def test_a_joint_without_ends_may_be_measured_whole_turns_off(turns):
    near, far = np.array([2 * np.pi * turns + 3.2]), np.array([2 * np.pi * turns + 3.5])
    for turning, said in (({'left'}, (False, True)), (set(), (True, True))):
        for measured, is_off in zip((near, far), said):
            following = Following(('left',), np.array([3.2]), 0.1, turning)
            assert bool(following.why_not(measured, np.array([3.2]), NOW_NS)) == is_off


def test_a_clock_that_is_set_back_forgets_what_was_told_after():
    following = Following(('left',), np.zeros(1), 0.1)
    following.why_not(np.array([5.0]), np.array([5.0]), NOW_NS + 10 * WINDOW_NS)
    assert following.why_not(np.array([0.0]), np.array([0.0]), NOW_NS) is None
    assert 'told to be at 0.000..0.000' in following.why_not(
        np.array([5.0]), np.array([0.0]), NOW_NS + 2 * WINDOW_NS)
