# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of other families, and damaged downloads: each is told by name, with a cure."""
import json
import shutil

import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import CheckpointError, ObservationError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.support.resources import checkpoint_path
from tiny_checkpoint import save_tiny_checkpoint
import torch

KEY = golden_data.KEY
INDEX = 'model.safetensors.index.json'
INNER = '_checkpoint_wrapped_module._fsdp_wrapped_module.'
NORM = 'language_model.model.norm.weight'
SUPPORTED = 'this engine loads OpenVLA, OpenVLA-OFT, CogACT and its own checkpoints'


def write(directory, config, *names):
    """Make a directory with a config.json, if any, and files without sense."""
    directory.mkdir()
    if config is not None:
        (directory / 'config.json').write_text(json.dumps(config))
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b'{}')
    return directory


def weights_of(directory):
    """Return all tensors of an OpenVLA directory's shards."""
    weights = {}
    for shard in sorted(directory.glob('model-*.safetensors')):
        weights.update(load_file(shard))
    return weights


@pytest.mark.parametrize('names', [
    ('action_head--150000_checkpoint.pt',), ('proprio_projector--latest_checkpoint.pt',),
    ('noisy_action_projector--50_checkpoint.pt',), ('vision_backbone--300000_checkpoint.pt',),
    ('action_head--1_checkpoint.pt', 'lora_adapter/adapter_model.safetensors'),
    ('lora_adapter/adapter_config.json',)])
@pytest.mark.parametrize('command', ['info', 'infer', 'convert'])
def test_an_openvla_oft_that_is_not_whole_moves_no_arm(tmp_path, capsys, names, command):
    path = golden_data.copy_of('openvla', tmp_path)
    for name in names:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b'{}')
    options = {'info': [], 'convert': [str(tmp_path / 'out')], 'infer': [
        '--image', str(golden_data.GOLDEN / 'case0.png'), '--instruction', 'pick up the cup',
        '--unnorm-key', KEY]}[command]
    assert main([command, str(path), *options]) == 1
    said = capsys.readouterr()
    assert said.out == '' and said.err.count('\n') == 1
    assert names[0].split('/')[0] in said.err and not (tmp_path / 'out').exists()
    assert 'OpenVLA-OFT' in said.err or 'action_head' in names[0] and 'copy it again' in said.err


@pytest.mark.parametrize('config, names, found', [
    ({'type': 'smolvla'}, ('model.safetensors',), "type 'smolvla' in config.json.*lerobot"),
    ({'type': 'act', 'chunk_size': 50}, ('model.safetensors',), "'act'.*lerobot"),
    ({'model_type': 'gr00t_n1_5'}, (INDEX,), "model_type 'gr00t_n1_5'.*GR00T"),
    ({'model_type': 'openvla', 'llm_backbone_id': 'qwen25-0_5b-extra'}, (), 'MiniVLA.*Llama 2'),
    ({'vla': {'base_vlm': 'prism-qwen25-extra-dinosiglip-224px+0_5b'}}, (), 'MiniVLA'),
    ({'model_type': 'paligemma', 'architectures': ['X']}, (),
     r"architectures \['X'\], model_type 'paligemma', is unknown"),
    ({'architectures': ['GR00T_N1_5']}, (), 'GR00T policy'),
    ({'model': {}, 'window': 2}, (), r"\['model', 'window'\], is unknown"),
    ({'model_type': 'openvla'}, ('adapter_config.json',), 'adapter_config.json.*LoRA.*merge it'),
    (None, ('adapter_config.json', 'adapter_model.safetensors'), 'LoRA adapter.*merge it'),
    (None, ('params/_METADATA', 'assets/droid/norm_stats.json'), 'assets/, params/.*openpi'),
    (None, ('pretrained_model/config.json',), 'pretrained_model/.*lerobot'),
    (None, ('meta/info.json', 'data/x'), 'meta/info.json.*data set of lerobot.*sqap-vla replay'),
    (None, ('_METADATA', 'manifest.ocdbt'), '_METADATA, manifest.ocdbt.*orbax'),
    ({'model_type': 'openvla'}, ('action_decoder.pt', INDEX), 'action_decoder.pt, .* a UniVLA'),
    ])
def test_other_families_are_told_by_name(tmp_path, config, names, found):
    path = write(tmp_path / 'other', config, *names)
    with pytest.raises(CheckpointError, match=f'(?s){found}.*{SUPPORTED}'):
        open_checkpoint(path)


