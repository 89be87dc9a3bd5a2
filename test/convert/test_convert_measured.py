# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a conversion costs is measured on what it has not learnt from, and doubted if it must."""
import dataclasses
import json
import re

import golden_data
from libero_bag import LIBERO_BAG
from made_data_set import Made, made_data_set
import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.convert.measured import _unlike, BLACK, GPTQ, Measured, NEAREST
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.answers import action_errors, answers, recorded_actions
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.samples.sample import chosen, Samples
from tiny_checkpoint import save_tiny_checkpoint
from training_data import write_data

INSTRUCTIONS = 'put the bowl on the stove', 'put the bowl on the plate'
NODE = 'vla_node: {ros__parameters: {min_contrast: 0.0, max_image_change: 0.0}}'
FIGURE = r'(\d\.\d{4})'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Return a folder with a tiny checkpoint and shards for it."""
    folder = tmp_path_factory.mktemp('measured')
    save_tiny_checkpoint(folder / 'tiny', INSTRUCTIONS)
    (folder / 'shards').mkdir()
    write_data(folder / 'shards', INSTRUCTIONS)
    return folder


def converted(place, out, capsys, *options):
    """Convert, and return what was printed."""
    command = ['convert', str(place / 'tiny'), str(out), '--calibration', str(place / 'shards'),
               '--float-type', 'float32', *options]
    assert main(command) == 0
    return capsys.readouterr().out


def test_gptq_is_the_default_with_a_calibration_and_its_error_is_told(place, tmp_path, capsys):
    shown = converted(place, tmp_path / 'out', capsys, '--samples', '6', '--held-out', '2')
    assert ('shards: shards of sqap-vla collect, 8 of 240 samples, of 8 episodes: 6 to round by, '
            '2 held out') in shown
    found = re.search(f'on 2 samples held out, of 2 episodes .first 4 rows, -1 .. 1.: rounded to '
                      f'nearest {FIGURE}, GPTQ {FIGURE}', shown)
    _, held = read_samples(place / 'shards', 8, open_checkpoint(
        place / 'tiny').config).split(2)
    exact = answers(load_policy(place / 'tiny'), held.samples)
    for policy, text in ((load_policy(place / 'tiny', precision='w4a8'), found[1]),
                         (load_policy(tmp_path / 'out'), found[2])):
        error = action_errors(exact, answers(policy, held.samples), 4).mean()
        assert float(text) == pytest.approx(error, rel=0.02, abs=1e-4)
    assert found[1] != found[2]
    black = [dataclasses.replace(sample, images=(np.zeros_like(sample.images[0]),))
             for sample in held.samples]
    seen = action_errors(exact, answers(load_policy(place / 'tiny'), black), 4).mean()
    assert f'shards: with black images in place of these full precision answers the same but ' \
        f'for {seen:.4f}, expected at least 0.02' in shown
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    assert config['quantization']['gptq']
    kept = config['conversion']['calibration']
    assert (kept['samples'], kept['episodes']) == (6, 6) and kept['source'].startswith('shards')
    assert main(['info', str(tmp_path / 'out')]) == 0
    assert 'GPTQ on 6 samples of shards (shards of sqap-vla collect)' in ' '.join(
        capsys.readouterr().out.split())


def test_rounding_to_nearest_stays_one_word_away(place, tmp_path, capsys):
    shown = converted(place, tmp_path / 'near', capsys, '--rounding', 'nearest', '--samples', '2',
                      '--held-out', '1')
    assert 'nothing is learnt from them' in shown
    assert re.search(f'on 3 samples held out, .*: rounded to nearest {FIGURE}$', shown, re.M)
    assert main(['convert', str(place / 'tiny'), str(tmp_path / 'plain'), '--float-type',
                 'float32']) == 0
    first, second = (load_file(tmp_path / name / 'model.safetensors')
                     for name in ('near', 'plain'))
    assert all(np.array_equal(first[name], second[name]) for name in second)


def test_without_room_for_full_precision_nothing_is_measured(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.convert.measured.available_bytes', lambda: 2**20)
    shown = converted(place, tmp_path / 'out', capsys, '--samples', '4', '--held-out', '16')
    assert '20 of 240 samples, of 20 episodes: 4 to round by, 10 held out' in shown  # half
    assert 'of 1 MiB that are free 70% may be used' in shown and 'samples held out,' not in shown


def test_with_nothing_held_out_nothing_is_measured(place, tmp_path, capsys):
    shown = converted(place, tmp_path / 'out', capsys, '--samples', '2', '--held-out', '0')
    assert 'was not measured: no samples were held out' in shown


def test_another_robot_is_told_by_its_states_and_its_actions(place, tmp_path, capsys):
    def moved(statistics):
        statistics['test']['state']['mean'][:2] = [9.0, 0.2]
        return statistics
    path = place / 'tiny' / 'norm_stats.json'
    plain = path.read_text()
    path.write_text(json.dumps(moved(json.loads(plain))))
    try:
        shown = converted(place, tmp_path / 'out', capsys, '--samples', '3', '--held-out', '1')
    finally:
        path.write_text(plain)
    note = next(line for line in shown.splitlines() if 'states lie outside' in line)
    assert re.match(r'note: shards: states lie outside what the checkpoint was trained on: x in '
                    r'100% of them \(-?\d.* trained on 6 .. 12, mean \+-3 deviations\)\. '
                    r'Are they', note)
    assert ' y in' not in note
    assert re.search(r'full precision is \d\.\d\d off the recorded actions, and one constant',
                     shown)


@pytest.mark.parametrize('kind', ['a bag', 'a data set'])
def test_recordings_are_learnt_from(kind, place, tmp_path, capsys):
    if kind == 'a bag':
        checkpoint, where, options = place / 'tiny', LIBERO_BAG, ['--config', 'libero_sim']
    else:
        (tmp_path / 'node.yaml').write_text(NODE)
        checkpoint, where = golden_data.openvla(), made_data_set(tmp_path / 'set', Made('v3.0'))
        options = ['--config', str(tmp_path / 'node.yaml'), '--unnorm-key', golden_data.KEY]
    assert main(['convert', str(checkpoint), str(tmp_path / 'out'), '--calibration', str(where),
                 '--samples', '4', '--held-out', '2', *options]) == 0
    shown = capsys.readouterr().out
    assert re.search(f'rounded to nearest {FIGURE}, GPTQ {FIGURE}', shown)
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    learnt = config['conversion']['calibration']
    assert config['quantization']['gptq'] and learnt['samples'] in (3, 4), shown
    assert load_policy(tmp_path / 'out').precision == 'w4a8'


@pytest.mark.parametrize('seen, told', [(0.003, 1), (0.02, 0), (None, 0)])
def test_images_that_a_policy_does_not_act_on_are_told(seen, told):
    doubts = Measured(Samples('x', ()), 4, {NEAREST: np.zeros(2)}, seen=seen).doubts()
    assert len(doubts) == told
    assert not told or 'the same but for 0.0030, expected at least 0.02' in doubts[0]


@pytest.mark.parametrize('nearer, told', [(0.5, False), (0.9, True)])
def test_pictures_that_bring_it_no_nearer_to_what_was_recorded_are_told(nearer, told, place):
    """As of another camera: with black images it is 0.1 off, with these so much of that."""
    source = open_checkpoint(place / 'tiny').with_key('test')
    samples = read_samples(place / 'shards', 12, source.config)
    recorded = recorded_actions(samples, source.statistics())
    few = chosen(len(recorded), BLACK)
    text = _unlike(samples, recorded + 0.1 * nearer, recorded[few] + 0.1, source, 4)
    assert ('does not know these pictures. Are they of another camera' in text) == told
    assert not told or text.startswith('shards: full precision is 0.090 from the recorded '
                                       'actions, and 0.100 with a black image')


@pytest.mark.parametrize('nearest, gptq, told', [
    ([0.02, 0.04], [0.01, 0.06], 'GPTQ is no better here than rounding to nearest .action error '
     '0.0350 against 0.0300.: calibrate'), ([0.02, 0.04], [0.01, 0.04], '')])
def test_a_calibration_that_does_not_help_is_told(nearest, gptq, told):
    found = Measured(Samples('x', ()), 4, {NEAREST: np.array(nearest), GPTQ: np.array(gptq)})
    assert bool(found.doubts()) == bool(told)
    assert not told or re.match(told, found.doubts()[0])
