# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
CogACT run directories: config.json, dataset_statistics.json, checkpoints/*.pt.

config.json names the base model instead of its sizes; `BASES` has what neither it nor the
tensors' shapes tell.  There is no tokenizer.
"""

from __future__ import annotations

from pathlib import Path

from .checkpoint import CheckpointConfig, read_json, settle_rows
from .deployment import FILE, named_cameras, read_deployment
from .foreign import SUPPORTED
from .fused import decoder_config, fused_parts, image_options, UNUSED_NOTE
from .norm_stats import by_data_set
from .pickles import PickleReader
from .sizes import BACKBONES, expect, image_side, projector_widths, Shapes
from .source import find_tokenizer, Source
from .tensors import RenamedReader
from ..errors import CheckpointError, ConfigError
from ..model.dit import DiffusionHeadConfig
from ..model.vla import VLAConfig

PREFIXES = {
    'vision_backbone.dino_featurizer.': 'vision.dino.',
    'vision_backbone.siglip_featurizer.': 'vision.siglip.',
    'projector.projector.': 'projector.', 'llm_backbone.llm.model.': 'llm.',
    'llm_backbone.llm.lm_head.': 'lm_head.', 'action_model.net.': 'head.'}
BASES = {base: {
    'strategy': 'resize-naive', 'vision': f'dinosiglip-vit-so-{side}px',
    'llm': {'num_hidden_layers': 32, 'num_attention_heads': 32, 'rms_norm_eps': 1e-5}}
    for base, side in (('prism-dinosiglip-224px+7b', 224), ('prism-dinosiglip+7b', 384))}
PARTS = {
    'action_model': 'an OpenVLA in the native format of Prismatic (as openvla-7b-prismatic), and '
                    'not a CogACT: convert it by vla-scripts/extern/'
                    'convert_openvla_weights_to_hf.py of the openvla repository, or download the '
                    'Hugging Face directory (as openvla-7b)',
    'vision_backbone': 'a run that trained with its vision encoders frozen and left them out: '
                       'put the part vision_backbone of the base model into the file',
    'llm_backbone': 'a run that left its decoder out: put the part llm_backbone of the base '
                    'model into the file',
    'projector': 'not complete: copy it again'}
ACTION_MODELS = {
    'DiT-S': {'depth': 6, 'hidden_size': 384, 'num_heads': 4},
    'DiT-B': {'depth': 12, 'hidden_size': 768, 'num_heads': 12},
    'DiT-L': {'depth': 24, 'hidden_size': 1024, 'num_heads': 16}}


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
    if not isinstance(base, str) or base not in BASES:
        if 'action_model_type' not in content:
            raise CheckpointError(f'{source}: base_vlm is {base!r} and there is no '
                                  f'action_model_type, so it is {PARTS["action_model"]}; '
                                  f'{SUPPORTED}')
        raise CheckpointError(f'{source}: base_vlm {base!r} is unknown: this engine loads models '
                              f'on {sorted(BASES)}: take a CogACT on one of them')
    statistics = directory / 'dataset_statistics.json'
    if not statistics.is_file():
        raise CheckpointError(f'{statistics} is missing: without it no action has a unit: '
                              'download it')
    stats = by_data_set(read_json(statistics), statistics)
    reader = PickleReader(_weight_file(path, directory))
    other = what_lacks(reader)
    if other:
        raise CheckpointError(f'{reader.path} {other}; {SUPPORTED}')
    tensors = RenamedReader(reader, PREFIXES)
    deployment = read_deployment(directory)
    try:
        model, notes = _model_config(directory, content, BASES[base], tensors, source)
        config = CheckpointConfig(
            model=model, action_space=deployment.action_space, ensemble=deployment.ensemble,
            cameras=named_cameras(deployment, 1, directory),
            prompt='cogact',
            unnorm_key=deployment.unnorm_key, **image_options(
                {'image_resize_strategy': BASES[base]['strategy']}, deployment.image, source))
    except (ConfigError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    config = settle_rows(config, f'{directory / FILE}')
    return Source('cogact', path, config, tensors, stats, statistics.name,
                  find_tokenizer(directory, tokenizer or deployment.tokenizer),
                  (f'weights {tensors.path.name}', UNUSED_NOTE, *notes))


def _weight_file(path: Path, directory: Path) -> Path:
    """Return the .pt file that was named, or the only one."""
    if path != directory:
        return path
    found = sorted((directory / 'checkpoints').glob('*.pt'))
    if len(found) == 1:
        return found[0]
    beside = sorted(path.name for path in directory.glob('*.pt'))
    if found:
        advice = f'name the file instead of the directory, such as {found[-1]}'
    elif beside:
        advice = f'move {beside[-1]}, which lies beside config.json, into it'
    else:
        advice = 'download step-....pt into it'
    raise CheckpointError(f'{directory / "checkpoints"} holds {len(found)} .pt files, expected '
                          f'one: {advice}')


def what_lacks(reader: PickleReader) -> str:
    """Return which part of a CogACT a file lacks, and what it must be; '' if it has them all."""
    found = {name.partition('.')[0] for name in reader.shapes}
    for part, meaning in PARTS.items():
        if part not in found:
            return f'has the parts {sorted(found)} and no {part}, so it is {meaning}'
    return ''


def _model_config(directory: Path, content: dict, base: dict, tensors: RenamedReader,
                  source: str) -> tuple[VLAConfig, list[str]]:
    """Return all sizes, and notes; leaves the tensors that are not used out."""
    shapes = Shapes(tensors.shapes, directory)
    sizes = content.get('tiny_model_kwargs') or {}
    llm = decoder_config(shapes, {**base['llm'], **sizes.get('llm', {})}, source)
    ids, side = BACKBONES[base['vision']]
    sides = [image_side(shapes, f'vision.{part}', side) for part in ('dino', 'siglip')]
    vision = fused_parts(shapes, tensors, ids, sizes.get('vision') or ({}, {}), sides, source)
    notes: list[str] = []
    head = _head_config(shapes, content, sizes.get('action_model', {}), source, notes)
    tensors.without(r'head\.history_embedder\.', r'lm_head\.', r'ema_diffusion\.')
    return VLAConfig(vision, llm, head, 0, 0, min(2, llm.num_layers),
                     projector_widths(shapes)), notes


def _head_config(shapes: Shapes, content: dict, given: dict, source: str,
                 notes: list[str]) -> DiffusionHeadConfig:
    """Return the action transformer's sizes; given: those that config.json writes out."""
    steps, width = shapes.of('head.positional_embedding', 2)
    depth = shapes.count('head.blocks')
    action_dim = shapes.of('head.final_layer.linear.weight', 2)[0]
    known = _action_model(content.get('action_model_type'), given, depth, width, source, notes)
    # the chunk's size is that of the tensors: the official code does not read it from config.json
    for name, found, wanted in (
            ('depth', depth, known['depth']), ('hidden_size', width, known.get('hidden_size'))):
        expect(found, wanted, f'the action model: {name}', source)
    return DiffusionHeadConfig(
        steps - 1, action_dim, width, depth, known['num_heads'],
        shapes.of('head.blocks.0.mlp.fc1.weight', 2)[0],
        gripper_index=6 if action_dim >= 7 else -1)


def _action_model(kind, given: dict, depth: int, width: int, source: str,
                  notes: list[str]) -> dict:
    """
    Return the sizes of the action model that the tensors are of, noting if config.json errs.

    The official code does not read action_model_type, so nobody notices when it is wrong.
    """
    if 'depth' in given and 'num_heads' in given:
        return given
    for name, sizes in ACTION_MODELS.items():
        if (sizes['depth'], sizes['hidden_size']) == (depth, width):
            if kind not in (None, name):
                notes.append(f'config.json says action_model_type {kind}, the tensors are those '
                             f'of a {name}, which counts')
            return {**sizes, **given}
    raise CheckpointError(
        f'{source}: an action transformer of {depth} blocks of width {width} is none of DiT-S, '
        f'DiT-B and DiT-L (action_model_type is {kind!r}): tensors are missing, or it is no '
        'action model of CogACT')
