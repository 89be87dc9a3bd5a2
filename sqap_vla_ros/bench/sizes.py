# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Models of several sizes to time, with random weights: only shapes matter for speed.

The decoders have the shapes of known small language models.  Each gets a vision encoder and a
prompt in the proportion of the 7B models: at most 10 % of the decoder's operations.
"""

from __future__ import annotations

import dataclasses

import torch

from ..errors import ConfigError
from ..formats.checkpoint import read_config
from ..model.dit import DiffusionHeadConfig
from ..model.heads import ChunkHeadConfig, TokenHeadConfig
from ..model.llama import LlamaConfig
from ..model.vit import ViTConfig
from ..model.vla import VLA, VLAConfig
from ..support.resources import model_directory
from ..support.validation import nearest

BUNDLED = 'bundled'
TEXT_LENGTH = 20
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
HEADS = {
    'chunk': ChunkHeadConfig(),
    'tokens': TokenHeadConfig(vocab_end=_VOCABULARY),
    'diffusion': DiffusionHeadConfig(width=256, depth=6, heads=4, mlp_width=1024),
}


def decoder(width: int, layers: int, inner: int = 0, heads: int = 0, kv_heads: int = 0):
    """Return a decoder's sizes; 0 takes 2.75 times the width and heads of 64 channels."""
    heads = heads or width // 64
    return LlamaConfig(_VOCABULARY, width, inner or width * 11 // 4, layers, heads,
                       kv_heads or heads)


def size_config(name: str, head: str = 'chunk') -> VLAConfig:
    """Return the configuration of a named size; raise ConfigError listing the known ones."""
    if name == BUNDLED:
        return read_config(model_directory()).model
    if name not in _DECODERS:
        raise ConfigError(f'size {name!r} is unknown{nearest(name, SIZES)}: use one of {SIZES}')
    width, inner, layers, heads, kv_heads = _DECODERS[name]
    return with_vision(decoder(width, layers, inner, heads, kv_heads), head)


def with_vision(llm: LlamaConfig, head: str = 'chunk') -> VLAConfig:
    """Return a model around a decoder, with the largest vision encoder within its share."""
    smallest = ViTConfig(width=64, depth=2, heads=1, mlp_width=256)
    config = VLAConfig(smallest, llm, HEADS[head], text_length=TEXT_LENGTH, state_dim=0)
    limit = VISION_SHARE * operations(config)['backbone']
    candidates = [
        ViTConfig(width=width, depth=depth, heads=width // 64, mlp_width=4 * width)
        for width in range(64, llm.hidden_size + 1, 64) for depth in range(2, 28)]
    within = [vision for vision in candidates if _vision_operations(vision) <= limit
              and vision.depth <= llm.num_layers]
    return dataclasses.replace(config, vision=max(within, key=_vision_operations,
                                                  default=smallest))


def sequence_length(config: VLAConfig) -> int:
    """Return the tokens of one prefill, all visual ones included."""
    queries = getattr(config.head, 'chunk_length', 0) if config.head.kind == 'chunk' else 0
    return 1 + config.num_visual + (config.state_dim > 0) + config.text_length + queries


def operations(config: VLAConfig) -> dict[str, int]:
    """Return floating-point operations of one image: vision, and backbone for all tokens."""
    return {'vision': _vision_operations(config.vision),
            'backbone': _backbone_operations(config.llm, sequence_length(config))}


def _vision_operations(config: ViTConfig) -> int:
    width, half, patch = config.width, config.width // 2, config.patch_size
    patches = config.grid[0] * config.grid[1]
    if config.stem == 'linear':
        stem = patches * 3 * patch * patch * width
    else:  # two convolutions at twice the grid, then one at the grid
        stem = 4 * patches * half * (3 * patch * patch // 4 + 9 * half)
        stem += patches * 9 * half * width
    block = patches * width * (4 * width + 2 * config.mlp_width) + 2 * patches ** 2 * width
    return 2 * (stem + config.depth * block)


def _backbone_operations(llm: LlamaConfig, length: int) -> int:
    width, kv_width = llm.hidden_size, llm.num_kv_heads * llm.head_dim
    weights = 2 * width * (width + kv_width) + 3 * width * llm.intermediate_size
    return 2 * llm.num_layers * (length * weights + 2 * length ** 2 * width)


def parameters(config: VLAConfig) -> int:
    """Return the number of parameters of a model, its small vocabulary included."""
    with torch.device('meta'):
        return sum(parameter.numel() for parameter in VLA(config).parameters())
