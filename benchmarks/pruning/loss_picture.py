# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of pruning_loss.py: error by tokens, error by phase, and cases one can look at."""

from __future__ import annotations

import numpy as np

from .candidates import chosen, Moment, READ
from .replies import reply
from .states import clips, PHASES

LINES = ('as shipped', 'random', 'log-size logits', 'pruned a block later',
         'oracle: attention of later blocks', 'oracle: true places', 'follow', 'follow, random')
CASES = 3


def draw(path, told, policy, found, args) -> None:
    """Write one picture; see pruning_loss.py for what is in told, found and args."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(2, CASES, figsize=(13, 8.5))
    _by_tokens(axes[0, 0], told['table'])
    _by_phase(axes[0, 1], told['table'])
    _by_restoring(axes[0, 2], told['oracles'])
    keep, worst = _worst(found)
    for axis in axes[1][len(worst):]:
        axis.axis('off')
    looks = {each[0].seed: each for each in clips(
        args.shards, args.clips, 3, policy.config.action_space.execute_steps,
        policy.model.config.vision.image_size // policy.grid[1])}
    for axis, each in zip(axes[1], worst):
        _case(axis, policy, looks[each['clip']][-1], each['oracles'][str(keep)], keep)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _by_tokens(axis, table) -> None:
    keeps = sorted(table, key=int)
    for name in LINES:
        rows = [table[keep][name] for keep in keeps]
        axis.errorbar([int(keep) for keep in keeps], [row['error'] for row in rows],
                      [row['standard_error'] for row in rows], label=name, marker='o', ms=3)
    axis.set(xlabel='tokens kept', ylabel='error against all tokens', yscale='log',
             ylim=(8e-5, None),
             title='what is done with the others')
    axis.legend(fontsize=7)


def _by_phase(axis, table) -> None:
    keep = min(table, key=int)
    names, places = ('as shipped', 'no ring', 'log-size logits', 'follow'), np.arange(len(PHASES))
    for index, name in enumerate(names):
        values = [table[keep][name]['phases'].get(phase, [0])[0] for phase in PHASES]
        axis.bar(places + 0.2 * index, values, 0.2, label=name)
    axis.set_xticks(places + 0.3, PHASES)
    axis.set(title=f'by phase of the task, {keep} tokens', ylabel='error')
    axis.legend(fontsize=7)


def _by_restoring(axis, oracles) -> None:
    for keep, values in oracles.items():
        axis.plot(range(9), [values['error'], *values['with the best 1 to 8']], marker='o',
                  label=f'{keep} tokens')
    axis.set(title='dropped patches restored, the best alone first',
             xlabel='restored', ylabel='error', ylim=(0, None))
    axis.legend(fontsize=7)


def _worst(found):
    """
    Return the smallest number of tokens, and the clips whose last look has lost most there.

    None and no clips where nothing was restored.
    """
    seen = [each for each in found if 'oracles' in each]
    if not seen:
        return None, []
    keep = min(int(keep) for keep in seen[0]['oracles'])
    seen.sort(key=lambda each: -each['oracles'][str(keep)]['error'])
    return keep, seen[:CASES]


def _case(axis, policy, look, oracle, keep) -> None:
    """Show dropped patches dark, and how much each would help if it were restored."""
    moment = Moment(look, reply(policy, look), ())
    kept = chosen(moment, keep, moment.reply.scores(READ), ring=moment.ring())
    rows, cols = moment.grid
    side, light = len(look.image) // cols, np.full(rows * cols, 0.35)
    light[kept] = 1
    axis.imshow((look.image * np.kron(light.reshape(rows, cols), np.ones((side, side)))[..., None])
                .astype(np.uint8))
    gain = np.maximum(np.array(oracle['gain']), 0)
    for patch in np.argsort(-gain)[:12]:
        row, col = np.divmod(patch, cols)
        axis.scatter((col + 0.5) * side, (row + 0.5) * side, s=900 * gain[patch] / gain.max() / 6,
                     color='yellow', alpha=0.8, linewidths=0)
    for (col, row), colour in zip(look.points, ('red', 'cyan', 'lime')):
        axis.plot((col + 0.5) * side, (row + 0.5) * side, '+', color=colour, ms=12, mew=2)
    axis.set_title(f'{look.instruction}\n{look.phase}, {keep} tokens: error '
                   f'{oracle["error"]:.3f}, best one back {oracle["with the best"]:.3f}',
                   fontsize=8)
    axis.axis('off')
