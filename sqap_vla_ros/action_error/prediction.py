# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The loss of success that an action error lets expect: a prediction, never success itself.

    loss in points = c * error^2

What c is was fitted by benchmarks/error_predicts_loss.py to episodes of the bundled policy, and is
in loss_fit.json beside this file.  The interval of a prediction holds what is not
known of c, of the error and, as `deviation`, how far the formula was from what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import json
from pathlib import Path

import numpy as np

from .resampling import Resampling
from ..replay.metrics.intervals import student

FIT = Path(__file__).with_name('loss_fit.json')
MOST_POINTS = 100.0
NEVER_SUCCESS = ('The predicted loss is a guess from the error, not success: only episodes show '
                 'that.')
EARLIER = ('The first bundled policy, which had not learnt from its own mistakes, lost 35 000 '
           'points x error^2.')
FAILS = ('It can fail for methods that change what attention does: of raising the logits of kept '
         'tokens by how many they stand for it said, of the first policy at 64 tokens, 30 points '
         'gained where 65 pairs of episodes had 6; of the present one 6, and 100 pairs had 9.')


@dataclass(frozen=True)
class Fit:
    """
    What was fitted.

    policy: its name; digest: of the checkpoint, as `sqap-vla eval` writes it.  points: c, with
    its standard error points_error.  deviation: of losses from the formula, beside the noise of
    episodes, as a share of the loss.  freedom: rows less one.  smallest, largest: of the errors
    that were fitted.  left_out: mean absolute error of predicting each row from the others,
    points.  rows: each a dict with name, precision, method, tokens, error, weights (digest of the
    converted checkpoint, None for the policy's own, rounded when loaded), and the loss in points
    with low and high of its paired 95 % interval, of so many `pairs`.  beside: such rows that
    were not fitted, since dropped tokens follow in them (their method).
    """

    policy: str
    digest: str
    points: float
    points_error: float
    deviation: float
    freedom: int
    smallest: float
    largest: float
    left_out: float
    rows: tuple[dict, ...] = ()
    beside: tuple[dict, ...] = ()

    def loss(self, error):
        """Return the predicted loss in points, at most all of it."""
        return np.minimum(self.points * np.square(error), MOST_POINTS)

    def spread(self, error) -> float:
        """Return the standard deviation of what comes beside the formula, points."""
        return float(np.square(error)
                     * np.hypot(self.points_error, self.deviation * self.points))

    def error_of(self, loss):
        """Return the error for which a loss is predicted, 0 for none or less."""
        return np.sqrt(np.maximum(loss, 0.0) / self.points)


@lru_cache(maxsize=1)
def shipped_fit() -> Fit:
    """Return what was fitted to the bundled policy."""
    content = json.loads(FIT.read_text(encoding='utf-8'))
    return Fit(**{**content, **{name: tuple(content[name]) for name in ('rows', 'beside')}})


@dataclass(frozen=True)
class Prediction:
    """A Fit, and whether it is of the policy that is asked; `words` say what holds for all."""

    fit: Fit
    is_own: bool

    def of(self, error: np.ndarray, resampling: Resampling) -> dict:
        """
        Return the predicted loss of a row, points.

        error: of each frame, float64 [n].  Keys: loss, low and high of the 95 % interval (None
        with too few episodes to know the error's), beyond and below: whether the error is larger,
        or smaller, than any that was fitted.
        """
        mean, fit = float(np.mean(error)), self.fit
        found = {'loss': float(fit.loss(mean)), 'low': None, 'high': None,
                 'beyond': mean > fit.largest, 'below': mean < fit.smallest}
        if resampling.is_enough:
            spread = np.hypot(fit.spread(mean), np.std(fit.loss(resampling.means(error))))
            half = student(fit.freedom) * spread
            found |= {'low': max(0.0, found['loss'] - half),
                      'high': min(MOST_POINTS, found['loss'] + half)}
        return found

    @property
    def words(self) -> list[str]:
        """Return what a reader of predictions has to know."""
        fit = self.fit
        of = (f'Fitted to {len(fit.rows)} rows of episodes of the policy {fit.policy} (checkpoint '
              f'{fit.digest[:12]}), errors of {fit.smallest:.4f} to {fit.largest:.4f}: '
              f'{fit.points:.0f} points x error^2; a row that was left out was predicted to '
              f'{fit.left_out:.1f} points.')
        guess = ('This is that policy.' if self.is_own else
                 'This is another one, for which it is no more than a guess: how much error a '
                 f'task forgives is its own. {EARLIER}')
        return [NEVER_SUCCESS, of, guess, FAILS]
