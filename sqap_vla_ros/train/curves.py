# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Training curves as one picture."""

from __future__ import annotations


def plot_curves(log: list, path) -> None:
    """
    Draw action error (held out, training, blank image) and localisation error to a PNG.

    log: the rows that `sqap-vla train` keeps; path: where the PNG goes.
    """
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    samples = [row['samples'] / 1000 for row in log]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    for name, label in (('train', 'training batch'), ('held_out', 'held-out episodes'),
                        ('blank', 'held-out, blank image')):
        left.plot(samples, [row[name]['action_l1'] for row in log], label=label)
    left.set(xlabel='thousand samples', ylabel='L1 of normalised actions', yscale='log')
    left.legend()
    right.plot(samples, [row['held_out']['pixel_error'] for row in log],
               label='in the image (px)')
    right.plot(samples, [row['held_out']['space_error_m'] * 100 for row in log],
               label='in space (cm)')
    right.set(xlabel='thousand samples', ylabel='held-out error of the points', yscale='log')
    right.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
