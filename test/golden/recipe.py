# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the tiny checkpoints that the expected outputs in this folder belong to.

    python test/golden/recipe.py OUT     # OUT/openvla (HF directory, 2 shards), OUT/cogact

Weights are random: names in sorted order, one seeded generator, a spread by the kind of tensor.
CogACT's small action head was trained and lies beside this file.  Other sizes (grouped-query
attention, bfloat16, another patch grid) have no expected outputs, but are true checkpoints too.
"""
from dataclasses import dataclass
import json
import math
from pathlib import Path
import sys

from safetensors.torch import load_file, save_file
import torch

HERE = Path(__file__).resolve().parent
ACTION_IDS = slice(31744, 32000)
TIMM_IDS = ['vit_large_patch14_reg4_dinov2.lvd142m', 'vit_so400m_patch14_siglip_224']


@dataclass(frozen=True)
class Sizes:
    """Sizes of a tiny checkpoint; the defaults are those that have expected outputs."""

    dino: tuple = (64, 4, 2, 256)  # width, depth, heads, MLP width
    siglip: tuple = (72, 5, 2, 269)
    hidden: int = 64
    mlp: int = 176
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    vocabulary: int = 32064
    patches: int = 256
    dtype: str = 'float32'


def vit_shapes(width, depth, mlp, patches, is_dino, scale='scale_factor'):
    """Return {name: shape} of one encoder, the parts that are never used included."""
    shapes = {'patch_embed.proj.weight': [width, 3, 14, 14], 'patch_embed.proj.bias': [width],
              'pos_embed': [1, patches, width], 'norm.weight': [width], 'norm.bias': [width]}
    if is_dino:
        shapes.update({'cls_token': [1, 1, width], 'reg_token': [1, 4, width]})
    else:
        shapes['attn_pool.latent'] = [1, 1, width]
        shapes.update(linear('attn_pool.q', width, width))
        shapes.update(linear('attn_pool.kv', 2 * width, width))
        shapes.update(linear('attn_pool.proj', width, width))
        shapes.update({'attn_pool.norm.weight': [width], 'attn_pool.norm.bias': [width]})
        shapes.update(linear('attn_pool.mlp.fc1', mlp, width))
        shapes.update(linear('attn_pool.mlp.fc2', width, mlp))
    for index in range(depth):
        block = f'blocks.{index}'
        shapes.update(linear(f'{block}.attn.qkv', 3 * width, width))
        shapes.update(linear(f'{block}.attn.proj', width, width))
        shapes.update(linear(f'{block}.mlp.fc1', mlp, width))
        shapes.update(linear(f'{block}.mlp.fc2', width, mlp))
        for norm in ('norm1', 'norm2'):
            shapes.update({f'{block}.{norm}.weight': [width], f'{block}.{norm}.bias': [width]})
        if is_dino:
            shapes.update({f'{block}.ls{n}.{scale}': [width] for n in (1, 2)})
    return shapes


def linear(name, outputs, inputs):
    """Return the shapes of a linear layer with a bias."""
    return {f'{name}.weight': [outputs, inputs], f'{name}.bias': [outputs]}


def llama_shapes(sizes):
    """Return {name: shape} of the decoder with its output layer."""
    hidden, keys = sizes.hidden, sizes.hidden // sizes.heads * sizes.kv_heads
    shapes = {'model.embed_tokens.weight': [sizes.vocabulary, hidden],
              'model.norm.weight': [hidden], 'lm_head.weight': [sizes.vocabulary, hidden]}
    for index in range(sizes.layers):
        layer = f'model.layers.{index}'
        rows = {'self_attn.q_proj': hidden, 'self_attn.k_proj': keys, 'self_attn.v_proj': keys,
                'self_attn.o_proj': hidden, 'mlp.gate_proj': sizes.mlp, 'mlp.up_proj': sizes.mlp}
        shapes.update({f'{layer}.{name}.weight': [row, hidden] for name, row in rows.items()})
        shapes[f'{layer}.mlp.down_proj.weight'] = [hidden, sizes.mlp]
        for name in ('input_layernorm', 'post_attention_layernorm'):
            shapes[f'{layer}.{name}.weight'] = [hidden]
    return shapes


def projector_shapes(sizes, names):
    """Return {name: shape} of the three layers that are called `names`."""
    inputs = sizes.dino[0] + sizes.siglip[0]
    widths = [inputs, 4 * inputs, sizes.hidden, sizes.hidden]
    shapes = {}
    for name, before, after in zip(names, widths, widths[1:]):
        shapes.update(linear(name, after, before))
    return shapes


def prefixed(prefix, shapes):
    """Return the shapes with a prefix on every name."""
    return {prefix + name: shape for name, shape in shapes.items()}


def encoder_shapes(sizes, scale):
    """Return the shapes of both encoders."""
    encoders = ((sizes.dino, True), (sizes.siglip, False))
    return tuple(vit_shapes(width, depth, mlp, sizes.patches, is_dino, scale)
                 for (width, depth, _, mlp), is_dino in encoders)


def draw(shapes, seed):
    """Draw a float32 tensor a name, in the order of the sorted names."""
    generator = torch.Generator().manual_seed(seed)
    return {name: draw_tensor(name, shape, generator) for name, shape in sorted(shapes.items())}


def cast(weights, sizes):
    """Return the weights in the type that they have on disk."""
    return {name: tensor.to(getattr(torch, sizes.dtype)) for name, tensor in weights.items()}


def draw_tensor(name, shape, generator):
    """Draw one tensor."""
    if name.endswith(('scale_factor', '.gamma')):
        return 0.4 + 0.8 * torch.rand(shape, generator=generator)
    values = torch.randn(shape, generator=generator)
    if 'embed_tokens' in name:
        values *= 0.02
        values[ACTION_IDS] *= 2.0
        return values
    if 'lm_head' in name:
        values *= 0.5 / math.sqrt(shape[1])
        values[ACTION_IDS] *= 6.0  # so that greedy tokens are action tokens
        return values
    if name.endswith(('pos_embed', 'cls_token', 'reg_token', 'latent')):
        return 0.5 * values
    if len(shape) == 1:
        return 1 + 0.2 * values if 'norm' in name and name.endswith('weight') else 0.1 * values
    gain = 1.4 if 'qkv' in name else 1.6 if 'q_proj' in name or 'k_proj' in name else 1.0
    return values * gain / math.sqrt(math.prod(shape[1:]))


def write_tokenizer(directory):
    """Write a tokenizer.json with Llama 2's layout, of which only a few pieces are real."""
    real = json.loads((HERE / 'pieces.json').read_text())
    names = {index: piece for piece, index in real['pieces'].items()}
    names.update({3 + byte: f'<0x{byte:02X}>' for byte in range(256)})
    vocabulary = {names.get(index, f'[unused{index}]'): index for index in range(32000)}
    special = {'<unk>': 0, '<s>': 1, '</s>': 2, '<PAD>': 32000}
    model = {'type': 'BPE', 'unk_token': '<unk>', 'fuse_unk': True, 'byte_fallback': True,
             'dropout': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
             'ignore_merges': False, 'vocab': vocabulary, 'merges': real['merges']}
    content = {
        'version': '1.0', 'truncation': None, 'padding': None, 'pre_tokenizer': None,
        'post_processor': None, 'decoder': None, 'model': model,
        'added_tokens': [{'id': index, 'content': name, 'single_word': False, 'lstrip': False,
                          'rstrip': False, 'normalized': False, 'special': True}
                         for name, index in special.items()],
        'normalizer': {'type': 'Sequence', 'normalizers': [
            {'type': 'Prepend', 'prepend': '\u2581'},
            {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '\u2581'}]}}
    write_json(directory / 'tokenizer.json', content)


