# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Vision backbones of Prismatic besides that of openvla-7b: 384 pixels, and SigLIP alone."""
import json

import golden_data
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.inference.recording import StageRecorder
from sqap_vla_ros.model.vit import ViT, ViTConfig
from sqap_vla_ros.policy import load_policy
import torch

KEY = golden_data.KEY
LARGE = {'patches': 27 * 27, 'dino': (32, 2, 2, 64), 'siglip': (36, 2, 2, 67), 'layers': 2}
SIGLIP = 'vit_so400m_patch14_siglip_{}'


def weights_of(path):
    """Return all tensors of an OpenVLA directory."""
    weights = {}
    for shard in sorted(path.glob('model-*.safetensors')):
        weights.update(load_file(shard))
    return weights


def linked(source, tmp_path, changes):
    """Return a checkpoint with the same files and other entries in config.json, None for none."""
    path = tmp_path / 'linked'
    path.mkdir()
    for file in source.iterdir():
        (path / file.name).symlink_to(file)
    content = {**json.loads((path / 'config.json').read_text()), **changes}
    (path / 'config.json').unlink()
    (path / 'config.json').write_text(json.dumps({
        name: value for name, value in content.items() if value is not None}))
    return path


def recorded(policy):
    """Return all stages of a policy's answer to the first case."""
    with StageRecorder(policy) as recorder:
        policy.infer(golden_data.observation(0))
    return recorder.stages()


@pytest.fixture(scope='module')
def openvla_384(tmp_path_factory):
    path = golden_data.recipe().write_openvla(
        tmp_path_factory.mktemp('large') / 'c', golden_data.recipe().Sizes(**LARGE))
    golden_data.edit(path / 'config.json', lambda config: config.update({
        'vision_backbone_id': 'dinosiglip-vit-so-384px', 'image_sizes': [384, 384],
        'timm_model_ids': [config['timm_model_ids'][0], SIGLIP.format(384)]}))
    return path


@pytest.fixture(scope='module')
def siglip_only(tmp_path_factory):
    """Return the golden OpenVLA with its SigLIP alone, and a projector of two layers."""
    path = golden_data.copy_of('openvla', tmp_path_factory.mktemp('single'))
    weights, vision = weights_of(path), 'vision_backbone.'
    kept = {name.replace(f'{vision}fused_', vision): tensor for name, tensor in weights.items()
            if not name.startswith((f'{vision}featurizer.', 'projector.'))}
    generator = torch.Generator().manual_seed(5)
    for name, shape in (('fc1.weight', (64, 72)), ('fc1.bias', (64,)),
                        ('fc2.weight', (64, 64)), ('fc2.bias', (64,))):
        kept[f'projector.{name}'] = 0.1 * torch.randn(shape, generator=generator)
    for file in path.glob('model*'):
        file.unlink()
    save_file(kept, path / 'model.safetensors')
    golden_data.edit(path / 'config.json', lambda config: config.update({
        'use_fused_vision_backbone': False, 'vision_backbone_id': 'siglip-vit-so400m',
        'arch_specifier': 'no-align+gelu-mlp', 'timm_model_ids': [SIGLIP.format(224)],
        'timm_override_act_layers': [None], 'image_sizes': [224],
        'timm_model_kwargs': config['timm_model_kwargs'][1:]}))
    return path


def test_the_patches_of_384_px_are_27_and_what_is_left_over_is_not_seen(openvla_384):
    policy = load_policy(openvla_384, unnorm_key=KEY)
    assert policy.grid == (27, 27)
    seen = policy.infer(golden_data.observation(0))
    assert np.isfinite(seen.actions).all()
    vision, generator = policy.model.vision, torch.Generator().manual_seed(1)
    pixels = torch.randn(1, 6, 384, 384, generator=generator)
    features = vision(pixels)
    assert features.shape == (1, 729, 68)
    for rows, cols, is_seen in ((slice(378, None), slice(None), False),
                                (slice(None), slice(378, None), False),
                                (slice(377, 378), slice(0, 378), True)):
        changed = pixels.clone()
        changed[:, :, rows, cols] += 1
        assert torch.equal(vision(changed), features) != is_seen


def test_a_patch_of_384_px_is_14_px_wide(openvla_384):
    """The stem's own arithmetic, written out: patch (row 26, col 3) is these pixels."""
    stem = load_policy(openvla_384, unnorm_key=KEY).model.vision.dino.patch_embed
    pixels = torch.randn(1, 3, 384, 384, generator=torch.Generator().manual_seed(2))
    patch = pixels[0, :, 26 * 14:27 * 14, 3 * 14:4 * 14]
    wanted = (stem.proj.weight * patch).sum((1, 2, 3)) + stem.proj.bias
    torch.testing.assert_close(stem(pixels)[0, :, 26, 3], wanted, rtol=0, atol=1e-5)


