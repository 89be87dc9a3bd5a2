# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Answers played as a node would have: when it asks, when it is answered, what it commands."""
from dataclasses import replace

from made_results import made_results, RATE_NS
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.drives import PoseDrive
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.replay.export.run import as_commanded
from sqap_vla_ros.replay.metrics.notes import silence_note
from sqap_vla_ros.replay.metrics.times import episode_slices
from sqap_vla_ros.replay.play_options import PlayOptions
from sqap_vla_ros.replay.played import play, Played
from sqap_vla_ros.replay.playing import playing, playing_text
from sqap_vla_ros.replay.results import Images
from sqap_vla_ros.ros.vla.config import NodeConfig

SPACE = ActionSpace(execute_steps=4)
FREE = CommandLimits(10.0, 10.0)
OPTIONS = PlayOptions(FREE, latency_s=0.06, blending='none')
MADE = made_results(60)


def some(count=60, **changes) -> Images:
    """Return the first images, none of them with a problem unless told, and their answers."""
    images = replace(MADE.images, problems=('',) * 60)
    images = replace(images, **{name: value[:count] for name, value in vars(images).items()
                                if name != 'joint_names'})
    answers = MADE.answers[0]
    velocities = np.nan_to_num(answers.velocities[:count], nan=0.1)
    opening = np.nan_to_num(answers.gripper[:count], nan=1.0)
    actions = np.concatenate([velocities, opening[..., None]], 2).astype(np.float32)
    answers = replace(
        answers, execute_steps=4, velocities=velocities, gripper=opening, actions=actions,
        latency_ms={name: values[:count] for name, values in answers.latency_ms.items()},
        problems=answers.problems[:count])
    return replace(images, **changes), answers


def standing(played) -> np.ndarray:
    """Return where the arm is told to stand."""
    return played.answers < 0


def test_it_moves_when_the_first_answer_is_known_and_asks_when_rows_are_executed():
    images, answers = some()
    played = play(images, answers, SPACE, OPTIONS)
    known_ns = images.times_ns[0] + 60_000_000
    moves_ns = played.times_ns[~standing(played)]
    assert moves_ns[0] == known_ns == played.known_ns[0]
    assert played.asked.tolist() == list(range(0, 60, 4))
    assert played.used.all() and not played.late.any() and not played.faults
    first = played.velocities[played.times_ns == known_ns][-1]
    np.testing.assert_allclose(first, answers.actions[0, 0, :6], rtol=1e-6)
    assert (np.diff(played.times_ns) >= 0).all()


def test_an_answer_is_taken_from_where_it_was_executed_to():
    images, answers = some()
    played = play(images, answers, SPACE, OPTIONS)
    at = np.flatnonzero(played.answers == 4)[0]
    place_s = (played.times_ns[at] - images.stamps_ns[4]) * 1e-9
    assert place_s == pytest.approx(0.064)
    rows = answers.actions[4, 1:3, :6].astype(float)  # 0.064 s on: 36 ms of row 1, then row 2
    share = (0.1 - place_s) / 0.05
    np.testing.assert_allclose(
        played.velocities[at], share * rows[0] + (1 - share) * rows[1], rtol=1e-6)


def test_nothing_is_taken_from_the_future():
    whole = play(*some(), SPACE, OPTIONS)
    for count in (9, 30):
        images, answers = some(count)
        part = play(images, answers, SPACE, OPTIONS)
        same = part.times_ns <= images.times_ns[-1]
        assert same.sum() > 5
        np.testing.assert_array_equal(part.velocities[same], whole.velocities[:same.sum()])
        np.testing.assert_array_equal(part.times_ns[same], whole.times_ns[:same.sum()])


def test_latency_is_as_measured_unless_told():
    images, answers = some()
    played = play(images, answers, SPACE, replace(OPTIONS, latency_s=None))
    took_ms = answers.latency_ms['observe'] + answers.latency_ms['total']
    np.testing.assert_allclose(
        played.known_ns - images.times_ns[played.asked], took_ms[played.asked] * 1e6, atol=1)


def test_answers_that_come_when_the_last_ran_out_are_late_and_in_the_end_a_fault():
    images, answers = some()
    options = replace(OPTIONS, latency_s=0.45, missed_chunks=2)
    played = play(images, answers, SPACE, options)
    assert played.late[1:3].all() and not played.late[0]
    (time_ns, why), = played.faults
    assert 'missed_chunks' in why and 'came when the last one had run out' in why
    assert standing(played)[played.times_ns > time_ns].all()
    assert not play(images, answers, SPACE, replace(options, missed_chunks=0)).faults


