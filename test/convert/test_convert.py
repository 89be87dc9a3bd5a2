# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A converted checkpoint is what quantizing in memory gives, tensor by tensor."""
import dataclasses
import json

from calibration_data import write_calibration
import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.convert.calibration import decoder_inputs
from sqap_vla_ros.convert.conversion import convert, Task
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.observation import Observation
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import (
    packed_state, parse_overrides, quantize_model, QuantLinear, QuantScheme)
from sqap_vla_ros.samples.reading import read_samples
from sqap_vla_ros.support.resources import model_directory
from tiny_checkpoint import save_tiny_checkpoint
import torch

SCHEMES = {
    **{f'{name}{"" if rotate else " plain"}': QuantScheme(name, rotate)
       for name in PRECISIONS for rotate in (True, False)},
    'overrides': QuantScheme('w4a4', overrides=parse_overrides('o_proj,down_proj: w8a8')),
    'all parts': QuantScheme('w4a4', overrides=parse_overrides('vision,projector,head: w8a8')),
    'qk': QuantScheme('w4a4', qk_bits=8), 'qk only': QuantScheme('fp', False, qk_bits=4),
    'other': QuantScheme('w4a16', group_size=0, per_token=False, seed=3)}


def source_of(kind):
    if kind == 'bundled':
        return open_checkpoint(model_directory()).with_key(None)
    if kind == 'openvla':
        return open_checkpoint(golden_data.openvla()).with_key(golden_data.KEY)
    return open_checkpoint(golden_data.cogact(), golden_data.openvla()).with_key(golden_data.KEY)


def in_memory(source, scheme, float_type, calibration=None):
    """Return the tensors that quantizing the whole network gives."""
    model = load_network(source, 'fp', prepare=False)
    if dataclasses.replace(scheme, seed=0) != QuantScheme('fp', False):
        quantize_model(model, scheme, calibration)
    return packed_state(model, float_type)


def assert_same(directory, expected):
    found = load_file(directory / 'model.safetensors')
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize('kind, name', [
    *(('cogact', name) for name in SCHEMES),
    *(('bundled', name) for name in ('w4a4', 'w4a8 plain', 'all parts', 'qk', 'other')),
    *(('openvla', name) for name in ('w4a4', 'w8a8 plain', 'all parts', 'fp', 'fp plain'))])
