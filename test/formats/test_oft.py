# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA-OFT directories: what their files say, what is chosen, and what is refused."""
import argparse
import json
import os
import re
import shutil

import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.commands import convert
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.states import is_undeclared
from sqap_vla_ros.errors import CheckpointError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.checkpoint import config_from_dict, config_to_dict
from sqap_vla_ros.formats.oft_constants import origin_notes
from sqap_vla_ros.formats.pickles import StateReader
from sqap_vla_ros.formats.tensors import SafetensorsReader
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import declared
import torch

HEAD = 'action_head--150000_checkpoint.pt'
STATE = 'proprio_projector--150000_checkpoint.pt'
FILM = 'vision_backbone--150000_checkpoint.pt'
VISION = 'base_model.model.vision_backbone.vision_backbone.featurizer.blocks.0.block.attn.qkv'
FULL_AND_WRISTS = ('full', 'left_wrist', 'right_wrist')


@pytest.fixture
def oft(tmp_path):
    """Return a function that copies a variant's directory and says something of it."""
    def copied(variant='oft_tiny', says=None, **changes):
        path = shutil.copytree(golden_data.oft(variant, **changes), tmp_path / variant,
                               copy_function=link_shards)
        if says is not None:
            golden_data.recipe().write_json(path / 'deployment.json', says)
        return path
    return copied


def link_shards(source, target):
    """Copy a file, but for one of weights, which no test changes."""
    (os.symlink if source.endswith('.safetensors') else shutil.copy)(source, target)


def renamed(path, key):
    """Give the only data set of a directory another name."""
    golden_data.edit(path / 'dataset_statistics.json',
                     lambda stats: stats.update({key: stats.pop(next(iter(stats)))}))
    return path


@pytest.mark.parametrize('variant, reads, images, chunk, widths, bounds, cameras', [
    ('oft_tiny', 'regression', 2, 8, (7, 8), 'q01_q99', ('full', 'wrist')),
    ('oft_tiny_aloha', 'regression', 3, 25, (14, 14), 'min_max', FULL_AND_WRISTS),
    ('oft_tiny_diffusion', 'diffusion', 2, 8, (7, 8), 'q01_q99', ('full', 'wrist'))])
def test_sizes_are_of_the_tensors_and_the_rest_of_the_data_sets_name(
        variant, reads, images, chunk, widths, bounds, cameras):
    source = open_checkpoint(golden_data.oft(variant)).with_key(None)
    config, model = source.config, source.config.model
    assert source.family == 'openvla_oft' and config.prompt == 'oft'
    assert (model.head.kind, model.head.reads, model.head.chunk_length) == ('oft', reads, chunk)
    assert (model.head.action_dim, model.state_dim, model.state_hidden) == (*widths, 64)
    assert (model.images, config.cameras, config.normalization) == (images, cameras, bounds)
    assert model.attention == 'full' and model.film == (variant == 'oft_tiny_aloha')
    assert all('by the name of the data set' in text for text in config.origins.values())


@pytest.mark.parametrize('variant', ['oft_tiny', 'oft_tiny_aloha', 'oft_tiny_diffusion'])
def test_all_that_was_chosen_is_kept_by_the_engines_own_format(variant):
    config = open_checkpoint(golden_data.oft(variant)).with_key(None).config
    content = json.loads(json.dumps(config_to_dict(config)))
    kept = config_from_dict(content, 'config.json')
    assert (kept.model, kept.origins) == (config.model, config.origins)
    for name in ('cameras', 'state_names', 'normalization', 'prompt', 'pixel_mean'):
        assert getattr(kept, name) == getattr(config, name)


@pytest.mark.parametrize('names, says', [
    (['x'], 'names 1 values .*takes a state of 8'), (['x'] * 9, 'names 9 values'),
    (['foo'] * 8, "'foo' is no value"), ([1] * 8, 'expected a list of names'),
    ('xyzxyzxy', 'expected a list of names')])
def test_names_that_are_not_those_of_the_state_are_refused(names, says):
    content = config_to_dict(open_checkpoint(golden_data.oft()).config)
    content = json.loads(json.dumps({**content, 'state_names': names}))
    with pytest.raises(CheckpointError, match=f'config.json: .*{says}'):
        config_from_dict(content, 'config.json')


