# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A network's sizes, read off the shapes of its tensors; configs only say what shapes can't.

`shapes` are under this engine's names, as RenamedReader gives them.
"""

from __future__ import annotations

import math
import re

from ..errors import CheckpointError
from ..model.llama import LlamaConfig
from ..model.vit import ViTConfig

DINO = 'vit_large_patch14_reg4_dinov2.lvd142m'
SIGLIP = 'vit_so400m_patch14_siglip_{}'
# the published encoders, in timm's words: heads are in no tensor's shape, and of the rest a
# checkpoint may have lost a part without leaving a gap
ENCODERS = {
    DINO: {
        'embed_dim': 1024, 'depth': 24, 'num_heads': 16, 'class_token': True, 'reg_tokens': 4,
        'layer_scale': True},
    **{SIGLIP.format(side): {
        'embed_dim': 1152, 'depth': 27, 'num_heads': 16, 'class_token': False, 'reg_tokens': 0,
        'layer_scale': False} for side in (224, 384)}}
# backbones of Prismatic by name: their encoders, and the side of their image in pixels
BACKBONES = {
    'dinosiglip-vit-so-224px': ((DINO, SIGLIP.format(224)), 224),
    'dinosiglip-vit-so-384px': ((DINO, SIGLIP.format(384)), 384),
    'siglip-vit-so400m': ((SIGLIP.format(224),), 224),
    'siglip-vit-so400m-384px': ((SIGLIP.format(384),), 384)}


class Shapes(dict):
    """Shapes by name; a missing one is the checkpoint's fault."""

    def __init__(self, shapes, source):
        super().__init__(shapes)
        self.source = source

    def __missing__(self, name):
        """Raise CheckpointError."""
        raise CheckpointError(f'{self.source} lacks the tensor that is called {name} here: it is '
                              'incomplete, or of an unknown architecture')

    def of(self, name: str, dimensions: int) -> tuple[int, ...]:
        """Return a shape; raise CheckpointError unless it has so many dimensions."""
        if len(self[name]) != dimensions:
            raise CheckpointError(f'{self.source}: {name} has shape {self[name]}, expected '
                                  f'{dimensions} dimensions')
        return self[name]

    def count(self, prefix: str) -> int:
        """Return the number of blocks 'prefix.0' to 'prefix.n'."""
        pattern = re.compile(re.escape(prefix) + r'\.(\d+)\.')
        found = {int(match.group(1)) for match in map(pattern.match, self) if match}
        if found != set(range(len(found))) or not found:
            raise CheckpointError(f'{self.source}: blocks {sorted(found)} of {prefix} do not '
                                  'start at 0 or have gaps: a shard is missing')
        return len(found)


def vit_config(shapes: Shapes, prefix: str, known: dict, image_size: int,
               source) -> ViTConfig:
    """
    Return the encoder under `prefix`, without its last block and its final norm.

    Both are in the files, but OpenVLA and CogACT read the output of the block before.
    known: what encoder_facts gave; raises CheckpointError for tensors that deny it.
    """
    width, _, patch, _ = shapes.of(f'{prefix}.patch_embed.proj.weight', 4)
    registers = f'{prefix}.reg_token'
    found = {
        'embed_dim': width, 'depth': shapes.count(f'{prefix}.blocks'),
        'class_token': f'{prefix}.cls_token' in shapes,
        'reg_tokens': shapes.of(registers, 3)[1] if registers in shapes else 0,
        'layer_scale': f'{prefix}.blocks.0.ls1.gamma' in shapes}
    for name, value in found.items():
        expect(value, known.get(name), f'{prefix}: {name}', source)
    patches = shapes.of(f'{prefix}.pos_embed', 3)[1]
    if patches != (image_size // patch) ** 2:
        raise CheckpointError(
            f'{shapes.source}: an image of {image_size} px has {image_size // patch} x '
            f'{image_size // patch} patches of {patch} px, and {prefix}.pos_embed is for '
            f'{patches}: check image_sizes in config.json')
    return ViTConfig(
        image_size, patch, width, found['depth'] - 1, known['num_heads'],
        shapes.of(f'{prefix}.blocks.0.mlp.fc1.weight', 2)[0], final_norm=False,
        class_token=found['class_token'], registers=found['reg_tokens'],
        layer_scale=found['layer_scale'])


def image_side(shapes: Shapes, prefix: str, usual: int) -> int:
    """Return the side in pixels of the square image of an encoder: the usual one, if it fits."""
    patches = shapes.of(f'{prefix}.pos_embed', 3)[1]
    patch = shapes.of(f'{prefix}.patch_embed.proj.weight', 4)[2]
    return usual if (usual // patch) ** 2 == patches else math.isqrt(patches) * patch


def encoder_facts(model_id: str, given: dict | None, source) -> dict:
    """
    Return what is known of an encoder: that of its timm id, and over it what the config says.

    given: such as {'embed_dim': 64, 'depth': 4, 'num_heads': 2}.  Raises CheckpointError where
    neither tells heads and depth.
    """
    known = {**ENCODERS.get(model_id, {}), **(given or {})}
    missing = [name for name in ('depth', 'num_heads') if name not in known]
    if missing:
        raise CheckpointError(f'{source}: vision encoder {model_id!r} is unknown, and its '
                              f'{missing} not given; known are {sorted(ENCODERS)}')
    return known


def llama_config(shapes: Shapes, heads: int, rms_norm_eps: float,
                 rope_theta: float) -> LlamaConfig:
    """Return the decoder; key and value heads follow from k_proj."""
    vocab_size, hidden = shapes.of('llm.embed_tokens.weight', 2)
    keys = shapes.of('llm.layers.0.self_attn.k_proj.weight', 2)[0]
    if heads < 1 or hidden % heads or keys % (hidden // heads):
        raise CheckpointError(
            f'{shapes.source}: {heads} attention heads do not divide a decoder of width {hidden} '
            f'with k_proj of {keys} rows: check num_attention_heads in config.json')
    return LlamaConfig(
        vocab_size, hidden, shapes.of('llm.layers.0.mlp.gate_proj.weight', 2)[0],
        shapes.count('llm.layers'), heads, keys // (hidden // heads), rms_norm_eps, rope_theta)


def projector_widths(shapes: Shapes) -> tuple[int, ...]:
    """Return the widths of the projector's hidden layers."""
    names = [name for name in shapes if re.fullmatch(r'projector\.\d+\.weight', name)]
    if len(names) < 2:
        raise CheckpointError(f'{shapes.source}: the projector has {len(names)} layers, expected '
                              'at least 2')
    return tuple(shapes.of(f'projector.{2 * index}.weight', 2)[0]
                 for index in range(len(names) - 1))


def expect(found, wanted, what: str, source) -> None:
    """
    Raise CheckpointError if config.json denies the tensors.

    wanted: what it says or, where it is silent, what that means; None for nothing.
    """
    if wanted is not None and wanted != found:
        raise CheckpointError(
            f'{source}: {what} is {wanted!r} by config.json or by default, the tensors have '
            f'{found!r}: tensors are missing, or the files belong to different checkpoints')
