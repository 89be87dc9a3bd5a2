# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What config.json and the names and shapes of the tensors must agree on."""
import json
import re

from checkpoint_headers import action_shapes, HeadersOnly
import golden_data
import pytest
from sqap_vla_ros.errors import CheckpointError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.checkpoint import (
    CheckpointConfig, config_from_dict, config_to_dict, read_tokenizer)
from sqap_vla_ros.formats.tensors import SafetensorsReader
from sqap_vla_ros.model.prompt import word_tokenizer
from sqap_vla_ros.model.vla import VLA
import torch

RECIPE = golden_data.recipe()
TINY = RECIPE.Sizes()
PUBLISHED = RECIPE.Sizes((1024, 24, 16, 4096), (1152, 27, 16, 4304), 4096, 11008, 32, 32, 32)
LOST = {
    'class_token': r'cls_token', 'reg_tokens': r'reg_token', 'layer_scale': r'\.ls[12]\.',
    'vision.dino: depth': r'(\.|dino_)featurizer\.blocks\.{dino}\.',
    'vision.siglip: depth': r'(fused|siglip)_featurizer\.blocks\.{siglip}\.',
    'num_hidden_layers': r'model\.layers\.{layers}\.'}


class Opener:
    """Opens checkpoints of which there are only the headers."""

    def __init__(self, directory, monkeypatch):
        self.directory, self.monkeypatch = directory, monkeypatch

    def openvla(self, sizes=TINY, lost=None, change=None):
        dino, siglip = RECIPE.encoder_shapes(sizes, 'scale_factor')
        shapes = {**RECIPE.prefixed('vision_backbone.featurizer.', dino),
                  **RECIPE.prefixed('vision_backbone.fused_featurizer.', siglip),
                  **RECIPE.projector_shapes(sizes, [f'projector.fc{n}' for n in (1, 2, 3)]),
                  **RECIPE.prefixed('language_model.', RECIPE.llama_shapes(sizes))}
        config = RECIPE.openvla_config(sizes)
        if sizes is PUBLISHED:
            del config['timm_model_kwargs']
            config['text_config'] = {'model_type': 'llama', 'vocab_size': 32064,
                                     'pad_token_id': 32000}
        if change:
            change(config)
        return self._open('openvla.SafetensorsReader', shapes, config, lost, self.directory)

    def cogact(self, sizes=TINY, lost=None, change=None, action_model=(12, 768)):
        dino, siglip = RECIPE.encoder_shapes(sizes, 'gamma')
        shapes = {**RECIPE.prefixed('vision_backbone.dino_featurizer.', dino),
                  **RECIPE.prefixed('vision_backbone.siglip_featurizer.', siglip),
                  **RECIPE.prefixed('projector.', RECIPE.projector_shapes(
                      sizes, [f'projector.{n}' for n in (0, 2, 4)])),
                  **RECIPE.prefixed('llm_backbone.llm.', RECIPE.llama_shapes(sizes)),
                  **RECIPE.prefixed('action_model.', action_shapes(
                      *(action_model if sizes is PUBLISHED else (3, 96))))}
        config = {'vla': {'base_vlm': 'prism-dinosiglip-224px+7b'}, 'action_dim': 7,
                  'action_model_type': 'DiT-B', 'future_action_window_size': 15}
        if sizes is not PUBLISHED:
            config['tiny_model_kwargs'] = {
                'vision': RECIPE.vision_kwargs(sizes),
                'llm': {'num_attention_heads': sizes.heads, 'num_hidden_layers': sizes.layers},
                'action_model': {'hidden_size': 96, 'depth': 3, 'num_heads': 4}}
        if change:
            change(config)
        (self.directory / 'checkpoints').mkdir()
        file = self.directory / 'checkpoints' / 'step.pt'
        file.touch()
        RECIPE.write_json(self.directory / 'dataset_statistics.json', RECIPE.statistics('cogact'))
        return self._open('cogact.PickleReader', shapes, config, lost, file)

    def _open(self, reader, shapes, config, lost, path):
        shapes = {name: shape for name, shape in shapes.items()
                  if lost is None or not re.search(lost, name)}
        RECIPE.write_json(self.directory / 'config.json', config)
        self.monkeypatch.setattr(f'sqap_vla_ros.formats.{reader}',
                                 lambda path: HeadersOnly(shapes, torch.float32))
        source = open_checkpoint(path)
        self.tensors, self.notes = source.tensors, source.notes
        return source.config.model

    def network(self, config):
        """Return the network of a config without weights, which the tensors fit."""
        with torch.device('meta'):
            model = VLA(config)
        self.tensors.check(model.state_dict())
        return model


@pytest.fixture
def opener(tmp_path, monkeypatch):
    return Opener(tmp_path, monkeypatch)


@pytest.mark.parametrize('sizes', [TINY, PUBLISHED], ids=['tiny', 'published'])
@pytest.mark.parametrize('head', ['openvla', 'cogact'])
def test_a_whole_checkpoint_opens(opener, head, sizes):
    model = getattr(opener, head)(sizes)
    assert model.vision.dino.depth == sizes.dino[1] - 1  # the last block is not used
    assert (model.vision.dino.registers, model.vision.siglip.registers) == (4, 0)


