# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A training that begins with the weights of another: what it takes, what it refuses."""
import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.commands import train
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import checkpoint
from sqap_vla_ros.model.prompt import word_tokenizer
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.train import trainer
from sqap_vla_ros.train.recipe import network, norm_stats, normalisation
from sqap_vla_ros.train.shards import load_shards
from sqap_vla_ros.train.warm_start import normalisation_of, warm_start
import torch
from training_data import options, write_data

FIVE = ('go left', 'go right', 'go up now', 'go down now',
        'put the very big white circle back to where it was found left')


@pytest.fixture(scope='module')
def five(tmp_path_factory):
    """Write demonstrations of five instructions with five points a frame."""
    return write_data(tmp_path_factory.mktemp('five'), FIVE, episodes=15, points=5)


@pytest.fixture(scope='module')
def start(data, tmp_path_factory):
    """Save a random checkpoint of the two instructions; return its directory."""
    path = tmp_path_factory.mktemp('runs') / 'toy_start'
    shards = load_shards(data)
    tokenizer = word_tokenizer(shards.instructions)
    config = network(options(data, path), shards, tokenizer)
    torch.manual_seed(7)
    checkpoint.save(path, config, VLA(config.model).state_dict(),
                    {'toy': norm_stats(normalisation(shards))}, tokenizer)
    return path


def test_a_warm_start_takes_every_tensor_and_each_known_word(five, start, tmp_path):
    tokenizer = word_tokenizer(FIVE)
    config = network(options(five, tmp_path), load_shards(five), tokenizer)
    model = VLA(config.model)
    text = warm_start(model, tokenizer, start)
    old, own = load_file(start / 'model.safetensors'), model.state_dict()
    known = checkpoint.read_tokenizer(start).get_vocab()
    words = 'llm.embed_tokens.weight'
    assert len(own[words]) > len(old[words])
    for word, row in known.items():
        assert torch.equal(own[words][tokenizer.token_to_id(word)], old[words][row]), word
    assert all(torch.equal(own[name], old[name]) for name in own if name != words)
    assert f'took {len(own) - 1} of {len(own) - 1} tensors and {len(known)} of ' in text
    assert 'starts anew: nothing' in text and 'down' in text.split('new words: ')[1]


def test_a_deeper_network_takes_the_layers_that_are_there(data, start, tmp_path):
    tokenizer = word_tokenizer(load_shards(data).instructions)
    args = options(data, tmp_path, '--llm-layers', '4')
    model = VLA(network(args, load_shards(data), tokenizer).model)
    fresh = model.state_dict()['llm.layers.3.mlp.up_proj.weight'].clone()
    text = warm_start(model, tokenizer, start)
    own, old = model.state_dict(), load_file(start / 'model.safetensors')
    name = 'llm.layers.2.mlp.up_proj.weight'
    assert torch.equal(own[name], old[name]) and 'starts anew: llm.layers.3.' in text
    assert torch.equal(own['llm.layers.3.mlp.up_proj.weight'], fresh)


def test_a_checkpoint_of_another_width_is_refused_with_both_shapes(data, start, tmp_path):
    with pytest.raises(ConfigError, match=r'vision\.pos_embed is \[1, 16, 64\] there and '
                                          r'\[1, 16, 128\] here'):
        train.run(options(data, tmp_path / 'out', '--init', str(start), '--width', '128'))


def test_a_directory_that_is_no_checkpoint_is_refused(data, tmp_path):
    with pytest.raises(CheckpointError, match='is not a checkpoint'):
        train.run(options(data, tmp_path / 'out', '--init', str(tmp_path)))


def test_a_warm_run_trains_on_five_instructions_and_says_where_it_began(five, start, tmp_path):
    steps = ('--init', str(start), '--coarse-steps', '0')
    train.run(options(five, tmp_path, *steps, '--fine-steps', '2'))
    config = checkpoint.read_config(tmp_path / 'checkpoint')
    assert config.training['init'] == 'toy_start' and config.instructions == FIVE
    assert 'init' not in config.training['arguments']
    assert str(start.parent) not in json.dumps(config.training)
    assert config.model.text_length == 16  # 13 words and <act>


def test_a_resumed_run_ignores_the_start_and_keeps_its_name(data, start, tmp_path, capsys):
    train.run(options(data, tmp_path, '--init', str(start), '--fine-steps', '0',
                      '--coarse-steps', '2'))
    train.run(options(data, tmp_path, '--init', str(start.parent / 'gone'), '--fine-steps', '0',
                      '--coarse-steps', '4'))
    assert '--init is ignored' in capsys.readouterr().out
    training = checkpoint.read_config(tmp_path / 'checkpoint').training
    assert training['init'] == 'toy_start' and training['step'] == 4


def test_a_policy_may_be_made_better_under_its_own_normalisation(data, start, tmp_path):
    (tmp_path / 'other').mkdir()
    write_data(tmp_path / 'other', shards=1, seed=30_000)
    run = options(tmp_path / 'other', tmp_path / 'run', '--init', str(start), '--keep-norm')
    kept, own = trainer.Trainer(run).norm, normalisation(load_shards(data))
    assert kept.keys() == own.keys()
    for name in kept:
        np.testing.assert_allclose(kept[name], own[name], rtol=1e-6)
    found = normalisation(load_shards(tmp_path / 'other'))
    assert not np.allclose(found['state_mean'], own['state_mean'], rtol=1e-6)


def test_a_normalisation_is_kept_of_a_checkpoint_that_has_one(data, start, tmp_path):
    with pytest.raises(ConfigError, match='--keep-norm keeps the normalisation of --init'):
        trainer.Trainer(options(data, tmp_path, '--keep-norm'))
    stats = json.loads((start / 'norm_stats.json').read_text())
    stats['toy']['action']['mask'][6] = False
    shutil.copytree(start, tmp_path / 'masked')
    (tmp_path / 'masked' / 'norm_stats.json').write_text(json.dumps(stats))
    with pytest.raises(ConfigError, match='normalises otherwise than `train` does'):
        normalisation_of(tmp_path / 'masked')