def write_json(path, content):
    """Write a JSON file."""
    path.write_text(json.dumps(content) + '\n')


def statistics(name):
    """Return the statistics by data set of 'openvla' or 'cogact'."""
    return json.loads((HERE / 'statistics.json').read_text())[name]


def openvla_shapes(sizes):
    """Return OpenVLA's shapes by name."""
    dino, siglip = encoder_shapes(sizes, 'scale_factor')
    return {**prefixed('vision_backbone.featurizer.', dino),
            **prefixed('vision_backbone.fused_featurizer.', siglip),
            **projector_shapes(sizes, [f'projector.fc{n}' for n in (1, 2, 3)]),
            **prefixed('language_model.', llama_shapes(sizes))}


def write_openvla(directory, sizes=Sizes()):
    """Write an OpenVLA directory; its sizes stand in text_config and timm_model_kwargs."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = cast(draw(openvla_shapes(sizes), 74), sizes)
    save_shards(directory, weights)
    write_json(directory / 'config.json', openvla_config(sizes))
    write_tokenizer(directory)
    return directory


def save_shards(directory, weights):
    """Write two shards and their index."""
    names, index = list(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f'model-{number:05}-of-00002.safetensors'
        save_file({name: weights[name] for name in part}, directory / shard,
                  metadata={'format': 'pt'})
        index.update(dict.fromkeys(part, shard))
    write_json(directory / 'model.safetensors.index.json', {'weight_map': index})


def openvla_config(sizes):
    """Return config.json; rms_norm_eps and rope_theta are absent, as in the published one."""
    text = {'model_type': 'llama', 'hidden_size': sizes.hidden, 'intermediate_size': sizes.mlp,
            'num_hidden_layers': sizes.layers, 'num_attention_heads': sizes.heads,
            'num_key_value_heads': sizes.kv_heads, 'vocab_size': sizes.vocabulary,
            'pad_token_id': 32000}
    return {'model_type': 'openvla', 'architectures': ['OpenVLAForActionPrediction'],
            'arch_specifier': 'no-align+fused-gelu-mlp', 'use_fused_vision_backbone': True,
            'vision_backbone_id': 'dinosiglip-vit-so-224px', 'timm_model_ids': TIMM_IDS,
            'timm_model_kwargs': vision_kwargs(sizes),
            'image_sizes': [math.isqrt(sizes.patches) * 14] * 2,
            'image_resize_strategy': 'resize-naive', 'n_action_bins': 256,
            'pad_to_multiple_of': 64, 'norm_stats': statistics('openvla'), 'text_config': text}


def vision_kwargs(sizes):
    """Return the encoders' sizes as the tiny configs name them."""
    return [{'embed_dim': width, 'depth': depth, 'num_heads': heads}
            for width, depth, heads, _ in (sizes.dino, sizes.siglip)]