def test_no_weight_is_read_before_it_is_asked_for(monkeypatch):
    read = []
    for reader in (StateReader, SafetensorsReader):
        def counted(self, name, plain=reader.read):
            read.append(name)
            return plain(self, name)
        monkeypatch.setattr(reader, 'read', counted)
    tensors = open_checkpoint(golden_data.oft('oft_tiny_aloha')).tensors
    assert not read
    tensors.copy('vision.dino.blocks.0.attn.qkv.weight')
    layer = 'vision_backbone.featurizer.blocks.0.block.attn.qkv'
    assert sorted(read) == [f'{layer}.{name}.weight' for name in (
        'base_layer', 'lora_A.default', 'lora_B.default')]


def test_the_base_models_statistics_are_not_those_of_the_heads():
    source = open_checkpoint(golden_data.oft())
    assert list(source.norm_stats) == ['libero_spatial_no_noops'] == [source.config.unnorm_key]


def test_a_plain_openvla_counts_the_saved_means_too(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    plain = open_checkpoint(path).config
    assert plain.pixel_mean[:3] == (0.485, 0.456, 0.406)
    content = golden_data.recipe_oft().preprocessor()
    golden_data.recipe().write_json(path / 'preprocessor_config.json', content)
    assert open_checkpoint(path).config.pixel_mean[:3] == (0.484375, 0.455078125, 0.40625)
    content['tvf_normalize_params'] = [{'mean': [0.5] * 3}] * 2
    golden_data.recipe().write_json(path / 'preprocessor_config.json', content)
    with pytest.raises(CheckpointError, match='tvf_normalize_params must hold mean and std'):
        open_checkpoint(path)


def test_the_saved_rounded_means_count():
    config = open_checkpoint(golden_data.oft()).config
    assert config.pixel_mean == (0.484375, 0.455078125, 0.40625, 0.5, 0.5, 0.5)
    assert config.pixel_std == (0.228515625, 0.2236328125, 0.224609375, 0.5, 0.5, 0.5)


@pytest.mark.parametrize('variant, low, high', [
    ('oft_tiny', 'q01', 'q99'), ('oft_tiny_aloha', 'min', 'max')])
def test_bounds_of_actions_and_state_are_of_one_kind(variant, low, high):
    source = open_checkpoint(golden_data.oft(variant)).with_key(None)
    entry, found = next(iter(source.norm_stats.values())), source.statistics()
    for part, prefix in (('action', ''), ('proprio', 'state_')):
        np.testing.assert_array_equal(found[f'{prefix}low'], entry[part][low])
        np.testing.assert_array_equal(found[f'{prefix}high'], entry[part][high])
        assert found[f'{prefix}low'].dtype == np.float64
    assert found['state_mask'].all() and found['mask'].sum() == (6 if low == 'q01' else 14)


def test_heads_are_read_with_and_without_the_wrapper_of_their_trainer(oft):
    path = oft()
    names = ('head.blocks.1.linear.weight', 'state_embed.2.bias')
    wrapped = [open_checkpoint(path).tensors.read(name) for name in names]
    for name in (HEAD, STATE):
        state = torch.load(path / name, weights_only=True)
        plain = {key.removeprefix('module.'): tensor for key, tensor in state.items()}
        nested = {f'_orig_mod.{key}': tensor for key, tensor in state.items()}
        torch.save(plain if name == HEAD else {'state_dict': nested, 'step': 5}, path / name)
    plain = open_checkpoint(path).tensors
    assert all(torch.equal(tensor, plain.read(name)) for name, tensor in zip(names, wrapped))
    assert 'lm_head.weight' not in plain.shapes and 'head.lm_head.weight' not in plain.shapes


def test_films_vision_is_merged_and_replaces_that_of_the_shards():
    path = golden_data.oft('oft_tiny_aloha')
    tensors, film = open_checkpoint(path).tensors, torch.load(path / FILM, weights_only=True)
    for ours, theirs in (
            ('dino.blocks.1.mlp.fc1', 'featurizer.blocks.1.block.mlp.fc1'),
            ('siglip.patch_embed.proj', 'fused_featurizer.patch_embed.proj')):
        layer = f'vision_backbone.{theirs}'
        base, first, second = (film[f'{layer}.{name}.weight'].float() for name in (
            'base_layer', 'lora_A.default', 'lora_B.default'))
        wanted = base + 0.5 * (second.flatten(1) @ first.flatten(1)).view(base.shape)
        torch.testing.assert_close(tensors.read(f'vision.{ours}.weight'), wanted)
        assert not torch.allclose(wanted, base)
        parts = 2 * (base.numel() + first.numel() + second.numel())
        assert tensors.stored_bytes(f'vision.{ours}.weight') == parts
    scale = film['vision_backbone.featurizer.blocks.0.scale.weight']
    assert torch.equal(tensors.read('vision.dino.blocks.0.scale.weight'), scale)
    assert not any(name.startswith('vision.dino.blocks.3') for name in tensors.shapes)


def test_films_file_is_not_filled_up_from_the_shards(oft):
    path, norm = oft('oft_tiny_aloha'), 'featurizer.blocks.1.block.norm1.weight'
    film = torch.load(path / FILM, weights_only=True)
    del film[f'vision_backbone.{norm}']
    torch.save(film, path / FILM)
    with pytest.raises(CheckpointError, match='missing.*featurizer.blocks.1.norm1.weight'):
        load_network(open_checkpoint(path))


@pytest.mark.parametrize('says, found', [
    ({}, (2, 8, 'q01_q99')), ({'chunk_length': 5}, (2, 5, 'q01_q99')),
    ({'images': 1, 'normalization': 'min_max'}, (1, 8, 'min_max'))])
def test_deployment_json_overrides_what_is_usual(oft, says, found):
    config = open_checkpoint(oft(says={'oft': says})).config
    model = config.model
    assert (model.images, model.head.chunk_length, config.normalization) == found
    assert {name for name, text in config.origins.items()
            if text == 'as deployment.json says'} == set(says)


def test_the_number_of_named_cameras_alone_changes_no_network(oft):
    path = oft(says={'cameras': ['front']})
    with pytest.raises(CheckpointError, match='names 1 camera, and a network of libero takes 2 '
                       'images .*: name 2.*"oft": {"images": 1}'):
        open_checkpoint(path)
    cameras = ['top', 'left', 'hand']
    golden_data.recipe().write_json(path / 'deployment.json', {
        'cameras': cameras, 'oft': {'images': 3}})
    config = open_checkpoint(path).config
    assert (config.model.images, config.cameras) == (3, tuple(cameras))
    assert 'cameras' not in config.origins
    golden_data.recipe().write_json(path / 'deployment.json', {'cameras': cameras[:2]})
    assert open_checkpoint(path).config.origins['images'] == (
        'as many as deployment.json names cameras')


def test_a_data_set_without_a_known_name_is_told_by_its_sizes_once(oft, caplog):
    path = renamed(oft(), 'my_robot')
    source = open_checkpoint(path)
    assert source.config.model.head.chunk_length == 8
    assert 'a state of 8 values, which fits no other' in source.config.origins['images']
    assert open_checkpoint(source.path).config.origins == source.config.origins
    assert caplog.text.count('which fits no other') == 1
    assert source.config.state_names[0] == 'state_0'  # what they are is no matter of sizes
    says = {'action_space': 'libero', 'state': 'libero'}
    golden_data.recipe().write_json(path / 'deployment.json', says)
    guess = {'chunk_length': 8, 'images': 2, 'normalization': 'q01_q99'}
    with pytest.raises(CheckpointError, match=re.escape(
            f'no robot is driven by a guess: if it is right, write {json.dumps({"oft": guess})}')):
        open_checkpoint(path).with_key(None)
    golden_data.recipe().write_json(path / 'deployment.json', {**says, 'oft': guess})
    assert open_checkpoint(path).with_key(None).config.declares_actions


def test_what_no_file_says_is_that_of_the_data_set_that_is_chosen(oft):
    path = renamed(oft(), 'libero_a')
    golden_data.edit(path / 'dataset_statistics.json',
                     lambda stats: stats.update(my_franka=stats['libero_a']))
    pooled = open_checkpoint(path)
    assert is_undeclared(pooled.config.state_names) and 'guessed' in pooled.obstacles[0]
    libero, franka = pooled.with_key('libero_a'), pooled.with_key('my_franka')
    assert libero.config.state_names[0] == 'x' and not libero.obstacles
    assert is_undeclared(franka.config.state_names) and 'guessed' in franka.obstacles[0]
    assert list(libero.for_keeping().norm_stats) == ['libero_a']
    golden_data.recipe().write_json(path / 'deployment.json', {'unnorm_key': 'libero_a'})
    assert open_checkpoint(path).with_key(None).config.state_names[0] == 'x'
    assert is_undeclared(open_checkpoint(path).with_key('my_franka').config.state_names)


def test_data_sets_of_which_only_one_tells_wait_for_a_choice(oft):
    path = renamed(oft(state_dim=0), 'libero_a')
    golden_data.edit(path / 'dataset_statistics.json',
                     lambda stats: stats.update(my_franka=stats['libero_a']))
    pooled = open_checkpoint(path)
    assert 'said is of libero_a alone: choose one' in pooled.obstacles[-1]
    assert pooled.with_key('libero_a').config.model.head.chunk_length == 8
    with pytest.raises(CheckpointError, match='name of the data set my_franka does not tell'):
        pooled.with_key('my_franka')


def test_what_the_data_sets_name_stands_for_is_said(oft):
    path = oft(says={'action_space': 'libero'})
    source = open_checkpoint(path).with_key(None)
    note, = origin_notes(source.config)
    assert 'cameras called full wrist, a state of x y z rx ry rz gripper_position -grip' in note
    doubt, = source.doubts
    assert doubt in source.notes and 'write "image": "libero" into deployment.json' in doubt
    golden_data.recipe().write_json(path / 'deployment.json', {'image': 'libero'})
    assert not open_checkpoint(path).with_key(None).doubts


def test_a_data_set_that_fits_nothing_needs_words_of_the_user(oft):
    path = renamed(oft(state_dim=0), 'my_robot')
    with pytest.raises(CheckpointError, match='my_robot.*chunk_length, images, normalization can'):
        open_checkpoint(path)
    golden_data.recipe().write_json(path / 'deployment.json', {'oft': {
        'chunk_length': 4, 'images': 1, 'normalization': 'min_max'}})
    model = open_checkpoint(path).config.model
    assert (model.head.chunk_length, model.state_dim, model.state_hidden) == (4, 0, 0)
    assert open_checkpoint(path).config.cameras == ()


def test_a_name_that_the_sizes_deny_or_of_several_platforms_tells_nothing(oft):
    path = oft(state_dim=5)
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry['proprio'].update(q01=[0.0] * 5, q99=[1.0] * 5) for entry in stats.values()])
    with pytest.raises(CheckpointError, match='named for libero, which .* state of 8 values'):
        open_checkpoint(path)
    (path / STATE).unlink()
    with pytest.raises(CheckpointError, match='name of the data set libero_bridge does not tell'):
        open_checkpoint(renamed(path, 'libero_bridge'))


