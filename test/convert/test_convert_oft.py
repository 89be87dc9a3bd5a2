# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVLA-OFT converted: part by part what quantizing in memory gives, and the same policy."""
from functools import lru_cache
import json
import shutil

import golden_data
import golden_oft
import numpy as np
import pytest
from safetensors.torch import load_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.convert.calibration import decoder_inputs
from sqap_vla_ros.convert.conversion import convert, Task
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading.network import load_network
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, parse_overrides, quantize_model, QuantScheme
from sqap_vla_ros.samples.reading import read_samples
import torch

PARTS = parse_overrides('vision,projector,head,state_embed: w8a8')
SHAPES = {'oft_tiny': (2, 8), 'oft_tiny_aloha': (3, 14), 'oft_tiny_diffusion': (2, 8)}
INSTRUCTIONS = 'put the bowl on the stove', 'Open the drawer'


def source_of(variant):
    return open_checkpoint(golden_oft.directory(variant)).with_key(None)


def assert_same(directory, expected):
    found = load_file(directory / 'model.safetensors')
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


@lru_cache(maxsize=1)
def rounded(variant, precision):
    return in_memory(source_of(variant), QuantScheme(precision))


def in_memory(source, scheme, calibration=None):
    model = load_network(source, 'fp', prepare=False)
    quantize_model(model, scheme, calibration)
    return packed_state(model, torch.float32)


@pytest.fixture
def calibration(tmp_path):
    """Return a function that writes a calibration set for a variant, and reads it."""
    def made(variant, count=3):
        folder, lines = tmp_path / 'data', []
        folder.mkdir()
        images, width = SHAPES[variant]
        rng = np.random.default_rng(0)
        for index in range(count):
            names = [f'case{(index + image) % 2}.png' for image in range(images)]
            lines.append({'image': names, 'instruction': INSTRUCTIONS[index % 2],
                          'state': rng.uniform(-1, 1, width).tolist()})
        for case in golden_data.CASES:
            shutil.copy(golden_data.GOLDEN / f'case{case}.png', folder)
        (folder / 'instructions.jsonl').write_text('\n'.join(map(json.dumps, lines)))
        return read_samples(folder, count, source_of(variant).config)
    return made


@pytest.mark.parametrize('variant, scheme', [
    ('oft_tiny', QuantScheme('w4a4', overrides=PARTS)), ('oft_tiny_aloha', QuantScheme('w4a8'))])
def test_a_converted_checkpoint_equals_quantizing_in_memory(variant, scheme, tmp_path):
    task = Task(source_of(variant), scheme, 'float32')
    convert(task, tmp_path / 'out')
    plain = not scheme.overrides
    assert_same(tmp_path / 'out', rounded(variant, scheme.precision) if plain else in_memory(
        task.source, scheme))


def test_an_adapter_that_is_weighted_otherwise_is_another_original(tmp_path):
    path = shutil.copytree(golden_oft.directory('oft_tiny'), tmp_path / 'oft')
    (path / 'deployment.json').write_text('{"oft": {"base": "."}}')
    before = Task(open_checkpoint(path), QuantScheme('w4a4')).in_words()
    golden_data.edit(path / 'lora_adapter/adapter_config.json',
                     lambda config: config.update(lora_alpha=32))
    after = Task(open_checkpoint(path), QuantScheme('w4a4')).in_words()
    assert {name for name in before if before[name] != after[name]} == {'source'}


@pytest.mark.parametrize('variant', ['oft_tiny_aloha', 'oft_tiny_diffusion'])
def test_a_rotated_copy_answers_as_the_official_code(variant, tmp_path):
    """From the copy alone: its cameras, state, bounds and prompt are those of the original."""
    source = source_of(variant)
    convert(Task(source, QuantScheme('fp', True), 'float32'), tmp_path / 'out')
    steps = {'ddim_steps': 10} if variant == 'oft_tiny_diffusion' else {}
    policy = load_policy(tmp_path / 'out', **steps)
    config, before = policy.config, source.config
    for name in ('cameras', 'state_names', 'normalization', 'prompt', 'pixel_mean'):
        assert getattr(config, name) == getattr(before, name), name
    assert json.dumps(config.image) == json.dumps(before.image)
    assert config.quantization['rotation']['unrotated_final']
    found = policy.infer(golden_oft.observation(variant, 1), golden_oft.noise(variant, 1))
    np.testing.assert_allclose(found.actions, golden_oft.expected(variant, 1)['actions'],
                               atol=1e-3 if steps else 1e-4)


