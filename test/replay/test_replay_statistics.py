# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs of rows, growth over a chunk, seams, tokens and times: each against plain loops."""
from __future__ import annotations

from dataclasses import replace

from made_results import made_results, RATE_NS
import numpy as np
import pytest
from sqap_vla_ros.replay.metrics.percentiles import counted, percentiles
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.metrics.samples import sample
from sqap_vla_ros.replay.metrics.smoothness import seams, smoothness
from sqap_vla_ros.replay.metrics.timing import timing
from sqap_vla_ros.replay.metrics.tokens import token_reference, token_statistics
from sqap_vla_ros.replay.results import DROPPED


@pytest.fixture(scope='module')
def results():
    """Return results of two variants under two controls."""
    return made_results(60, 8, controls=('none', 'blank-image', 'other-instruction'))


@pytest.fixture(scope='module')
def summary(results):
    """Return their summary."""
    return summarised(results)


def saying(answers, velocities, **changes):
    """Return answers that say these velocities [N, T, 6]."""
    actions = np.concatenate([velocities, velocities[..., :1]], 2).astype(np.float32)
    return replace(answers, velocities=velocities, actions=actions, **changes)


def test_controls_are_rows_beside_their_own_variant(summary):
    titles = [row.title for row in summary.rows]
    assert 'sqap@154, blank-image' in titles and 'fp, other-instruction' in titles
    references = {pair.row: pair.reference for pair in summary.pairs}
    assert references == {
        'fp, blank-image': 'fp', 'fp, other-instruction': 'fp', 'sqap@154': 'fp',
        'sqap@154, blank-image': 'sqap@154', 'sqap@154, other-instruction': 'sqap@154'}


def test_a_pair_differs_by_what_plain_loops_find(results, summary):
    fp, sqap = results.answers[0], results.answers[3]
    pair = next(each for each in summary.pairs if each.row == 'sqap@154')
    known = np.isfinite(fp.actions).all((1, 2))
    difference = (sqap.velocities - fp.velocities)[known]
    assert pair.count == 59 and pair.axes[1].axis == 'vy'
    assert pair.axes[1].rmse == pytest.approx(np.sqrt((difference[..., 1] ** 2).mean()))
    assert pair.axes[1].nrmse == pytest.approx(
        pair.axes[1].rmse / np.ptp(fp.velocities[known][..., 1]))
    lengths = np.linalg.norm(difference[..., :3], axis=-1)
    assert pair.norms[0].difference.mean == pytest.approx(lengths.mean())
    assert pair.norms[0].difference.largest == pytest.approx(lengths.mean(1).max())
    assert pair.norms[0].relative == pytest.approx(np.sqrt(
        (difference[..., :3] ** 2).sum() / (fp.velocities[known][..., :3] ** 2).sum()))
    opened = (sqap.gripper[known] > 0.5) == (fp.gripper[known] > 0.5)
    assert pair.gripper_agreement == pytest.approx(opened.mean())
    assert pair.latency.mean == pytest.approx(
        np.nanmean(sqap.latency_ms['total'] - fp.latency_ms['total']))


def test_worse_is_told_image_by_image(results, summary):
    pair = next(each for each in summary.pairs if each.row == 'sqap@154')
    worse = pair.norms[0].worse['/delta_twist_cmds']
    rows = {row.title: row.against[0].norms[0].mean for row in summary.rows}
    assert worse.mean == pytest.approx(rows['sqap@154'] - rows['fp'])
    assert 0 < worse.low < worse.mean < worse.high
    again = next(each for each in summary.pairs if each.row == 'fp, blank-image')
    assert again.norms[0].worse['/delta_twist_cmds'].low > 0.05


def test_errors_grow_over_the_rows(results):
    fp = results.answers[0]
    drift = 0.01 * np.arange(8)[:, None] * np.array([1.0, 0, 0, 0, 0, 0])
    row = summarised(replace(results, answers=(replace(
        fp, velocities=fp.velocities + drift, execute_steps=2),))).rows[0]
    growth = row.against[0].growth
    assert growth.times_s[:3] == pytest.approx((0, 0.05, 0.1))
    assert growth.rmse['vx'][7] == pytest.approx(0.07, abs=0.003)
    assert np.all(np.diff(growth.norms['linear']) > 0)
    first, executed, whole = (getattr(row.against[0], name)[0].rmse
                              for name in ('first', 'executed', 'whole'))
    assert first < executed < whole
    assert first == pytest.approx(growth.rmse['vx'][0])


