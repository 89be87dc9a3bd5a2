# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose which visual tokens the language model keeps: three strategies, one exact budget.

Preservation keeps what the task query attends to most, protection keeps what lies round the
robot, sampling spreads the rest over the image by farthest point sampling. Pure numpy, N is
the number of patches and K the budget.
"""
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import ConfigError
from ..observation import FILLED, PRESERVED, PROTECTED, SAMPLED, TokenSelection

METHODS = ('sqap', 'random', 'uniform', 'attention')
TIES = ('index', 'even')
BUDGETS = ('joint', 'each')
_FREE = 255  # no reason yet


@dataclass(frozen=True)
class SelectionConfig:
    """
    How many tokens to keep and by which strategies.

    keep: the budget K, exact. preserve_top_k: how many of them preservation may take.
    preserve, protect, sample: switch the strategies of 'sqap' for a study.
    method: 'sqap', or one of the baselines: 'random' (another draw each step), 'uniform'
        (evenly spaced in raster order), 'attention' (the best scores alone).
    budget: of several images, 'joint' (one budget for all) or 'each' (the same for each).
    seed: of every random draw.
    ties: which of equally far patches sampling takes first: 'index', the lowest one, or 'even',
        in an order that is spread over the image. With more than half of the patches to keep,
        all that are left are equally far, and 'index' takes the top rows of the image.

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

    @property
    def needs_scores(self):
        """Return whether attention scores have any influence on the selection."""
        return self.method == 'attention' or (self.method == 'sqap' and self.preserve)


