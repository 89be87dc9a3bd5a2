# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What trials of the safety gate came to: as text, and as a picture."""

from __future__ import annotations

import io

from .tally import EDGES, MEASURES, Tally

COUNTS = ('inputs', 'commands', 'moving', 'faults', 'needless stops', 'unsafe')


def described(results: dict[str, Tally], seconds: float) -> str:
    """Return a table of what was counted, and the first examples of what is unsafe."""
    lines = [f'{"":14}' + ''.join(f'{name:>16}' for name in COUNTS)]
    for name, tally in results.items():
        lines.append(f'{name:14}' + ''.join(f'{tally.counts[count]:>16,}' for count in COUNTS))
    for name, tally in results.items():
        lines += [f'{name}, {where}: {what}' for where, what in tally.unsafe]
    unsafe = sum(tally.counts['unsafe'] for tally in results.values())
    inputs = sum(tally.counts['inputs'] for tally in results.values())
    return '\n'.join([*lines, f'{unsafe} unsafe commands of {inputs:,} inputs, {seconds:.0f} s'])


def shares_png(results: dict[str, Tally]) -> bytes:
    """Draw how many commands are at which share of their limits; needs matplotlib."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, panels = pyplot.subplots(
        len(results), len(MEASURES), figsize=(3.4 * len(MEASURES), 2.6 * len(results)),
        constrained_layout=True, squeeze=False)
    width = EDGES[1] - EDGES[0]
    for row, (name, tally) in zip(panels, results.items()):
        for axes, measure in zip(row, MEASURES):
            if not tally.shares[measure].any():
                axes.set_axis_off()
                continue
            axes.bar(EDGES[:-1], tally.shares[measure], width, align='edge')
            axes.axvline(1.0, color='red', linewidth=0.8)
            axes.set_yscale('symlog', linthresh=10)
            axes.set_title(f'{name}: {measure}', fontsize=9)
            axes.set_xlabel('of the limit; the last bar: beyond', fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    pyplot.close(figure)
    return buffer.getvalue()