def damaged_head(path):
    state = torch.load(path / HEAD, weights_only=True)
    state['module.model.fc1.weight'] = torch.zeros(64, 5 * 64)
    torch.save(state, path / HEAD)


def without_a_block(path):
    state = torch.load(path / HEAD, weights_only=True)
    torch.save({name: tensor for name, tensor in state.items() if 'blocks.1' not in name},
               path / HEAD)


def of_other_width(path):
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry['action'].update({name: [0.0] * 6 for name in ('q01', 'q99')})
        for entry in stats.values()])


def of_other_state(path):
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry['proprio'].update(q99=[1.0] * 7) for entry in stats.values()])


def aloha_part(name):
    def copy(path):
        shutil.copy(golden_data.oft('oft_tiny_aloha') / name, path)
    return copy


def film_as_head(path):
    shutil.copy(golden_data.oft('oft_tiny_aloha') / FILM, path / HEAD)


def plain_vision(path):
    state = torch.load(golden_data.oft('oft_tiny_aloha') / FILM, weights_only=True)
    torch.save({name: tensor for name, tensor in state.items()
                if '.scale.' not in name and '.shift.' not in name}, path / FILM)


def still_state(path):
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry['proprio'].update(q01=[0.0] * 8, q99=[0.0] * 8) for entry in stats.values()])


