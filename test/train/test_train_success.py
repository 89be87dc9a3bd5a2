# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Success that is measured while training: when, what is kept, and what may go wrong."""
import json
import signal
import time
from types import SimpleNamespace

import pytest
from sqap_vla_ros.commands import train
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats import checkpoint
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.sim.placements import NoRoomError
from sqap_vla_ros.train import success, trainer
from sqap_vla_ros.train.success import best_of, SuccessMeter
from training_data import INSTRUCTIONS, options

STEPS = ('--log-every', '100', '--eval-every', '2', '--coarse-steps', '0', '--fine-steps')


class StandInMeter:
    """Gives the successes of a list, in turn; an exception is raised, a signal received."""

    rates: list = []

    def __init__(self, checkpoint_directory, scene, episodes):
        self.directory = checkpoint_directory
        self.episodes = episodes * len(scene.instructions)

    def measure(self, stop, deadline):
        assert deadline > time.monotonic()
        step = checkpoint.read_config(self.directory).training['step']
        successes = self.rates.pop(0)
        if isinstance(successes, Exception):
            raise successes
        if isinstance(successes, signal.Signals):
            stop.append(successes)
            return None
        return {'successes': successes, 'episodes': self.episodes, 'wilson95': [0.1, 0.9],
                'by_instruction': {}, 'scene': {}, 'of_step': step}


@pytest.fixture
def measured(data, tmp_path, monkeypatch):
    """Return a function that trains to a step, and what the simulator says meanwhile."""
    monkeypatch.setattr(trainer, 'SuccessMeter', StandInMeter)

    def train_to(step, *rates):
        monkeypatch.setattr(StandInMeter, 'rates', list(rates))
        status = train.run(options(data, tmp_path, *STEPS, str(step)))
        assert not StandInMeter.rates
        return status
    return train_to


def read_log(out):
    return json.loads((out / 'curves.json').read_text())


def test_the_best_checkpoint_by_success_is_kept_and_named(measured, tmp_path, capsys):
    measured(7, 1, 5, 5, 2)
    log = read_log(tmp_path)
    assert [row['success']['step'] for row in log] == [2, 4, 6, 7]
    assert all(row['success']['step'] == row['success']['of_step'] == row['step'] for row in log)
    best = checkpoint.read_config(tmp_path / 'best').training
    assert best['step'] == best['validation']['step'] == 6  # of equals, the later one
    assert 'The best of what was tried is' in capsys.readouterr().out
    measured(10, 4, 6)
    printed = capsys.readouterr().out
    assert f'{tmp_path / "best"}, of step 10: 6 of 8 validation' in printed
    assert [row['success']['successes'] for row in read_log(tmp_path)] == [1, 5, 5, 2, 4, 6]


def test_a_measurement_that_was_stopped_at_the_last_step_is_made_up_for(measured, tmp_path,
                                                                        capsys):
    assert measured(3, 1, signal.SIGTERM) == 128 + signal.SIGTERM
    assert 'step 3 of 3, stopped by SIGTERM: the same command goes on' in capsys.readouterr().out
    assert checkpoint.read_config(tmp_path / 'best').training['step'] == 2
    assert measured(3, 7) == 0
    assert checkpoint.read_config(tmp_path / 'best').training['step'] == 3
    assert measured(3) == 0  # and not once more
    assert [row['step'] for row in read_log(tmp_path)] == [2, 3]


def test_the_last_step_is_measured_when_that_is_asked_for_later(data, measured, tmp_path):
    train.run(options(data, tmp_path, '--log-every', '100', '--coarse-steps', '0',
                      '--fine-steps', '3'))
    assert measured(3, 2) == 0
    assert [row['step'] for row in read_log(tmp_path)] == [3]
    assert checkpoint.read_config(tmp_path / 'best').training['step'] == 3


def test_the_best_of_a_run_whose_state_is_gone_counts_for_nothing(measured, tmp_path, capsys):
    measured(2, 8)
    (tmp_path / 'state.pt').unlink()
    measured(3, 3, 1)
    assert 'of step 2: 3 of 8' in capsys.readouterr().out
    assert checkpoint.read_config(tmp_path / 'best').training['validation']['successes'] == 3


@pytest.mark.parametrize('error', [NoRoomError('seed 501: no room'), RuntimeError('died')])
def test_a_measurement_that_fails_loses_no_step(measured, tmp_path, capsys, error):
    assert measured(3, error, 5) == 0
    assert f'step 2: success was not measured, training goes on: {error}' in (
        capsys.readouterr().out)
    assert [row.get('success', {}).get('successes') for row in read_log(tmp_path)] == [None, 5]


def test_all_is_saved_before_a_measurement(measured, tmp_path):
    with pytest.raises(ZeroDivisionError):
        measured(3, ZeroDivisionError())
    assert (tmp_path / 'state.pt').is_file()
    assert measured(3, 1, 1) == 0


def test_success_is_compared_as_a_rate_and_within_one_scene():
    few, many = {'successes': 3, 'episodes': 4}, {'successes': 7, 'episodes': 10}
    assert best_of([{'success': few}, {'success': many}]) is few
    log = [{'step': step, 'success': {'successes': successes, 'episodes': 8, 'scene': scene}}
           for step, successes, scene in ((2, 8, 'easy'), (4, 5, 'hard'), (6, 4, 'hard'))]
    assert best_of(log)['successes'] == 5
    assert best_of([{'step': 2}]) is None


def test_a_measurement_is_given_up_when_the_time_is_up(monkeypatch):
    meter = SuccessMeter.__new__(SuccessMeter)
    meter.jobs, meter.scene = [], SimpleNamespace(options=SceneOptions(instructions=INSTRUCTIONS))
    ended = []

    def run_episodes(*_):
        for text in INSTRUCTIONS:
            ended.append(text)
            yield None, SimpleNamespace(success=True, instruction=text)
    monkeypatch.setattr(success, 'run_episodes', run_episodes)
    assert meter.measure([], time.monotonic() - 1) is None and len(ended) == 1
    found = meter.measure([], time.monotonic() + 100)
    assert found['successes'] == 2 and found['scene']['placement_m'] == 0.25


def test_a_simulator_that_lacks_the_tasks_is_refused_at_the_start(tmp_path):
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    with pytest.raises(ConfigError, match='go left'):
        SuccessMeter(tmp_path, SceneOptions(instructions=INSTRUCTIONS), 2)
