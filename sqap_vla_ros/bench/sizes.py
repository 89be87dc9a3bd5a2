# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Models of several sizes to time, with random weights: only shapes matter for speed.

The decoders have the shapes of known small language models.  Each gets a vision encoder and a
prompt in the proportion of the 7B models: at most 10 % of the operations of a decoder whose last
block computes all rows.  openvla-7b is one of them, with the encoders that belong to it.
"""

from __future__ import annotations

import dataclasses

import torch

from ..errors import ConfigError
from ..formats.checkpoint import read_config
from ..formats.oft import PRUNE_LAYER
from ..model.dit import DiffusionHeadConfig
from ..model.heads import ChunkHeadConfig, TokenHeadConfig
from ..model.llama import LlamaConfig
from ..model.oft import OFTHeadConfig
from ..model.vit import FusedViTConfig, ViTConfig
from ..model.vla import VLA, VLAConfig
from ..support.resources import model_directory
from ..support.validation import nearest

BUNDLED, FULL = 'bundled', 'openvla-7b'
TEXT_LENGTH = 20
KEEP = 154  # of 256 visual tokens
VISION_SHARE = 0.10
_VOCABULARY = 512  # the embedding's size changes no time
_DECODERS = {
    # width, feed-forward width, layers, heads, key-value heads
    'w256': (256, 768, 8, 4, 4),
    'w512': (512, 1408, 12, 8, 8),
    'smollm2-135m': (576, 1536, 30, 9, 3),
    'smollm2-360m': (960, 2560, 32, 15, 5),
    'tinyllama-1.1b': (2048, 5632, 22, 32, 4),
}
SIZES = (BUNDLED, *_DECODERS)
NAMES = (*SIZES, FULL)
HEADS = {
    'chunk': ChunkHeadConfig(),
    'tokens': TokenHeadConfig(vocab_end=_VOCABULARY),
    'diffusion': DiffusionHeadConfig(width=256, depth=6, heads=4, mlp_width=1024),
    'oft': OFTHeadConfig(),  # as wide as the decoder
}
# the last block of each encoder is in the checkpoints and not used
FULL_VISION = FusedViTConfig(
    ViTConfig(width=1024, depth=23, heads=16, mlp_width=4096, final_norm=False, class_token=True,
              registers=4, layer_scale=True),
    ViTConfig(width=1152, depth=26, heads=16, mlp_width=4304, final_norm=False))
OFT_IMAGES = 2  # as for LIBERO, with a state


def decoder(width: int, layers: int, inner: int = 0, heads: int = 0, kv_heads: int = 0):
    """Return a decoder's sizes; 0 takes 2.75 times the width and heads of 64 channels."""
    heads = heads or width // 64
    return LlamaConfig(_VOCABULARY, width, inner or width * 11 // 4, layers, heads,
                       kv_heads or heads)


def size_config(name: str, head: str = 'chunk') -> VLAConfig:
    """Return the configuration of a named size; raise ConfigError listing the known ones."""
    if name == BUNDLED:
        return read_config(model_directory()).model
    if name == FULL:
        return with_head(VLAConfig(FULL_VISION, LlamaConfig(_VOCABULARY), text_length=TEXT_LENGTH,
                                   state_dim=0, projector_widths=(8704, 4096)), head)
    if name not in _DECODERS:
        raise ConfigError(f'size {name!r} is unknown{nearest(name, NAMES)}: use one of {NAMES}')
    width, inner, layers, heads, kv_heads = _DECODERS[name]
    return with_vision(decoder(width, layers, inner, heads, kv_heads), head)


def with_head(config: VLAConfig, head: str) -> VLAConfig:
    """Return a model with another head, and what goes with that."""
    if head != 'oft':
        return dataclasses.replace(config, head=HEADS[head])
    width = config.llm.hidden_size
    return dataclasses.replace(
        config, head=dataclasses.replace(HEADS[head], width=width), images=OFT_IMAGES,
        attention='full', state_dim=8, state_hidden=width,
        prune_layer=min(PRUNE_LAYER, config.llm.num_layers))


