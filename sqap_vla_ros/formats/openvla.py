# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
OpenVLA directories: config.json, safetensors shards, statistics, tokenizer.

config.json says what shapes can't (heads, epsilons, action bins); everything else is read off
the tensors.  `text_config` holds only what differs from Llama's defaults.
"""

from __future__ import annotations

from pathlib import Path

from .checkpoint import CheckpointConfig, read_json, settle_rows
from .deployment import FILE, read_deployment
from .fused import decoder_config, fused_parts, image_options, UNUSED_NOTE
from .sizes import ENCODERS, projector_widths, Shapes
from .source import find_tokenizer, Source
from .tensors import RenamedReader, SafetensorsReader
from ..errors import CheckpointError, ConfigError
from ..model.heads import TokenHeadConfig
from ..model.vla import VLAConfig

PREFIXES = {
    'vision_backbone.featurizer.': 'vision.dino.',
    'vision_backbone.fused_featurizer.': 'vision.siglip.',
    'projector.fc1.': 'projector.0.', 'projector.fc2.': 'projector.2.',
    'projector.fc3.': 'projector.4.',
    'language_model.model.': 'llm.', 'language_model.lm_head.': 'head.lm_head.'}
LLAMA = {'num_hidden_layers': 32, 'hidden_size': 4096, 'intermediate_size': 11008,
         'num_attention_heads': 32, 'rms_norm_eps': 1e-6}
BACKBONES = ('llama2-7b-pure', 'llama2-13b-pure')  # others were trained with other prompts


def open_openvla(directory: Path, content: dict, tokenizer=None) -> Source:
    """Open an OpenVLA directory; content: its config.json.  Raises CheckpointError."""
    source = str(directory / 'config.json')
    if not content.get('use_fused_vision_backbone', True):
        raise CheckpointError(f'{source}: vision backbone {content.get("vision_backbone_id")!r} '
                              'is not fused: this engine loads DINOv2 + SigLIP ones')
    _check_parts(content, source)
    tensors = RenamedReader(SafetensorsReader(directory), PREFIXES)
    norm_stats, default_key = _statistics(directory, content)
    deployment = read_deployment(directory)
    try:
        model = _model_config(directory, content, tensors, source)
        head = _head_config(content, model['llm'])
        config = CheckpointConfig(
            model=VLAConfig(head=head, text_length=0, state_dim=0, **model),
            action_space=deployment.action_space, ensemble=deployment.ensemble,
            cameras=deployment.cameras,
            prompt='openvla',
            unnorm_key=deployment.unnorm_key or default_key,
            **image_options(_preprocessor(directory, content), deployment.image, source))
    except (ConfigError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    config = settle_rows(config, f'{directory / FILE}')
    return Source('openvla', directory, config, tensors, norm_stats, 'norm_stats',
                  find_tokenizer(directory, tokenizer or deployment.tokenizer),
                  (UNUSED_NOTE, *tensors.notes))


def _check_parts(content: dict, source: str) -> None:
    """Raise CheckpointError for parts that are not those of openvla-7b."""
    projector = content.get('arch_specifier', 'fused-gelu-mlp')
    if not str(projector).endswith('fused-gelu-mlp'):
        raise CheckpointError(f'{source}: arch_specifier {projector!r} is unknown: this engine '
                              "loads projectors that end in 'fused-gelu-mlp'")
    backbone = content.get('llm_backbone_id', BACKBONES[0])
    if backbone not in BACKBONES:
        raise CheckpointError(f'{source}: llm_backbone_id {backbone!r} is unknown: this engine '
                              f'asks its question as {BACKBONES} were trained with')
    activations = content.get('timm_override_act_layers') or ()
    if not isinstance(activations, (list, tuple)) or any(
            name not in (None, 'gelu') for name in activations):
        raise CheckpointError(f'{source}: timm_override_act_layers is {activations}: this engine '
                              'runs vision encoders with exact GELUs')


def _model_config(directory: Path, content: dict, tensors: RenamedReader, source: str) -> dict:
    """Return VLAConfig's vision, decoder and projector; drops tensors that are not used."""
    shapes = Shapes(tensors.shapes, directory)
    llm = decoder_config(shapes, {**LLAMA, **content.get('text_config', {})}, source)
    vision = fused_parts(
        shapes, tensors, content.get('timm_model_ids') or tuple(ENCODERS),
        content.get('timm_model_kwargs') or ({}, {}), content.get('image_sizes', [224, 224]),
        source)
    return {'vision': vision, 'llm': llm, 'projector_widths': projector_widths(shapes),
            'prune_layer': min(2, llm.num_layers)}


def _head_config(content: dict, llm) -> TokenHeadConfig:
    """Return the head; Source.with_key gives it as many values as the data set has."""
    padding = content.get('pad_to_multiple_of', 64)
    if padding < 0:
        raise ConfigError(f'pad_to_multiple_of is {padding}, expected 0 or more')
    vocab_end = llm.vocab_size - padding
    return TokenHeadConfig(bins=content.get('n_action_bins', 256), vocab_end=vocab_end)


def _statistics(directory: Path, content: dict) -> tuple[dict, str]:
    """
    Return statistics by data set, and the key of a fine-tuned checkpoint's only one.

    Fine-tuning writes dataset_statistics.json and leaves config.json as it was: the file wins.
    """
    path = directory / 'dataset_statistics.json'
    tuned = read_json(path) if path.is_file() else {}
    given = content.get('norm_stats') or {}
    if not isinstance(given, dict):
        raise CheckpointError(f'{directory / "config.json"}: norm_stats holds a '
                              f'{type(given).__name__}, expected an object by data set')
    stats = {**given, **tuned}
    if not stats:
        raise CheckpointError(f'{directory} has neither norm_stats in config.json nor '
                              'dataset_statistics.json: without them no action has a unit')
    return stats, next(iter(tuned)) if len(tuned) == 1 else ''


def _preprocessor(directory: Path, content: dict) -> dict:
    path = directory / 'preprocessor_config.json'
    return {**content, **(read_json(path) if path.is_file() else {})}
