# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenVLA and CogACT directories are refused for, and in which words."""
import json
import math
import shutil

import golden_data
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
import torch

KEY = golden_data.KEY


def test_a_wrong_or_missing_unnorm_key_lists_the_valid_ones():
    for key, error in (('berkeley', CheckpointError), (None, ConfigError)):
        with pytest.raises(error, match="'bridge_orig', 'libero_spatial_no_noops'"):
            golden_data.load('openvla', unnorm_key=key)


def test_a_missing_shard_is_named(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    (path / 'model-00002-of-00002.safetensors').unlink()
    with pytest.raises(CheckpointError, match='1 of 2 shards .*model-00002-of-00002'):
        load_policy(path, unnorm_key=KEY)


def test_a_truncated_shard_and_a_truncated_pt_are_refused(tmp_path):
    shard = golden_data.copy_of('openvla', tmp_path) / 'model-00001-of-00002.safetensors'
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match='truncated'):
        load_policy(shard.parent, unnorm_key=KEY)
    for length in (0, 10, -1000):
        run = golden_data.copy_of('cogact', tmp_path / str(length))
        file = next(run.glob('checkpoints/*.pt'))
        file.write_bytes(file.read_bytes()[:length])
        with pytest.raises(CheckpointError, match='truncated'):
            load_policy(run, unnorm_key=KEY)


def test_a_tensor_that_the_index_promises_is_missed(tmp_path):
    shard = golden_data.copy_of('openvla', tmp_path) / 'model-00001-of-00002.safetensors'
    weights = load_file(shard)
    name = sorted(weights)[5]
    del weights[name]
    save_file(weights, shard)
    with pytest.raises(CheckpointError, match=f'such as {name}'):
        load_policy(shard.parent, unnorm_key=KEY)


def change_tensor(directory, change):
    """Rewrite the shard that holds a decoder weight."""
    name = 'language_model.model.layers.1.mlp.down_proj.weight'
    index = json.loads((directory / 'model.safetensors.index.json').read_text())
    shard = directory / index['weight_map'][name]
    weights = load_file(shard)
    weights[name] = change(weights[name])
    save_file(weights, shard)


@pytest.mark.parametrize('change, message', [
    (lambda w: w[:, :-8].contiguous(), r'down_proj.weight: file \(64, 168\), model \(64, 176\)'),
    (lambda w: w.index_fill(0, torch.tensor([3]), math.nan), 'down_proj.weight holds values'),
    (lambda w: w.index_fill(0, torch.tensor([3]), math.inf), 'not finite'),
    (lambda w: w.to(torch.int8), 'is torch.int8')])
def test_weights_of_another_shape_type_or_without_sense_are_refused(tmp_path, change, message):
    path = golden_data.copy_of('openvla', tmp_path)
    change_tensor(path, change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path, unnorm_key=KEY)


class Code:
    """Runs when it is unpickled, where nobody prevents that."""

    def __reduce__(self):
        return exec, ('raise SystemExit("the checkpoint ran code")',)


@pytest.mark.parametrize('content', [
    {'model': {'projector': {'a': Code()}}}, Code(), {'weights': {}}, [1, 2],
    {'model': {'projector': {'a': 'text'}}}], ids=['code', 'bare code', 'other', 'list', 'text'])
def test_a_pt_that_is_no_checkpoint_is_refused_and_never_run(tmp_path, content):
    path = golden_data.copy_of('cogact', tmp_path)
    torch.save(content, next(path.glob('checkpoints/*.pt')))
    with pytest.raises(CheckpointError, match='can run any code|is no CogACT checkpoint'):
        load_policy(path, unnorm_key=KEY)