def test_the_published_openvla_fits_by_its_names_and_sizes(opener):
    config = opener.openvla(PUBLISHED)
    parameters = opener.network(config).parameters()
    assert sum(p.numel() for p in parameters) == pytest.approx(7.49e9, rel=0.01)
    assert (config.llm.num_heads, config.llm.num_kv_heads) == (32, 32)
    assert config.llm.rms_norm_eps == 1e-6


@pytest.mark.parametrize('depth, width, heads', [(6, 384, 4), (12, 768, 12), (24, 1024, 16)])
def test_the_published_cogact_fits_by_its_names_and_sizes(opener, depth, width, heads):
    config = opener.cogact(PUBLISHED, action_model=(depth, width))
    opener.network(config)
    assert config.head.heads == heads and config.llm.rms_norm_eps == 1e-5
    assert (config.vision.dino.heads, config.vision.siglip.heads) == (16, 16)


@pytest.mark.parametrize('sizes', [TINY, PUBLISHED], ids=['tiny', 'published'])
@pytest.mark.parametrize('head', ['openvla', 'cogact'])
@pytest.mark.parametrize('what', LOST)
def test_a_checkpoint_that_lost_a_part_without_a_gap_is_refused(opener, head, sizes, what):
    with pytest.raises(CheckpointError, match=f'{what} is .*tensors are missing'):
        getattr(opener, head)(sizes, LOST[what].format(
            dino=sizes.dino[1] - 1, siglip=sizes.siglip[1] - 1, layers=sizes.layers - 1))


@pytest.mark.parametrize('sizes, block', [(TINY, 2), (PUBLISHED, 11)], ids=['tiny', 'published'])
def test_an_action_model_without_its_last_block_is_refused(opener, sizes, block):
    with pytest.raises(CheckpointError, match='(depth is|11 blocks).*tensors are missing'):
        opener.cogact(sizes, rf'net\.blocks\.{block}\.')


def test_the_action_model_is_the_one_of_the_tensors_whatever_the_config_calls_it(opener):
    """The official loader does not read action_model_type, so it is often wrong."""
    model = opener.cogact(PUBLISHED, change=lambda c: c.update(action_model_type='DiT-L'))
    assert (model.head.depth, model.head.width, model.head.heads) == (12, 768, 12)
    assert any('action_model_type DiT-L, the tensors are those of a DiT-B' in note
               for note in opener.notes)


def test_a_base_model_that_is_no_text_is_refused(opener):
    with pytest.raises(CheckpointError, match=r"base_vlm \['a'\] is unknown"):
        opener.cogact(PUBLISHED, change=lambda c: c['vla'].update(base_vlm=['a']))


def test_the_length_of_a_chunk_is_that_of_the_tensors(opener):
    model = opener.cogact(PUBLISHED, change=lambda c: c.update(future_action_window_size=7))
    assert model.head.chunk_length == 16


def test_a_silent_config_means_a_llama_of_7_billion_parameters(opener):
    for name in ('num_hidden_layers', 'hidden_size', 'intermediate_size'):
        with pytest.raises(CheckpointError, match=f'the decoder: {name} is'):
            opener.openvla(change=lambda c: c['text_config'].pop(name))


@pytest.mark.parametrize('theta', [
    {'rope_theta': 5e5}, {'rope_parameters': {'rope_theta': 5e5, 'rope_type': 'default'}},
    {'rope_theta': 5e5, 'rope_scaling': None, 'rope_parameters': {'rope_theta': 5e5}}])
def test_rope_theta_is_found_where_any_version_of_transformers_writes_it(opener, theta):
    model = opener.openvla(change=lambda c: c['text_config'].update(theta))
    assert model.llm.rope_theta == 5e5


@pytest.mark.parametrize('change, message', [
    ({'rope_parameters': {'rope_type': 'yarn', 'factor': 4.0}}, 'rope_parameters has .*yarn'),
    ({'rope_parameters': {'full_attention': {'rope_theta': 1e4}}}, 'full_attention'),
    ({'rope_scaling': {'rope_type': 'dynamic'}}, 'dynamic'),
    ({'rope_theta': 1e4, 'rope_parameters': {'rope_theta': 5e5}}, 'several rope_theta'),
    ({'rope_theta': 0}, 'rope_theta is 0'), ({'rope_theta': 'x'}, "rope_theta is 'x'"),
    ({'rms_norm_eps': None}, 'rms_norm_eps is None'),
    ({'rms_norm_eps': '1e-6'}, "rms_norm_eps is '1e-6'")])
def test_a_decoder_that_would_be_another_is_refused(opener, change, message):
    with pytest.raises(CheckpointError, match=message):
        opener.openvla(change=lambda c: c['text_config'].update(change))