def no_state_statistics(path):
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry.pop('proprio') for entry in stats.values()])


def two_heads(path):
    shutil.copy(path / HEAD, path / 'action_head--50000_checkpoint.pt')


def other_step(path):
    (path / STATE).rename(path / 'proprio_projector--50000_checkpoint.pt')


def empty_statistics(path):
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: stats.clear())


def swapped_files(path):
    (path / HEAD).rename(path / 'x')
    (path / STATE).rename(path / HEAD)
    (path / 'x').rename(path / STATE)


def latest_head(path):
    (path / HEAD).rename(path / 'action_head--latest_checkpoint.pt')


def without(name):
    return lambda path: (path / name).unlink()


@pytest.mark.parametrize('damage, says', [
    (two_heads, '2 files of its action_head, .*150000.*50000.*leave the one'),
    (other_step, '150000_checkpoint.pt and proprio_projector--50000.*different steps'),
    (latest_head, 'head--latest_checkpoint.pt and proprio_projector--150000.*different steps'),
    (without('model.safetensors.index.json'), '2 shards such as .* without .*index.json: down'),
    (without(HEAD), 'no action_head--.*download it, or.*"head": "tokens"'),
    (without('dataset_statistics.json'), 'dataset_statistics.json is missing.*no units'),
    (damaged_head, '7 values from 320 inputs.*7 x 64.*another checkpoint'),
    (without_a_block, 'has 1 residual blocks, .* has 2: tensors are missing'),
    (of_other_width, 'action_head--150000.* 7 values.*action of .* has 6.*different checkpoints'),
    (of_other_state, 'proprio_projector--.* 8 values, and proprio of .* has 7'),
    (aloha_part(HEAD), 'is for 14 values, and action of libero_spatial_no_noops .* has 7'),
    (aloha_part(STATE), 'is for 14 values, and proprio of libero_spatial_no_noops .* has 8'),
    (film_as_head, f'{HEAD} is no action_head.*model. or noise_predictor'),
    (plain_vision, 'no FiLM layers.*trained without FiLM'),
    (still_state, 'no value that ever changes'),
    (no_state_statistics, 'proprio: KeyError.*: download the statistics of the checkpoint again'),
    (empty_statistics, 'dataset_statistics.json holds no data set: download it again'),
    (swapped_files, 'is no action_head.*download it again, and leave it the name'),
    (lambda path: golden_data.edit(path / 'config.json', lambda c: c.pop('model_type')),
     'model_type is None, .*: download the config.json that came with'),
    (without('config.json'), 'config.json is missing: copy the directory')])
