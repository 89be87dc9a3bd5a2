# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose which visual tokens the language model keeps: three strategies, one exact budget.

Preservation keeps what the task query attends to most, protection keeps what lies round the
robot, sampling spreads the rest over the image by farthest point sampling. Pure numpy, N is
the number of patches of all images and K the budget.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .farthest import farthest_points, squared_distances, TIES
from ..errors import ConfigError
from ..observation import FILLED, PRESERVED, PROTECTED, SAMPLED, TokenSelection

METHODS = ('sqap', 'random', 'uniform', 'attention')
BUDGETS = ('joint', 'each')
DROPPED = GONE, FOLLOW = 'gone', 'follow'
_FREE = 255  # no reason yet


@dataclass(frozen=True)
class SelectionConfig:
    """
    How many tokens to keep and by which strategies.

    keep: the budget K, exact. preserve_top_k: how many of them preservation may take.
    preserve, protect, sample: switch the strategies of 'sqap' for a study.
    method: 'sqap', or one of the baselines: 'random' (another draw each step), 'uniform'
        (evenly spaced in raster order), 'attention' (the best scores alone).
    seed: of every random draw.
    ties: which of equally far patches sampling takes first: 'index', the lowest one, or 'even',
        in an order that is spread over the image. With more than half of the patches to keep,
        all that are left are equally far, and 'index' takes the top rows of the image.
    budget: of several images, 'joint' (one for all of them, of which none gets less than half of
        an equal share) or 'each' (an equal share, and that of preserve_top_k, for every one).
    dropped: what becomes of the others: they are 'gone' for the blocks behind, or 'follow' the
        kept patch that is nearest: still seen, and changed as it is (model/followers.py).

    Raises ConfigError, when made, for a value out of range.
    """

    keep: int
    preserve_top_k: int = 32
    preserve: bool = True
    protect: bool = True
    sample: bool = True
    method: str = 'sqap'
    seed: int = 0
    ties: str = 'index'
    budget: str = 'joint'
    dropped: str = 'gone'

    def __post_init__(self):
        for name, smallest in (('keep', 1), ('preserve_top_k', 0), ('seed', 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value or value < smallest:
                raise ConfigError(f'{name} must be a whole number >= {smallest}, '
                                  f'found {value!r}')
            object.__setattr__(self, name, int(value))
        if self.method not in METHODS:
            raise ConfigError(f'selection method {self.method!r} is unknown: '
                              f'use one of {METHODS}')
        if self.ties not in TIES:
            raise ConfigError(f'ties {self.ties!r} is unknown: use one of {TIES}')
        if self.budget not in BUDGETS:
            raise ConfigError(f'budget {self.budget!r} is unknown: use one of {BUDGETS}')
        if self.dropped not in DROPPED:
            raise ConfigError(f'dropped {self.dropped!r} is unknown: use one of {DROPPED}')

    @property
    def needs_scores(self):
        """Return whether attention scores have any influence on the selection."""
        return self.method == 'attention' or (self.method == 'sqap' and self.preserve)

    def least(self, images: int) -> int:
        """Return how many tokens each of several images gets of a joint budget, at least."""
        return self.keep // (2 * images) if images > 1 else 0

    def of_each(self, images: int) -> list[tuple[int, SelectionConfig]]:
        """Return the images that get any token of budgets of their own, and how each chooses."""
        shares = [[total // images + (image < total % images) for image in range(images)]
                  for total in (self.keep, self.preserve_top_k)]
        return [(image, replace(self, keep=keep, preserve_top_k=top, budget='joint'))
                for image, (keep, top) in enumerate(zip(*shares)) if keep]


@dataclass(frozen=True)
class _Scene:
    """What is chosen from, see select_tokens; draws: the seeds of random draws."""

    scores: np.ndarray | None
    distance: np.ndarray
    grid: tuple[int, int]
    images: int
    draws: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the number of patches of one image."""
        return self.grid[0] * self.grid[1]

    def image(self, index: int) -> _Scene:
        """Return one image alone."""
        mine = slice(index * self.size, (index + 1) * self.size)
        return _Scene(None if self.scores is None else self.scores[mine], self.distance[mine],
                      self.grid, 1, (*self.draws, index))

    def drawn(self, indices, count):
        """Return so many of indices at random; of several images all, in random order."""
        generator = np.random.default_rng(self.draws)
        if self.images > 1:
            return generator.permutation(indices)
        return generator.choice(indices, count, replace=False, shuffle=False)


def select_tokens(scores, protected_distance, grid, config, step=0, images=1):
    """
    Return the TokenSelection of exactly config.keep tokens.

    scores: float [N], the attention paid to each visual token; None where
        config.needs_scores is False. protected_distance: float [N] in patches, inf where
        nothing is protected (geometry.distances_of_views), or None. grid: (rows, cols) of each
        of `images` images, whose patches are numbered one image behind the other.
    step: makes random draws differ from step to step, and repeatable.

    In 'sqap', protected tokens are the nearest, at most K/2; preservation takes the best scores
    (a token may be both, and then counts as preserved) in the room that leaves, at most
    preserve_top_k; the rest is sampled or filled. Equal scores and distances go to the lower
    index, but for config.ties in sampling. Patches of different images are never near each other.
    Raises ConfigError for a budget above N and
    ValueError for shapes that don't fit the grid or scores that are not finite (the model is
    broken).
    """
    grid = (int(grid[0]), int(grid[1]))
    count = images * grid[0] * grid[1]
    if config.keep > count:
        each = f'{images} images of' if images > 1 else 'a'
        raise ConfigError(f'keep = {config.keep} tokens of {each} {grid[0]} x {grid[1]} '
                          f'{"patches, which have" if images > 1 else "grid, which has"} {count}')
    scene = _Scene(_checked_scores(scores, count, config),
                   _checked_distance(protected_distance, count), grid, images,
                   (config.seed, int(step)))
    if images > 1 and config.budget == 'each':
        reason = np.full((images, scene.size), _FREE, np.uint8)
        for image, alone in config.of_each(images):
            reason[image] = _reasons(scene.image(image), alone)
        reason = reason.reshape(-1)
    else:
        reason = _reasons(scene, config)
    kept = np.flatnonzero(reason != _FREE)
    return TokenSelection(grid, kept, reason[kept], images)


def _reasons(scene, config):
    """Return uint8 [N]: why each token is kept, _FREE for those that are not."""
    count = len(scene.distance)
    reason = np.full(count, _FREE, np.uint8)
    if config.method == 'sqap':
        _select_sqap(reason, scene, config)
    elif config.method == 'attention':
        reason[_in_turn(_order(scene.scores), config.keep, reason, scene, config)] = PRESERVED
    elif config.method == 'uniform':
        reason[(2 * np.arange(config.keep) + 1) * count // (2 * config.keep)] = SAMPLED
    else:
        order = scene.drawn(np.arange(count), config.keep)
        reason[_in_turn(order, config.keep, reason, scene, config)] = FILLED
    return reason


def _select_sqap(reason, scene, config):
    """Write the reasons of the three strategies, then of the fill, into reason [N]."""
    near = np.zeros(0, np.int64)
    if config.protect:
        near = np.argsort(scene.distance, kind='stable')[:config.keep // 2]
        near = near[np.isfinite(scene.distance[near])]
    reason[near] = PROTECTED
    if config.preserve:
        room = config.keep - len(near)  # a small budget must not crowd the robot out
        best = _in_turn(_order(scene.scores), min(config.preserve_top_k, room), reason, scene,
                        config)
        reason[best] = PRESERVED
    taken = np.flatnonzero(reason != _FREE)
    missing = config.keep - len(taken)
    if config.sample:
        if config.keep == len(reason):
            reason[reason == _FREE] = SAMPLED
        else:
            reason[farthest_points(scene.grid, taken, missing, config.ties, scene.images,
                                   config.least(scene.images))] = SAMPLED
    elif missing:
        order = _filling(np.flatnonzero(reason == _FREE), missing, scene, config)
        reason[_in_turn(order, missing, reason, scene, config)] = FILLED


def _in_turn(order, count, reason, scene, config):
    """
    Return the first `count` tokens of an order that leave every image its least number.

    order: int64 [M].  What has a reason is taken already, and costs nothing of the budget.
    """
    if scene.images == 1:
        return order[:count]
    taken, image = reason != _FREE, order // scene.size
    held = np.bincount(np.flatnonzero(taken) // scene.size, minlength=scene.images)
    owed = np.maximum(config.least(scene.images) - held, 0)
    fresh = ~taken[order, None] & (image[:, None] == np.arange(scene.images))  # [M, images]
    is_owed = fresh & (fresh.cumsum(axis=0) <= owed)
    spare = config.keep - held.sum() - owed.sum()
    others = (fresh & ~is_owed).any(axis=1)
    return order[~others | (others.cumsum() <= spare)][:count]


def _filling(free, missing, scene, config):
    """Return the free indices in the order in which they fill the budget without sampling."""
    if config.preserve:
        return free[_order(scene.scores[free])]
    protected = np.flatnonzero(np.isfinite(scene.distance))
    if not config.protect or not len(protected):
        return scene.drawn(free, missing)
    # beyond the protected disks the distance is inf: there, how far the disks are decides, and in
    # an image without any the draw
    beyond = np.full((scene.images, scene.size), np.iinfo(np.int32).max, np.int32)
    last = np.arange(beyond.size)
    for image in range(scene.images):
        inside = protected[protected // scene.size == image] % scene.size
        mine = slice(image * scene.size, (image + 1) * scene.size)
        if len(inside):
            beyond[image] = squared_distances(*scene.grid)[inside].min(axis=0)
        else:
            last[mine] = scene.drawn(last[mine], scene.size)
    return free[np.lexsort((last[free], scene.distance[free], beyond.reshape(-1)[free]))]


def _order(scores):
    """Return all indices, the highest score first; of equal ones the lower index."""
    return np.argsort(-scores, kind='stable')


def _checked_scores(scores, count, config):
    if scores is None:
        if config.needs_scores:
            raise ValueError(f'selection method {config.method!r} needs attention scores')
        return None
    scores = np.asarray(scores, np.float64)
    if scores.shape != (count,):
        raise ValueError(f'expected attention scores [{count}], found {list(scores.shape)}')
    if not np.isfinite(scores).all():
        raise ValueError(f'{np.count_nonzero(~np.isfinite(scores))} of {count} attention scores '
                         'are not finite: the model overflows at this precision')
    return scores


def _checked_distance(distance, count):
    if distance is None:
        return np.full(count, np.inf)
    distance = np.asarray(distance, np.float64)
    if distance.shape != (count,) or np.isnan(distance).any():
        raise ValueError(f'expected protected distances [{count}] without NaN, '
                         f'found {list(distance.shape)}')
    return distance
