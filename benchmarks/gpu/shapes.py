# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks that are timed, which variants of them, and how much of everything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.vit import FusedViTConfig, ViTConfig
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.tokens.choice import SelectionConfig

TEXT = 23  # tokens behind BOS: with 256 visual ones and BOS that is a sequence of 280
KEEP = 154
BASELINE, SQAP = 'bf16', 'sqap'


def _encoders(sizes) -> FusedViTConfig:
    """Return both encoders of (image side, dino, siglip), each (width, depth, heads, inner)."""
    side, dino, siglip = sizes
    plain = {'image_size': side, 'final_norm': False}
    fields = ('width', 'depth', 'heads', 'mlp_width')
    return FusedViTConfig(
        ViTConfig(**plain, **dict(zip(fields, dino)), class_token=True, registers=4,
                  layer_scale=True),
        ViTConfig(**plain, **dict(zip(fields, siglip))))


# the last block of each encoder is in the checkpoints and not used
_VISION = _encoders((224, (1024, 23, 16, 4096), (1152, 26, 16, 4304)))
THIN_VISION = _encoders((224, (1024, 1, 16, 4096), (1152, 1, 16, 4304)))  # true widths
SMALL_VISION = _encoders((224, (32, 1, 2, 64), (32, 1, 2, 64)))  # as many patches, no work
_TINY_VISION = _encoders((42, (32, 1, 2, 64), (32, 1, 2, 64)))

OPENVLA = VLAConfig(_VISION, LlamaConfig(), TokenHeadConfig(), TEXT, 0,
                    projector_widths=(8704, 4096))
COGACT = dataclasses.replace(OPENVLA, llm=LlamaConfig(rms_norm_eps=1e-5),
                             head=DiffusionHeadConfig())
_TINY_OPENVLA = VLAConfig(_TINY_VISION, LlamaConfig(320, 16, 32, 2, 1, 1),
                          TokenHeadConfig(2, 64, 320), 3, 0, 1)
_TINY_COGACT = dataclasses.replace(
    _TINY_OPENVLA, llm=LlamaConfig(32064, 32, 64, 2, 2, 2),
    head=DiffusionHeadConfig(2, 7, 32, 1, 2, 64, ddim_steps=1))


@dataclass(frozen=True)
class Variant:
    """
    One side of a comparison.

    precision: of the decoder's blocks.  keep: visual tokens from prune_layer on, None for all.
    vision: precision of the encoders.  prune_layer, ddim_steps: None takes the network's own.
    fused: with the decoder's blocks in as few launches as possible.  eager: launched kernel by
    kernel instead of replayed as CUDA graphs.
    """

    name: str
    precision: str = 'fp'
    keep: int | None = None
    vision: str = 'fp'
    prune_layer: int | None = None
    ddim_steps: int | None = None
    fused: bool = True
    eager: bool = False

    @property
    def model_key(self) -> tuple[str, str, bool]:
        """Return what its network depends on: variants with the same share it."""
        return self.precision, self.vision, self.fused

    @property
    def selection(self) -> SelectionConfig | None:
        """Return how visual tokens are chosen."""
        return None if self.keep is None else SelectionConfig(
            self.keep, preserve_top_k=min(32, self.keep // 2), ties='even')

    def applied(self, config: VLAConfig) -> VLAConfig:
        """Return the network's configuration with what this variant changes."""
        if self.prune_layer is not None:
            config = dataclasses.replace(config, prune_layer=self.prune_layer)
        if self.ddim_steps is not None:
            config = dataclasses.replace(
                config, head=dataclasses.replace(config.head, ddim_steps=self.ddim_steps))
        return config


def variants(keep: int = KEEP) -> list[Variant]:
    """Return what is timed in pairs."""
    return [Variant('eager bf16', fused=False, eager=True),
            Variant('unfused bf16', fused=False), Variant(BASELINE),
            Variant('prune only', keep=keep), Variant('w8a8', 'w8a8'), Variant('w4a16', 'w4a16'),
            Variant('w4a4', 'w4a4'), Variant(SQAP, 'w4a4', keep)]


def options(keep: int = KEEP) -> list[Variant]:
    """Return SQAP, and what would move the floor: each alone, and all together."""
    return [Variant(SQAP, 'w4a4', keep),
            Variant('prune from layer 1', 'w4a4', keep, prune_layer=1),
            Variant('int8 vision', 'w4a4', keep, vision='w8a8'),
            Variant('5 diffusion steps', 'w4a4', keep, ddim_steps=5),
            Variant('all three', 'w4a4', keep, 'w8a8', 1, 5)]


@dataclass(frozen=True)
class Plan:
    """
    How much is measured.

    models: by name.  keep: SQAP's budget; kept, texts, batches: axes of the growth curves.
    rows: of the kernels, tokens of a full and of a pruned prefill, and of decoding.
    side: of the square products that give the ceilings; copy_bytes: of the copy that does.
    rounds: most rounds of a comparison.  ragged: shapes (rows, inputs, outputs) that the checks
    try besides those of the networks.
    """

    models: dict[str, VLAConfig]
    keep: int = KEEP
    kept: tuple[int, ...] = (64, 102, 128, 154, 205, 256)
    texts: tuple[int, ...] = (8, 16, 32, 64, 128)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    rows: tuple[int, ...] = (280, 178, 1)
    side: int = 8192
    copy_bytes: int = 2 ** 31
    rounds: int = 50
    ragged: tuple[tuple[int, int, int], ...] = (
        (150, 4096, 4096), (277, 1152, 100), (65, 96, 48), (3, 4096, 4096), (1, 1408, 33))


FULL = Plan({'cogact': COGACT, 'openvla': OPENVLA})
TINY = Plan({'cogact': _TINY_COGACT, 'openvla': _TINY_OPENVLA}, 6, (6,), (2,), (2,),
            (13,), 64, 2 ** 16, 1, ((12, 96, 33),))
