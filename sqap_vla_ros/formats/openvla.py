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
from .deployment import FILE, named_cameras, read_deployment
from .fused import decoder_config, fused_parts, image_options, single_part, UNUSED_NOTE
from .norm_stats import by_data_set
from .sizes import BACKBONES, projector_widths, Shapes
from .source import find_tokenizer, Source
from .tensors import RenamedReader, SafetensorsReader
from ..errors import CheckpointError, ConfigError
from ..model.heads import TokenHeadConfig
from ..model.vla import VLAConfig

FUSED_PREFIXES = {
    'vision_backbone.featurizer.': 'vision.dino.',
    'vision_backbone.fused_featurizer.': 'vision.siglip.'}
SINGLE_PREFIXES = {'vision_backbone.featurizer.': 'vision.'}
PREFIXES = {
    'projector.fc1.': 'projector.0.', 'projector.fc2.': 'projector.2.',
    'projector.fc3.': 'projector.4.',
    'language_model.model.': 'llm.', 'language_model.lm_head.': 'head.lm_head.'}
LLAMA = {'num_hidden_layers': 32, 'hidden_size': 4096, 'intermediate_size': 11008,
         'num_attention_heads': 32, 'rms_norm_eps': 1e-6}
PROMPTS = {  # by decoder: others were trained with other prompts
    'llama2-7b-pure': 'openvla', 'llama2-13b-pure': 'openvla',
    'vicuna-v15-7b': 'openvla_v01', 'vicuna-v15-13b': 'openvla_v01'}
USUAL = 'dinosiglip-vit-so-224px'


def open_openvla(directory: Path, content: dict, tokenizer=None) -> Source:
    """Open an OpenVLA directory; content: its config.json.  Raises CheckpointError."""
    source = str(directory / 'config.json')
    check_architecture(content, source)
    tensors = RenamedReader(SafetensorsReader(directory), prefixes(content, source))
    norm_stats, default_key = statistics(directory, content)
    deployment = read_deployment(directory)
    try:
        model = model_config(directory, content, tensors, source)
        head = token_head(content, model['llm'])
        config = CheckpointConfig(
            model=VLAConfig(head=head, text_length=0, state_dim=0, **model),
            action_space=deployment.action_space, ensemble=deployment.ensemble,
            cameras=named_cameras(deployment, 1, directory),
            prompt=PROMPTS[content.get('llm_backbone_id', 'llama2-7b-pure')],
            unnorm_key=deployment.unnorm_key or default_key,
            **image_options(preprocessor(directory, content), deployment.image, source,
                            len(vision_ids(content, source))))
    except (ConfigError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f'{source}: {type(error).__name__} {error}') from error
    config = settle_rows(config, f'{directory / FILE}')
    return Source('openvla', directory, config, tensors, norm_stats, 'norm_stats',
                  find_tokenizer(directory, tokenizer or deployment.tokenizer),
                  (UNUSED_NOTE, *tensors.notes))


def prefixes(content: dict, source: str) -> dict[str, str]:
    """Return {their prefix: ours} of the tensors' names, for one vision encoder or two."""
    is_fused = len(vision_ids(content, source)) == 2
    return {**(FUSED_PREFIXES if is_fused else SINGLE_PREFIXES), **PREFIXES}


def vision_ids(content: dict, source: str) -> tuple[str, ...]:
    """Return the timm ids of the vision encoders, two fused ones or one; raise CheckpointError."""
    name = content.get('vision_backbone_id', USUAL)
    ids = content.get('timm_model_ids') or BACKBONES.get(str(name), BACKBONES[USUAL])[0]
    is_fused = content.get('use_fused_vision_backbone')
    is_fused = len(ids) == 2 if is_fused is None else is_fused
    if not isinstance(ids, (list, tuple)) or len(ids) != (2 if is_fused else 1):
        raise CheckpointError(
            f'{source}: use_fused_vision_backbone is {is_fused} and timm_model_ids are {ids}: '
            'expected two encoders that are fused, DINOv2 and SigLIP, or SigLIP alone, not fused')
    return tuple(map(str, ids))


def check_architecture(content: dict, source: str) -> None:
    """Raise CheckpointError for a config.json with parts that this engine has not."""
    encoders = len(vision_ids(content, source))
    wanted = 'fused-gelu-mlp' if encoders == 2 else 'gelu-mlp'
    projector = content.get('arch_specifier', wanted)
    if not str(projector).endswith(wanted):
        raise CheckpointError(f'{source}: arch_specifier {projector!r} is unknown: this engine '
                              f'loads projectors that end in {wanted!r} behind {encoders} vision '
                              f'encoder{"s" if encoders == 2 else ""}')
    backbone = content.get('llm_backbone_id', 'llama2-7b-pure')
    if backbone not in PROMPTS:
        raise CheckpointError(f'{source}: llm_backbone_id {backbone!r} is unknown: this engine '
                              f'asks its question as {", ".join(PROMPTS)} were trained with')
    activations = content.get('timm_override_act_layers') or ()
    if not isinstance(activations, (list, tuple)) or any(
            name not in (None, 'gelu') for name in activations):
        raise CheckpointError(f'{source}: timm_override_act_layers is {activations}: this engine '
                              'runs encoders with exact GELUs, DINOv2 and SigLIP: take a '
                              'checkpoint on those')


def model_config(directory: Path, content: dict, tensors: RenamedReader, source: str) -> dict:
    """Return VLAConfig's vision, decoder and projector; drops tensors that are not used."""
    shapes = Shapes(tensors.shapes, directory)
    llm = decoder_config(shapes, {**LLAMA, **content.get('text_config', {})}, source)
    ids = vision_ids(content, source)
    side = BACKBONES.get(str(content.get('vision_backbone_id')), ((), 224))[1]
    vision = (fused_parts if len(ids) == 2 else single_part)(
        shapes, tensors, ids, content.get('timm_model_kwargs') or ({},) * len(ids),
        content.get('image_sizes', (side,) * len(ids)), source)
    return {'vision': vision, 'llm': llm, 'projector_widths': projector_widths(shapes),
            'prune_layer': min(2, llm.num_layers)}


def token_head(content: dict, llm) -> TokenHeadConfig:
    """Return the head; Source.with_key gives it as many values as the data set has."""
    padding = content.get('pad_to_multiple_of', 64)
    if padding < 0:
        raise ConfigError(f'pad_to_multiple_of is {padding}, expected 0 or more')
    vocab_end = llm.vocab_size - padding
    return TokenHeadConfig(bins=content.get('n_action_bins', 256), vocab_end=vocab_end)


def statistics(directory: Path, content: dict) -> tuple[dict, str]:
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
    for content, source in ((given, f'{directory / "config.json"}, norm_stats'), (tuned, path)):
        if content:
            by_data_set(content, source)
    stats = {**given, **tuned}
    if not stats:
        raise CheckpointError(f'{directory} has neither norm_stats in config.json nor '
                              'dataset_statistics.json: without them no action has a unit: '
                              'download the latter')
    return stats, next(iter(tuned)) if len(tuned) == 1 else ''


def preprocessor(directory: Path, content: dict) -> dict:
    """Return a config.json with preprocessor_config.json, if there is one, laid over it."""
    path = directory / 'preprocessor_config.json'
    return {**content, **(read_json(path) if path.is_file() else {})}
