# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The fault rig's measuring: stops, ways, steps, growth, and the table made of them."""
import numpy as np
import pytest
from rig.measure import CommandLog, reaction
from rig.process_facts import slope
from rig.report import compared, counts, markdown, page, reaction_text


def log(*commands):
    """Return a log of (time, vx) or (time, vx, wz)."""
    found = CommandLog()
    for time_s, speed, *turn in commands:
        found.add(time_s, (speed, 0, 0, 0, 0, turn[0] if turn else 0.0))
    return found


def steady(start_s, end_s, speed, period_s=0.05):
    """Return commands at a constant speed."""
    return [(start_s + index * period_s, speed)
            for index in range(round((end_s - start_s) / period_s))]


def test_the_way_until_the_stop_counts_each_command_until_the_next():
    found = reaction(log((0.0, 0.1), (1.0, 0.2), (1.3, 0.0), *steady(1.35, 3.0, 0.0)), 0.5, 3.0)
    assert found.stopped_ms == pytest.approx(800)
    assert found.way_mm == pytest.approx(0.1 * 500 + 0.2 * 300)
    assert found.step_mm_s == pytest.approx(200)
    assert (found.starts, found.silent, found.bad) == (0, False, 0)


def test_an_arm_that_moves_to_the_end_has_not_stopped():
    found = reaction(log(*steady(0.0, 3.0, 0.1)), 1.0, 3.0)
    assert found.stopped_ms is None and not found.silent and found.told == 39
    assert found.way_mm == pytest.approx(200)


def test_a_stop_shortly_before_the_end_is_not_believed():
    assert reaction(log((0.0, 0.1), (2.8, 0.0)), 0.0, 3.0).stopped_ms is None


def test_motion_that_comes_back_is_no_stop_but_a_start():
    found = reaction(log((0.0, 0.1), (0.2, 0.0), (0.6, 0.1), (0.8, 0.0)), 0.1, 2.0)
    assert found.stopped_ms == pytest.approx(700) and found.starts == 1


def test_a_last_twist_that_stands_is_silence():
    found = reaction(log((0.0, 0.1), (0.05, 0.1)), 0.0, 2.0)
    assert found.silent and found.stopped_ms is None and found.told == 1
    assert found.way_mm == pytest.approx(200)


def test_an_arm_that_stood_has_gone_nowhere():
    found = reaction(log((0.0, 0.1), (0.1, 0.0)), 0.5, 2.0)
    assert found.stopped_ms == 0 and found.way_mm == 0


def test_turning_is_motion_and_what_is_not_finite_is_counted():
    found = reaction(log((0.0, 0.0, 0.5), (0.5, 0.0)), 0.0, 2.0)
    assert found.stopped_ms == pytest.approx(500)
    assert found.turn_deg == pytest.approx(np.degrees(0.25))
    assert reaction(log((0.0, np.nan), (0.5, 0.0)), -0.1, 2.0).bad == 1


def test_a_step_is_the_change_within_50_ms_however_many_commands_make_it():
    ramp = [(0.01 * index, 0.02 * index) for index in range(11)]  # 2 m/s2
    assert reaction(log((-1.0, 0.0), *ramp), -0.5, 1.0).step_mm_s == pytest.approx(100)


@pytest.mark.parametrize('growth', [0.0, 6.0])
def test_the_interval_of_a_slope_holds_it(growth):
    hours = np.linspace(0, 1, 400)
    noise = np.random.default_rng(1).normal(size=400)
    middle, low, high = slope(hours, 100 + growth * hours + noise)
    assert low < growth < high and low < middle < high
    assert high - low < 2.0


def row(**changes):
    """Return a row as the rig makes it."""
    return {'name': 'camera | stops', 'group': 'camera', 'wanted': 'stop', 'stopped_ms': 431.6,
            'way_mm': 38.2, 'turn_deg': 0.0, 'step_mm_s': 90.0, 'starts': 0, 'silent': False,
            'bad': 0, 'watched_s': 3.0, 'said': [
                [1, 'WARN', 'commands', 'waiting for the first action chunk'],
                [440, 'ERROR', 'inputs', 'no image <b>']],
            'recovery': 'by itself', 'recovery_ms': 140, 'alive': True, 'well': True, **changes}


def test_the_table_says_reaction_words_and_recovery():
    line = markdown([row()]).splitlines()[2]
    assert line == ('| camera / stops | stop | stops | 432 | 38 | 90 | ERROR: no image <b> | '
                    'by itself | 140 |')
    moved = row(stopped_ms=None, well=False)
    assert '**moves on**' in markdown([moved])
    assert counts([row(), moved, row(well=None)]) == {'judged': 2, 'as wanted': 1, 'not': 1}


def test_the_page_escapes_and_compares():
    text = page({'rows': [row()], 'before': [row(stopped_ms=None)], 'machine': {}, 'counts': {}})
    assert '<b>' not in text.replace('&lt;b&gt;', '')
    assert 'moves on, 38 mm' in text


def test_before_and_now_stand_side_by_side_by_group():
    rows = [row(), row(name='shakes', group='policy', well=False, recovery='~/resume')]
    lines = compared(rows, [row(stopped_ms=None, way_mm=401.0)]).splitlines()
    assert lines[0] == '### Camera' and '### Policy' in lines
    assert lines[4] == ('| camera / stops | stop | moves on, 401 mm | stops, 432 ms, 38 mm | '
                        'ERROR: no image <b> | by itself, 140 ms |')
    assert '| shakes | stop |  | **stops, 432 ms, 38 mm** |' in lines[-1]


@pytest.mark.parametrize('changes, text', [
    ({'alive': False, 'silent': True, 'stopped_ms': None}, 'the last command stands'),
    ({'silent': True, 'receiver': {'deadline': 240, 'gone': 1100}},
     'falls silent, the last command stands; to a receiver that asks it missed its deadline after '
     '240 ms and is gone after 1100 ms'),
    ({'wanted': 'refuse', 'refused': True}, 'refused'), ({'wanted': 'refuse'}, 'not refused'),
    ({'wanted': 'still', 'well': False}, 'moves'), ({'error': 'no node'}, 'not measured: no node'),
    ({'starts': 4}, 'stops, 4 starts in 3 s'), ({'alive': False}, 'stops, the process ends')])
def test_reactions_in_words(changes, text):
    assert reaction_text(row(**changes)) == text
