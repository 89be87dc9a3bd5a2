# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Trainings that are interrupted, meet a full disk or damaged files, or other data."""
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError
from sqap_vla_ros.commands import train
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats import checkpoint
from sqap_vla_ros.train import trainer
import torch
from training_data import INSTRUCTIONS, options, write_data

SMALL = ('--coarse-steps', '2', '--fine-steps')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Write demonstrations, one shard of them truncated."""
    path = write_data(tmp_path_factory.mktemp('data'), shards=3)
    cut = path / 'shard_2.npz'
    cut.write_bytes(cut.read_bytes()[:1000])
    return path


@pytest.fixture
def saved(data, tmp_path):
    train.run(options(data, tmp_path, *SMALL, '1'))
    return tmp_path


def contents(directory):
    return {path.relative_to(directory): path.read_bytes()
            for path in directory.rglob('*') if path.is_file()}


@pytest.mark.parametrize('file', ['state.pt', 'checkpoint/config.json', 'curves.json'])
def test_a_full_disk_is_named_and_leaves_the_last_save_whole(data, saved, file):
    before = contents(saved)
    (saved / f'{file}.part').symlink_to('/dev/full')
    with pytest.raises(ConfigError, match=r'No space left .*: free \d+ MiB and start the same'):
        train.run(options(data, saved, *SMALL, '2'))
    after = contents(saved)
    assert after.keys() == before.keys()
    assert after[(saved / file).relative_to(saved)] == before[(saved / file).relative_to(saved)]
    assert checkpoint.read_config(saved / 'checkpoint').training['step'] in (3, 4)
    assert train.run(options(data, saved, *SMALL, '3')) == 0
    assert checkpoint.read_config(saved / 'checkpoint').training['step'] == 5


def test_a_disk_that_fills_up_under_the_weights_is_named(data, saved, monkeypatch):
    def full(*_arguments, **_options):  # word for word what the library says on a full tmpfs
        raise SafetensorError('Error while serializing: I/O error: No space left on device '
                              '(os error 28)')
    monkeypatch.setattr('sqap_vla_ros.formats.checkpoint.save_file', full)
    with pytest.raises(ConfigError, match='No space left .*: free'):
        train.run(options(data, saved, *SMALL, '2'))
    assert checkpoint.read_config(saved / 'checkpoint').training['step'] == 3


def test_a_directory_that_cannot_be_written_is_named(data, saved, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, 'Permission denied', str(path))
    monkeypatch.setattr('sqap_vla_ros.train.saving.write_whole', refuse)
    with pytest.raises(ConfigError, match='cannot be written .*Permission denied'):
        train.run(options(data, saved, *SMALL, '2'))


@pytest.mark.parametrize('kept', [0, 100, 5000, -200])
def test_a_truncated_state_says_how_to_go_on(data, saved, kept):
    state = saved / 'state.pt'
    state.write_bytes(state.read_bytes()[:kept])
    with pytest.raises(ConfigError, match='truncated or damaged .* --init .*checkpoint'):
        train.run(options(data, saved, *SMALL, '2'))


def test_skipped_shards_are_named_and_counted(saved, data, capsys):
    train.run(options(data, saved, *SMALL, '1'))
    printed = capsys.readouterr().out
    assert '240 frames of 20 episodes, 2 instructions; 1 shards skipped' in printed
    assert 'skipped shard_2.npz' in printed
    assert checkpoint.read_config(saved / 'checkpoint').training['skipped_shards'] == 1


def test_ctrl_c_in_the_middle_of_a_training_saves_and_the_same_command_goes_on(data, tmp_path):
    command = [sys.executable, '-u', '-m', 'sqap_vla_ros.cli', 'train', str(data), str(tmp_path),
               '--width', '64', '--vit-depth', '1', '--llm-layers', '3', '--batch-size', '4',
               '--dtype', 'float32', '--device', 'cpu', '--log-every', '1', '--threads', '1',
               '--coarse-steps', '100000']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as process:
        for line in process.stdout:
            if 'samples' in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert 'stopped by SIGINT: the same command goes on' in rest
    step = torch.load(tmp_path / 'state.pt', weights_only=True)['step']
    assert 1 <= step < 100000
    again = trainer.Trainer(options(data, tmp_path))
    again.resume()
    assert again.step == step == checkpoint.read_config(tmp_path / 'checkpoint').training['step']


def rewritten(path, change):
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_a_state_of_before_there_were_instructions_in_it_goes_on(data, saved):
    def make_old(state):
        for name in ('instructions', 'point_names', 'samples', 'dtype'):
            del state[name]
        state['log'] = [{'step': 2, 'samples': 2 * 8}]  # of a batch size of 8
    rewritten(saved / 'state.pt', make_old)
    assert train.run(options(data, saved, *SMALL, '2')) == 0
    assert checkpoint.read_config(saved / 'checkpoint').training['samples'] == 3 * 8 + 16


def test_samples_are_counted_over_batch_sizes_and_other_folders_are_told(data, saved, capsys):
    (data / 'collect.json').write_text('{}')
    try:
        train.run(options(data, saved, *SMALL, '2', '--batch-size', '4', '--weights', '3'))
    finally:
        (data / 'collect.json').unlink()
    training = checkpoint.read_config(saved / 'checkpoint').training
    assert training['samples'] == 3 * 16 + 4
    before = {'name': data.name, 'weight': '', 'digest': ''}
    assert training['folders'] == [{**before, 'weight': '3', 'digest': '44136fa355b3678a'}]
    told = capsys.readouterr().out
    assert told.count('learnt from other demonstrations') == 1
    assert f'folders was {[before]!r} and is {training["folders"]!r}' in told
    train.run(options(data, saved, *SMALL, '2'))  # of a state whose folders differ: told again
    assert f'folders was {training["folders"]!r} and' in capsys.readouterr().out
    rewritten(saved / 'state.pt', lambda state: state.pop('folders'))
    train.run(options(data, saved, *SMALL, '2'))  # an old state does not say them
    assert 'other demonstrations' not in capsys.readouterr().out


@pytest.mark.parametrize('changed', [
    {'instructions': INSTRUCTIONS[::-1]}, {'instructions': ('go left', 'go there')}])
def test_a_run_does_not_go_on_with_demonstrations_of_other_instructions(saved, tmp_path_factory,
                                                                        changed):
    other = write_data(tmp_path_factory.mktemp('other'), **changed)
    with pytest.raises(ConfigError, match="instructions was .'go left', 'go right'. and is .'go"):
        train.run(options(other, saved, *SMALL, '2'))


def test_the_type_of_matrix_products_stays_unless_another_is_asked_for(data, saved, monkeypatch):
    rewritten(saved / 'state.pt', lambda state: state.update(dtype='bfloat16'))
    monkeypatch.setattr(trainer, 'choose_dtype', lambda name, device: {
        'auto': torch.float32, 'float32': torch.float32, 'bfloat16': torch.bfloat16}[name])
    for asked, used in (('auto', torch.bfloat16), ('float32', torch.float32)):
        again = trainer.Trainer(options(data, saved, '--dtype', asked))
        again.resume()
        assert again.learner.dtype == used


@pytest.mark.parametrize('change, message', [
    (dict.clear, 'of another model'),
    (lambda state: state.update(point_names=['a', 'b', 'c']),
     'point_names was .*another output directory')])
def test_a_state_of_something_else_is_refused(data, saved, change, message):
    rewritten(saved / 'state.pt', change)
    with pytest.raises(ConfigError, match=message):
        train.run(options(data, saved, *SMALL, '2'))