def select_tokens(scores, protected_distance, grid, config, step=0):
    """
    Return the TokenSelection of exactly config.keep tokens.

    scores: float [N], the attention paid to each visual token; None where
        config.needs_scores is False. protected_distance: float [N] in patches, inf where
        nothing is protected (geometry.protected_distances), or None. grid: (rows, cols).
    step: makes random draws differ from step to step, and repeatable.

    In 'sqap', protected tokens are the nearest, at most K/2; preservation takes the best scores
    (a token may be both, and then counts as preserved) in the room that leaves, at most
    preserve_top_k; the rest is sampled or filled. Equal scores and distances go to the lower
    index, but for config.ties in sampling. Raises ConfigError for a budget above N and
    ValueError for shapes that don't fit the grid or scores that are not finite (the model is
    broken).
    """
    grid = (int(grid[0]), int(grid[1]))
    count = grid[0] * grid[1]
    if config.keep > count:
        raise ConfigError(f'keep = {config.keep} tokens of a {grid[0]} x {grid[1]} grid, '
                          f'which has {count}')
    scores = _checked_scores(scores, count, config)
    distance = _checked_distance(protected_distance, count)
    reason = np.full(count, _FREE, np.uint8)
    if config.method == 'sqap':
        _select_sqap(reason, scores, distance, grid, config, step)
    elif config.method == 'attention':
        reason[_best(scores, config.keep)] = PRESERVED
    elif config.method == 'uniform':
        reason[(2 * np.arange(config.keep) + 1) * count // (2 * config.keep)] = SAMPLED
    else:
        reason[_draw(config, step, np.arange(count), config.keep)] = FILLED
    kept = np.flatnonzero(reason != _FREE)
    return TokenSelection(grid, kept, reason[kept])


def farthest_points(grid, start, count, ties='index'):
    """
    Return int64 [count]: patches added one by one, each the farthest from all before it.

    start: indices [S] that are there already and are not returned; when empty the centre
    patch comes first. Distances are between patch centres, in patches; ties: one of TIES, see
    SelectionConfig. Raises ValueError when the grid has fewer free patches.
    """
    start = np.asarray(start, np.int64)
    keys = _distance_keys(*grid, ties)
    total = len(keys)
    if count > total - len(np.unique(start)):
        raise ValueError(f'{count} more patches than the grid {grid} has free')
    chosen = np.empty(count, np.int64)
    if len(start):
        nearest, first = np.min([keys[index] for index in start], axis=0), 0
    elif count:
        chosen[0] = (grid[0] - 1) // 2 * grid[1] + (grid[1] - 1) // 2
        nearest, first = keys[chosen[0]].copy(), 1
    else:
        return chosen
    for place in range(first, count):
        index = nearest.argmax()  # taken patches are below `total`
        if nearest[index] < 2 * total:  # free patches all touch a taken one: no more distances
            chosen[place:] = np.argsort(-nearest)[:count - place]
            break
        chosen[place] = index
        np.minimum(nearest, keys[index], out=nearest)
    return chosen


def _select_sqap(reason, scores, distance, grid, config, step):
    """Write the reasons of the three strategies, then of the fill, into reason [N]."""
    near = np.zeros(0, np.int64)
    if config.protect:
        near = np.argsort(distance, kind='stable')[:config.keep // 2]
        near = near[np.isfinite(distance[near])]
    if config.preserve:
        room = config.keep - len(near)  # a small budget must not crowd the robot out
        reason[_best(scores, min(config.preserve_top_k, room))] = PRESERVED
    reason[near[reason[near] == _FREE]] = PROTECTED
    taken = np.flatnonzero(reason != _FREE)
    missing = config.keep - len(taken)
    if config.sample:
        if config.keep == len(reason):
            reason[reason == _FREE] = SAMPLED
        else:
            reason[farthest_points(grid, taken, missing, config.ties)] = SAMPLED
    elif missing:
        free = np.flatnonzero(reason == _FREE)
        reason[_fill(free, missing, scores, distance, grid, config, step)] = FILLED


def _fill(free, missing, scores, distance, grid, config, step):
    """Return which of the free indices fill the budget when sampling is off."""
    if config.preserve:
        return free[_best(scores[free], missing)]
    protected = np.flatnonzero(np.isfinite(distance))
    if not config.protect or not len(protected):
        return _draw(config, step, free, missing)
    # beyond the protected disks the distance is inf: there, how far the disks are decides
    beyond = _squared_distances(*grid)[protected].min(axis=0)
    order = np.lexsort((free, distance[free], beyond[free]))
    return free[order[:missing]]


def _best(scores, count):
    """Return the indices of the highest scores; of equal ones the lower index."""
    return np.argsort(-scores, kind='stable')[:count]


def _draw(config, step, indices, count):
    generator = np.random.default_rng((config.seed, int(step)))
    return generator.choice(indices, count, replace=False, shuffle=False)


@lru_cache(maxsize=8)
def _squared_distances(rows, cols):
    """Return the squared distances [N, N] between patches; integers, so that ties are exact."""
    row, col = np.divmod(np.arange(rows * cols), cols)
    squared = (row[:, None] - row) ** 2 + (col[:, None] - col) ** 2
    squared = squared.astype(np.int16 if squared.max() < 2 ** 15 else np.int32)
    squared.flags.writeable = False
    return squared


def tie_order(rows, cols, ties):
    """
    Return int64 [N], a permutation: of equally far patches, the highest comes first.

    'even' is the order of a dither matrix (Bayer 1973): each next patch is far from those before.
    """
    index = np.arange(rows * cols)
    if ties == 'index':
        return index[::-1].copy()
    row, col = np.divmod(index, cols)
    rank = np.zeros(len(index), np.int64)
    for bit in range(int(max(rows, cols) - 1).bit_length()):
        rank = 4 * rank + 2 * (((row ^ col) >> bit) & 1) + ((row >> bit) & 1)
    return np.argsort(np.argsort(-rank, kind='stable'), kind='stable')


@lru_cache(maxsize=8)
def _distance_keys(rows, cols, ties):
    """Return N rows [N]: squared distance times N plus tie_order; a tuple is indexed fast."""
    total = rows * cols
    keys = _squared_distances(rows, cols).astype(np.int64) * total + tie_order(rows, cols, ties)
    keys = keys.astype(np.int32 if keys.max() < 2 ** 31 else np.int64)
    keys.flags.writeable = False
    return tuple(keys)


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
