# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenVLA and CogACT share: DINOv2 + SigLIP, or SigLIP alone, in front of Llama 2."""

from __future__ import annotations

import re

import numpy as np

from .sizes import encoder_facts, expect, llama_config, Shapes, vit_config
from .tensors import RenamedReader
from ..errors import CheckpointError
from ..geometry.image_transform import INTERPOLATIONS, RESIZE_STRATEGIES
from ..model.llama import LlamaConfig
from ..model.vit import FusedViTConfig, ViTConfig

MEANS = ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))
STDS = ((0.229, 0.224, 0.225), (0.5, 0.5, 0.5))
UNUSED_NOTE = 'the last block of each vision encoder is in the files and not used'
UNSUPPORTED = {'attention_bias': False, 'mlp_bias': False, 'tie_word_embeddings': False,
               'hidden_act': 'silu', 'model_type': 'llama'}
PLAIN_ROPE = {'rope_type': 'default', 'type': 'default', 'partial_rotary_factor': 1.0}
THETA = 10000.0


def decoder_config(shapes: Shapes, text: dict, source: str) -> LlamaConfig:
    """
    Return the decoder's sizes, checked against text: text_config with its defaults.

    Raises CheckpointError for tensors that deny it, and for a decoder with parts that ours
    has not.
    """
    odd = {name: text[name] for name, plain in UNSUPPORTED.items()
           if text.get(name, plain) != plain}
    if odd:
        raise CheckpointError(f'{source}: text_config has {odd}, this engine runs Llama decoders '
                              f'with { {name: UNSUPPORTED[name] for name in odd} }')
    llm = llama_config(shapes, text['num_attention_heads'], text['rms_norm_eps'],
                       _rope_theta(text, source))
    for name, found in (('num_hidden_layers', llm.num_layers), ('hidden_size', llm.hidden_size),
                        ('intermediate_size', llm.intermediate_size),
                        ('vocab_size', llm.vocab_size),
                        ('num_key_value_heads', llm.num_kv_heads)):
        expect(found, text.get(name), f'the decoder: {name}', source)
    return llm


def _rope_theta(text: dict, source: str):
    """Return rope_theta, which transformers 5 keeps in rope_parameters, of plain rotary ones."""
    found = [text.get('rope_theta')]
    for name in ('rope_parameters', 'rope_scaling'):
        options = text.get(name)
        if options is None:
            continue
        odd = options if not isinstance(options, dict) else {
            key: value for key, value in options.items()
            if key != 'rope_theta' and value not in (None, PLAIN_ROPE.get(key))}
        if odd:
            raise CheckpointError(f'{source}: text_config.{name} has {odd}, this engine runs '
                                  'plain rotary embeddings (rope_type default)')
        found.append(options.get('rope_theta'))
    thetas = {theta for theta in found if theta is not None}
    if len(thetas) > 1:
        raise CheckpointError(f'{source}: text_config names several rope_theta, {thetas}')
    return thetas.pop() if thetas else THETA


def fused_parts(shapes: Shapes, tensors: RenamedReader, ids, given, image_sizes,
                source: str) -> FusedViTConfig:
    """
    Return both encoders' sizes, and leave out of `tensors` what they do not use.

    That is the last block, the final norm and SigLIP's pooling head.  ids, given: see
    encoder_facts.  These and image_sizes are pairs.
    """
    for name, pair in (('ids', ids), ('sizes', given), ('image sizes', image_sizes)):
        if len(pair) != 2:
            raise CheckpointError(f'{source}: expected the {name} of two vision encoders, '
                                  f'found {pair}')
    return FusedViTConfig(*(
        _encoder(shapes, tensors, f'vision.{part}', *rest, source)
        for part, *rest in zip(('dino', 'siglip'), ids, given, image_sizes)))


def single_part(shapes: Shapes, tensors: RenamedReader, ids, given, image_sizes,
                source: str) -> ViTConfig:
    """Return the only encoder's sizes, as fused_parts does for two."""
    for name, values in (('ids', ids), ('sizes', given), ('image sizes', image_sizes)):
        if len(values) != 1:
            raise CheckpointError(f'{source}: expected the {name} of one vision encoder, since '
                                  f'use_fused_vision_backbone is false, found {values}')
    return _encoder(shapes, tensors, 'vision', ids[0], given[0], image_sizes[0], source)


def _encoder(shapes: Shapes, tensors: RenamedReader, prefix: str, model_id: str, given,
             image_size: int, source: str) -> ViTConfig:
    """Return an encoder's sizes, and leave out of `tensors` what it does not use."""
    encoder = vit_config(
        shapes, prefix, encoder_facts(model_id, given, source), image_size, source)
    tensors.without(re.escape(f'{prefix}.blocks.{encoder.depth}.'),
                    re.escape(prefix) + r'\.(norm|attn_pool)\.',
                    r'llm\..*\.rotary_emb\.inv_freq$')
    return encoder


def image_options(content: dict, chosen: dict, source: str, encoders: int = 2) -> dict:
    """
    Return CheckpointConfig's image, pixel_mean and pixel_std.

    content: config.json with preprocessor_config.json's keys over it.  chosen: the user's
    own options.  encoders: 2, or 1 for SigLIP alone.  Raises CheckpointError for a resize or
    filter that there is not.
    """
    strategy = content.get('image_resize_strategy', 'resize-naive')
    filters = set(content.get('interpolations', ['bicubic']))
    if strategy not in RESIZE_STRATEGIES or len(filters) != 1 or filters - set(INTERPOLATIONS):
        raise CheckpointError(
            f'{source}: image_resize_strategy {strategy!r} with interpolations {filters} is '
            f'unknown: known are {RESIZE_STRATEGIES} with one of {INTERPOLATIONS}')
    means = _channels(content.get('means', MEANS[-encoders:]), 'means', source, encoders)
    fill = tuple(int(255 * value) for value in means[-3:])
    return {
        'image': {'strategy': strategy, 'interpolation': filters.pop(), 'fill': fill, **chosen},
        **_normalization(content, means, source, encoders)}


def _normalization(content: dict, means: tuple, source: str, encoders: int) -> dict:
    """
    Return pixel_mean and pixel_std, those of tvf_normalize_params if there are any.

    The official processor makes them from means and stds, and what was saved of them, rounded in
    published files, counts when it is loaded.
    """
    saved = content.get('tvf_normalize_params')
    if saved is None:
        return {'pixel_mean': means, 'pixel_std': _channels(
            content.get('stds', STDS[-encoders:]), 'stds', source, encoders)}
    if not isinstance(saved, (list, tuple)) or not all(
            isinstance(part, dict) and {'mean', 'std'} <= part.keys() for part in saved):
        raise CheckpointError(f'{source}: tvf_normalize_params must hold mean and std for each of '
                              f'{encoders} vision encoders, found {saved}')
    return {f'pixel_{name}': _channels([part[name] for part in saved],
                                       f'tvf_normalize_params {name}', source, encoders)
            for name in ('mean', 'std')}


def _channels(values, name: str, source: str, encoders: int) -> tuple[float, ...]:
    """Return three numbers for each encoder; raise CheckpointError if they are not there."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{source}: {name} {values} are no numbers ({error})') from error
    if array.shape != (encoders, 3) or not np.isfinite(array).all():
        raise CheckpointError(f'{source}: {name} must be three numbers for each of {encoders} '
                              f'vision encoders, found {values}')
    return tuple(array.ravel().tolist())
