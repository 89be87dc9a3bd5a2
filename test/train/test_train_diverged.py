# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A loss that is not a number costs the steps that have it, and ends what has nothing else."""
import json

import pytest
from sqap_vla_ros.commands import train
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.train.learner import Learner, MOST_SKIPPED
import torch
from training_data import options, write_data


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data'))


def spoil(monkeypatch, is_spoilt):
    """Make the loss of the training's steps, counted from 1, infinite or no number."""
    losses, count = Learner.losses, [0]

    def spoilt(self, batch, model, pool):
        loss, figures = losses(self, batch, model, pool)
        if model is self.average:
            return loss, figures
        count[0] += 1
        return loss * (float('nan') if is_spoilt(count[0]) else 1.0), figures

    monkeypatch.setattr(Learner, 'losses', spoilt)
    return count


def test_some_steps_without_a_number_are_left_out_and_counted(
        data, tmp_path, monkeypatch, capsys):
    spoil(monkeypatch, lambda step: step % 3 == 0)
    train.run(options(data, tmp_path, '--coarse-steps', '2', '--fine-steps', '40'))
    assert 'step 42 of 42, 14 of them left out' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'curves.json').read_text(), parse_constant=pytest.fail)
    assert any(row['train']['action_l1'] is not None for row in rows)
    state = torch.load(tmp_path / 'state.pt', weights_only=False)
    assert state['step'] == 42
    assert all(torch.isfinite(tensor).all() for tensor in state['model'].values())


def test_training_ends_where_no_step_has_one_and_keeps_what_was_learnt(
        data, tmp_path, monkeypatch):
    spoil(monkeypatch, lambda step: step > 5)
    said = f'finite for {MOST_SKIPPED} steps up to step 14'
    with pytest.raises(ConfigError, match=said) as told:
        train.run(options(data, tmp_path, '--coarse-steps', '2', '--fine-steps', '40',
                          '--dtype', 'float32'))
    assert '--learning-rate' in str(told.value) and '--dtype' not in str(told.value)
    state = torch.load(tmp_path / 'state.pt', weights_only=False)
    assert all(torch.isfinite(tensor).all() for name in ('model', 'average')
               for tensor in state[name].values())
    assert (tmp_path / 'checkpoint' / 'model.safetensors').is_file()


def test_gradients_of_the_read_outs_count_as_well(data, tmp_path, monkeypatch):
    step = Learner.train_step

    def spoilt(self, batch, number):
        if not hasattr(self, 'hooked'):
            self.hooked = next(self.auxiliary.parameters()).register_hook(
                lambda gradient: gradient * float('inf'))
        return step(self, batch, number)

    monkeypatch.setattr(Learner, 'train_step', spoilt)
    with pytest.raises(ConfigError, match='finite for'):
        train.run(options(data, tmp_path, '--coarse-steps', '2', '--fine-steps', '40'))
    state = torch.load(tmp_path / 'state.pt', weights_only=False)
    assert all(torch.isfinite(tensor).all() for tensor in state['auxiliary'].values())