@pytest.mark.parametrize('change, message', [
    ({'timm_override_act_layers': [None, 'quick_gelu']}, 'quick_gelu'),
    ({'llm_backbone_id': 'mistral-v0.1-7b-pure'}, 'mistral-v0.1-7b-pure'),
    ({'arch_specifier': 'no-align+linear'}, 'no-align.linear'),
    ({'norm_stats': [1]}, 'norm_stats holds a list'),
    ({'norm_stats': 'x'}, 'norm_stats holds a str'),
    ({'n_action_bins': 256.5}, 'bins is 256.5'), ({'n_action_bins': '256'}, "bins is '256'"),
    ({'timm_model_kwargs': [{'embed_dim': 64}]}, 'two vision encoders'),
    ({'timm_model_ids': ['vit_a', 'vit_b'], 'timm_model_kwargs': None}, "'vit_a' is unknown")])
def test_an_openvla_config_without_sense_is_refused(opener, change, message):
    with pytest.raises(CheckpointError, match=message):
        opener.openvla(change=lambda c: c.update(change))


@pytest.mark.parametrize('heads', [0, -2, 1.5])
def test_encoders_need_a_number_of_heads(opener, heads):
    with pytest.raises(CheckpointError, match=f'heads is {heads}'):
        opener.openvla(change=lambda c: c['timm_model_kwargs'][0].update(num_heads=heads))


@pytest.mark.parametrize('content, message', [
    ({'means': [['a', 0.5, 0.5]] * 2}, 'are no numbers'),
    ({'means': [[2, 2, 2]] * 2}, '0..255'), ({'means': [[0.5] * 3]}, 'three numbers for each'),
    ({'means': [[float('nan')] * 3] * 2}, 'three numbers for each'),
    ({'stds': [[0, 0, 0], [0.5] * 3]}, 'above 0')])
def test_a_preprocessor_without_sense_is_refused(opener, content, message):
    RECIPE.write_json(opener.directory / 'preprocessor_config.json', content)
    with pytest.raises(CheckpointError, match=message):
        opener.openvla()


@pytest.mark.parametrize('content, message', [
    ({'tokenizer': 5}, 'tokenizer is 5'), ({'unnorm_key': ['x']}, 'unnorm_key is'),
    ({'image': {'crop_area': 'x'}}, 'image: '), ({'image': {'crop_area': 2}}, 'image: crop_area'),
    ({'image': {'rotate_180': 'no'}}, 'image: rotate_180'),
    ({'image': {'mirror': 1}}, 'image: mirror is 1'),
    ({'action_space': [1]}, 'action_space: '),
    ({'action_space': {'kind': 'delta', 'names': ['dx'], 'dt': 'x'}}, 'action_space: ')])
def test_a_deployment_without_sense_is_refused(opener, content, message):
    RECIPE.write_json(opener.directory / 'deployment.json', content)
    with pytest.raises(CheckpointError, match=f'deployment.json: {message}'):
        opener.openvla()


@pytest.mark.parametrize('shard', [5, ['x'], None])
def test_an_index_that_names_no_files_is_refused(tmp_path, shard):
    RECIPE.write_json(tmp_path / 'model.safetensors.index.json', {'weight_map': {'a': shard}})
    with pytest.raises(CheckpointError, match='lacks its weight_map'):
        SafetensorsReader(tmp_path)


@pytest.mark.parametrize('change, message', [
    (lambda c: c.update(quantization=[1]), 'must be objects'),
    (lambda c: c.update(image='x'), 'must be objects'),
    (lambda c: c.update(image={'zoom': 2}), 'image: .*zoom'),
    (lambda c: c.update(pixel_std=[0.5, 0.0, 0.5]), 'above 0'),
    (lambda c: c.update(pixel_mean='abc'), 'must be numbers'),
    (lambda c: c['model']['llm'].update(num_heads=0), 'num_heads is 0'),
    (lambda c: c['model']['llm'].update(rope_theta=0), 'rope_theta is 0'),
    (lambda c: c['model']['vision'].update(heads=0), 'heads is 0'),
    (lambda c: c['model']['head'].update(chunk_length=0), 'chunk_length is 0')])
def test_an_own_config_without_sense_is_refused(change, message):
    content = json.loads(json.dumps(config_to_dict(CheckpointConfig())))
    assert config_from_dict(content, 'config.json') == CheckpointConfig()
    change(content)
    with pytest.raises(CheckpointError, match=f'config.json: .*{message}'):
        config_from_dict(content, 'config.json')


def test_what_a_tokenizer_file_says_of_batches_is_left_out(tmp_path):
    tokenizer = word_tokenizer(['pick up the red cup'])
    expected = tokenizer.encode('pick up the red cup').ids
    tokenizer.enable_truncation(max_length=2)
    tokenizer.save(str(tmp_path / 'tokenizer.json'))
    assert read_tokenizer(tmp_path).encode('pick up the red cup').ids == expected
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / 'tokenizer.json'))
    assert read_tokenizer(tmp_path).encode('pick up the red cup').ids == expected