def test_files_that_do_not_belong_together_are_refused(oft, damage, says):
    path = oft()
    damage(path)
    with pytest.raises(CheckpointError, match=f'(?s){says}'):
        open_checkpoint(path).with_key(None)


@pytest.mark.parametrize('damage, says', [
    (without('noisy_action_projector--150000_checkpoint.pt'), 'head that diffuses.*missing'),
    (aloha_part(HEAD), 'no head that diffuses, and noisy_action_projector--150000.*different')])
def test_a_head_that_diffuses_comes_with_the_projector_of_its_noise(oft, damage, says):
    path = oft('oft_tiny_diffusion')
    damage(path)
    with pytest.raises(CheckpointError, match=says):
        open_checkpoint(path)


def film_in_the_adapter(path):
    file = path / 'lora_adapter/adapter_model.safetensors'
    adapter = load_file(file)
    file.unlink()  # a link
    save_file({**adapter, f'{VISION}.lora_A.weight': torch.ones(32, 64)}, file)


def state_of_an_unknown_robot(path):
    (renamed(path, 'my_robot') / STATE).unlink()


@pytest.mark.parametrize('variant, damage, flag, says', [
    ('oft_tiny', without(STATE), 'proprio', 'which checkpoints of libero usually have'),
    ('oft_tiny', state_of_an_unknown_robot, 'proprio', 'statistics have those of a state'),
    ('oft_tiny_aloha', without(FILM), 'film', 'which checkpoints of aloha usually have'),
    ('oft_tiny', film_in_the_adapter, 'film', f'lora_adapter/ has {VISION}')])
