# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla replay`: from a bag to its files, and what it refuses before a weight is read."""

import json
from pathlib import Path
import shutil

import pytest
from sqap_vla_ros import cli
from sqap_vla_ros.loading import vision_type
from tiny_checkpoint import save_tiny_checkpoint
import yaml

BAG = Path(__file__).parents[1] / 'data' / 'libero_bag'
INFO = {
    'image_width': 256, 'image_height': 256, 'camera_name': 'agentview',
    'camera_matrix': {'rows': 3, 'cols': 3, 'data': [
        309.0, 0, 127.5, 0, 309.0, 127.5, 0, 0, 1]},
    'distortion_model': 'plumb_bob',
    'distortion_coefficients': {'rows': 1, 'cols': 5, 'data': [0, 0, 0, 0, 0]},
    'rectification_matrix': {'rows': 3, 'cols': 3, 'data': [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    'projection_matrix': {'rows': 3, 'cols': 4, 'data': [
        309.0, 0, 127.5, 0, 0, 309.0, 127.5, 0, 0, 0, 1, 0]}}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return a random checkpoint that takes a state."""
    path = tmp_path_factory.mktemp('models') / 'tiny'
    save_tiny_checkpoint(path)
    return str(path)


@pytest.fixture
def replay(checkpoint, tmp_path, capsys):
    """Return a function that runs the command and returns (status, stdout, stderr)."""
    def run(*arguments, source=BAG, config='libero_sim'):
        status = cli.main(['replay', str(source), '--checkpoint', checkpoint, '--config', config,
                           '--keep', '40', '--out', str(tmp_path / 'out'), *arguments])
        return status, *capsys.readouterr()
    return run


def test_a_bag_becomes_files(replay, tmp_path, monkeypatch):
    status, out, _ = replay('--variants', 'sqap', '--end', '1', '--controls', 'no-state')
    assert status == 0 and 'sqap@40, no-state' in out
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {'replay.json', 'report.html', 'frames.csv', 'frames.parquet', 'replay.mcap'}
    found = json.loads((tmp_path / 'out' / 'replay.json').read_text())
    assert set(found) >= {'facts', 'losses', 'summary'} and found['losses'] == []
    facts = found['facts']
    assert facts['topics']['image'] == '/image/compressed' and facts['image_size'] == [256, 256]
    assert facts['decides']['rows'] == [['sqap@40', 'none'], ['sqap@40', 'no-state']]
    status, _, err = replay('--variants', 'sqap', '--end', '2')
    assert status == 1 and 'out holds the results of a replay of other options: end_s was 1.0 ' \
        'and is 2.0; rows was' in err
    monkeypatch.setattr(vision_type, 'arithmetic', lambda: vision_type.Arithmetic(vision_type.AMX))
    status, _, err = replay('--variants', 'sqap', '--end', '1', '--controls', 'no-state')
    assert status == 1 and 'vision_dtype was ' in err and "is 'bfloat16'" in err


@pytest.mark.parametrize('arguments, told', [
    (['--instruction', 'pick \udcff up'],
     r"--instruction: the instruction 'pick \udcff up' holds control characters"),
    (['--other-instruction', 'pick \ud800 up'], '--other-instruction: the instruction '),
    (['--instruction', 'x' * 300], '--instruction: the instruction has 300 characters, at most'),
    (['--instruction', 'dance'], '--instruction: the policy was not trained on'),
    (['--start', '60'], '--start is 60 s, but what is replayed of libero_bag lasts 5.3 s '
     'from its first image'),
    (['--start', '2', '--end', '1'], 'expected 0 <= start < end'),
    (['--start', 'nan'], '--start is nan and --end None: expected 0 <= start < end'),
    (['--end', 'inf'], 'expected 0 <= start < end <= 1e+09'),
    (['--end', '1e300'], 'expected 0 <= start < end <= 1e+09'),
    (['--stride', '0'], 'a stride of at least 1'),
    (['--episodes', '1'], '--episodes has 1, but libero_bag has 1 episode: 0'),
    (['--episodes', 'x'], '--episodes x: expected whole numbers, such as 0,3-5'),
    (['--episodes', '0-99999999999'], 'expected 100000 numbers at most'),
    (['--episodes', '5-3'], '--episodes 5-3: 5-3 goes from 5 down to 3, expected 3-5'),
    (['--episodes', ','], "--episodes ',': expected at least one whole number"),
    (['--episodes', '²'], '--episodes ²: expected whole numbers'),
    (['--keep', '9' * 5000], 'expected whole numbers'),
    (['--keep', '²'], '--keep ²: expected whole numbers'),
    (['--keep', '300'], '--keep 300: give different numbers of 1..64 tokens'),
    (['--keep', '4x'], '--keep 4x: expected whole numbers'),
    (['--variants', 'fp,w3a3'], '--variants fp,w3a3: one of auto, fp, '),
    (['--controls', 'blank'], '--controls blank: each of'),
    (['--controls', 'other-instruction'], 'give --other-instruction'),
    (['--topics', 'image=/nowhere'], '/nowhere'),
    (['--topics', 'joint_states='], 'libero_bag has no joint_states to tell it'),
    (['--topics', 'instruction='], 'libero_bag has no topic of instructions: give --instruction '
     'TEXT, one of put the bowl on the stove'),
    (['--camera-info', 'wrist=x.yaml'], "there is no camera 'wrist' in the parameter cameras"),
    (['--camera-info', '/nowhere.yaml'], '/nowhere.yaml cannot be read'),
    (['--config', '/nowhere.yaml'], 'nowhere.yaml'),
])
def test_what_cannot_be_replayed_is_told_in_one_line(arguments, told, replay, tmp_path):
    status, _, err = replay(*arguments)
    assert status == 1 and told in err and err.count('\n') == 1
    assert not (tmp_path / 'out').exists(), 'before anything is made'


def test_an_image_that_cannot_be_localized_is_answered_without_protection(replay, tmp_path):
    status, out, _ = replay('--variants', 'sqap', '--end', '0.3', '--topics', 'camera_info=')
    assert status == 0 and 'the recording has no camera_info (--camera-info FILE.yaml' in out
    assert 'a running node would not move' in out
    path = tmp_path / 'info.yaml'
    path.write_text(yaml.safe_dump(INFO))
    shutil.rmtree(tmp_path / 'out')
    status, out, _ = replay('--variants', 'sqap', '--end', '0.3', '--camera-info', str(path))
    assert status == 0 and 'has no camera_info' not in out


def test_a_calibration_that_makes_no_sense_is_refused(replay, tmp_path):
    path = tmp_path / 'info.yaml'
    for values, told in (
            ({**INFO, 'image_width': 0}, 'info.yaml: '), ([1], 'holds list: expected'),
            ({'image_width': 3}, "lacks 'image_height'"), ({'k': [1.0]}, "lacks 'width'"),
            ({**INFO, 'camera_matrix': {'data': [1, 2]}}, 'has 2 numbers, expected 9'),
            ({**INFO, 'camera_matrix': 3}, 'info.yaml: ')):
        path.write_text(yaml.safe_dump(values))
        status, _, err = replay('--camera-info', str(path))
        assert status == 1 and told in err and err.count('\n') == 1
    path.write_text('a: [')
    assert 'is no YAML' in replay('--camera-info', str(path))[2]
