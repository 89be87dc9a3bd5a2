# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A task for a policy with two cameras, drawn as it is needed: reach for the disc of a colour.

The first camera shows discs of all colours on a table and, at a place that the state tells, the
hand.  The second, on the hand, shows the disc that is asked for among others, elsewhere.  The
chunk goes from the hand to the disc in equal parts, and turns to where the second camera sees it:
neither image alone tells it, and the words say which disc is meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SIDE, PATCH, CHUNK, COLOURS = 48, 8, 4, 4
PALETTE = np.array([(220, 40, 40), (40, 180, 60), (50, 80, 230), (230, 200, 40)], np.float32)
BOS, REACH, FIRST_COLOUR, LAST, STOP = 1, 3, 4, 8, 2
VOCABULARY, TEST_SEED = 9, 10**6


@dataclass(frozen=True)
class Batch:
    """
    Scenes with what is to be done in them.

    pixels [B, 6, SIDE, SIDE], ids [B, 5], state [B, 2] and actions [B, CHUNK, 3] in -1..1; asked
    [B, 2 * N]: 1 for patches of the disc that is asked for, of which training is told, too.
    """

    pixels: torch.Tensor
    ids: torch.Tensor
    state: torch.Tensor
    actions: torch.Tensor
    asked: torch.Tensor


def batch(count: int, generator: np.random.Generator) -> Batch:
    """Draw so many scenes."""
    asked = generator.integers(0, COLOURS, count)
    places = _apart(count, COLOURS + 1, generator)  # of the discs, then of the hand
    hand, one = places[:, -1], np.arange(count)
    full = _table(count, generator)
    for colour in range(COLOURS):
        _disc(full, places[:, colour], 4.5, np.tile(PALETTE[colour], (count, 1)))
    _cross(full, hand)
    wrist, there = _seen_from_the_hand(asked, generator)
    way = (places[one, asked] - hand) / 2
    steps = (np.arange(CHUNK) + 1) / CHUNK
    actions = np.concatenate([way[:, None] * steps[:, None], np.broadcast_to(
        there[:, :1, None], (count, CHUNK, 1))], axis=2)
    ids = np.tile([BOS, REACH, 0, LAST, STOP], (count, 1))
    ids[:, 2] = FIRST_COLOUR + asked
    pixels = np.moveaxis(np.concatenate([full, wrist], axis=3), 3, 1) / 127.5 - 1
    covered = np.concatenate([_covered(places[one, asked], 4.5), _covered(there, 6.5)], axis=1)
    return Batch(torch.from_numpy(np.ascontiguousarray(pixels, np.float32)),
                 torch.from_numpy(ids),
                 *(torch.from_numpy(part.astype(np.float32)) for part in (hand, actions, covered)))


def _covered(places, radius: float):
    """Return bool [B, N]: the patches of whose centre a disc at places [B, 2] is not far."""
    right, down = _offsets(places)
    far = np.hypot(right, down)[:, PATCH // 2::PATCH, PATCH // 2::PATCH]
    return (far < radius + 2).reshape(len(places), -1)


def _seen_from_the_hand(asked, generator):
    """Return images [B, SIDE, SIDE, 3] and where the disc that is asked for is in them [B, 2]."""
    count = len(asked)
    image, places = _table(count, generator), _apart(count, 3, generator)
    for index in range(3):
        _disc(image, places[:, index], 6.5, PALETTE[(asked + index) % COLOURS])
    return image, places[:, 0]


def _apart(count: int, points: int, generator):
    """Return places [B, points, 2] (u, v) in -0.85..0.85, no two of a scene in one cell of 3."""
    cells = np.stack([generator.permutation(9)[:points] for _ in range(count)])
    corner = np.stack([cells % 3, cells // 3], axis=-1)
    return (corner + generator.uniform(0.2, 0.8, (count, points, 2))) / 1.5 * 0.85 - 0.85


def _table(count: int, generator):
    """Return images of a table with a grain, float32 [B, SIDE, SIDE, 3] in 0..255."""
    coarse = generator.uniform(90, 160, (count, 6, 6, 1)).repeat(8, 1).repeat(8, 2)
    return (coarse + generator.normal(0, 10, (count, SIDE, SIDE, 3))).astype(np.float32)


def _offsets(places):
    """Return (right, down) [B, SIDE, SIDE] of each pixel from places [B, 2], in pixels."""
    centre = (places + 1) / 2 * SIDE - 0.5
    line = np.arange(SIDE)
    return (line[None, None, :] - centre[:, 0, None, None],
            line[None, :, None] - centre[:, 1, None, None])


def _disc(image, places, radius: float, colours) -> None:
    right, down = _offsets(places)
    inside = right ** 2 + down ** 2 <= radius ** 2
    image[:] = np.where(inside[..., None], colours[:, None, None, :], image)


def _cross(image, places) -> None:
    right, down = map(np.abs, _offsets(places))
    inside = (np.minimum(right, down) <= 1) & (np.maximum(right, down) <= 6)
    image[inside] = 250