@pytest.mark.parametrize('steps, every, expected', [(4, 1, 4), (4, 3, 6), (1, 1, 1), (8, 1, 8)])
def test_the_next_answer_is_to_the_first_image_after_executed_rows(
        results, steps, every, expected):
    images = results.images
    stamps = images.stamps_ns[0] + every * RATE_NS * np.arange(60)
    answers = replace(results.answers[0], execute_steps=steps,
                      actions=np.zeros_like(results.answers[0].actions))
    old, new, row = seams(replace(images, stamps_ns=stamps), answers)
    assert (row == expected).all() and (new - old == expected // every).all()
    assert old[0] == 0 and (old[1:] == new[:-1]).all()


def test_answers_that_have_ended_before_the_next_image_leave_no_seam(results):
    images = replace(results.images, stamps_ns=results.images.stamps_ns[0]
                     + 9 * RATE_NS * np.arange(60))
    assert len(seams(images, replace(results.answers[0], execute_steps=4))[0]) == 0
    assert smoothness(images, results.answers[0])[0].jump.p50 is None


def test_jumps_and_jerk_are_those_of_plain_loops(results):
    fp = replace(results.answers[0], execute_steps=4)
    old, new, row = seams(results.images, fp)
    linear = smoothness(results.images, fp)[0]
    jumps, jerks, apart = [], [], []
    for one, other, at in zip(old, new, row):
        a, b = fp.velocities[one, :, :3], fp.velocities[other, :, :3]
        jumps.append(np.linalg.norm(b[0] - a[at - 1]))
        apart.append(np.linalg.norm(b[0] - a[at]))
        for triple in ((a[at - 2], a[at - 1], b[0]), (a[at - 1], b[0], b[1])):
            jerks.append(np.linalg.norm(triple[2] - 2 * triple[1] + triple[0]) / 0.05 ** 2)
    assert linear.seams == len(jumps) >= 10
    assert linear.jump.mean == pytest.approx(np.mean(jumps))
    assert linear.jump.p95 == pytest.approx(np.percentile(jumps, 95))
    assert linear.disagreement.mean == pytest.approx(np.mean(apart))
    assert linear.jerk_at_seams.largest == pytest.approx(max(jerks))
    inside = [np.linalg.norm(fp.velocities[image, step + 1, :3] - fp.velocities[image, step, :3])
              for image in range(60) for step in range(3)]
    assert linear.inside.mean == pytest.approx(np.nanmean(inside))


def test_a_constant_acceleration_has_no_jerk_and_a_step_at_the_seam_is_seen(results):
    times = 0.05 * (np.arange(60)[:, None] + np.arange(8))
    ramp = np.zeros((60, 8, 6))
    ramp[..., 0] = 0.2 * times
    answers = saying(results.answers[0], ramp, execute_steps=4)
    linear = smoothness(results.images, answers)[0]
    assert linear.jerk_inside.largest == pytest.approx(0, abs=1e-9)
    assert linear.jerk_at_seams.largest == pytest.approx(0, abs=1e-9)
    assert linear.jump.mean == pytest.approx(linear.inside.mean) == pytest.approx(0.01)
    ramp[4, :, 0] += 0.1  # the second answer
    linear = smoothness(results.images, saying(answers, ramp))[0]
    assert linear.jump.largest == pytest.approx(0.11)
    assert linear.disagreement.largest == pytest.approx(0.1)
    assert linear.jerk_at_seams.largest == pytest.approx(0.1 / 0.05 ** 2)
    assert linear.jerk_inside.largest == pytest.approx(0, abs=1e-9)


def test_seams_are_not_across_episodes(results):
    episodes = (np.arange(60) >= 30).astype(np.int32)
    old, new, _ = seams(replace(results.images, episodes=episodes),
                        replace(results.answers[0], execute_steps=1))
    assert not ((old < 30) & (new >= 30)).any() and len(old) > 50


def test_tokens_are_counted_as_sets(results):
    fp, sqap = results.answers[0], results.answers[3]
    reasons = sqap.reasons.copy()
    reasons[10, np.flatnonzero(sqap.covered[10])[:5]] = DROPPED
    sqap = replace(sqap, reasons=reasons)
    other = replace(sqap, name='sqap@102', reasons=np.roll(reasons, 1, axis=1))
    assert token_reference((fp, sqap, other)) is sqap
    found = token_statistics(results.images, sqap, sqap)
    kept = [set(np.flatnonzero(row != DROPPED)) for row in reasons]
    mine = [set(np.flatnonzero(row)) for row in sqap.covered]
    known = [image for image in range(60) if image != 5]
    recall = [len(kept[image] & mine[image]) / len(mine[image]) for image in known]
    assert found.recall == pytest.approx(np.mean(recall)) and found.recall < 1
    assert found.recall_least == pytest.approx(min(recall))
    assert found.recall_whole == pytest.approx(58 / 59)
    assert found.projected == found.in_image == pytest.approx(59 / 60)
    assert found.kept == pytest.approx(np.mean([len(kept[image]) for image in known]))
    overlaps = [len(kept[one] & kept[two]) / len(kept[one] | kept[two])
                for one, two in zip(known, known[1:])]
    assert found.overlap_frames == pytest.approx(np.mean(overlaps))
    beside = token_statistics(results.images, other, sqap)
    shifted = [set(np.flatnonzero(row != DROPPED)) for row in other.reasons]
    assert beside.overlap_reference == pytest.approx(np.mean(
        [len(kept[image] & shifted[image]) / len(kept[image] | shifted[image])
         for image in known]))
    assert beside.reference == 'sqap@154' and found.overlap_reference is None
    assert sum(found.by_reason.values()) == pytest.approx(1)
    assert token_statistics(results.images, fp, sqap).overlap_reference is None


def test_a_robot_outside_the_image_has_no_recall(results):
    sqap = results.answers[3]
    found = token_statistics(results.images, replace(sqap, covered=0 * sqap.covered > 0), sqap)
    assert found.recall is None and found.in_image == 0 and found.projected > 0.9


def test_latencies_are_numpys_percentiles_and_deadlines_those_of_the_node(results):
    fp = replace(results.answers[0], execute_steps=7)
    total = fp.latency_ms['total'].copy()
    total[7] = 45.0
    fp = replace(fp, latency_ms={**fp.latency_ms, 'total': total})
    found = timing(results.images, fp)
    known = total[np.isfinite(total)]
    stage = found.stages['total']
    assert (stage.p50, stage.p95, stage.p99) == pytest.approx(np.percentile(known, (50, 95, 99)))
    age = fp.latency_ms['observe'] + total + 4.0  # an image comes 4 ms after its stamp
    assert found.deadline_ms == pytest.approx(50) and found.counted == 59
    assert found.missed == (age > 50).sum() > 0
    assert found.input_age.p95 == pytest.approx(4.0)
    assert found.answer_age.mean == pytest.approx(np.nanmean(age))
    assert timing(results.images, replace(fp, execute_steps=8)).deadline_ms is None
    bare = timing(results.images, replace(fp, latency_ms={}))
    assert bare.counted == bare.missed == 0 and bare.answer_age.p50 is None


def test_another_clocks_images_have_no_age(results):
    images = replace(results.images, stamps_ns=results.images.stamps_ns - 10**15)
    found = timing(images, results.answers[0])
    assert found.input_age is None
    assert found.answer_age.mean == pytest.approx(np.nanmean(
        results.answers[0].latency_ms['total'] + results.answers[0].latency_ms['observe']))


def test_a_gripper_that_never_moves_is_found_out(results):
    fp = results.answers[0]
    lazy = summarised(replace(results, answers=(replace(fp, gripper=0 * fp.gripper + 1),)))
    gripper = lazy.rows[0].gripper[0]
    assert gripper.when_open == 1 and gripper.when_closed == 0 and 0 < gripper.agreement < 1
    assert gripper.mae == pytest.approx(1 - gripper.agreement)


def test_texts_are_counted_whatever_their_numbers():
    texts = ['TF is 0.3 s late', '', 'TF is 12 s late', 'no image', *map(str, 'abc' * 8)]
    assert counted(texts)['TF is # s late'] == 2
    many = counted(chr(ord('a') + number) for number in range(26))
    assert len(many) == 21 and many['others'] == 6
    assert percentiles([]).count == 0


def test_images_are_counted_with_their_problems(results, summary):
    assert summary.images.refused == 1
    assert summary.images.problems == {'no transform base -> end_effector': 1}
    assert summary.images.duration_s == pytest.approx(59 * 0.05)
    assert summary.images.rate_hz == pytest.approx(20)
    other = replace(results, images=replace(results.images, instructions=('other',) * 60))
    assert summarised(other).images.digest != summary.images.digest
    assert summarised(results).images.digest == summary.images.digest


@pytest.mark.parametrize('rows', [0, 2, -2])
def test_commands_that_are_off_in_time_are_found(results, rows):
    plain = results.commands[0]
    late = replace(plain, times_ns=plain.times_ns + rows * RATE_NS)
    summary = summarised(replace(results, commands=(late,)))
    found = summary.rows[0].against[0]
    assert found.shift_s == pytest.approx(rows * 0.05)
    told = [note for note in summary.notes if 'agrees best' in note]
    assert len(told) == (rows != 0)
    assert all(('0.1 s later' if rows > 0 else '0.1 s earlier') in note for note in told)
    assert found.shifted < 0.8 if rows else found.shifted == 1.0


def test_an_image_without_an_answer_is_missing_and_one_with_a_problem_is_not(results):
    fp = results.answers[0]
    actions = fp.actions.copy()
    actions[10, 2, 3] = np.nan
    problems = tuple('out of memory' if image == 10 else '' for image in range(60))
    row = summarised(replace(results, answers=(replace(
        fp, actions=actions, problems=problems),))).rows[0]
    assert (row.answered, row.missing, row.problems) == (58, 1, {'out of memory': 1})


def test_samples_are_evenly_spread_and_short(results):
    found = sample(results.images, results.answers[0])
    assert found.numbers == tuple(range(60)) and found.values[5] is None is found.gripper[5]
    assert found.values[7][3][0] == float(f'{results.answers[0].velocities[7, 3, 0]:.6g}')
    long = made_results(1000, 8)
    found = sample(long.images, long.answers[0])
    assert len(found.numbers) == 100 and found.numbers[0] == 0 and found.numbers[-1] == 999
    assert set(np.diff(found.numbers)) == {10, 11}


def test_a_shift_that_gains_little_or_rests_on_few_images_is_none(results):
    late = replace(results.commands[0], times_ns=results.commands[0].times_ns + 2 * RATE_NS)
    fp = results.answers[0]
    noisy = fp.velocities + np.random.default_rng(1).normal(0, 0.1, fp.velocities.shape)
    rows = summarised(replace(results, commands=(late,), answers=(
        replace(fp, velocities=noisy),))).rows
    assert rows[0].against[0].shift_s == 0
    few = made_results(25, 8)
    few = replace(few, commands=(replace(few.commands[0], times_ns=(
        few.commands[0].times_ns + 2 * RATE_NS)),))
    assert summarised(few).rows[0].against[0].shift_s is None


def test_an_arm_that_lags_is_no_fault_of_a_clock(results):
    poses = np.concatenate([results.images.poses[:1]] * 3 + [results.images.poses[:-3]])
    lagging = replace(results, commands=(), images=replace(results.images, poses=poses))
    notes = [note for note in summarised(lagging).notes if 'velocity as it was' in note]
    assert notes and 'later' in notes[0] and 'an arm follows' in notes[0]


def test_answers_of_another_shape_are_not_compared_and_said(results):
    short = {name: getattr(results.answers[3], name)[:, :5]
             for name in ('velocities', 'positions', 'gripper', 'actions')}
    summary = summarised(replace(results, answers=(
        results.answers[0], replace(results.answers[3], execute_steps=5, **short))))
    assert summary.pairs == () and len(summary.rows) == 2
    assert any('other shapes, (5, 6) and (8, 6)' in note for note in summary.notes)
