# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Training learns, resumes, and writes checkpoints that the policy loads."""
import json

import numpy as np
import pytest
from sqap_vla_ros.commands import train
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import end_effector_state, Observation
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.train import trainer
from sqap_vla_ros.train.auxiliary import PointReadout
from sqap_vla_ros.train.batches import Batches, shifted
from sqap_vla_ros.train.recipe import normalisation, schedule
from sqap_vla_ros.train.shards import load_shards
import torch
from training_data import INSTRUCTIONS, options, SIZE, write_data


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp('run')
    train.run(options(data, out, '--coarse-steps', '40', '--fine-steps', '40'))
    return out


def test_training_learns_and_draws_its_curves(trained):
    log = json.loads((trained / 'curves.json').read_text())
    assert [row['step'] for row in log] == list(range(10, 90, 10))
    assert log[-1]['train']['action_l1'] < 0.5 * log[0]['train']['action_l1']
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_the_policy_loads_what_training_wrote_and_obeys_the_instruction(trained):
    policy = load_policy(trained / 'checkpoint', keep=10)
    assert policy.instructions == INSTRUCTIONS and policy.config.unnorm_key == 'toy'
    state = end_effector_state([0, 0, 0], [1.0, 0, 0, 0], 1.0)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    left, right = (policy.infer(Observation(image, 0, text, state=state)).actions
                   for text in INSTRUCTIONS)
    assert left[0, 0] < 0 < right[0, 0]


def test_training_goes_on_where_it_was(data, trained, capsys):
    train.run(options(data, trained, '--coarse-steps', '40', '--fine-steps', '50'))
    assert 'resuming at step 80' in capsys.readouterr().out
    log = json.loads((trained / 'curves.json').read_text())
    assert log[-1]['step'] == 90
    config = json.loads((trained / 'checkpoint' / 'config.json').read_text())
    assert config['training']['samples'] == 90 * 16 and config['training']['episodes'] == 20
    assert 'data' not in config['training']['arguments']


def test_a_run_of_another_shape_is_not_resumed(data, trained):
    with pytest.raises(ConfigError, match='of another model'):
        train.run(options(data, trained, '--width', '128'))


def test_data_that_are_all_held_out_are_refused(tmp_path):
    write_data(tmp_path, shards=1, episodes=2)  # one round of the instructions
    with pytest.raises(ConfigError, match='collect more episodes'):
        train.run(options(tmp_path, tmp_path / 'out'))


def test_without_held_out_episodes_there_are_no_curves_of_them(tmp_path, capsys):
    write_data(tmp_path, shards=1, episodes=4, seed=10_002)
    assert train.run(options(tmp_path, tmp_path / 'out', '--log-every', '1', '--coarse-steps',
                             '1', '--fine-steps', '1')) == 0
    assert 'no episode is held out' in capsys.readouterr().out
    log = json.loads((tmp_path / 'out' / 'curves.json').read_text())
    assert [sorted(row) for row in log] == [['minutes', 'samples', 'step', 'train']] * 2


@pytest.mark.parametrize('option', [
    ('--log-every', '0'), ('--batch-size', '0'), ('--width', '32'), ('--width', '100'),
    ('--learning-rate', 'nan'), ('--learning-rate', '-1'), ('--max-minutes', 'nan'),
    ('--seed', '-1'), ('--vit-depth', '0'), ('--fine-steps', '-1'), ('--eval-every', '-1')])
def test_an_option_that_cannot_be_is_named(data, tmp_path, option):
    with pytest.raises(ConfigError, match=f'{option[0]} must be .* found {option[1]}'):
        train.run(options(data, tmp_path / 'out', *option))
    assert not (tmp_path / 'out').exists()


def test_an_unknown_device_is_refused_with_those_that_are_known(data, tmp_path):
    with pytest.raises(ConfigError, match='--device tpu is not known: give auto, cpu or cuda'):
        train.run(options(data, tmp_path / 'out', '--device', 'tpu'))


def test_the_blank_image_is_black(data, tmp_path, monkeypatch):
    learner, seen = trainer.Trainer(options(data, tmp_path)).learner, []
    monkeypatch.setattr(learner, 'losses', lambda batch, *_: (
        seen.append(batch['pixels']), {'action_l1': 1.0}))
    learner.figures([{'pixels': torch.rand(1, 3, 4, 4)}], 1, blank=True)
    black = np.zeros((4, 4, 3), np.uint8).astype(np.float32) / 127.5 - 1  # as in batches.py
    np.testing.assert_array_equal(seen[0][0], black.transpose(2, 0, 1))


def test_a_shifted_image_takes_its_points_along(data):
    shards = load_shards(data)
    norm = normalisation(shards)
    rows = np.arange(20)
    plain = Batches(shards, rows, np.zeros((2, 3), np.int64), norm, 20, 0, augment=False)
    moved = Batches(shards, rows, np.zeros((2, 3), np.int64), norm, 20, 0, augment=True)
    before, after = plain.make(rows)['points_px'], moved.make(rows)['points_px']
    shift = (after - before)[:, 0]
    assert (shift - shift.round()).abs().max() < 1e-4 and shift.round().abs().max() == 2
    image = shards.frame(0)
    np.testing.assert_array_equal(shifted(image, (2, -1))[5:-5, 5:-5], image[6:-4, 3:-7])


def test_a_batch_thread_that_fails_says_so(data):
    batches = Batches(load_shards(data), np.array([10 ** 6]), None, {}, 4, 0)
    with pytest.raises(IndexError):
        batches.take()


def test_the_point_readout_finds_a_point_that_its_features_show():
    torch.manual_seed(0)
    readout = PointReadout(24, 2)
    optimizer = torch.optim.Adam(readout.parameters(), lr=0.1)
    grid, seen = (4, 6), torch.ones(8, 2, dtype=torch.bool)
    pixels = torch.rand(8, 2, 2) * torch.tensor([59.0, 59.0])
    features = torch.eye(24).expand(8, 24, 24)
    pixels = pixels[:1].expand(8, -1, -1)  # one place a patch: learnable from identity features
    first, error_first = readout(features, pixels, seen, grid, 60)
    for _ in range(200):
        loss, error = readout(features, pixels, seen, grid, 60)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * first and error < 1.0


def test_points_that_are_not_seen_may_be_no_numbers_and_count_for_nothing():
    readout, grid = PointReadout(24, 2), (4, 6)
    features, pixels = torch.rand(3, 24, 24), torch.rand(3, 2, 2) * 50
    seen = torch.tensor([[True, False]] * 3)
    expected = readout(features, pixels, seen, grid, 60)
    pixels[:, 1] = torch.nan
    for found, wanted in zip(readout(features, pixels, seen, grid, 60), expected):
        assert found == wanted > 0
    loss, error = readout(features, pixels, torch.zeros_like(seen), grid, 60)
    loss.backward()
    assert loss == error == 0 and not readout.read.weight.grad.isnan().any()


def test_the_learning_rate_warms_up_and_falls_twice():
    rates = [schedule(step, 600, 400) for step in (0, 99, 300, 599, 600, 999)]
    assert rates[0] < 0.02 and rates[1] > 0.9
    assert rates[1] > rates[2] > rates[3] > 0.29
    assert rates[4] == 0.5 and 0.019 < rates[5] < 0.03