def with_vision(llm: LlamaConfig, head: str = 'chunk') -> VLAConfig:
    """Return a model around a decoder, with the largest vision encoder within its share."""
    smallest = ViTConfig(width=64, depth=2, heads=1, mlp_width=256)
    config = with_head(VLAConfig(smallest, llm, text_length=TEXT_LENGTH, state_dim=0), head)
    limit = VISION_SHARE * operations(config, all_rows=True)['backbone']
    candidates = [
        ViTConfig(width=width, depth=depth, heads=width // 64, mlp_width=4 * width)
        for width in range(64, llm.hidden_size + 1, 64) for depth in range(2, 28)]
    within = [vision for vision in candidates
              if config.images * _vision_operations(vision) <= limit
              and vision.depth <= llm.num_layers]
    return dataclasses.replace(config, vision=max(within, key=_vision_operations,
                                                  default=smallest))


def sequence_length(config: VLAConfig) -> int:
    """Return the tokens of one prefill, all visual ones and the actions' included."""
    queries = {'chunk': 'chunk_length', 'oft': 'placeholders'}.get(config.head.kind)
    queries = getattr(config.head, queries) if queries else 0
    return 1 + config.num_visual + (config.state_dim > 0) + config.text_length + queries


def operations(config: VLAConfig, all_rows: bool = False,
               keep: int | None = None) -> dict[str, int]:
    """
    Return floating-point operations of one image: vision and backbone.

    all_rows: of the last block, too, of which only the head's rows are computed.  keep: visual
    tokens from prune_layer on, None for all.
    """
    length, llm = sequence_length(config), config.llm
    kept = length - (0 if keep is None else config.num_visual - keep)
    lengths = [length if index < config.prune_layer else kept for index in range(llm.num_layers)]
    rows = lengths[:-1] + [lengths[-1] if all_rows else len(config.head_rows(lengths[-1]))]
    return {'vision': config.images * _vision_operations(config.vision),
            'backbone': sum(_block_operations(llm, *pair) for pair in zip(lengths, rows))}


def _vision_operations(config: ViTConfig | FusedViTConfig) -> int:
    if isinstance(config, FusedViTConfig):
        return _vision_operations(config.dino) + _vision_operations(config.siglip)
    width, half, patch = config.width, config.width // 2, config.patch_size
    patches = config.grid[0] * config.grid[1]
    tokens = patches + config.prefix_tokens
    if config.stem == 'linear':
        stem = patches * 3 * patch * patch * width
    else:  # two convolutions at twice the grid, then one at the grid
        stem = 4 * patches * half * (3 * patch * patch // 4 + 9 * half)
        stem += patches * 9 * half * width
    block = tokens * width * (4 * width + 2 * config.mlp_width) + 2 * tokens ** 2 * width
    return 2 * (stem + config.depth * block)


def _block_operations(llm: LlamaConfig, length: int, rows: int) -> int:
    """Return the operations of a block that has keys of `length` tokens and computes `rows`."""
    width, kv_width = llm.hidden_size, llm.num_kv_heads * llm.head_dim
    weights = 2 * width * width + 3 * width * llm.intermediate_size  # of q, o and the MLP
    return 2 * (length * 2 * width * kv_width + rows * (weights + 2 * length * width))


def pruned_share(config: VLAConfig, all_rows: bool = False) -> float:
    """Return what is left of the backbone's operations with the usual number of tokens."""
    pruned, whole = (operations(config, all_rows, keep)['backbone']
                     for keep in (usual_keep(config), None))
    return pruned / whole


def usual_keep(config: VLAConfig) -> int:
    """Return how many visual tokens SQAP keeps: KEEP of 256, and as large a share of others."""
    return config.num_visual * KEEP // 256


def parameters(config: VLAConfig) -> int:
    """Return the number of parameters of a model, its small vocabulary included."""
    with torch.device('meta'):
        return sum(parameter.numel() for parameter in VLA(config).parameters())
