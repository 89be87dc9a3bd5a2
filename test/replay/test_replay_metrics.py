# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The summary of a replay: its numbers against plain loops, SciPy and numpy."""
from __future__ import annotations

from dataclasses import replace
import json

from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.metrics.summary import as_json
from sqap_vla_ros.replay.metrics.table import number, table_text


@pytest.fixture(scope='module')
def results():
    """Return results with a control."""
    return made_results(60, 8, controls=('none', 'blank-image'))


def executed(results, row=0, steps=8):
    """Return (answer, truth) of executed rows, float64 [rows, 6] each, by plain loops."""
    answers, commands = results.answers[row], results.commands[0]
    images, pairs = results.images, []
    for image in range(len(images)):
        for step in range(steps):
            middle = images.stamps_ns[image] + round((step + 0.5) * answers.dt_s * 1e9)
            before = [at for at in range(len(commands.times_ns))
                      if commands.times_ns[at] <= middle]
            last = max(commands.times_ns[-1], images.times_ns[-1]) + 50_000_000
            said = answers.velocities[image, step]
            if before and middle <= last and middle - commands.times_ns[before[-1]] <= 200e6 \
                    and np.isfinite(said).all():
                pairs.append((said, commands.values[before[-1]]))
    return np.moveaxis(np.array(pairs), 1, 0)


def test_errors_are_those_of_plain_loops(results):
    said, truth = executed(results)
    error = said - truth
    axes = summarised(results).rows[0].against[0].executed
    for column, axis in enumerate(axes):
        assert axis.count == len(error)
        assert axis.mae == pytest.approx(np.abs(error[:, column]).mean())
        assert axis.mse == pytest.approx((error[:, column] ** 2).mean())
        assert axis.rmse == pytest.approx(np.sqrt((error[:, column] ** 2).mean()))
        assert axis.bias == pytest.approx(error[:, column].mean())
        assert axis.largest == pytest.approx(np.abs(error[:, column]).max())
        assert (axis.low, axis.high) == (truth[:, column].min(), truth[:, column].max())
    span = np.ptp(truth[:, 0])
    assert axes[0].nrmse == pytest.approx(axes[0].rmse / span)
    assert axes[2].nrmse is None  # nothing ever went up or down
    assert axes[0].unit == 'm/s' and axes[5].unit == 'rad/s'


def test_the_summary_is_json_and_a_table(results):
    summary = summarised(results)
    text = json.dumps(as_json(summary), allow_nan=False)
    assert json.loads(text)['rows'][0]['title'] == 'fp'
    table = table_text(summary)
    for row in summary.rows:
        assert row.title in table
    assert 'does not predict success' in table
    assert 'does not vary along vz, wx, wy, wz' in table


@pytest.mark.parametrize('value, text', [
    (None, '-'), (0.0, '0'), (0.12345, '0.123'), (-12.345, '-12.3'), (3141.6, '3142'),
    (99999.0, '99999'), (1e5, '1.0e+05'), (0.00099, '9.9e-04')])
def test_numbers_of_the_table_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize('change', ['no commands', 'one image', 'no image', 'all refused',
                                    'no answers', 'one row', 'nothing known'])
def test_it_works_on_whatever_is_there(change):
    results = made_results(40, 4)
    images = results.images
    if change == 'no commands':
        results = replace(results, commands=())
    elif change == 'one image':
        results = made_results(1, 4)
    elif change == 'no image':
        results = made_results(0, 4)
    elif change == 'all refused':
        answers = [replace(each, actions=np.full_like(each.actions, np.nan),
                           velocities=np.full_like(each.velocities, np.nan),
                           positions=None, gripper=np.full_like(each.gripper, np.nan))
                   for each in results.answers]
        results = replace(results, answers=tuple(answers), images=replace(
            images, problems=('no camera_info',) * 40))
    elif change == 'no answers':
        results = replace(results, answers=())
    elif change == 'one row':
        results = made_results(40, 1)
    else:
        results = replace(results, commands=(), images=replace(
            images, poses=np.full_like(images.poses, np.nan)))
    summary = summarised(results)
    json.dumps(as_json(summary), allow_nan=False)
    assert f'{summary.images.count} images' in table_text(summary)


@pytest.mark.parametrize('commands, words', [
    (False, 'take a smaller --stride'), (True, 'lie at the same times?')])
def test_a_truth_that_meets_no_row_is_told(commands, words):
    results = made_results(20, 4)
    apart = results.images.stamps_ns[0] + 2 * 10**9 * np.arange(20)
    results = replace(results, images=replace(results.images, stamps_ns=apart, times_ns=apart),
                      commands=tuple(replace(each, times_ns=each.times_ns + 10**12)
                                     for each in results.commands) if commands else ())
    summary = summarised(results)
    notes = [note for note in summary.notes if 'none of the 76 executed rows' in note]
    assert notes and all(words in note for note in notes)
    assert json.dumps(as_json(summary), allow_nan=False)
    assert table_text(summary)


def test_a_variant_that_never_answered_stands_beside_one_that_did():
    results = made_results(30, 4)
    fp, sqap = (replace(each, kind='pose') for each in results.answers)
    silent = replace(sqap, positions=None, **{
        name: np.full_like(getattr(sqap, name), np.nan)
        for name in ('velocities', 'gripper', 'actions')})
    summary = summarised(replace(results, answers=(fp, silent)))
    assert summary.pairs[0].count == 0 and summary.pairs[0].norms[0].difference.mean is None
    assert [each.compared_as for each in summary.samples] == ['position', 'position']
    assert summary.samples[0].names == summary.samples[1].names
    assert set(summary.samples[1].values) == {None}


def test_a_table_of_few_images_has_means_and_no_intervals():
    table = table_text(summarised(made_results(4, 2)))
    assert '(too few images)' in table and '- .. -' not in table
