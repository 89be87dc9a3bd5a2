# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What success an action error costs: loss in points = c * error^2, fitted to committed episodes.

    sqap-vla collect --out data/held_out --episodes 75 --seed 90000
    sqap-vla error models/libero_goal --samples data/held_out --quantized models/libero_goal_w4 \
        --out runs/error --frames 128 --vision-dtype float32 --keep 154,102,64 --variants \
        w4a8,w4a4,w4a4t8,w4a4-nearest,prune,random-prune,w4a8-prune,w4a4-prune,\
w4a4t8-prune,w4a4-nearest-prune,w4a8-follow
    python benchmarks/error_predicts_loss.py runs/error/error.json

Each row of the success tables that differs from full precision with all tokens is one point: its
paired loss in the table that has most episodes of it, and its error on the frames.  Least squares
weigh a row by the variance of its loss, which the deviation of the formula is a part of.  The
standard error of c draws seeds, episodes of the frames and rows anew together, since all losses
share one baseline and all errors the same frames.  The deviation that is told is what the losses
may differ from the formula beside the noise of episodes, as a share of the loss: the largest that
their residuals do not exclude (chi-squared, one-sided 84 %, "Q-profile").  Rows of `follow`, which
changes what attention sees, are told beside the fit.

It writes benchmarks/results/error_predicts_loss.json and, for the command,
sqap_vla_ros/action_error/loss_fit.json.
"""
import argparse
from dataclasses import asdict
import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
from sqap_vla_ros.action_error.prediction import FIT, Fit
from sqap_vla_ros.evaluate.plan import Row
from sqap_vla_ros.replay.metrics.intervals import student
from sqap_vla_ros.support.files import save_file

RESULTS = Path(__file__).resolve().parent / 'results'
TABLES = ('libero_goal_rows.json', 'libero_goal_dagger.json')
DRAWS, ROUNDS, ONE_SIDED, BASELINE = 4000, 20, 0.84, 'fp'
NOT_FITTED = 'follow'


def main(arguments=None) -> None:
    """Fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('errors', type=Path, help='error.json of `sqap-vla error`')
    args = parser.parse_args(arguments)
    errors = json.loads(args.errors.read_text())
    found = fitted(errors, [json.loads((RESULTS / name).read_text()) for name in TABLES])
    print(text_of(found))
    content = json.dumps(found, indent=1).encode() + b'\n'
    save_file(RESULTS / 'error_predicts_loss.json', content)
    save_file(FIT, json.dumps(found['fit'], indent=1).encode() + b'\n')


def fitted(errors: dict, tables: list[dict]) -> dict:
    """Return all that is written: `fit` (of prediction.Fit) and what it stands on."""
    every = paired_rows(errors, tables)
    rows = [row for row in every if row['method'] != NOT_FITTED]
    losses, deviations, frames = (np.array([row[name] for row in rows])
                                  for name in ('loss', 'noise', 'frames'))
    error = frames.mean(axis=1)
    points, spreads = settled(error, losses, deviations)
    draws = drawn_slopes(rows, spreads, np.array(errors['by_frame']['episode']))
    left_out = [slope(*(np.delete(part, place) for part in (error, losses, spreads)))
                * error[place] ** 2 for place in range(len(rows))]
    told = [_told(row, points) | {'left_out': float(left_out[place])}
            for place, row in enumerate(rows)]
    fit = Fit(errors['checkpoint'], errors['checkpoint_sha256'], float(points),
              float(draws.std()), deviation(points, error, losses, deviations), len(rows) - 1,
              float(error.min()), float(error.max()),
              float(np.abs(np.array(left_out) - losses).mean()), tuple(told),
              tuple(_told(row, points) for row in every if row not in rows))
    inside = [abs(row['left_out'] - row['loss']) <= student(fit.freedom) * np.hypot(
        fit.spread(row['error']), noise) for row, noise in zip(told, deviations)]
    return {'fit': asdict(fit), 'points95': np.percentile(draws, (2.5, 97.5)).tolist(),
            'residuals_chi2': chi2(0.0, points, error, losses, deviations),
            'rank_correlation': rank_correlation(error, losses),
            'left_out_within_95': [int(sum(inside)), len(inside)],
            'frames': errors['frames'], 'episodes_of_frames': errors['episodes'],
            'samples': errors['samples'], 'tables': list(TABLES),
            'machine': errors['machine'], 'versions': errors['versions']}


def _told(row: dict, points: float) -> dict:
    """Return what is written of a row."""
    error = float(row['frames'].mean())
    return {name: row[name] for name in (
        'name', 'precision', 'method', 'tokens', 'weights', 'pairs', 'loss', 'low', 'high')} | {
            'error': error, 'fitted': points * error ** 2}


def paired_rows(errors: dict, tables: list[dict]) -> list[dict]:
    """Return one dict for each row that has both an error and episodes, of the most pairs."""
    rows: dict[str, dict] = {}
    for table in tables:
        if table['checkpoint_sha256'] != errors['checkpoint_sha256']:
            raise SystemExit('the errors and the episodes are of different checkpoints')
        success = {(each['variant'], each['seed']): each['success']
                   for each in table['episodes'] if each['control'] == 'none'}
        for each in table['table']:
            name = each['variant']
            if each['control'] == 'none' and name in errors['by_frame']:
                row = _row(each, success, errors, table['quantized_sha256'])
                if row['weights'] not in (None, errors['quantized_sha256']):
                    raise SystemExit(f'{name}: the errors and the episodes are of different '
                                     'converted weights: give `sqap-vla error` their --quantized')
                if name not in rows or rows[name]['pairs'] < row['pairs']:
                    rows[name] = row
    return list(rows.values())