def test_a_stray_file_of_another_tool_does_not_matter_beside_whole_shards(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    for name in ('x.gguf', 'saved_model.pb', 'quant_config.json'):
        (path / name).write_bytes(b'{}')
    assert open_checkpoint(path).family == 'openvla'


def test_a_deployment_json_that_would_not_count_is_refused(tmp_path):
    save_tiny_checkpoint(tmp_path)
    (tmp_path / 'deployment.json').write_text('{"cameras": ["wrist"]}')
    with pytest.raises(CheckpointError, match='only config.json counts: write .* state_names and'):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize('names, found', [
    ((), 'it holds nothing and no config.json: download a .* of one; this engine'),
    (('notes.txt', 'b/c', 'a', 'd'), 'it holds a, b/, d and 1 more and no config.json: download'),
    (('snapshots/abc/config.json',), 'no config.json, name the one .*snapshots/abc; this engine')])
def test_a_directory_that_is_none_is_told_by_what_it_holds(tmp_path, names, found):
    with pytest.raises(CheckpointError, match=f'other is not a checkpoint: .*{found}'):
        open_checkpoint(write(tmp_path / 'other', None, *names))


@pytest.mark.parametrize('content, told', [
    ({}, 'config.json says nothing: copy it again'),
    ([1], 'config.json holds a list, expected an object: copy it again')])
def test_a_config_without_sense_is_told(tmp_path, content, told):
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(write(tmp_path / 'other', content))


def test_a_checkpoint_of_ours_that_is_not_whole_names_what_is_missing_and_no_more(tmp_path):
    path = tmp_path / 'own'
    save_tiny_checkpoint(path)
    (path / 'tokenizer.json').unlink()
    with pytest.raises(CheckpointError, match=(
            'own is not a checkpoint: tokenizer.json missing, it holds config.json, '
            'model.safetensors, norm_stats.json: copy it again, whole$')):
        open_checkpoint(path)


@pytest.mark.parametrize('name, told', [
    ('models/libero_gaol', r"does not exist \(did you mean 'models/libero_goal'\?\)$"),
    ('modles/libero_goal', r"does not exist \(did you mean 'models/libero_goal'\?\)$"),
    ('models/other', 'models/other does not exist$'),
    ('models/libero_goal/deep/er', 'does not exist$'),
    ('libero_gaol', r"does not exist \(did you mean 'libero_goal'\?\)$"),
    ('zzzz', 'zzzz does not exist, nor has a bundled model this name; there: libero_goal, '
     'libero_goal_w4$')])
def test_a_path_that_is_misspelt_gets_the_nearest(tmp_path, monkeypatch, name, told):
    (tmp_path / 'models/libero_goal').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(name)


def test_a_home_directory_is_meant_and_a_name_that_no_disk_takes_is_told(monkeypatch, tmp_path):
    save_tiny_checkpoint(tmp_path / 'own')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert checkpoint_path('~/own') == tmp_path / 'own'
    for look in (checkpoint_path, open_checkpoint):
        with pytest.raises(CheckpointError, match=r'xx\.\.\. cannot be looked at \(File name'):
            look('x' * 300)


def test_a_bundled_model_is_found_by_its_name_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['info', 'libero_goal/']) == main(['info', 'libero_goal']) == 0
    assert 'models/libero_goal' in capsys.readouterr().out
    (tmp_path / 'libero_goal').mkdir()
    assert main(['info', 'libero_goal']) == 1  # what lies here comes first
    assert 'libero_goal is not a checkpoint: it holds nothing' in capsys.readouterr().err


