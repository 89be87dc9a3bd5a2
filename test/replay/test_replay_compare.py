# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla compare`: 0 for what is within limits, 1 for what cannot be compared, 2 for drift."""
from __future__ import annotations

import copy
from dataclasses import replace
import json

from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.metrics.summary import as_json


def written(results):
    """Return what replay.json holds of results."""
    return json.loads(json.dumps({
        'facts': dict(results.facts), 'losses': list(results.losses),
        'summary': as_json(summarised(results))}))


BASE = written(made_results())


def status(tmp_path, second, *options, first=BASE):
    """Return the exit status of comparing two contents."""
    for name, content in (('a.json', first), ('b.json', second)):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
    try:
        return main(['compare', str(tmp_path / 'a.json'), str(tmp_path / 'b.json'),
                     '--max-nrmse', '0.05', *options])
    except SystemExit as error:
        return error.code


def changed(function):
    """Return the base with something changed in place."""
    content = copy.deepcopy(BASE)
    function(content)
    return content


def test_the_same_is_fine(tmp_path, capsys):
    assert status(tmp_path, BASE, '--max-nrmse', '0') == 0
    out = capsys.readouterr().out
    assert 'fine: all' in out and 'DRIFT' not in out


def test_answers_that_differ_are_drift_even_where_errors_are_as_large(tmp_path, capsys):
    results = made_results()
    truth = results.commands[0].values
    fp = results.answers[0]
    mirrored = fp.velocities.copy()
    for row in range(fp.velocities.shape[1]):
        at = np.minimum(np.arange(len(truth)) + row, len(truth) - 1)
        mirrored[:, row] = 2 * truth[at] - fp.velocities[:, row]
    second = written(replace(results, answers=(replace(fp, velocities=mirrored),
                                               results.answers[1])))
    axes = [each['summary']['rows'][0]['against'][0]['executed'][0]['rmse']
            for each in (BASE, second)]
    assert axes[0] == pytest.approx(axes[1], rel=0.2)
    assert status(tmp_path, second, '--max-nrmse', '0.03') == 2
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    drifted = [line for line in lines if line[-1] == 'DRIFT']
    assert drifted and all(line[:2] == ['fp', 'answers,'] for line in drifted)


@pytest.mark.parametrize('name, change', {
    'a row is missing': lambda c: c['summary']['rows'].pop(),
    'an answer is missing': lambda c: c['summary']['samples'][0]['values'].__setitem__(3, None),
    'numbers are none': lambda c: c['summary']['samples'][0]['values'][3][0].__setitem__(0, None),
    'fewer answered': lambda c: c['summary']['rows'][0].update(answered=58),
    'a truth is missing': lambda c: c['summary']['rows'][0].update(against=[]),
    'an error is none': lambda c: c['summary']['rows'][0]['against'][0]['executed'][0].update(
        rmse=None),
    'an error has grown': lambda c: c['summary']['rows'][0]['against'][0]['executed'][0].update(
        rmse=0.05),
    'an error is NaN': lambda c: c['summary']['rows'][0]['against'][0]['executed'][0].update(
        rmse=float('nan')),
    'fewer rows compared': lambda c: c['summary']['rows'][0]['against'][0]['executed'][0].update(
        count=3),
    'no gripper': lambda c: c['summary']['samples'][0].update(gripper=None),
    'another gripper': lambda c: c['summary']['samples'][0].update(
        gripper=[each and [1 - value for value in each]
                 for each in c['summary']['samples'][0]['gripper']]),
}.items())
def test_what_is_worse_or_missing_is_drift(tmp_path, capsys, name, change):
    assert status(tmp_path, changed(change)) == 2
    assert 'DRIFT' in capsys.readouterr().out


