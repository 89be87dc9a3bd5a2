# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What `sqap-vla convert` refuses, in which words, and that nothing stays behind."""
import json
import os

import golden_data
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.cli import main

NAME = 'language_model.model.layers.1.mlp.down_proj.weight'


def refused(source, tmp_path, capsys, *options):
    """Convert, see that it fails and leaves nothing, and return what it says."""
    before = sorted(os.listdir(tmp_path))
    assert main(['convert', str(source), str(tmp_path / 'out'), *map(str, options)]) == 1
    assert sorted(os.listdir(tmp_path)) == before
    text = capsys.readouterr().err.splitlines()[-1]
    assert text.startswith('sqap-vla convert: ')
    return text


def with_tensor(tmp_path, change):
    directory = golden_data.copy_of('openvla', tmp_path)
    shard = directory / json.loads(
        (directory / 'model.safetensors.index.json').read_text())['weight_map'][NAME]
    weights = load_file(shard)
    weights[NAME] = change(weights[NAME]).contiguous()
    save_file(weights, shard)
    return directory


@pytest.mark.parametrize('change, options, text', [
    (lambda weight: weight * float('nan'), (), f'{NAME} holds values that are not finite'),
    (lambda weight: weight[:, :-1], (), f'{NAME}: file (64, 175)'),
    (lambda weight: weight * 1e6, ('--precision', 'fp', '--float-type', 'float16'),
     'down_proj.weight has values beyond the range')])
def test_weights_that_cannot_be_converted_are_named(change, options, text, tmp_path, capsys):
    assert text in refused(with_tensor(tmp_path, change), tmp_path, capsys, *options)


def test_an_unknown_architecture_is_named(tmp_path, capsys):
    (tmp_path / 'config.json').write_text('{"model_type": "pi0", "architectures": ["Pi"]}')
    assert "'pi0', is unknown" in refused(tmp_path, tmp_path, capsys)


def test_a_wrong_unnorm_key_lists_the_valid_ones(tmp_path, capsys):
    text = refused(golden_data.openvla(), tmp_path, capsys, '--unnorm-key', 'mine')
    assert "['bridge_orig', 'libero_spatial_no_noops']" in text
    source = golden_data.copy_of('openvla', tmp_path)
    (source / 'deployment.json').write_text('{"unnorm_key": "mine"}')
    assert "['bridge_orig', 'libero_spatial_no_noops']" in refused(source, tmp_path, capsys)


def test_a_tokenizer_is_needed_and_must_have_the_special_ids(tmp_path, capsys):
    assert '--tokenizer' in refused(golden_data.cogact(), tmp_path, capsys)
    source = golden_data.copy_of('openvla', tmp_path)

    def other_word_start(content):
        vocabulary = content['model']['vocab']
        vocabulary['other'] = vocabulary.pop('\u2581')
        content['model']['merges'] = []
    golden_data.edit(source / 'tokenizer.json', other_word_start)
    for directory, options in ((source, ()), (golden_data.cogact(), ('--tokenizer', source))):
        text = refused(directory, tmp_path, capsys, *options)
        assert "special ids {'<s>': 1, '</s>': 2, '\u2581': None}" in text


@pytest.mark.parametrize('options, text', [
    (['--precision', 'w2a2'], 'expected one of'),
    (['--precision', 'auto'], 'when a checkpoint is loaded, not when it is converted: take w4a8'),
    (['--overrides', 'no_such_layer: w8a8'], "'no_such_layer' fits none"),
    (['--overrides', 'o_proj w8a8'], 'is not of the form'),
    (['--rounding', 'gptq'], 'name some by --calibration'),
    (['--samples', '12'], '--samples without a calibration: name what the robot sees'),
    (['--samples', '64', '--held-out', '16'], '--samples and --held-out without a calibration'),
    (['--calibration', '.', '--precision', 'fp'], 'leave one of both out'),
    (['--calibration', '.', '--held-out', '-1'], '--held-out -1, expected at least 1 and 0'),
    (['--calibration', '.', '--samples', '0'], '--samples is 0'),
    (['--calibration', '/proc/none'], '/proc/none is no directory'),
    (['--calibration', '.', '--instruction', 'go'], '--instruction says how a bag or data set is '
     'looked at, and --calibration . is neither: leave it out'),
    (['--camera-info', 'x.yaml'], '--camera-info says how a bag or data set is looked at, and '
     'none is given by --calibration'),
    (['--calibration', '/usr'], 'holds neither instructions.jsonl'),
    (['--group-size', '48'], 'power of two')])
def test_options_that_do_not_fit_are_refused(options, text, tmp_path, capsys):
    assert text in refused(golden_data.openvla(), tmp_path, capsys, *options)


@pytest.mark.parametrize('words', [['--gptq'], ['--gptq', 'frames']])
def test_the_option_that_is_gone_names_what_took_its_place(words, capsys):
    with pytest.raises(SystemExit):
        main(['convert', 'source', 'out', *words])
    text = capsys.readouterr().err
    assert 'no option --gptq any more: --calibration PLACE' in text and '--rounding' in text


@pytest.mark.parametrize('line, text', [
    ('{"image": "none.png", "instruction": "go"}', 'none.png does not exist'),
    ('{"image": "case0.png", "instruction": "go", "state": [1]}',
     'instructions.jsonl, line 1: the state has shape [1], expected 8 numbers: x'),
    ('{"image": "case0.png", "instruction": " "}', 'data: the instruction is empty'),
    ('{"image": "case0.png"}', "line 1: KeyError 'instruction'"),
    ('{"image": "case0.png", "instruction": null}', '"instruction" is null, expected a text'),
    ('{"image": [], "instruction": "go"}', 'line 1: 0 images [], the checkpoint takes 1'),
    ('case0.png', 'line 1'), ('[]', 'line 1'), ('', 'is empty')])
def test_calibration_that_cannot_be_read_is_named(line, text, tmp_path, capsys):
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'case0.png').write_bytes((golden_data.GOLDEN / 'case0.png').read_bytes())
    (data / 'instructions.jsonl').write_text(line + '\n')
    options = ('--calibration', data)
    told = refused(golden_data.openvla(), tmp_path, capsys, *options)
    assert text in told and 'ObservationError' not in told


def test_a_converted_checkpoint_is_not_converted_again(tmp_path, capsys):
    assert main(['convert', str(golden_data.openvla()), str(tmp_path / 'once')]) == 0
    assert 'is converted already (w4a8)' in refused(tmp_path / 'once', tmp_path, capsys)