def test_while_the_policy_is_busy_the_newest_image_waits():
    images, answers = some()
    played = play(images, answers, SPACE, replace(OPTIONS, latency_s=0.32))
    # 7: the first after that answer; 11 is due, and 12 and 13 come while 7 is being answered
    assert played.asked[:3].tolist() == [0, 7, 13]
    assert (played.known_ns - images.times_ns[played.asked] >= 320_000_000)[:5].all()


def test_an_image_that_cannot_be_used_stops_the_arm_until_the_next():
    problems = ['' if row != 8 else 'no transform' for row in range(60)]
    images, answers = some(problems=tuple(problems))
    played = play(images, answers, SPACE, OPTIONS)
    assert not played.used[played.asked == 8] and 9 not in played.asked
    seen_ns = images.times_ns[8] + 60_000_000
    after = standing(played)[(played.times_ns >= seen_ns + RATE_NS)
                             & (played.times_ns < seen_ns + 2 * RATE_NS)]
    assert after.all() and 10 in played.asked and not standing(played)[-5:].any()


def test_another_instruction_drops_the_chunk():
    images, answers = some(instructions=('one',) * 22 + ('two',) * 38)
    played = play(images, answers, SPACE, OPTIONS)
    changed_ns = images.times_ns[22]
    assert 22 not in played.asked, 'it was taken before the arm was stopped'
    assert 23 in played.asked
    between = (played.times_ns >= changed_ns) & (played.times_ns < changed_ns + 60_000_000)
    assert between.any() and not played.velocities[between].any()


def test_silence_stops_the_arm():
    images, answers = some(30)
    late = np.where(np.arange(30) >= 15, 3_000_000_000, 0)
    images = replace(images, times_ns=images.times_ns + late, stamps_ns=images.stamps_ns + late)
    played = play(images, answers, SPACE, OPTIONS)
    gap = (played.times_ns > images.times_ns[14] + 600_000_000) & (
        played.times_ns < images.times_ns[15])
    assert gap.sum() > 40 and not played.velocities[gap].any()
    assert not standing(played)[-5:].any()
    played = play(images, answers, SPACE, replace(OPTIONS, image_timeout=0.12))
    silent_ns = played.times_ns - images.stamps_ns[14]
    stops = (silent_ns > 120_000_000) & (silent_ns < 400_000_000)
    assert stops.any() and standing(played)[stops].all(), 'though rows are left'


@pytest.mark.parametrize('lockstep', [False, True])
@pytest.mark.parametrize('own_clock', [False, True])
def test_a_clock_that_is_set_ahead_is_not_played_through(lockstep, own_clock):
    images, answers = some(30)
    if own_clock:
        images = replace(images, stamps_ns=images.stamps_ns - images.stamps_ns[0])
    played = []
    for gap_s in (5, 6 * 3600, 50 * 365 * 86400):
        late = np.where(np.arange(30) >= 15, gap_s * 10**9, 0)
        part = replace(images, times_ns=images.times_ns + late, stamps_ns=images.stamps_ns + late)
        played.append(play(part, answers, SPACE, replace(OPTIONS, lockstep=lockstep)))
    short, hours, years = played
    np.testing.assert_array_equal(hours.velocities, years.velocities)
    assert len(short.times_ns) < len(hours.times_ns) < len(short.times_ns) + 200
    count = len(short.times_ns) - 40  # of the first part, and of the second one
    np.testing.assert_array_equal(short.velocities[-30:], hours.velocities[-30:])
    np.testing.assert_array_equal(short.velocities[:count], hours.velocities[:count])
    np.testing.assert_array_equal(short.asked, years.asked)
    np.testing.assert_array_equal(short.used, years.used)
    assert np.diff(years.times_ns).max() > 49 * 365 * 86400 * 10**9
    assert playing(years).used == short.used.sum()


def test_a_silence_lasts_as_long_as_an_answer_is_awaited_and_ends_no_fault():
    late = np.where(np.arange(60) >= 15, 6 * 3600 * 10**9, 0)
    images, answers = some()
    images = replace(images, times_ns=images.times_ns + late, stamps_ns=images.stamps_ns + late)
    slow = replace(OPTIONS, latency_s=45.0, image_timeout=60.0)
    played = play(images, answers, SPACE, slow)
    assert played.known_ns[0] == images.times_ns[0] + 45 * 10**9
    assert not standing(played)[played.times_ns == played.known_ns[0]][-1]
    assert 2000 < len(played.times_ns) < 3000
    played = play(images, answers, SPACE, replace(OPTIONS, latency_s=0.45, missed_chunks=1))
    (time_ns, _), = played.faults
    assert time_ns < images.times_ns[15] and standing(played)[played.times_ns > time_ns].all()