def test_files_of_another_family_beside_a_config_are_let_be(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    (path / 'assets').mkdir()
    assert open_checkpoint(path).family == 'openvla'


def test_a_name_that_is_no_directory_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('openvla/openvla-7b', 'https://huggingface.co/openvla/openvla-7b'):
        with pytest.raises(CheckpointError, match='hf download openvla/openvla-7b --local-dir'):
            open_checkpoint(name)
    with pytest.raises(CheckpointError, match='gone does not exist'):
        open_checkpoint(tmp_path / 'gone')
    (tmp_path / 'model.safetensors').write_bytes(b'{}')
    with pytest.raises(CheckpointError, match='model.safetensors is a file, expected a directory'):
        open_checkpoint('model.safetensors')


def test_a_pt_outside_its_run_directory_is_told_where_it_belongs(tmp_path):
    file = shutil.copy(next(golden_data.cogact().glob('checkpoints/*.pt')), tmp_path / 'Base.pt')
    with pytest.raises(CheckpointError, match='outside its run directory.*into checkpoints/'):
        open_checkpoint(file)
    file = shutil.copy(file, tmp_path / 'action_head--150000_checkpoint.pt')
    with pytest.raises(CheckpointError, match=(
            f'of an OpenVLA-OFT, expected its directory: name {tmp_path},')):
        open_checkpoint(file)


def test_a_pt_below_another_checkpoint_is_not_that_checkpoint(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    (path / 'runs').mkdir()
    file = shutil.copy(next(golden_data.cogact().glob('checkpoints/*.pt')), path / 'runs/x.pt')
    with pytest.raises(CheckpointError, match='runs/x.pt is a .pt file, and the config.json of '
                                              '.*openvla is not that of a CogACT: name the'):
        open_checkpoint(file)


def test_a_publishers_repository_is_told_where_there_is_a_folder_of_its_name(
        tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('openvla', 'models'):
        (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match='hf download openvla/openvla-7b --local-dir'):
        open_checkpoint('openvla/openvla-7b')
    with pytest.raises(CheckpointError, match='models/openvla-7b does not exist$'):
        open_checkpoint('models/openvla-7b')


def test_an_adapter_within_a_whole_checkpoint_is_told_with_that(tmp_path):
    path = golden_data.oft()
    with pytest.raises(CheckpointError, match=f'if {path} is the whole checkpoint, name that'):
        open_checkpoint(path / 'lora_adapter')
    alone = write(tmp_path / 'alone', None)
    (alone / 'adapter_config.json').write_text('{"base_model_name_or_path": "openvla/x"}')
    with pytest.raises(CheckpointError, match='a LoRA adapter of openvla/x, which') as error:
        open_checkpoint(alone)
    assert 'is the whole checkpoint' not in str(error.value)


@pytest.mark.parametrize('value, told', [
    ({'_load_in_4bit': True, 'load_in_4bit': True, 'load_in_8bit': False,
      'quant_method': 'bitsandbytes'}, 'bitsandbytes, 4 bits'),
    ({'load_in_8bit': True}, 'bitsandbytes, 8 bits'), ({'quant_method': 'fp8'}, 'fp8'),
    ({'quant_method': 'awq', 'w_bit': 4}, 'awq, 4 bits'),
    ({'bits': 3}, 'of an unknown method, 3 bits')])
@pytest.mark.parametrize('place', [None, 'text_config'])
def test_a_quantization_is_told_with_its_method_and_bits(tmp_path, value, told, place):
    content = {'quantization_config': value}
    config = {'model_type': 'openvla', **({place: content} if place else content)}
    with pytest.raises(CheckpointError, match=f'in config.json \\({told}\\), so it is quantized'):
        open_checkpoint(write(tmp_path / 'other', config))


def test_an_empty_quantization_config_is_none(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    golden_data.edit(path / 'config.json', lambda config: config.update(quantization_config=None))
    assert open_checkpoint(path).family == 'openvla'


def test_weights_in_a_pickle_or_left_by_git_as_a_pointer_are_told(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    shard = path / 'model-00001-of-00002.safetensors'
    shard.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n')
    with pytest.raises(CheckpointError, match='git lfs pull'):
        open_checkpoint(path)
    for file in path.glob('model*'):
        file.unlink()
    (path / 'pytorch_model.bin').write_bytes(b'')
    with pytest.raises(CheckpointError, match='pytorch_model.bin.*safe_serialization=True'):
        open_checkpoint(path)


def change_parts(tmp_path, change):
    """Return a CogACT run whose .pt has other parts, and the file."""
    path = golden_data.copy_of('cogact', tmp_path)
    file = next(path.glob('checkpoints/*.pt'))
    content = torch.load(file, weights_only=True)
    content['model'] = change(content['model'])
    torch.save(content, file)
    return path


@pytest.mark.parametrize('part, meaning', [
    ('action_model', 'Prismatic.*convert_openvla_weights_to_hf.py'),
    ('vision_backbone', 'vision encoders frozen'), ('llm_backbone', 'left its decoder out'),
    ('projector', 'not complete')])
def test_a_pt_that_lacks_a_part_is_told_for_what_it_is(tmp_path, part, meaning):
    path = change_parts(tmp_path, lambda parts: {
        name: group for name, group in parts.items() if name != part})
    with pytest.raises(CheckpointError, match=f'no {part}, so it is .*{meaning}'):
        open_checkpoint(path)


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.module.'])
@pytest.mark.parametrize('head', ['openvla', 'cogact'])
def test_what_a_trainer_wraps_round_a_network_makes_no_other_network(tmp_path, head, prefix):
    def wrapped(group):
        return {prefix + name.replace('layers.0.', f'layers.0.{INNER}'): tensor
                for name, tensor in group.items()}
    if head == 'cogact':
        path = change_parts(tmp_path, lambda parts: {
            name: wrapped(group) for name, group in parts.items()})
    else:
        path = golden_data.copy_of(head, tmp_path)
        weights = wrapped(weights_of(path))
        for file in path.glob('model*'):
            file.unlink()
        save_file(weights, path / 'model.safetensors')
    policy = load_policy(path, unnorm_key=KEY, tokenizer=golden_data.openvla())
    seen = golden_data.observation(0)
    golden_data.loaded(head).reset()
    np.testing.assert_array_equal(
        policy.infer(seen).actions, golden_data.loaded(head).infer(seen).actions)


def test_an_adapter_within_the_weights_is_not_ignored(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    shard = path / 'model-00001-of-00002.safetensors'
    save_file({**load_file(shard), 'x.q_proj.lora_A.default.weight': torch.zeros(2, 2)}, shard)
    with pytest.raises(CheckpointError, match='LoRA adapter that is not merged .*lora_A'):
        open_checkpoint(path)


@pytest.mark.parametrize('name', [
    'q_proj.qweight', 'q_proj.weight.absmax', 'q_proj.weight.quant_state.bitsandbytes__nf4',
    'q_proj.SCB', 'q_proj.g_idx'])
def test_weights_that_are_quantized_without_a_word_in_config_json_are_told(tmp_path, name):
    path = golden_data.copy_of('openvla', tmp_path)
    shard = path / 'model-00001-of-00002.safetensors'
    save_file({**load_file(shard), f'x.{name}': torch.zeros(2, dtype=torch.uint8)}, shard)
    with pytest.raises(CheckpointError, match=(
            rf'another tool has quantized \(1 tensors such as x.{name}\): take the checkpoint')):
        open_checkpoint(path)


@pytest.mark.parametrize('name, told', [
    ('openvla.gguf', 'for llama.cpp: take the checkpoint in bfloat16'),
    ('model.ckpt', 'that can run code when it is read, and is not: load it'),
    ('openvla-7b.tar', 'an archive: unpack it'),
    ('model.safetensors', 'expected a directory: name')])
def test_a_file_is_told_by_its_kind(tmp_path, name, told):
    (tmp_path / name).write_bytes(b'x')
    with pytest.raises(CheckpointError, match=f'{name} is a file, {told}'):
        open_checkpoint(tmp_path / name)


def test_an_action_model_of_no_known_size_is_refused_with_what_was_found(tmp_path):
    path = golden_data.copy_of('cogact', tmp_path)
    golden_data.edit(path / 'config.json', lambda config: (
        config.update(action_model_type='DiT-B'), config['tiny_model_kwargs'].pop('action_model')))
    with pytest.raises(CheckpointError, match="3 blocks of width 96 is none of .*'DiT-B'"):
        open_checkpoint(path)


@pytest.mark.parametrize('shards_too', [False, True])
def test_a_merged_file_beside_the_index_of_its_base_is_the_one_that_counts(
        tmp_path, caplog, shards_too):
    path = golden_data.copy_of('openvla', tmp_path)
    weights = weights_of(path)
    weights[NORM] = weights[NORM] * torch.linspace(-1, 1, 64).to(weights[NORM].dtype)
    save_file(weights, path / 'model.safetensors')
    if not shards_too:
        for shard in path.glob('model-*'):
            shard.unlink()
    source = open_checkpoint(path)
    assert source.tensors.files == [path / 'model.safetensors']
    assert torch.equal(source.tensors.read('llm.norm.weight'), weights[NORM])
    assert any(f'{INDEX} beside it is not used' in note for note in source.notes)
    assert f'{INDEX} beside it is not used' in caplog.text


@pytest.mark.parametrize('ids, refused', [
    ([31999, 31744, 31900, 31800, 31850, 31745, 31998], ''),
    ([31999, 31744, 31900, 31743, 31850, 31745, 31998], '[31743]'),
    ([32000, 31744, 31900, 31900, 31850, 31745, 278], '[278, 32000]'),
    ([1, 31744, 31900, 31900, 31850, 31745, 31745], '[1]'),
    ([31900, 31900, 31900, 31900, 31900, 31900, 32063], '[32063]')])
def test_words_are_refused_as_an_answer_and_not_taken_for_full_speed(monkeypatch, ids, refused):
    policy = golden_data.loaded('openvla')
    monkeypatch.setattr(type(policy.model), 'generate',
                        lambda self, *args: torch.tensor([ids]))
    if not refused:
        assert np.isfinite(policy.infer(golden_data.observation(0)).actions).all()
        return
    with pytest.raises(ObservationError) as error:
        policy.infer(golden_data.observation(0))
    assert f'tokens {refused}, which are words: actions are 31744 to 31999' in str(error.value)


def test_a_network_that_answers_with_words_is_refused_by_infer(tmp_path, capsys):
    path = golden_data.copy_of('openvla', tmp_path)
    weights = weights_of(path)
    weights['language_model.lm_head.weight'][31744:32000] *= 0.001
    save_file(weights, path / 'model.safetensors')
    assert main(['infer', str(path), '--image', str(golden_data.GOLDEN / 'case0.png'),
                 '--instruction', 'pick up the red block', '--unnorm-key', KEY]) == 1
    said = capsys.readouterr()
    assert 'which are words: actions are 31744 to 31999' in said.err
    assert 'actions  ' not in said.out