def test_no_robot_is_driven_without_a_file_that_got_lost(oft, variant, damage, flag, says):
    preset = {'action_space': {'preset': 'libero'}} if variant == 'oft_tiny' else {
        'action_space': {'kind': 'joint_position', 'names': [f'j{n}' for n in range(14)],
                         'dt': 0.04}}
    space = ActionSpace.from_config(preset['action_space'])
    count = 2 if variant == 'oft_tiny' else 3
    told = {'chunk_length': 8, 'images': count, 'normalization': 'q01_q99'}
    path = oft(variant, {'oft': told})
    damage(path)
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    source = open_checkpoint(path).with_key(None)  # it answers, and says what is missing
    assert any(f'drives no robot: {source.path} has no ' in note for note in source.notes)
    wanted = rf'has no .*--\*_checkpoint.pt, .*{says}.*: download it.*"{flag}": false'
    with pytest.raises(CheckpointError, match=wanted):
        convert.make_task(parser.parse_args([str(path), 'out']))
    with pytest.raises(CheckpointError, match=wanted):
        declared(path, PolicyOptions(action_space=space, execute_steps=8))
    golden_data.recipe().write_json(path / 'deployment.json', {**preset, 'oft': told})
    with pytest.raises(CheckpointError, match=wanted):
        open_checkpoint(path).with_key(None)
    golden_data.recipe().write_json(path / 'deployment.json', {
        **preset, 'oft': {**told, flag: False}})
    source = open_checkpoint(path).with_key(None)
    assert not source.config.model.film and not source.obstacles


def test_one_that_answers_with_tokens_has_its_output_layer_as_head(oft):
    path = oft(says={'oft': {'head': 'tokens'}})
    (path / HEAD).unlink()
    golden_data.edit(path / 'dataset_statistics.json', lambda stats: [
        entry['action'].update(mask=[True] * 6, q01=[0.0] * 6, q99=[1.0] * 6)
        for entry in stats.values()])
    source = open_checkpoint(path).with_key(None)
    head = source.config.model.head
    assert (head.reads, head.action_dim, head.bins, head.vocab_end) == ('tokens', 6, 256, 32000)
    assert [name for name in source.tensors.shapes if 'head' in name] == ['head.lm_head.weight']


def unmerged(oft, tmp_path, **adapter):
    """Return the directory of a run whose adapter is not merged, and that of its base model."""
    path, base = oft(), tmp_path / 'base'
    base.mkdir()
    for name in ('config.json', 'tokenizer.json', 'preprocessor_config.json',
                 *(file.name for file in path.glob('model*'))):
        (path / name).rename(base / name)
    golden_data.edit(path / 'lora_adapter/adapter_config.json', lambda c: c.update(adapter))
    return path, base


@pytest.mark.parametrize('rslora, factor', [(False, 16 / 32), (True, 16 / 32 ** 0.5)])
def test_an_adapter_is_added_to_the_base_model_that_is_named(oft, tmp_path, rslora, factor):
    path, base = unmerged(oft, tmp_path, use_rslora=rslora)
    with pytest.raises(CheckpointError, match='not merged.*for openvla/openvla-7b: download'):
        open_checkpoint(path)
    golden_data.recipe().write_json(path / 'deployment.json', {'oft': {'base': '../base'}})
    source = open_checkpoint(path)
    adapter = load_file(path / 'lora_adapter/adapter_model.safetensors')
    whole = open_checkpoint(golden_data.oft()).tensors
    layer = 'layers.0.self_attn.q_proj'
    first, second = (adapter[f'base_model.model.language_model.model.{layer}.lora_{part}.weight']
                     for part in 'AB')
    wanted = whole.copy(f'llm.{layer}.weight').float() + factor * second.float() @ first.float()
    torch.testing.assert_close(source.tensors.copy(f'llm.{layer}.weight'), wanted)
    other = 'llm.layers.1.self_attn.q_proj.weight'
    assert torch.equal(source.tensors.read(other), whole.read(other))
    assert source.tokenizer == base and source.config.pixel_mean[0] == 0.484375
    assert any('4 weights of' in note for note in source.notes)


@pytest.mark.parametrize('holds', [HEAD, 'lora_adapter/adapter_config.json'])
def test_a_base_that_holds_an_adapter_already_is_refused(oft, tmp_path, holds):
    path, base = unmerged(oft, tmp_path)
    golden_data.recipe().write_json(path / 'deployment.json', {'oft': {'base': '../base'}})
    (base / holds).parent.mkdir(exist_ok=True)
    shutil.copy(path / holds, base / holds)
    with pytest.raises(CheckpointError, match=f' has {holds.split("/")[0]}/?, so it is an '):
        open_checkpoint(path)


def test_names_of_an_adapter_may_have_the_wrapper_of_its_trainer(oft):
    path = oft(says={'oft': {'base': '.'}})
    file = path / 'lora_adapter/adapter_model.safetensors'
    adapter, plain = load_file(file), open_checkpoint(path).tensors
    file.unlink()  # a link
    save_file({f'module.{name}': tensor for name, tensor in adapter.items()}, file)
    name = 'llm.layers.0.self_attn.q_proj.weight'
    assert torch.equal(open_checkpoint(path).tensors.read(name), plain.read(name))