@pytest.mark.parametrize('change, message', [
    (lambda c: c.update(model_type='llava', architectures=['LlavaModel']), "'llava', is unknown"),
    (lambda c: c.update(use_fused_vision_backbone=False), 'is False and timm_model_ids'),
    (lambda c: c['text_config'].update(num_attention_heads=5), '5 attention heads'),
    (lambda c: c['text_config'].update(num_key_value_heads=2), 'num_key_value_heads'),
    (lambda c: c['text_config'].update(hidden_size='wide'), "'wide'"),
    (lambda c: c.update(text_config=None), 'config.json'),
    (lambda c: c.update(image_sizes=[223, 224]), '223 px'),
    (lambda c: c.update(image_sizes=[336, 336]), 'check image_sizes'),
    (lambda c: c.update(image_sizes=224), 'config.json'),
    (lambda c: c.pop('timm_model_kwargs'), 'vision.dino: embed_dim is 1024'),
    (lambda c: c.update(image_resize_strategy='stretch'), 'stretch'),
    (lambda c: c.update(n_action_bins=1), '1 bins'),
    (lambda c: c.pop('norm_stats'), 'neither norm_stats'),
    (lambda c: c['norm_stats'].update(bridge_orig={}), 'action'),
    (lambda c: c['norm_stats'][KEY]['action'].update(q99=[math.nan] * 7), 'finite numbers')])
def test_an_openvla_config_that_does_not_fit_is_refused(tmp_path, change, message):
    path = golden_data.copy_of('openvla', tmp_path)
    golden_data.edit(path / 'config.json', change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path, unnorm_key=KEY)


@pytest.mark.parametrize('change, message', [
    (lambda c: c['vla'].update(base_vlm='prism-clip-224px+7b'), 'prism-clip-224px'),
    (lambda c: c.update(vla='prism'), 'vla is not an object'),
    (lambda c: c.pop('tiny_model_kwargs'), 'num_hidden_layers is 32'),
    (lambda c: c['tiny_model_kwargs'].pop('action_model'), 'none of DiT-S, DiT-B and DiT-L'),
    (lambda c: c['tiny_model_kwargs']['action_model'].update(num_heads=5), 'heads 5')])
def test_a_cogact_config_that_does_not_fit_is_refused(tmp_path, change, message):
    path = golden_data.copy_of('cogact', tmp_path)
    golden_data.edit(path / 'config.json', change)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path, unnorm_key=KEY, tokenizer=golden_data.openvla())


def test_a_cogact_run_needs_one_pt_statistics_and_a_tokenizer(tmp_path):
    with pytest.raises(ConfigError, match='--tokenizer'):
        load_policy(golden_data.cogact(), unnorm_key=KEY)
    with pytest.raises(ConfigError, match='no tokenizer.json'):
        load_policy(golden_data.cogact(), unnorm_key=KEY, tokenizer=tmp_path)
    path = golden_data.copy_of('cogact', tmp_path)
    file = next(path.glob('checkpoints/*.pt'))
    shutil.copy(file, file.with_name('step-999.pt'))
    with pytest.raises(CheckpointError, match='holds 2 .pt files.*step-999.pt'):
        load_policy(path, unnorm_key=KEY)
    assert open_checkpoint(file).with_key(KEY).config.unnorm_key == KEY
    (path / 'dataset_statistics.json').unlink()
    with pytest.raises(CheckpointError, match='dataset_statistics.json is missing'):
        load_policy(file, unnorm_key=KEY)


@pytest.mark.parametrize('change, message', [
    (lambda t: t['added_tokens'].clear() or t['model']['vocab'].pop('</s>'), 'special ids'),
    (lambda t: t['model']['vocab'].pop('\u2581'), 'special ids'),
    (lambda t: t['model']['vocab'].update(far=90000), 'beyond the 32064 rows')])
def test_a_tokenizer_of_another_model_is_refused(tmp_path, change, message):
    path = golden_data.copy_of('openvla', tmp_path)

    def without_merges(content):
        content['model']['merges'] = []
        change(content)
    golden_data.edit(path / 'tokenizer.json', without_merges)
    with pytest.raises(CheckpointError, match=message):
        load_policy(path, unnorm_key=KEY)