def test_a_converted_checkpoint_equals_quantizing_in_memory(kind, name, tmp_path):
    task = Task(source_of(kind), SCHEMES[name], 'float32')
    convert(task, tmp_path / 'out')
    assert_same(tmp_path / 'out', in_memory(task.source, task.scheme, torch.float32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'config.json', 'model.safetensors', 'norm_stats.json', 'tokenizer.json']


@pytest.mark.parametrize('float_type', ['bfloat16', 'float16'])
def test_floats_are_rounded_once_at_the_end(float_type, tmp_path):
    task = Task(source_of('openvla'), SCHEMES['w4a4'], float_type)
    convert(task, tmp_path / 'out')
    assert_same(tmp_path / 'out', in_memory(
        task.source, task.scheme, getattr(torch, float_type)))


def seen_by(policy, case):
    if not policy.state_names:
        return golden_data.observation(case)
    state = np.array([0.5, 0, 0.2, 0, 0, 0, 1, 1], np.float32)
    return Observation(golden_data.image(case), 0, policy.instructions[0], state=state)


@pytest.mark.parametrize('kind', ['openvla', 'cogact', 'bundled'])
@pytest.mark.parametrize('rotate', [True, False])
def test_a_converted_policy_acts_as_one_that_is_quantized_when_loaded(kind, rotate, tmp_path):
    source = source_of(kind)
    convert(Task(source, QuantScheme('w4a4', rotate), 'float32'), tmp_path / 'out')
    before = load_policy(
        source.path, precision='w4a4', rotate=rotate, unnorm_key=source.config.unnorm_key,
        tokenizer=golden_data.openvla() if kind == 'cogact' else None)
    after = load_policy(tmp_path / 'out')
    assert after.precision == 'w4a4' and after.config.prompt == before.config.prompt
    chunks = []
    for case in golden_data.CASES:
        for policy in (before, after):
            policy.reset()
            chunks.append(policy.infer(seen_by(policy, case)).actions)
    images_apart = np.abs(chunks[0] - chunks[2]).max()
    assert images_apart > 1e-5
    for first, second in (chunks[:2], chunks[2:]):  # float products differ in the last bit
        assert np.abs(first - second).max() < 0.02 * images_apart


def test_bfloat16_rounding_moves_actions_little(tmp_path):
    convert(Task(source_of('cogact'), QuantScheme('w8a8')), tmp_path / 'out')
    after = load_policy(tmp_path / 'out')
    before = golden_data.load('cogact', precision='w8a8')
    noise = golden_data.expected('cogact_case0')['noise']
    first, second = (policy.infer(golden_data.observation(0), noise).actions
                     for policy in (before, after))
    spread = before.statistics['high'] - before.statistics['low']
    np.testing.assert_allclose(second[:, :6] / spread[:6], first[:, :6] / spread[:6], atol=0.05)


@pytest.mark.parametrize('kind', ['openvla', 'bundled'])
def test_gptq_block_by_block_equals_gptq_in_memory(kind, tmp_path):
    data = read_samples(write_calibration(tmp_path / 'data', kind == 'bundled'), 4)
    task = Task(source_of(kind), QuantScheme('w4a4t8'), 'float32', data)
    convert(task, tmp_path / 'out')
    inputs = decoder_inputs(task.source, data)
    expected = in_memory(task.source, task.scheme, torch.float32, inputs)
    assert_same(tmp_path / 'out', expected)
    rounded = in_memory(task.source, task.scheme, torch.float32)
    assert any(not torch.equal(rounded[name], expected[name]) for name in expected)
    config = json.loads((tmp_path / 'out' / 'config.json').read_text())
    assert config['quantization']['gptq'] and config['conversion']['calibration']['samples'] == 4


@pytest.mark.parametrize('kind', ['openvla', 'bundled'])
@torch.no_grad()
def test_calibration_inputs_are_those_of_the_whole_model(kind, tmp_path):
    data = read_samples(write_calibration(tmp_path / 'data', kind == 'bundled'), 3)
    source = source_of(kind)
    policy = load_policy(source.path, unnorm_key=source.config.unnorm_key, prepare=False)
    for sample, found in zip(data.samples, decoder_inputs(source, data)):
        visual = policy.model.encode_image(policy.inputs.pixels(*sample.images))
        expected = policy.model.embed(visual, policy.inputs.token_ids(sample.instruction),
                                      policy.inputs.state(sample.state))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_command_records_what_it_did_and_bakes_the_tokenizer_in(tmp_path, capsys):
    out = tmp_path / 'new' / 'out'
    assert main(['convert', str(golden_data.cogact()), str(out), '--precision', 'w4a4',
                 '--tokenizer', str(golden_data.openvla()), '--int8', 'vision',
                 '--overrides', 'o_proj, down_proj: w8a8', '--unnorm-key', 'bridge_orig']) == 0
    shown = capsys.readouterr().out
    assert 'peak memory' in shown and 'w4a4, o_proj w8a8, down_proj w8a8, vision w8a8' in shown
    policy = load_policy(out)
    kinds = {name: module.precision for name, module in policy.model.named_modules()
             if isinstance(module, QuantLinear)}
    assert kinds['llm.layers.1.self_attn.q_proj'] == 'w4a4'
    assert kinds['llm.layers.1.self_attn.o_proj'] == 'w8a8'
    assert kinds['vision.dino.blocks.0.mlp.fc1'] == 'w8a8'
    assert not any(name.startswith(('head', 'projector')) for name in kinds)
    config = policy.config
    assert config.unnorm_key == 'bridge_orig' and config.conversion['family'] == 'cogact'
    assert config.quantization['rotation']['unrotated_final']
    assert np.isfinite(policy.infer(golden_data.observation(0)).actions).all()


def test_without_a_key_the_choice_is_left_to_loading(tmp_path):
    convert(Task(open_checkpoint(golden_data.openvla()), QuantScheme('w4a4')), tmp_path / 'out')
    keys = {}
    for key in ('bridge_orig', 'libero_spatial_no_noops'):
        keys[key] = load_policy(tmp_path / 'out', unnorm_key=key).infer(
            golden_data.observation(0)).actions
    assert np.abs(keys['bridge_orig'] - keys['libero_spatial_no_noops']).max() > 1e-6


def test_what_the_user_declared_comes_along(tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    (path / 'deployment.json').write_text(json.dumps({
        'unnorm_key': 'bridge_orig', 'image': {'crop_area': 0.9}, 'action_space': {
            'kind': 'delta', 'dt': 0.2, 'frame': 'base', 'rotation': 'rpy',
            'names': ['dx', 'dy', 'dz', 'rx', 'ry', 'rz', 'gripper'],
            'gripper_open': 1.0, 'gripper_closed': 0.0}}))
    assert main(['convert', str(path), str(tmp_path / 'out'), '--precision', 'w8a8']) == 0
    config = open_checkpoint(tmp_path / 'out').config
    assert config.action_space.rotation == 'rpy' and config.image['crop_area'] == 0.9
    assert config.unnorm_key == 'bridge_orig'


def test_two_conversions_are_identical(tmp_path):
    save_tiny_checkpoint(tmp_path / 'tiny')
    for name in ('first', 'second'):
        assert main(['convert', str(tmp_path / 'tiny'), str(tmp_path / name)]) == 0
    for file in (tmp_path / 'first').iterdir():
        assert file.read_bytes() == (tmp_path / 'second' / file.name).read_bytes()