@pytest.mark.parametrize('changes, says', [
    ({'use_dora': True}, "'use_dora': True.*plain LoRA: merge it first"),
    ({'init_lora_weights': 'pissa_niter_16'}, 'pissa_niter_16.*plain LoRA: merge it first'),
    ({'target_modules': ['q_proj', 'down_proj']}, 'lists down_proj in .*copy it again'),
    ({'modules_to_save': ['lm_head']}, 'lists lm_head in modules_to_save.*copy it again'),
    ({'r': 8}, 'says r 8, an adapter in .* has 32'),
    ({'peft_type': 'IA3'}, 'IA3.*merge it first')])
def test_an_adapter_that_is_no_plain_lora_is_refused(oft, tmp_path, changes, says):
    path, _ = unmerged(oft, tmp_path, **changes)
    golden_data.recipe().write_json(path / 'deployment.json', {'oft': {'base': '../base'}})
    with pytest.raises(CheckpointError, match=says):
        open_checkpoint(path)


def test_an_adapter_that_could_run_code_is_not_read(oft):
    path = oft(says={'oft': {'base': '.'}})
    file = path / 'lora_adapter/adapter_model.safetensors'
    file.rename(file.with_suffix('.bin'))
    with pytest.raises(CheckpointError, match='model.bin can run.*safe_serialization=True'):
        open_checkpoint(path)


def test_a_weight_that_the_adapter_holds_whole_replaces_that_of_the_base(oft, tmp_path):
    path, _ = unmerged(oft, tmp_path)
    golden_data.recipe().write_json(path / 'deployment.json', {'oft': {'base': '../base'}})
    file = path / 'lora_adapter/adapter_model.safetensors'
    adapter = load_file(file)
    file.unlink()  # a link
    layer = 'language_model.model.layers.1.self_attn.q_proj'
    save_file({**adapter, f'base_model.model.{layer}.base_layer.weight': torch.ones(64, 64)}, file)
    found = open_checkpoint(path).tensors.read('llm.layers.1.self_attn.q_proj.weight')
    assert torch.equal(found, torch.ones(64, 64))


def test_the_adapter_of_encoders_that_films_file_replaces_is_not_read(oft, tmp_path):
    path = oft('oft_tiny_aloha', {'oft': {'base': '.'}})
    film_in_the_adapter(path)
    whole = open_checkpoint(golden_data.oft('oft_tiny_aloha')).tensors
    name = 'vision.dino.blocks.0.attn.qkv.weight'
    assert torch.equal(open_checkpoint(path).tensors.read(name), whole.read(name))


@pytest.mark.parametrize('variant, says, found', [
    ('oft_tiny', {'film': True}, 'says film true, and vision_backbone--.*missing: download it'),
    ('oft_tiny_aloha', {'film': False}, 'says film false, and vision_backbone--150000.*is there'),
    ('oft_tiny', {'proprio': False}, 'says proprio false, and proprio_projector--150000'),
    ('oft_tiny', {'head': 'tokens'}, 'head "tokens", and action_head--150000'),
    ('oft_tiny', {'ddim_steps': 10}, 'deployment.json: oft: ddim_steps is 10, and this head does'),
    ('oft_tiny_diffusion', {'ddim_steps': 60}, 'deployment.json: oft: .*at most the 50 of'),
    ('oft_tiny', {'images': 0}, 'images is 0, expected a whole number from 1 to 4'),
    ('oft_tiny', {'images': 5}, 'images is 5, expected a whole number from 1 to 4'),
    ('oft_tiny', {'chunk_length': 1000}, '1000 actions of 7 values do not fit .* at most [12]'),
    ('oft_tiny', {'chunk_length': 0}, 'chunk_length is 0, expected a whole number above 0'),
    ('oft_tiny', {'normalization': 'q01'}, "normalization is 'q01', expected one of"),
    ('oft_tiny', {'chunk': 8}, "unknown keys 'chunk'"),
    ('oft_tiny', {'base': '../x'}, 'x has no config.json: download the base model')])
def test_words_that_deny_the_files_are_refused(oft, variant, says, found):
    with pytest.raises(CheckpointError, match=found):
        open_checkpoint(oft(variant, {'oft': says}))
