# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the loss of pruning goes with, and which dropped patch was missed most."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from .candidates import chosen, Moment, READ

NEAR = 1.5  # patches round a point that count as its object
FACTS = ('patches dropped round the object', 'patches dropped round the place',
         'patches dropped round the gripper', 'attention in the scoring block that is dropped',
         'attention in later blocks that is dropped', 'patches that changed since the last look',
         'distance of the gripper from the object')


def facts(moment: Moment, kept, before) -> list[float]:
    """
    Return the values of FACTS for a choice.

    before: what was kept in the look before, None in the first.  Attention is that of the rows
    that the head reads, if all tokens are there: the share of their attention to patches.
    """
    dropped = np.ones(len(moment.far((0, 0))), bool)
    dropped[kept] = False
    reply, points = moment.reply, moment.look.points
    near = [float(dropped[moment.far(point) < NEAR].sum()) for point in points]

    def missed(blocks):
        scores = np.mean([reply.scores(READ, block) for block in blocks], axis=0)
        return float(scores[dropped].sum() / scores.sum())
    first, last = reply.config.prune_layer, reply.config.llm.num_layers
    changed = np.nan if before is None else float(len(np.setdiff1d(kept, before)))
    return [*near, missed([first - 1]), missed(range(first, last)), changed,
            float(np.hypot(*(points[0] - points[2])))]


def recall(moment: Moment, candidate, keep: int) -> float:
    """Return the share of the patches truly round the gripper that is kept, NaN without any."""
    there = np.flatnonzero(np.isfinite(moment.ring()))
    return float(np.isin(there, candidate.kept(moment, keep)).mean()) if len(there) else np.nan


def correlations(values, errors, clips, rounds: int = 500) -> dict[str, list[float]]:
    """
    Return by fact the rank correlation with the error, and its 95 % interval over clips.

    values [n, FACTS]; errors [n]; clips [n]: which belong together.
    """
    generator, found = np.random.default_rng(0), {}
    names, values = np.unique(clips), np.asarray(values)
    members = [np.flatnonzero(clips == name) for name in names]
    draws = [np.concatenate([members[index] for index in
                             generator.integers(len(names), size=len(names))])
             for _ in range(rounds)]
    for place, name in enumerate(FACTS):
        known = np.isfinite(values[:, place])
        each = [spearmanr(values[draw[known[draw]], place],
                          errors[draw[known[draw]]]).statistic for draw in draws]
        middle = spearmanr(values[known, place], errors[known]).statistic
        found[name] = [float(middle), *np.percentile(each, [2.5, 97.5]).tolist()]
    return found


def restored(moment: Moment, keep: int) -> dict:
    """
    Restore each dropped patch alone, and the best ones one after the other while it helps.

    Returns the error as shipped, that with the best one restored, that with so many of the best
    (by themselves) exchanged for the least missed kept ones; `best` [column, row], its rank by
    score, and how far it is from the nearest kept one and from the nearest of object, place and
    gripper; gain [N]: by how much each patch restored lowers the error, 0 for kept ones.
    """
    reply, scores = moment.reply, moment.reply.scores(READ)
    kept = chosen(moment, keep, scores, ring=moment.ring())
    begun, gain = reply.error(kept), np.zeros(len(scores))
    for patch in np.setdiff1d(np.arange(len(scores)), kept):
        gain[patch] = begun - reply.error(np.sort(np.append(kept, patch)))
    best = int(gain.argmax())
    place = np.array(np.divmod(best, moment.grid[1])[::-1])
    more, together = kept, []
    for patch in np.argsort(-gain, kind='stable')[:8]:
        more = np.sort(np.append(more, patch))
        together.append(reply.error(more))
    rows, cols = np.divmod(kept, moment.grid[1])
    return {'error': begun, 'with the best': begun - float(gain[best]),
            'with the best 1 to 8': together, 'best': place.tolist(),
            'rank by score': int((scores > scores[best]).sum()) + 1,
            'to a kept one': float(np.hypot(cols - place[0], rows - place[1]).min()),
            'to a point': float(np.hypot(*(moment.look.points - place).T).min()),
            'gain': gain.tolist()}


def missed(moment: Moment) -> np.ndarray:
    """Return by how much the answer changes without each patch alone, float [N]."""
    everything = np.arange(len(moment.far((0, 0))))
    return np.array([moment.reply.error(np.delete(everything, patch)) for patch in everything])
