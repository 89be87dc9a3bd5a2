# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The networks that are timed, which variants of them, and how much of everything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from sqap_vla_ros.formats.oft import PRUNE_LAYER
from sqap_vla_ros.model.dit import DiffusionHeadConfig
from sqap_vla_ros.model.heads import TokenHeadConfig
from sqap_vla_ros.model.llama import LlamaConfig
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vit import FusedViTConfig, ViTConfig
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.tokens.choice import SelectionConfig

TEXT = 23  # tokens behind BOS: with 256 visual ones and BOS that is a sequence of 280
KEEP = 154  # of the 256 of an image
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
_TINY_VISION = _encoders((42, (32, 1, 2, 64), (32, 1, 2, 64)))

OPENVLA = VLAConfig(_VISION, LlamaConfig(), TokenHeadConfig(), TEXT, 0,
                    projector_widths=(8704, 4096))
COGACT = dataclasses.replace(OPENVLA, llm=LlamaConfig(rms_norm_eps=1e-5),
                             head=DiffusionHeadConfig())
# LIBERO's: the third person's image and the wrist's, a state; BOS, 512, 1, 20, 56 are 590 tokens
OFT = dataclasses.replace(
    OPENVLA, head=OFTHeadConfig(), text_length=20, state_dim=8, state_hidden=4096, images=2,
    attention='full', prune_layer=PRUNE_LAYER)
_TINY_COGACT = VLAConfig(_TINY_VISION, LlamaConfig(32064, 32, 64, 2, 2, 2),
                         DiffusionHeadConfig(2, 7, 32, 1, 2, 64, ddim_steps=1), 3, 0, 1)
_TINY_OFT = dataclasses.replace(
    _TINY_COGACT, head=OFTHeadConfig(2, 3, width=32), images=2, attention='full', state_dim=8,
    state_hidden=32)


@dataclass(frozen=True)
class Variant:
    """
    One side of a comparison.

    precision: of the decoder's blocks.  keep: visual tokens from prune_layer on, None for all.
    vision: precision of the encoders.
    fused: with the decoder's blocks in as few launches as possible.  eager: launched kernel by
    kernel instead of replayed as CUDA graphs.
    """

    name: str
    precision: str = 'fp'
    keep: int | None = None
    vision: str = 'fp'
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


def variants(keep: int = KEEP) -> list[Variant]:
    """Return what is timed in pairs."""
    return [Variant('eager bf16', fused=False, eager=True),
            Variant('unfused bf16', fused=False), Variant(BASELINE),
            Variant('prune only', keep=keep), Variant('w8a8', 'w8a8'), Variant('w4a16', 'w4a16'),
            Variant('w4a4', 'w4a4'), Variant('w4a4t8', 'w4a4t8'), Variant(SQAP, 'w4a4', keep),
            Variant('sqap, 8-bit text', 'w4a4t8', keep),
            Variant('sqap, int8 vision', 'w4a4', keep, 'w8a8')]


@dataclass(frozen=True)
class Plan:
    """
    How much is measured.

    models: by name.  keep: SQAP's budget for an image.  rows: of the kernels, tokens of a full and
    of a pruned prefill, and of decoding.  rounds: most rounds of a comparison.  variants,
    precisions: of networks that are timed, and of golden ones by head.  golden: their sizes, where
    not all.
    """

    models: dict[str, VLAConfig]
    keep: int
    rows: tuple[int, ...]
    rounds: int
    variants: tuple[Variant, ...]
    precisions: dict[str, tuple[str, ...]]
    golden: dict[str, int]

    def variants_of(self, network: str) -> list[Variant]:
        """Return the variants with the budget of a network's images."""
        images = self.models[network].images
        return [dataclasses.replace(variant, keep=variant.keep and images * variant.keep)
                for variant in self.variants]


PRECISIONS = 'fp', 'w4a16', 'w8a8', 'w4a4'
FULL = Plan({'cogact': COGACT, 'openvla': OPENVLA, 'oft': OFT}, KEEP, (280, 178, 1), 50,
            tuple(variants()), {'openvla': PRECISIONS, 'cogact': PRECISIONS}, {})
TINY = Plan({'cogact': _TINY_COGACT, 'oft': _TINY_OFT}, 6, (13,), 1,
            tuple(variant for variant in variants(6) if variant.name in (
                'eager bf16', BASELINE, SQAP)),
            {'cogact': ('w4a4',)}, {'layers': 3, 'patches': 9})
