# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to choose which patches are kept, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
from sqap_vla_ros.tokens.farthest import squared_distances

from .replies import Reply
from .states import Look

TOP_K, RING = 32, 2.0
READ, PROMPT, BOTH = 'read by the head', 'prompt', 'prompt to head'


@dataclass(frozen=True)
class Moment:
    """A look with the policy's reply, and those that came before, the last one first."""

    look: Look
    reply: Reply
    before: tuple[Moment, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Return rows and columns of patches."""
        return self.reply.config.vision.grid

    def far(self, point, radius: float = np.inf) -> np.ndarray:
        """Return how far each patch is from a point (column, row), inf beyond a radius."""
        row, col = np.divmod(np.arange(self.grid[0] * self.grid[1]), self.grid[1])
        distance = np.hypot(col - point[0], row - point[1])
        return np.where(distance <= radius, distance, np.inf)

    def ring(self, radius: float = RING, off=(0.0, 0.0)) -> np.ndarray:
        """Return how far each patch is from the end effector, taken to be `off` patches away."""
        return self.far(self.look.points[2] + off, radius)


@dataclass(frozen=True)
class Candidate:
    """
    One row of the table.

    kept(moment, keep): the patches.  treatment: see replies.py.  later: blocks by which pruning
    begins later than the policy says.
    """

    kept: Callable
    treatment: str = 'gone'
    later: int = 0

    def error(self, moment: Moment, keep: int) -> float:
        """Return the error of the rows that are executed."""
        reply = moment.reply
        layer = reply.config.prune_layer + self.later
        kept = self.kept(moment, keep)
        return reply.error(kept, self.treatment, layer)


def chosen(moment: Moment, keep: int, scores=None, top: int = TOP_K, ring=None, **options):
    """Return what SelectionConfig chooses; ring: distances of protected patches."""
    options = {'ties': 'even', 'protect': ring is not None, **options}
    config = SelectionConfig(keep, min(top, keep), **options)
    return select_tokens(scores, ring, moment.grid, config, moment.look.frame).kept


def shipped(rows: str = READ, top: int = TOP_K, ring: float | None = RING, off=(0.0, 0.0),
            earlier: int = 0, **options):
    """Return a choice as shipped but for these; earlier: how many blocks before it is scored."""
    def kept(moment, keep):
        block = moment.reply.config.prune_layer - 1 - earlier
        return chosen(moment, keep, moment.reply.scores(rows, block), top,
                      None if ring is None else moment.ring(ring, off), **options)
    return kept


def of_scores(change: Callable):
    """Return a choice as shipped, by scores that change(moment, scores) gives."""
    def kept(moment, keep):
        scores = moment.reply.scores(READ)
        return chosen(moment, keep, change(moment, scores), ring=moment.ring())
    return kept


def smoothed(moment, scores):
    """Add the scores of the look before."""
    return scores + (moment.before[0].reply.scores(READ) if moment.before else 0)


def held(moment, scores):
    """Give patches that the look before preserved a bonus: a quarter of the score at the edge."""
    if not moment.before:
        return scores
    last = np.argsort(-moment.before[0].reply.scores(READ))[:TOP_K]
    bonus = np.zeros_like(scores)
    bonus[last] = np.sort(scores)[-TOP_K] / 4
    return scores + bonus


def united(moment, scores):
    """Preserve the better half of what the look before preserved, whatever the scores."""
    if moment.before:
        scores = scores.copy()
        scores[np.argsort(-moment.before[0].reply.scores(READ))[:TOP_K // 2]] += 1
    return scores


def blurred(moment, scores):
    """Add half of the four neighbours' scores: what is near an object counts, too."""
    padded = np.pad(scores.reshape(moment.grid), 1, mode='edge')
    return (padded[1:-1, 1:-1] + 0.5 * (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2]
                                        + padded[1:-1, 2:])).reshape(-1)


