# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA and CogACT checkpoints of any size and form, and what a robot needs besides."""
import json

from checkpoint_headers import action_shapes, HeadersOnly
import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.tensors import RenamedReader
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.policy import load_policy
import torch

KEY = golden_data.KEY
SPACE = ActionSpace('delta', (*DELTA_NAMES, 'gripper'), dt=0.2, execute_steps=1)
HEADS = ('openvla', 'cogact')


@pytest.mark.parametrize('head', HEADS)
def test_sizes_are_read_from_the_files(head):
    policy = golden_data.load(head, golden_data.OTHER_SIZES)
    model = policy.config.model
    assert (model.vision.dino.width, model.vision.dino.depth) == (96, 2)
    assert (model.vision.siglip.heads, model.vision.siglip.mlp_width) == (2, 100)
    assert model.vision.image_size == 112 and model.vision.grid == (8, 8)
    assert (model.llm.num_layers, model.llm.num_heads, model.llm.num_kv_heads) == (3, 8, 2)
    assert policy.infer(golden_data.observation(0)).actions.shape[1] == 7


@pytest.mark.parametrize('head', HEADS)
def test_bfloat16_on_disk_is_computed_in_float32(head):
    policy = golden_data.load(head, {'dtype': 'bfloat16'}, prepare=False)
    plain = golden_data.load(head, prepare=False).model.state_dict()
    assert set(policy.model.state_dict()) == set(plain)
    for name, found in policy.model.state_dict().items():
        exact = plain[name]
        is_rounded = not (head == 'cogact' and name.startswith('head'))
        wanted = exact.bfloat16().float() if is_rounded else exact
        assert found.dtype == torch.float32 and torch.equal(found, wanted), name


