# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CogACT run directories: config.json, dataset_statistics.json, checkpoints/*.pt.

config.json names the base model instead of its sizes; `BASES` has what neither it nor the
tensors' shapes tell.  There is no tokenizer.
"""

from __future__ import annotations

from pathlib import Path

from .deployment import read_deployment
from .fused import check_llama, fused_parts, image_options, notes
from .sizes import expect, image_side, llama_config, projector_widths, Shapes, vit_heads
from .source import find_tokenizer, Source
from .tensors import PickleReader, RenamedReader
from ..errors import CheckpointError, ConfigError
from ..model.checkpoint import CheckpointConfig, read_json
from ..model.dit import DiffusionHeadConfig
from ..model.vla import VLAConfig

PREFIXES = {
    'vision_backbone.dino_featurizer.': 'vision.dino.',
    'vision_backbone.siglip_featurizer.': 'vision.siglip.',
    'projector.projector.': 'projector.', 'llm_backbone.llm.model.': 'llm.',
    'llm_backbone.llm.lm_head.': 'lm_head.', 'action_model.net.': 'head.'}
VIT_IDS = ('vit_large_patch14_reg4_dinov2.lvd142m', 'vit_so400m_patch14_siglip_224')
BASES = {'prism-dinosiglip-224px+7b': {
    'strategy': 'resize-naive', 'vision': VIT_IDS,
    'llm': {'num_attention_heads': 32, 'rms_norm_eps': 1e-5, 'rope_theta': 10000.0}}}
DIT_HEADS = {(6, 384): 4, (12, 768): 12, (24, 1024): 16}  # by depth and width: S, B and L


def open_cogact(path: Path, directory: Path, content: dict, tokenizer=None) -> Source:
    """
    Open a CogACT run directory, or one .pt file of it.  Raises CheckpointError.

    content: its config.json.
    """
    source = str(directory / 'config.json')
    try:
        base = content['vla'].get('base_vlm')
    except AttributeError as error:
        raise CheckpointError(f'{source}: vla is not an object ({error})') from error
    if base not in BASES:
        raise CheckpointError(f'{source}: base_vlm {base!r} is unknown: this engine loads models '
                              f'on {sorted(BASES)}')
    statistics = directory / 'dataset_statistics.json'
    if not statistics.is_file():
        raise CheckpointError(f'{statistics} is missing: without it no action has a unit')
    tensors = RenamedReader(PickleReader(_weight_file(path, directory)), PREFIXES)
    deployment = read_deployment(directory)
    try:
        model = _model_config(directory, content, BASES[base], tensors, source)
        config = CheckpointConfig(
            model=model, action_space=deployment.action_space, ensemble=deployment.ensemble,
            prompt='cogact',
            unnorm_key=deployment.unnorm_key, **image_options(
                {'image_resize_strategy': BASES[base]['strategy']}, deployment.image, source))
    except (ConfigError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    return Source('cogact', path, config, tensors, read_json(statistics), statistics.name,
                  find_tokenizer(directory, tokenizer or deployment.tokenizer),
                  (f'weights {tensors.path.name}', *notes(config.image)))


def _weight_file(path: Path, directory: Path) -> Path:
    """Return the .pt file that was named, or the only one."""
    if path != directory:
        return path
    found = sorted((directory / 'checkpoints').glob('*.pt'))
    if len(found) != 1:
        raise CheckpointError(
            f'{directory / "checkpoints"} holds {len(found)} .pt files, expected one: '
            + (f'name the file instead of the directory, such as {found[-1]}' if found
               else 'download step-....pt into it'))
    return found[0]


def _model_config(directory: Path, content: dict, base: dict, tensors: RenamedReader,
                  source: str) -> VLAConfig:
    """Return all sizes; leaves the tensors that are not used out."""
    shapes = Shapes(tensors.shapes, directory)
    sizes = content.get('tiny_model_kwargs') or {}
    text = {**base['llm'], **sizes.get('llm', {})}
    check_llama(text, source)
    llm = llama_config(shapes, text['num_attention_heads'], text['rms_norm_eps'],
                       text['rope_theta'])
    for name, found in (('num_key_value_heads', llm.num_kv_heads),
                        ('num_hidden_layers', llm.num_layers)):
        expect(found, text.get(name), name, source)
    widths = [shapes.of(f'vision.{part}.pos_embed', 3)[2] for part in ('dino', 'siglip')]
    vision_heads = [vision.get('num_heads') or vit_heads(name, width, source) for vision, name,
                    width in zip(sizes.get('vision') or ({}, {}), base['vision'], widths)]
    sides = [image_side(shapes, f'vision.{part}') for part in ('dino', 'siglip')]
    vision = fused_parts(shapes, tensors, vision_heads, sides)
    head = _head_config(shapes, sizes.get('action_model', {}).get('num_heads'), source)
    tensors.without(r'head\.history_embedder\.', r'lm_head\.', r'ema_diffusion\.')
    return VLAConfig(vision, llm, head, 0, 0, min(2, llm.num_layers), projector_widths(shapes))


def _head_config(shapes: Shapes, heads: int | None, source: str) -> DiffusionHeadConfig:
    """Return the action transformer's sizes; its heads follow from depth and width."""
    steps, width = shapes.of('head.positional_embedding', 2)
    depth = shapes.count('head.blocks')
    if heads is None and (depth, width) not in DIT_HEADS:
        raise CheckpointError(f'{source}: an action transformer of {depth} blocks of width '
                              f'{width} is none of DiT-S, DiT-B and DiT-L')
    action_dim = shapes.of('head.final_layer.linear.weight', 2)[0]
    return DiffusionHeadConfig(
        steps - 1, action_dim, width, depth, heads or DIT_HEADS[depth, width],
        shapes.of('head.blocks.0.mlp.fc1.weight', 2)[0],
        gripper_index=6 if action_dim >= 7 else -1)