def by_later_blocks(moment, scores):
    """Look ahead: the attention that later blocks pay if all tokens are there."""
    later = range(moment.reply.config.prune_layer, moment.reply.config.llm.num_layers)
    return np.mean([moment.reply.scores(READ, block) for block in later], axis=0)


def by_truth(moment, scores):
    """Prefer what is near the true places of object, goal and gripper."""
    return -np.min([moment.far(point) for point in moment.look.points], axis=0)


def kept_for_two_looks(moment, keep):
    """Choose in every other look, and keep that set in the next one."""
    is_kept = moment.before and moment.look.step // moment.reply.executed % 2
    return shipped()(moment.before[0] if is_kept else moment, keep)


def kept_before(moment, keep):
    """Keep the set of the look before: what the second of two looks pays for one choice."""
    return shipped()(moment.before[0] if moment.before else moment, keep)


def weighted(power: float):
    """Return a choice whose sampling weights squared distances by scores to a power."""
    def kept(moment, keep):
        scores, squared = moment.reply.scores(READ), squared_distances(*moment.grid)
        taken = np.zeros(len(scores), bool)
        taken[chosen(moment, min(TOP_K, keep), scores, method='attention')] = True
        nearest, weight = squared[taken].min(axis=0).astype(float), (scores / scores.mean())**power
        while taken.sum() < keep:
            index = np.where(taken, -1, nearest * weight).argmax()
            taken[index] = True
            nearest = np.minimum(nearest, squared[index])
        return np.flatnonzero(taken)
    return kept


def without_scores(method: str):
    """Return a choice by a method that needs none."""
    return lambda moment, keep: chosen(moment, keep, method=method)


CANDIDATES = {
    'as shipped': Candidate(shipped()),
    'no ring': Candidate(shipped(ring=None)),
    'ring of 3 patches': Candidate(shipped(ring=3.0)),
    'ring 3 patches off': Candidate(shipped(off=(2.1, 2.1))),
    'ring 3 patches off, grown by as much': Candidate(shipped(ring=5.0, off=(2.1, 2.1))),
    'best scores alone': Candidate(shipped(ring=None, method='attention')),
    **{f'top {top}': Candidate(shipped(top=top)) for top in (16, 48, 64)},
    'scored by the prompt': Candidate(shipped(PROMPT)),
    'scored by prompt and queries': Candidate(shipped(BOTH)),
    'scored in the block before, too': Candidate(of_scores(
        lambda moment, scores: scores + moment.reply.scores(
            READ, moment.reply.config.prune_layer - 2))),
    'ties by index': Candidate(shipped(ties='index')),
    'scores of two looks': Candidate(of_scores(smoothed)),
    'hysteresis': Candidate(of_scores(held)),
    'union with the last set': Candidate(of_scores(united)),
    'the set of the look before': Candidate(kept_before),
    'each set kept for two looks': Candidate(kept_for_two_looks),
    'one token more': Candidate(lambda moment, keep: shipped()(moment, keep + 1)),
    'neighbours of what is looked at': Candidate(of_scores(blurred)),
    'sampling weighted by scores': Candidate(weighted(1.0)),
    'sampling weighted by their roots': Candidate(weighted(0.5)),
    'evenly spaced': Candidate(without_scores('uniform')),
    'random': Candidate(without_scores('random')),
    'pruned a block later': Candidate(shipped(), later=1),
    'log-size logits': Candidate(shipped(), 'log-size'),
    'merged': Candidate(shipped(), 'merged'),
    'oracle: attention of later blocks': Candidate(of_scores(by_later_blocks)),
    'oracle: true places': Candidate(of_scores(by_truth)),
    'follow': Candidate(shipped(), 'follow'),
    'follow, no ring': Candidate(shipped(ring=None), 'follow'),
    'follow, best scores alone': Candidate(shipped(ring=None, method='attention'), 'follow'),
    'follow, evenly spaced': Candidate(without_scores('uniform'), 'follow'),
    'follow, random': Candidate(without_scores('random'), 'follow'),
    'follow, a block earlier': Candidate(shipped(earlier=1), 'follow', -1),
}