def test_a_single_file_without_an_index_is_enough(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    weights = {}
    for shard in list(path.glob('*.safetensors')):
        weights.update(load_file(shard))
        shard.unlink()
    (path / 'model.safetensors.index.json').unlink()
    save_file(weights, path / 'model.safetensors')
    found = load_policy(path, unnorm_key=KEY).infer(golden_data.observation(1))
    expected = golden_data.loaded('openvla').infer(golden_data.observation(1))
    np.testing.assert_array_equal(found.actions, expected.actions)


def test_fine_tuned_statistics_replace_those_in_the_config(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    action = {'q01': [-2.0] * 7, 'q99': [2.0] * 7}
    (path / 'dataset_statistics.json').write_text(json.dumps({'my_task': {'action': action}}))
    source = open_checkpoint(path).with_key(None)
    assert source.config.unnorm_key == 'my_task'
    assert set(source.norm_stats) == {KEY, 'libero_spatial_no_noops', 'my_task'}


def test_a_data_set_of_fewer_values_decodes_fewer_tokens(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    action = {'q01': [-2.0] * 5, 'q99': [2.0] * 5}
    golden_data.edit(path / 'config.json',
                     lambda c: c['norm_stats'].update(small={'action': action}))
    chunk = load_policy(path, unnorm_key='small').infer(golden_data.observation(0))
    assert chunk.actions.shape == (1, 5) and chunk.names == ('a0', 'a1', 'a2', 'a3', 'a4')


def test_a_network_is_read_without_a_second_copy_of_the_weights(monkeypatch):
    source = open_checkpoint(golden_data.cogact()).with_key(KEY)
    read = RenamedReader.read
    seen = {}
    monkeypatch.setattr(RenamedReader, 'read', lambda self, name: seen.setdefault(
        name, read(self, name)))
    model = load_network(source, prepare=False)
    for name, weight in model.state_dict().items():
        assert weight.data_ptr() == seen[name].data_ptr()


def test_what_a_robot_needs_is_declared_beside_the_checkpoint(tmp_path):
    path = golden_data.copy_of('cogact', tmp_path)
    deployment = {'unnorm_key': KEY, 'image': {'crop_area': 0.9}, 'ensemble': 2,
                  'tokenizer': str(golden_data.openvla()), 'action_space': {
                      'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 0.2,
                      'frame': 'base', 'rotation': 'rpy', 'gripper_open': 1.0,
                      'gripper_closed': 0.0}}
    (path / 'deployment.json').write_text(json.dumps(deployment))
    policy = load_policy(path)
    assert policy.image_transform.crop_area == 0.9 and policy.config.unnorm_key == KEY
    chunk = policy.infer(golden_data.observation(0))
    assert chunk.actions.shape == (1, 7) and chunk.dt == 0.2
    (path / 'deployment.json').write_text('{"frame": "base"}')
    with pytest.raises(CheckpointError, match="unknown keys 'frame'"):
        load_policy(path)


def test_an_undeclared_action_space_answers_but_drives_nothing():
    policy = golden_data.loaded('openvla')
    chunk = policy.infer(golden_data.observation(0))
    assert np.isnan(chunk.dt) and chunk.names == (*DELTA_NAMES, 'gripper')
    with pytest.raises(ConfigError, match='declare action_space in .*deployment.json'):
        policy.config.action_space.frame
    assert golden_data.load('openvla', action_space=SPACE).config.action_space.frame == 'base'


def published_shapes(scale):
    """Return recipe.py's own names at the published sizes: both encoders, and the decoder."""
    recipe = golden_data.recipe()
    sizes = recipe.Sizes((1024, 24, 16, 4096), (1152, 27, 16, 4304), 4096, 11008, 32, 32, 32)
    return sizes, *recipe.encoder_shapes(sizes, scale), recipe.llama_shapes(sizes)


def test_the_published_openvla_fits_by_its_names_and_sizes(tmp_path, monkeypatch):
    recipe = golden_data.recipe()
    sizes, dino, siglip, llama = published_shapes('scale_factor')
    shapes = {**recipe.prefixed('vision_backbone.featurizer.', dino),
              **recipe.prefixed('vision_backbone.fused_featurizer.', siglip),
              **recipe.projector_shapes(sizes, [f'projector.fc{n}' for n in (1, 2, 3)]),
              **recipe.prefixed('language_model.', llama)}
    config = recipe.openvla_config(sizes)
    del config['timm_model_kwargs']
    config['text_config'] = {'model_type': 'llama', 'vocab_size': 32064, 'pad_token_id': 32000}
    recipe.write_json(tmp_path / 'config.json', config)
    monkeypatch.setattr('sqap_vla_ros.formats.openvla.SafetensorsReader',
                        lambda directory: HeadersOnly(shapes, torch.bfloat16))
    source = open_checkpoint(tmp_path).with_key(KEY)
    with torch.device('meta'):
        model = VLA(source.config.model)
    source.tensors.check(model.state_dict())
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(7.49e9, rel=0.01)
    llm = source.config.model.llm
    assert (llm.num_heads, llm.num_kv_heads, llm.rms_norm_eps) == (32, 32, 1e-6)


@pytest.mark.parametrize('depth, width, heads', [(6, 384, 4), (12, 768, 12), (24, 1024, 16)])
def test_the_published_cogact_fits_by_its_names_and_sizes(
        depth, width, heads, tmp_path, monkeypatch):
    recipe = golden_data.recipe()
    sizes, dino, siglip, llama = published_shapes('gamma')
    shapes = {**recipe.prefixed('vision_backbone.dino_featurizer.', dino),
              **recipe.prefixed('vision_backbone.siglip_featurizer.', siglip),
              **recipe.prefixed('projector.', recipe.projector_shapes(
                  sizes, [f'projector.{n}' for n in (0, 2, 4)])),
              **recipe.prefixed('llm_backbone.llm.', llama),
              **recipe.prefixed('action_model.', action_shapes(depth, width))}
    recipe.write_json(tmp_path / 'config.json', {'vla': {'base_vlm': 'prism-dinosiglip-224px+7b'}})
    recipe.write_json(tmp_path / 'dataset_statistics.json', recipe.statistics('cogact'))
    monkeypatch.setattr('sqap_vla_ros.formats.cogact.PickleReader',
                        lambda path: HeadersOnly(shapes, torch.float32))
    file = tmp_path / 'checkpoints' / 'step.pt'
    file.parent.mkdir()
    file.touch()
    source = open_checkpoint(file).with_key(KEY)
    with torch.device('meta'):
        source.tensors.check(VLA(source.config.model).state_dict())
    model = source.config.model
    assert model.head.heads == heads and model.llm.rms_norm_eps == 1e-5
    assert (model.vision.dino.heads, model.vision.siglip.heads) == (16, 16)