def _row(each: dict, success: dict, errors: dict, converted: str | None) -> dict:
    name, (variant, _, keep) = each['variant'], each['variant'].partition('@')
    row = Row(variant, int(keep) if keep else None)
    lost = {seed: float(success[BASELINE, seed] - success[name, seed])
            for other, seed in success if other == name}
    difference = each['difference']
    method = NOT_FITTED if row.facts.dropped == NOT_FITTED else row.method
    return {'name': name, 'precision': row.precision, 'method': method,
            'tokens': row.keep or errors['tokens'], 'lost': lost, 'pairs': len(lost),
            'weights': converted if row.takes_converted else None,
            'loss': -100 * difference['value'], 'low': -100 * difference['paired95'][1],
            'high': -100 * difference['paired95'][0],
            # as if one more pair differed: none among few does not say that none ever would
            'noise': 100 * (float(np.var(list(lost.values()))) * len(lost) + 1) ** 0.5 / len(lost),
            'frames': np.array(errors['by_frame'][name])}


def slope(error, losses, deviations) -> float:
    """Return c by least squares, each row weighed by the variance of its loss."""
    squares, weights = np.square(error), 1.0 / np.square(deviations)
    return float((weights * squares * losses).sum() / (weights * squares ** 2).sum())


def drawn_slopes(rows: list[dict], spreads: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """Return c of DRAWS draws of seeds, episodes of frames and rows."""
    rng = np.random.default_rng(0)
    frames = np.array([row['frames'] for row in rows])
    seeds = sorted(set().union(*(row['lost'] for row in rows)))
    lost = np.array([[row['lost'].get(seed, np.nan) for seed in seeds] for row in rows])
    _, of = np.unique(episodes, return_inverse=True)
    found = []
    for _ in range(DRAWS):
        drawn = rng.integers(lost.shape[1], size=lost.shape[1])
        weights = np.bincount(rng.integers(of.max() + 1, size=of.max() + 1),
                              minlength=of.max() + 1)[of]
        chosen = rng.integers(len(rows), size=len(rows))
        error = (frames * weights).sum(axis=1) / weights.sum()
        found.append(slope(error[chosen], 100 * np.nanmean(lost[:, drawn], axis=1)[chosen],
                           spreads[chosen]))
    return np.array(found)


def settled(error, losses, deviations) -> tuple[float, np.ndarray]:
    """
    Return c, and the standard deviation of every loss about c * error^2.

    It holds the noise of episodes and, as a share of the loss, what the residuals show beside it
    (chi-squared at its expectation).
    """
    spreads = np.asarray(deviations)
    for _ in range(ROUNDS):
        points = slope(error, losses, spreads)
        share = share_at(len(losses) - 1, points, error, losses, deviations)
        spreads = np.hypot(deviations, share * points * np.square(error))
    return points, spreads


def chi2(share, points, error, losses, deviations) -> float:
    """Return the sum of squared residuals by their variance with a deviation of this share."""
    expected = points * np.square(error)
    return float((np.square(losses - expected)
                  / (np.square(deviations) + np.square(share * expected))).sum())


def deviation(points, error, losses, deviations) -> float:
    """Return the largest deviation, a share of the loss, that residuals do not exclude."""
    freedom = len(losses) - 1
    z = -NormalDist().inv_cdf(ONE_SIDED)  # Wilson and Hilferty (1931)
    least = freedom * (1 - 2 / (9 * freedom) + z * (2 / (9 * freedom)) ** 0.5) ** 3
    return share_at(least, points, error, losses, deviations)


def share_at(level: float, points, error, losses, deviations) -> float:
    """Return the least deviation, at most 2, with which chi-squared is no more than a level."""
    shares = np.linspace(0.0, 2.0, 2001)
    enough = [share for share in shares
              if chi2(share, points, error, losses, deviations) <= level]
    return float(enough[0]) if enough else float(shares[-1])


def rank_correlation(error, losses) -> float:
    """Return Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(part)) for part in (error, losses)]
    return float(np.corrcoef(*ranks)[0, 1])


def text_of(found: dict) -> str:
    """Return the fit for a terminal."""
    fit, (low, high) = found['fit'], found['points95']
    lines = [f'{"row":20}{"error":>8}{"loss (95 %)":>24}{"fitted":>8}{"left out":>10}']
    for row in fit['rows']:
        seen = f'{row["loss"]:.1f} ({row["low"]:.1f} .. {row["high"]:.1f})'
        lines.append(f'{row["name"]:20}{row["error"]:8.4f}{seen:>24}{row["fitted"]:8.1f}'
                     f'{row["left_out"]:10.1f}')
    for row in fit['beside']:
        seen = f'{row["loss"]:.1f} ({row["low"]:.1f} .. {row["high"]:.1f})'
        lines.append(f'{row["name"]:20}{row["error"]:8.4f}{seen:>24}{row["fitted"]:8.1f}'
                     f'{"not fitted":>12}')
    inside, count = found['left_out_within_95']
    return '\n'.join([
        *lines, f'points lost = {fit["points"]:.0f} ({low:.0f} .. {high:.0f}) x error^2, of '
        f'errors {fit["smallest"]:.4f} .. {fit["largest"]:.4f}',
        f'residuals: chi-squared {found["residuals_chi2"]:.1f} of {fit["freedom"]}; deviation of '
        f'the formula up to {100 * fit["deviation"]:.0f} % of the loss is not excluded',
        f'left out, a row is predicted to {fit["left_out"]:.1f} points on average; {inside} of '
        f'{count} within their 95 %; rank correlation {found["rank_correlation"]:.2f}'])


if __name__ == '__main__':
    main()