def cogact_shapes(sizes):
    """Return the shapes of CogACT's vision-language model: {group: {name: shape}}."""
    dino, siglip = encoder_shapes(sizes, 'gamma')
    return {
        'vision_backbone': {**prefixed('dino_featurizer.', dino),
                            **prefixed('siglip_featurizer.', siglip)},
        'llm_backbone': prefixed('llm.', llama_shapes(sizes)),
        'projector': projector_shapes(sizes, [f'projector.{n}' for n in (0, 2, 4)])}


def write_cogact(directory, sizes=Sizes()):
    """Write a CogACT run directory with one .pt file."""
    (directory / 'checkpoints').mkdir(parents=True, exist_ok=True)
    groups = cogact_shapes(sizes)
    head = load_file(HERE / 'action_model.safetensors')
    shapes = {f'vlm.{group}.{name}': shape for group, names in groups.items()
              for name, shape in names.items()}
    shapes.update({f'action_model.{name}': tensor.shape for name, tensor in head.items()})
    weights = cast(draw(shapes, 41), sizes)
    model = {group: {name: weights[f'vlm.{group}.{name}'] for name in names}
             for group, names in groups.items()}
    model['action_model'] = head  # the drawn one only kept its place among the random numbers
    torch.save({'model': model}, directory / 'checkpoints' / 'step-000-epoch-00-loss=0.0.pt')
    llm = {'hidden_size': sizes.hidden, 'num_attention_heads': sizes.heads, 'rms_norm_eps': 1e-5,
           'num_hidden_layers': sizes.layers, 'vocab_size': sizes.vocabulary}
    write_json(directory / 'config.json', {
        'action_dim': 7, 'action_model_type': 'DiT-T', 'future_action_window_size': 15,
        'past_action_window_size': 0, 'use_ema': False,
        'vla': {'base_vlm': 'prism-dinosiglip-224px+7b'},
        'tiny_model_kwargs': {'vision': vision_kwargs(sizes), 'llm': llm, 'token_size': 64,
                              'action_model': {'hidden_size': 96, 'depth': 3, 'num_heads': 4}}})
    write_json(directory / 'dataset_statistics.json', statistics('cogact'))
    return directory


if __name__ == '__main__':
    write_openvla(Path(sys.argv[1]) / 'openvla')
    write_cogact(Path(sys.argv[1]) / 'cogact')
