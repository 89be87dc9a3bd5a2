# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the fit of losses to action errors is made of: rows of several tables, and their seeds."""
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import error_predicts_loss
import numpy as np
import pytest
from sqap_vla_ros.action_error import run
from sqap_vla_ros.action_error.prediction import Prediction, shipped_fit
from sqap_vla_ros.evaluate.plan import Row
from sqap_vla_ros.options import PolicyOptions

DIGEST, CONVERTED, POINTS = 'ab' * 32, 'ef' * 32, 20_000.0
ERRORS = {'prune@154': 0.01, 'prune@64': 0.03, 'w4a8': 0.003, 'follow@64': 0.004}


def table(count: int, losses: dict[str, float], rng, digest: str = DIGEST) -> dict:
    """Return episodes and table of rows that lose so many points on `count` starts."""
    episodes, rows = [], []
    for name, points in {'fp': 0.0, **losses}.items():
        lost = rng.permutation(count) < round(count * points / 100)
        episodes += [{'variant': name, 'control': 'none', 'seed': seed, 'success': not lost[seed]}
                     for seed in range(count)]
        rows.append({'variant': name, 'control': 'none', 'difference': None if name == 'fp' else {
            'value': -float(lost.mean()), 'paired95': [-0.9, 0.1]}})
    return {'checkpoint_sha256': digest, 'quantized_sha256': CONVERTED, 'episodes': episodes,
            'table': rows}


@pytest.fixture
def errors():
    """Return action errors of the rows, on six frames of three episodes."""
    spread = np.array([0.9, 1.1, 1.0, 1.0, 0.8, 1.2])
    return {'checkpoint': 'tiny', 'checkpoint_sha256': DIGEST, 'tokens': 256, 'frames': 6,
            'quantized_sha256': CONVERTED,
            'episodes': 3, 'samples': 'held_out', 'machine': {}, 'versions': {},
            'by_frame': {'episode': [0, 0, 1, 1, 2, 2],
                         **{name: (error * spread).tolist() for name, error in ERRORS.items()}}}


def test_a_row_is_taken_from_the_table_that_has_most_pairs_of_it(errors):
    rng = np.random.default_rng(0)
    few = table(100, {'prune@154': 9.0, 'prune@64': 18.0, 'fp-repeat': 0.0}, rng)
    many = table(400, {'prune@154': 2.0}, rng)
    for tables in ([few, many], [many, few]):
        rows = {row['name']: row for row in error_predicts_loss.paired_rows(errors, tables)}
        assert rows.keys() == {'prune@154', 'prune@64'}  # fp-repeat has no error
        assert (rows['prune@154']['loss'], rows['prune@154']['pairs']) == (2.0, 400)
        assert (rows['prune@64']['loss'], rows['prune@64']['pairs']) == (18.0, 100)
        assert (rows['prune@64']['low'], rows['prune@64']['high']) == (-10.0, 90.0)
    with pytest.raises(SystemExit, match='different checkpoints'):
        error_predicts_loss.paired_rows(errors, [table(9, {'prune@64': 0.0}, rng, 'cd' * 32)])
    converted = [table(9, {'prune@64': 0.0, 'w4a8': 0.0}, rng)]
    with pytest.raises(SystemExit, match='w4a8: .* different converted weights'):
        error_predicts_loss.paired_rows({**errors, 'quantized_sha256': None}, converted)


def test_a_row_that_lost_nothing_does_not_decide_alone(errors):
    rows = error_predicts_loss.paired_rows(
        errors, [table(50, {'w4a8': 0.0}, np.random.default_rng(1))])
    assert rows[0]['loss'] == 0.0 and rows[0]['noise'] == pytest.approx(2.0)
    assert rows[0]['weights'] == CONVERTED


def test_the_fit_finds_c_of_tables_of_unequal_size_and_leaves_follow_out(errors):
    rng = np.random.default_rng(2)
    losses = {name: POINTS * error ** 2 for name, error in ERRORS.items()}
    tables = [table(500, {**losses, 'follow@64': 40.0}, rng),
              table(2000, {'prune@154': losses['prune@154']}, rng)]
    found = error_predicts_loss.fitted(errors, tables)
    fit, (low, high) = found['fit'], found['points95']
    assert fit['points'] == pytest.approx(POINTS, rel=0.05) and low < fit['points'] < high
    assert [row['pairs'] for row in fit['rows'] if row['name'] == 'prune@154'] == [2000]
    assert 'follow@64' not in {row['name'] for row in fit['rows']}
    beside, = fit['beside']
    assert beside['name'] == 'follow@64' and beside['loss'] == 40.0
    assert beside['fitted'] == pytest.approx(fit['points'] * ERRORS['follow@64'] ** 2)
    assert 'follow@64' in error_predicts_loss.text_of(found)


def test_precise_rows_do_not_outweigh_what_the_formula_itself_is_off_by():
    error = np.array([0.01, 0.01, 0.02, 0.02, 0.03, 0.03])
    losses = POINTS * error ** 2 * [0.0, 0.2, 1.6, 0.6, 1.4, 1.2]
    noise = np.array([0.05, 0.05, 3.0, 3.0, 3.0, 3.0])  # of many pairs, and of few
    points, spreads = error_predicts_loss.settled(error, losses, noise)
    assert error_predicts_loss.slope(error, losses, noise) < 0.2 * POINTS < 0.5 * POINTS < points
    assert spreads[0] > 10 * noise[0] and spreads[-1] < 4 * noise[-1]
    exact, plain = error_predicts_loss.settled(error, POINTS * error ** 2, noise)
    assert exact == pytest.approx(POINTS) and plain.tolist() == noise.tolist()


def test_episodes_are_shown_for_the_weights_that_they_were_run_with(monkeypatch):
    def row(name, precision, weights):
        return {'name': name, 'precision': precision, 'method': 'sqap', 'tokens': 154,
                'weights': weights}
    fit = replace(shipped_fit(), rows=(
        row('converted', 'w4a8', CONVERTED), row('nearest', 'w4a4', None)), beside=(
            {**row('followed', 'w4a8', CONVERTED), 'method': 'follow'},))
    measured = SimpleNamespace(
        prediction=Prediction(fit, True), tokens=256,
        options=SimpleNamespace(policy=PolicyOptions(), checkpoint=Path('original')),
        asked=SimpleNamespace(source=lambda row: Path(
            'converted' if row.takes_converted else 'original')))
    monkeypatch.setattr(run, 'digest', lambda place: CONVERTED)
    lost = partial(run.Measured.lost, measured)
    assert lost(Row('w4a8-prune', 154))['name'] == 'converted'
    assert lost(Row('w4a4-nearest-prune', 154))['name'] == 'nearest'
    assert lost(Row('w4a4-prune', 154)) is None  # of converted weights
    assert lost(Row('w4a8-prune', 102)) is lost(Row('follow', 154)) is None
    assert lost(Row('w4a8-follow', 154))['name'] == 'followed'
    measured.options.policy = PolicyOptions(dropped='follow')
    assert lost(Row('w4a8-prune', 154))['name'] == 'followed'
    for other in ({'preserve_top_k': 16}, {'prune_layer': 3}, {'radius_patches': 3.0}):
        measured.options.policy = PolicyOptions(**other)  # another choice of tokens
        assert lost(Row('w4a8-prune', 154)) is None
    measured.options.policy = PolicyOptions()
    monkeypatch.setattr(run, 'digest', lambda place: DIGEST)
    assert lost(Row('w4a8-prune', 154)) is None
    measured.prediction = Prediction(fit, False)
    assert lost(Row('w4a4-nearest-prune', 154)) is None