@pytest.mark.parametrize('lockstep, ahead_s', [(False, 0), (False, 3600), (True, 0)])
def test_an_image_without_a_stamp_is_no_other_episode(lockstep, ahead_s):
    lost = np.isin(np.arange(60), [0, 30, 31])
    images, answers = some()
    images = replace(images, times_ns=images.times_ns + ahead_s * 10**9)
    whole = play(images, answers, SPACE, replace(OPTIONS, lockstep=lockstep))
    images = replace(images, stamps_ns=np.where(lost, 0, images.stamps_ns), problems=tuple(
        'cut off' if each else '' for each in lost))
    played = play(images, answers, SPACE, replace(OPTIONS, lockstep=lockstep))
    assert abs(len(played.times_ns) - len(whole.times_ns)) < 12
    assert (np.diff(played.times_ns) >= 0).all() and played.used.sum() > 10
    assert episode_slices(images) == [slice(0, 60)]


def test_a_long_silence_is_told():
    images = some()[0]
    assert silence_note(images) == ''
    late = np.where(np.arange(60) >= 15, 6 * 3600 * 10**9, 0)
    ahead = replace(images, times_ns=images.times_ns + late)
    assert silence_note(ahead).startswith(
        'no image came in for 6 hours behind image 14, 0.7 s from the first (such times: 1)')
    strided = replace(images, times_ns=images.times_ns + np.arange(60) * 20 * 10**9)
    assert silence_note(strided) == ''
    few = replace(some(3)[0], times_ns=ahead.times_ns[[0, 1, 15]])
    assert 'behind image 1, 0.1 s' in silence_note(few), 'of two steps one is a silence'
    two = replace(some(2)[0], times_ns=ahead.times_ns[[0, 15]])
    assert 'behind image 0, 0.0 s' in silence_note(two)
    assert silence_note(replace(two, numbers=np.array([0, 15]))) == ''  # by a stride


def test_an_answer_to_what_was_asked_before_the_arm_was_stopped_is_void():
    images, answers = some(instructions=('one',) * 6 + ('two',) * 54)
    played = play(images, answers, SPACE, replace(OPTIONS, latency_s=0.1))
    assert played.asked[:2].tolist() == [0, 4], '4 is being answered when the task changes'
    assert played.used[0] and not played.used[1] and played.known_ns[1] == -1
    slow = play(images, answers, SPACE, replace(OPTIONS, speed_scale=0.5))
    assert np.abs(slow.velocities).max() < 0.6 * np.abs(played.velocities).max()


def test_commands_are_within_the_limits():
    images, answers = some()
    played = play(images, answers, SPACE, replace(OPTIONS, limits=CommandLimits(0.05, 1.0)))
    speeds = np.linalg.norm(played.velocities[:, :3], axis=1)
    assert speeds.max() == pytest.approx(0.05)


def test_a_simulation_has_its_own_clock():
    images, answers = some()
    other = replace(images, stamps_ns=RATE_NS * np.arange(60))
    same = replace(images, times_ns=images.stamps_ns)
    played, expected = (play(each, answers, SPACE, OPTIONS) for each in (other, same))
    np.testing.assert_array_equal(played.velocities, expected.velocities)
    assert played.stamps_ns[0] == 0 and played.times_ns[0] == images.times_ns[0]
    np.testing.assert_array_equal(np.diff(played.times_ns), np.diff(expected.times_ns))


def test_another_episode_begins_anew():
    images, answers = some(episodes=np.repeat([0, 1], 30).astype(np.int32))
    played = play(images, answers, SPACE, OPTIONS)
    begun_ns = images.times_ns[30]
    assert 30 in played.asked and (np.diff(played.times_ns) >= 0).all()
    assert played.answers[played.times_ns >= begun_ns].max() >= 30
    at = (played.times_ns >= begun_ns) & (played.times_ns < begun_ns + 60_000_000)
    assert at.any() and not played.velocities[at].any()


def test_in_lockstep_a_tick_is_a_row():
    images, answers = some()
    played = play(images, answers, SPACE, replace(OPTIONS, lockstep=True))
    assert played.asked.tolist() == list(range(0, 60, 4))
    np.testing.assert_array_equal(played.stamps_ns, images.stamps_ns)
    expected = answers.actions[::4, :4, :6].reshape(-1, 6)
    np.testing.assert_allclose(played.velocities, expected, rtol=1e-6)
    sparse = replace(images, **{name: value[::4] for name, value in vars(images).items()
                                if name != 'joint_names'})
    few = replace(answers, **{name: getattr(answers, name)[::4] for name in (
        'velocities', 'actions', 'gripper', 'problems')})
    between = play(sparse, few, SPACE, replace(OPTIONS, lockstep=True))
    np.testing.assert_allclose(between.velocities, expected[:len(between.velocities)], rtol=1e-6)
    assert len(between.velocities) == 57, 'each tick up to the last image'


