# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Intervals over episodes, columns in the units of the arm, and the loss that is predicted."""
from dataclasses import asdict
import json
from pathlib import Path

import error_predicts_loss
import numpy as np
import pytest
from sqap_vla_ros.action_error.columns import columns_of, differences, UNKNOWN_UNIT
from sqap_vla_ros.action_error.prediction import Prediction, shipped_fit
from sqap_vla_ros.action_error.resampling import LEAST_EPISODES, Resampling
from sqap_vla_ros.action_error.table import loss
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.formats.undeclared import UndeclaredActionSpace

RESULTS = Path(error_predicts_loss.__file__).parent / 'results'
STATS = {'low': np.array([-0.2] * 6 + [0.0]), 'high': np.array([0.2] * 6 + [1.0]),
         'mask': np.ones(7, bool)}


def test_the_interval_of_independent_frames_is_the_usual_one():
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    found = Resampling(np.arange(400)).mean(values)
    half = 1.96 * values.std() / 20
    assert found.mean == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_more_frames_of_the_same_episodes_do_not_narrow_it():
    values, numbers = np.random.default_rng(2).normal(size=20), np.arange(20)
    once = Resampling(numbers).mean(values)
    tenfold = Resampling(np.repeat(numbers, 10)).mean(np.repeat(values, 10))
    assert tenfold.low == pytest.approx(once.low) and tenfold.high == pytest.approx(once.high)


def test_few_episodes_have_about_the_interval_of_student():
    values = np.arange(8.0)
    found = Resampling(np.arange(8), draws=50_000).mean(values)
    half = 2.3646 * values.std(ddof=1) / 8 ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.03)


def test_draws_are_the_same_for_all_so_that_differences_are_paired():
    one, other = np.random.default_rng(3).normal(size=(2, 60))
    resampling = Resampling(np.arange(60) // 3)
    assert np.allclose(resampling.means(one - other),
                       resampling.means(one) - resampling.means(other))


def test_too_few_episodes_have_no_interval():
    few = Resampling(np.repeat(np.arange(LEAST_EPISODES - 1), 9))
    assert not few.is_enough and few.mean(np.ones(9 * (LEAST_EPISODES - 1))).low is None
    assert Resampling(np.arange(LEAST_EPISODES)).is_enough


def test_columns_are_in_training_units_and_in_those_of_the_arm():
    columns = columns_of(CheckpointConfig(), STATS)
    assert columns.rows == 4
    assert np.allclose(columns.normalised, [5.0] * 6 + [2.0])
    assert columns.units == ('m/s',) * 3 + ('rad/s',) * 3 + ('of its travel',)
    full = np.zeros((2, 8, 7))
    other = full.copy()
    other[0, :4, 0], other[0, 4:, 1] = 0.1, 0.5  # rows that are not executed do not count
    other[1, :2, 6] = 0.8
    found = differences(columns, other, full)
    assert np.allclose(found.real[0], [0.1] + [0.0] * 6)
    assert np.allclose(found.normalised[:, [0, 6]], [[0.5, 0.0], [0.0, 0.8]])
    assert found.error == pytest.approx([0.5 / 7, 0.8 / 7])
    assert found.agreement.tolist() == [1.0, 0.5]


def test_steps_are_told_as_velocities_and_grippers_by_their_travel():
    space = ActionSpace('delta', (*DELTA_NAMES, 'gripper'), 0.1, execute_steps=1,
                        gripper_open=-1.0, gripper_closed=1.0, scale=(0.05,) * 6 + (1.0,))
    columns = columns_of(CheckpointConfig(action_space=space), STATS)
    assert np.allclose(columns.real, [0.5] * 6 + [0.5])
    assert columns.gripper == (6, 0.0)


def test_what_nobody_declared_has_no_unit_and_all_its_rows():
    config = CheckpointConfig(action_space=UndeclaredActionSpace('config.json'))
    columns = columns_of(config, STATS)
    assert set(columns.units) == {UNKNOWN_UNIT} and columns.rows == 8
    assert columns.gripper is None


def test_a_column_that_is_not_normalised_or_never_varies_is_no_division_by_zero():
    stats = {**STATS, 'high': np.array([-0.2] + [0.2] * 5 + [1.0]),
             'mask': np.array([True] * 6 + [False])}
    assert np.allclose(columns_of(CheckpointConfig(), stats).normalised,
                       [0.0] + [5.0] * 5 + [1.0])


def test_the_loss_grows_with_the_square_and_its_interval_with_what_is_unknown():
    fit, error = shipped_fit(), np.random.default_rng(4).uniform(0.005, 0.015, 60)
    prediction = Prediction(fit, True)
    many = prediction.of(error, Resampling(np.arange(60)))
    few = prediction.of(error[:12], Resampling(np.arange(12)))
    assert many['loss'] == pytest.approx(fit.points * error.mean() ** 2)
    assert many['low'] < many['loss'] < many['high'] and not many['beyond']
    tiny = prediction.of(0.2 * error, Resampling(np.arange(60)))
    assert tiny['below'] and not many['below'] and loss(tiny).endswith('), below the fit')
    assert few['high'] - few['loss'] > many['high'] - many['loss']
    even = prediction.of(np.full(60, error.mean()), Resampling(np.arange(60)))
    assert even['high'] < many['high']  # an error that is the same in all frames is known
    assert prediction.of(2 * error, Resampling(np.arange(60)))['loss'] == pytest.approx(
        4 * many['loss'])
    assert prediction.of(10 * error, Resampling(np.arange(60)))['beyond']


def test_a_prediction_never_says_less_than_none_or_more_than_all():
    prediction, resampling = Prediction(shipped_fit(), True), Resampling(np.arange(10))
    assert prediction.of(np.array([1e-3] * 9 + [0.08]), resampling)['low'] == 0.0
    assert prediction.of(np.ones(10), resampling)['high'] == 100.0


def test_an_error_of_too_few_episodes_has_no_interval_of_its_loss():
    found = Prediction(shipped_fit(), True).of(np.full(9, 0.01), Resampling(np.arange(9) // 3))
    assert found['low'] is None and found['loss'] > 0


def test_words_say_whose_fit_it_is():
    fit = shipped_fit()
    own, other = (' '.join(Prediction(fit, is_own).words) for is_own in (True, False))
    for words in (own, other):
        assert f'{fit.policy} (checkpoint {fit.digest[:12]})' in words
        assert 'not success' in words and 'attention' in words
    assert 'guess: how much' in other and 'guess: how much' not in own


def test_the_shipped_fit_is_the_committed_one():
    committed = json.loads((RESULTS / 'error_predicts_loss.json').read_text())['fit']
    assert json.loads(json.dumps(asdict(shipped_fit()))) == committed


def test_the_fit_finds_the_constant_that_made_its_rows():
    rng = np.random.default_rng(5)
    error = np.linspace(0.005, 0.03, 12)
    noise = np.full(12, 2.0)
    found = [error_predicts_loss.slope(error, 30_000 * error ** 2 + rng.normal(0, 2.0, 12), noise)
             for _ in range(50)]
    assert np.mean(found) == pytest.approx(30_000, rel=0.03)
    exact = 30_000 * error ** 2
    assert error_predicts_loss.deviation(30_000, error, exact, noise) == 0.0
    off = exact * np.tile([0.5, 1.5], 6)
    assert 0.3 < error_predicts_loss.deviation(30_000, error, off, np.full(12, 0.1)) < 0.8