@pytest.mark.parametrize('variant', ['oft_tiny_aloha', 'oft_tiny_diffusion'])
def test_gptq_block_by_block_equals_gptq_in_memory(variant, tmp_path, calibration):
    data, scheme = calibration(variant), QuantScheme('w4a8')
    task = Task(source_of(variant), scheme, 'float32', data)
    convert(task, tmp_path / 'out')
    expected = in_memory(task.source, scheme, decoder_inputs(task.source, data))
    assert_same(tmp_path / 'out', expected)
    if variant == 'oft_tiny_aloha':  # the same is learnt of every variant's decoder
        plain = rounded(variant, 'w4a8')
        assert any(not torch.equal(plain[name], expected[name]) for name in expected)


@pytest.mark.parametrize('variant', ['oft_tiny_aloha', 'oft_tiny_diffusion'])
@torch.no_grad()
def test_calibration_inputs_are_those_of_the_whole_model(variant, calibration, monkeypatch):
    data, source = calibration(variant), source_of(variant)
    monkeypatch.setattr('sqap_vla_ros.convert.calibration.AT_ONCE', 4)  # more than one batch
    policy = load_policy(source.path, prepare=False)
    model, inputs, steps = policy.model, policy.inputs, []
    for sample, found in zip(data.samples, decoder_inputs(source, data)):
        token_ids = inputs.token_ids(sample.instruction)
        visual = model.encode_image(inputs.pixels(*sample.images),
                                    condition=model.condition(token_ids))
        noisy = torch.zeros(1, 8, 7)
        expected = model.embed(visual, token_ids, inputs.state(sample.state), noisy)
        count = policy.config.model.num_visual + 2  # BOS, the patches and the state
        torch.testing.assert_close(found[:, :count], expected[:, :count], rtol=1e-4, atol=1e-4)
        assert found.shape == expected.shape
        steps.append(found[0, count])
    if variant == 'oft_tiny_diffusion':  # steps are spread over the samples
        assert len({tuple(step.tolist()) for step in steps}) == len(steps)


@pytest.mark.parametrize('value, text', [
    ('case0.png', r"1 image \['case0.png'\], the checkpoint takes those of full, wrist: write "
     r'"image": \["full.png", "wrist.png"\]'),
    (['case0.png'] * 3, '3 images'), ({'full': 'case0.png', 'left': 'case1.png'}, '2 images')])
def test_images_of_other_cameras_are_refused(value, text, tmp_path, calibration):
    calibration('oft_tiny', 1)
    path = tmp_path / 'data' / 'instructions.jsonl'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'image': value}))
    with pytest.raises(ConfigError, match=f'line 1: {text}'):
        read_samples(tmp_path / 'data', 1, source_of('oft_tiny').config)


def test_images_by_the_name_of_their_camera_stand_in_the_checkpoints_order(tmp_path, calibration):
    first, = calibration('oft_tiny', 1).samples
    path = tmp_path / 'data' / 'instructions.jsonl'
    line = json.loads(path.read_text())
    line['image'] = {'wrist': line['image'][1], 'full': line['image'][0]}
    path.write_text(json.dumps(line))
    config = source_of('oft_tiny').config
    second, = read_samples(tmp_path / 'data', 1, config).samples
    assert not np.array_equal(*first.images)
    for one, other in zip(first.images, second.images):
        assert np.array_equal(one, other)
    assert first.state.dtype == np.float64 and first.state.shape == (8,)


def test_a_state_of_another_width_and_shards_of_one_camera_are_refused(
        tmp_path, calibration, capsys):
    calibration('oft_tiny', 1)
    path = tmp_path / 'data' / 'instructions.jsonl'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'state': [0.0] * 7}))
    command = ['convert', str(golden_oft.directory('oft_tiny')), str(tmp_path / 'out'),
               '--calibration', str(tmp_path / 'data')]
    assert main(command) == 1
    assert 'the state has shape [7], expected 8 numbers' in capsys.readouterr().err
    path.rename(tmp_path / 'data' / 'shard.npz')
    assert main(command) == 1
    assert 'holds shards of one camera, and the checkpoint takes 2' in capsys.readouterr().err