def test_sizes_that_no_entry_of_config_json_says_are_those_of_the_backbones_name(
        openvla_384, tmp_path):
    path = linked(openvla_384, tmp_path, dict.fromkeys((
        'image_sizes', 'timm_model_ids', 'use_fused_vision_backbone')))
    assert open_checkpoint(path).config.model.vision.image_size == 384


def test_an_image_size_that_gives_other_patches_is_told_with_numbers(openvla_384, tmp_path):
    path = linked(openvla_384, tmp_path, {'image_sizes': [224, 224]})
    with pytest.raises(CheckpointError, match=(
            r'224 px has 16 x 16 patches of 14 px, and vision.dino.pos_embed is for 729: check '
            'image_sizes')):
        open_checkpoint(path)


def test_a_cogact_on_the_backbone_of_384_px_loads(tmp_path):
    path = golden_data.recipe().write_cogact(
        tmp_path / 'c', golden_data.recipe().Sizes(**LARGE))
    golden_data.edit(path / 'config.json', lambda config: config['vla'].update(
        base_vlm='prism-dinosiglip+7b'))
    vision = open_checkpoint(path).config.model.vision
    assert (vision.image_size, vision.grid) == (384, (27, 27))


def test_siglip_alone_gives_the_features_that_it_gives_beside_dinov2(siglip_only):
    policy = load_policy(siglip_only, unnorm_key=KEY)
    fused = golden_data.loaded('openvla')
    ours, theirs = map(recorded, (policy, fused))
    np.testing.assert_array_equal(ours['pixel_values'], theirs['pixel_values'][:, 3:])
    np.testing.assert_allclose(ours['siglip_features'][::4],
                               golden_data.expected('openvla_case0')['siglip_features'], atol=1e-4)
    assert ours['projected'].shape == (256, 64)
    kept = load_policy(siglip_only, unnorm_key=KEY, keep=64).infer(golden_data.observation(0))
    assert len(kept.selection.kept) == 64 and np.isfinite(kept.actions).all()


def test_siglip_alone_is_converted_and_told_by_info(siglip_only, tmp_path, capsys):
    out = tmp_path / 'out'
    assert main(['convert', str(siglip_only), str(out), '--precision', 'w8a8',
                 '--unnorm-key', KEY]) == 0
    capsys.readouterr()
    assert main(['info', str(out)]) == 0
    assert 'SigLIP of 4 blocks of width 72' in capsys.readouterr().out
    actions = [load_policy(path, unnorm_key=KEY).infer(golden_data.observation(0)).actions
               for path in (out, siglip_only)]
    np.testing.assert_allclose(*actions, atol=0.05)


@pytest.mark.parametrize('change, message', [
    ({'use_fused_vision_backbone': True}, 'use_fused_vision_backbone is True and timm_model_ids'),
    ({'timm_model_ids': ['vit_large_patch14_clip_224.openai'], 'timm_model_kwargs': None},
     "'vit_large_patch14_clip_224.openai' is unknown"),
    ({'arch_specifier': 'no-align+linear'}, "end in 'gelu-mlp' behind 1 vision encoder"),
    ({'image_sizes': [224, 224]}, 'image sizes of one vision encoder'),
    ({'means': [[0.5] * 3] * 2}, 'three numbers for each of 1 vision encoder')])
def test_a_single_encoder_that_config_json_denies_is_refused(siglip_only, tmp_path, change,
                                                             message):
    path = linked(siglip_only, tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


def test_a_vicuna_is_asked_the_question_of_openvla_v01(siglip_only, tmp_path):
    path = linked(siglip_only, tmp_path, {'llm_backbone_id': 'vicuna-v15-7b'})
    policy = load_policy(path, unnorm_key=KEY)
    ids = policy.inputs.token_ids('Pick up')[0].tolist()
    text = ('A chat between a curious user and an artificial intelligence assistant. The '
            "assistant gives helpful, detailed, and polite answers to the user's questions. "
            'USER: What action should the robot take to pick up? ASSISTANT:')
    encoded = open_checkpoint(path).read_tokenizer().encode(text, add_special_tokens=False).ids
    assert ids == [1, *encoded, 29871]


def test_an_image_smaller_than_a_patch_and_a_stem_that_cannot_leave_pixels_out_are_refused():
    with pytest.raises(ConfigError, match='image_size 13 must be at least patch_size 14'):
        ViTConfig(13, 14)
    with pytest.raises(ConfigError, match='which divide the image'):
        ViTConfig(384, 14, stem='conv')
    assert ViT(ViTConfig(30, 14, 8, 1, 2, 8))(torch.zeros(1, 3, 30, 30)).shape == (1, 4, 8)
