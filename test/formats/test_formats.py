# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA and CogACT checkpoints of any size and form, and what a robot needs besides."""
import json

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace, DELTA_NAMES
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.tensors import RenamedReader
from sqap_vla_ros.loading.network import load_network
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


def test_an_undeclared_action_space_answers_but_drives_nothing():
    policy = golden_data.loaded('openvla')
    chunk = policy.infer(golden_data.observation(0))
    assert np.isnan(chunk.dt) and chunk.names == (*DELTA_NAMES, 'gripper')
    with pytest.raises(ConfigError, match='declare action_space in .*deployment.json'):
        policy.config.action_space.frame
    assert golden_data.load('openvla', action_space=SPACE).config.action_space.frame == 'base'
