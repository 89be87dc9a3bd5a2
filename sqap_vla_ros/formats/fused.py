# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenVLA and CogACT share: DINOv2 + SigLIP in front of Llama 2."""

from __future__ import annotations

from .sizes import Shapes, vit_config
from .tensors import RenamedReader
from ..errors import CheckpointError
from ..image_transform import INTERPOLATIONS, RESIZE_STRATEGIES
from ..model.vit import FusedViTConfig

MEANS = ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))
STDS = ((0.229, 0.224, 0.225), (0.5, 0.5, 0.5))
UNUSED_NOTE = 'the last block of each vision encoder is in the files and not used'
RESIZE_NOTE = ('image_resize_strategy {!r}: pixels at the borders differ a little from the '
               'official code, which pads or cuts in another order')
UNSUPPORTED = {'attention_bias': False, 'mlp_bias': False, 'rope_scaling': None,
               'tie_word_embeddings': False, 'hidden_act': 'silu', 'model_type': 'llama'}


def check_llama(text: dict, source: str) -> None:
    """Raise CheckpointError for a decoder with parts that ours has not."""
    odd = {name: text[name] for name, plain in UNSUPPORTED.items()
           if text.get(name, plain) != plain}
    if odd:
        raise CheckpointError(f'{source}: text_config has {odd}, this engine runs Llama decoders '
                              f'with { {name: UNSUPPORTED[name] for name in odd} }')


def fused_parts(shapes: Shapes, tensors: RenamedReader, heads, image_sizes) -> FusedViTConfig:
    """
    Return both encoders' sizes, and leave out of `tensors` what they do not use.

    That is the last block, the final norm and SigLIP's pooling head.
    """
    encoders = [vit_config(shapes, f'vision.{part}', head, size)
                for part, head, size in zip(('dino', 'siglip'), heads, image_sizes)]
    for part, encoder in zip(('dino', 'siglip'), encoders):
        tensors.without(rf'vision\.{part}\.blocks\.{encoder.depth}\.',
                        rf'vision\.{part}\.(norm|attn_pool)\.')
    tensors.without(r'llm\..*\.rotary_emb\.inv_freq$')
    return FusedViTConfig(*encoders)


def notes(image: dict) -> tuple[str, ...]:
    """Return what `info` should say of every such checkpoint, given its image options."""
    strategy = image['strategy']
    exact = strategy == 'resize-naive'
    return (UNUSED_NOTE,) if exact else (UNUSED_NOTE, RESIZE_NOTE.format(strategy))


def image_options(content: dict, chosen: dict, source: str) -> dict:
    """
    Return CheckpointConfig's image, pixel_mean and pixel_std.

    content: config.json with preprocessor_config.json's keys over it.  chosen: the user's
    own options.  Raises CheckpointError for a resize or filter that there is not.
    """
    strategy = content.get('image_resize_strategy', 'resize-naive')
    filters = set(content.get('interpolations', ['bicubic']))
    if strategy not in RESIZE_STRATEGIES or len(filters) != 1 or filters - set(INTERPOLATIONS):
        raise CheckpointError(
            f'{source}: image_resize_strategy {strategy!r} with interpolations {filters} is '
            f'unknown: known are {RESIZE_STRATEGIES} with one of {INTERPOLATIONS}')
    means, stds = content.get('means', MEANS), content.get('stds', STDS)
    fill = tuple(int(255 * value) for value in means[-1])
    return {
        'image': {'strategy': strategy, 'interpolation': filters.pop(), 'fill': fill, **chosen},
        'pixel_mean': tuple(value for group in means for value in group),
        'pixel_std': tuple(value for group in stds for value in group)}