def test_targets_lead_from_where_the_arm_was_measured():
    images, answers = some()
    options = replace(OPTIONS, drive=PoseDrive('base'))
    played = play(images, answers, SPACE, options)
    known = np.isfinite(played.positions).all(1)
    np.testing.assert_array_equal(known, ~standing(played))
    first = played.positions[known][0]
    np.testing.assert_allclose(first[:3], images.poses[0, :3] + answers.actions[0, 0, :3] * 0.05,
                               atol=1e-6)
    assert played.position_names[0] == 'x'
    blind = replace(images, poses=np.full((60, 7), np.nan))
    assert standing(play(blind, answers, SPACE, options)).all()


def test_numbers_tell_seams_from_the_rest():
    times_ns = 20_000_000 * np.arange(10)
    speeds = np.array([0, 0, 1, 1, 1, 2, 2, 2, 0, 0.0])
    answers = np.array([-1, -1, 0, 0, 0, 3, 3, 3, -1, -1])
    velocities = np.zeros((10, 6))
    velocities[:, 0] = speeds
    asked = np.array([0, 3, 6])
    played = Played(
        'fp', 'base', 0.02, ('vx', 'vy', 'vz', 'wx', 'wy', 'wz'), velocities, None, (),
        np.full(10, np.nan), times_ns, times_ns, answers, asked, np.array([40, 100, -1]),
        np.array([True, True, False]), np.array([False, True, True]), ((160_000_000, 'too far'),))
    numbers = playing(played)
    linear = numbers.steps[0]
    assert (numbers.asked, numbers.answered, numbers.used, numbers.late) == (3, 2, 2, 1)
    assert numbers.stood == pytest.approx(2 / 8)
    assert (linear.jump.count, linear.jump.largest) == (1, 1.0)
    assert (linear.inside.count, linear.inside.largest) == (4, 0.0)
    assert linear.jerk_at_seams.count == 2
    assert linear.jerk_at_seams.largest == pytest.approx(1 / 0.02 ** 2)
    assert (linear.jerk_inside.count, linear.jerk_inside.largest) == (2, 0.0)
    text = playing_text(numbers)
    assert '1 of 2 answers late' in text and 'after 0.2 s: too far' in text
    slow = playing_text(replace(numbers, stood=None, answered=0))
    assert 'no answer would have been there before the recording ended: --latency' in slow
    assert 'nothing would have moved (asked: 3' in playing_text(replace(numbers, stood=None))


def test_commands_of_two_episodes_make_no_seam():
    times_ns = np.array([0, 20_000_000, 40_000_000, 10**9])
    answers = np.array([0, 0, 1, 2])
    none = np.zeros(0, np.int64)
    numbers = playing(Played(
        'fp', 'base', 0.02, ('j1', 'j2'), np.array([[1.0, 0], [1, 0], [1, 0], [9, 0]]), None, (),
        np.full(4, np.nan), times_ns, times_ns, answers, none, none, none > 0, none > 0))
    assert (numbers.steps[0].group, numbers.steps[0].unit) == ('joints', 'rad/s')
    assert numbers.steps[0].jump.count == 1 and numbers.steps[0].jump.largest == 0.0


def test_an_episode_after_time_went_back_is_played_as_the_first_one():
    images, answers = some()
    shift_ns = 60 * RATE_NS + 10**9
    second = np.arange(60) >= 30
    again = replace(
        images, episodes=second.astype(np.int32),
        times_ns=np.where(second, np.roll(images.times_ns, 30) + shift_ns, images.times_ns),
        stamps_ns=np.where(second, np.roll(images.stamps_ns, 30), images.stamps_ns),
        shifts_ns=np.where(second, shift_ns, 0))
    played = play(again, answers, SPACE, OPTIONS)
    early = played.times_ns < again.times_ns[30]
    assert early.sum() == (~early).sum() and not standing(played)[~early].all()
    np.testing.assert_array_equal(played.times_ns[early] + shift_ns, played.times_ns[~early])
    np.testing.assert_array_equal(standing(played)[early], standing(played)[~early])


def test_what_cannot_be_played_is_told_and_a_wrong_latency_refused():
    images, answers = some(4)
    results = replace(MADE, images=images, answers=(answers,))
    played, why = as_commanded(results, SPACE, NodeConfig(output='joint_trajectory'))
    assert played == () and why.startswith('what a node would have had the arm told is left out')
    played, why = as_commanded(results, SPACE, NodeConfig(), 0.05)
    assert [each.title for each in played] == ['fp'] and not why
    for latency_s in (-0.1, 61.0, float('nan')):
        with pytest.raises(ConfigError, match=r'--latency.* expected 0\.\.60 s'):
            as_commanded(results, SPACE, NodeConfig(), latency_s)