@pytest.mark.parametrize('name, second, words', [
    ('other frames', written(made_results(50)), ('same frames', '--stride', '50 images')),
    ('another instruction', written(replace(made_results(), images=replace(
        made_results().images, instructions=('close the drawer',) * 60))), ('instruction',)),
    ('other columns', changed(lambda c: c['summary']['samples'][0].update(
        frame='end_effector')), ('frame is base in A and end_effector in B',)),
    ('another form', changed(lambda c: c['summary'].update(form=99)), ('form 99',)),
    ('no summary', {'successes': 3}, ('no summary', 'successes')),
    ('a list', [1, 2], ('no summary', 'list')),
    ('no JSON', '{"facts"', ('no JSON',)),
    ('damaged', changed(lambda c: c['summary']['samples'].pop(0)), ('damaged', 'fp')),
    ('one more', changed(lambda c: c['summary']['samples'][0]['numbers'].append(99)),
     ('damaged', '(60, 8, 6), expected (61, 8, 6)')),
    ('ragged', changed(lambda c: c['summary']['samples'][0]['values'][2].pop()), ('damaged',)),
])
def test_what_is_not_alike_is_not_compared(tmp_path, capsys, name, second, words):
    assert status(tmp_path, second) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    for word in words:
        assert word in error


@pytest.mark.parametrize('options', [
    ('--max-nrmse', 'nan'), ('--max-nrmse', '-1'), ('--max-nrmse', 'inf'),
    ('--max-gripper', '2'), ('--least-range', '0'), ('--max-missing', '-1'),
    ('--row', 'fq'), ('--row', 'fp=w4a4'), ('--row', 'fp', '--row', 'fp')])
def test_limits_and_rows_that_make_no_sense_are_refused(tmp_path, capsys, options):
    assert status(tmp_path, BASE, *options) == 1
    assert options[0] in capsys.readouterr().err


def test_a_row_is_held_against_another(tmp_path, capsys):
    assert status(tmp_path, BASE, '--row', 'fp=sqap@154') == 2
    assert status(tmp_path, BASE, '--row', 'fp=sqap@154', '--max-nrmse', '0.5') == 0
    assert 'fp / sqap@154' in capsys.readouterr().out


def test_an_axis_that_hardly_moves_is_judged_by_the_least_range(tmp_path):
    options = ('--row', 'fp=sqap@154', '--max-nrmse', '0.1')
    assert status(tmp_path, BASE, *options) == 2  # vz: 9 mm/s of noise in a range of 24
    assert status(tmp_path, BASE, *options, '--least-range', '0.2') == 0


def test_missing_images_may_be_let_pass(tmp_path):
    def lose(content):
        content['summary']['samples'][0]['values'][3] = None
        content['summary']['samples'][0]['gripper'][3] = None
        content['summary']['rows'][0]['answered'] -= 1
    assert status(tmp_path, changed(lose)) == 2
    assert status(tmp_path, changed(lose), '--max-missing', '1') == 0


def test_nothing_to_hold_against_is_never_fine(tmp_path, capsys):
    results = made_results(8)
    silent = written(replace(results, answers=tuple(replace(
        each, **{name: np.full_like(getattr(each, name), np.nan)
                 for name in ('velocities', 'positions', 'gripper', 'actions')})
        for each in results.answers)))
    assert status(tmp_path, silent, first=silent) == 2
    empty = written(replace(results, answers=()))
    assert status(tmp_path, empty, first=empty) == 1
    assert 'no rows' in capsys.readouterr().err


def test_a_range_that_is_no_number_is_drift(tmp_path):
    first = changed(lambda c: c['summary']['rows'][0]['against'][0]['executed'][0].update(
        high=float('nan')))
    assert status(tmp_path, BASE, first=first) == 2


def test_a_directory_stands_for_its_file_and_a_missing_one_is_told(tmp_path, capsys):
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'replay.json').write_text(json.dumps(BASE))
    assert main(['compare', str(folder), str(folder), '--max-nrmse', '0', '--all']) == 0
    assert main(['compare', str(folder), str(tmp_path / 'rum'), '--max-nrmse', '0']) == 1
    assert "did you mean '" in capsys.readouterr().err


def test_another_checkpoint_is_told(tmp_path, capsys):
    assert status(tmp_path, changed(lambda c: c['facts'].update(checkpoint='other'))) == 0
    assert "checkpoint: 'libero_goal' in A, 'other' in B" in capsys.readouterr().out
