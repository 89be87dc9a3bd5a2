# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark found: tables, the content of its JSON file, and growth curves as a PNG."""

from __future__ import annotations

import io
import os
import time

from .sizes import operations, parameters, pruned_share, sequence_length
from .timing import paired_ratio, ROWS
from ..kernels import native_reason
from ..kernels.native import instruction_set
from ..model.vla import VLAConfig
from ..support.machine import machine, versions
from ..support.timing import percentiles

GOALS = {'backbone': 2.56, 'total': 1.93}
_NAME = 28  # characters of a side's name
ALL_ROWS = ', all rows'  # behind the name of a side whose last block computes them


def conditions() -> dict:
    """Return machine, versions, date, load, and what the native kernels run on."""
    return {**machine(), **versions(), 'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
            'load': os.getloadavg()[0], 'native_kernels': native_reason() or instruction_set()}


def describe(config: VLAConfig, vision: str) -> dict:
    """Return a model's sizes, and what the vision encoder's share of the operations is."""
    count = operations(config)
    return {
        'parameters': parameters(config), 'width': config.llm.hidden_size,
        'layers': config.llm.num_layers, 'tokens': sequence_length(config),
        'visual_tokens': config.num_visual, 'images': config.images,
        'prune_layer': config.prune_layer,
        'head': config.head.kind, 'backbone_gflop': count['backbone'] / 1e9,
        'backbone_gflop_all_rows': operations(config, all_rows=True)['backbone'] / 1e9,
        'pruned_share': pruned_share(config), 'pruned_share_all_rows': pruned_share(config, True),
        'vision_share': count['vision'] / count['backbone'], 'vision_precision': vision}


def fastest_plain(times: dict) -> str:
    """Return which side without quantization or selection has the smaller median in all."""
    plain = [side for side in ('float32', 'bfloat16') if side in times]
    return min(plain, key=lambda side: percentiles(times[side]['total'])['p50'])


def compare(times: dict, baseline: str) -> dict:
    """
    Return p50 and p95 by side and row, and every other side's ratios to the baseline.

    few_rows: of the sides that were timed both ways, how many times faster a last block is that
    computes only the rows that are read.
    """
    return {
        'rounds': len(times[baseline]['total']),
        'ms': {side: {row: percentiles(columns[row]) for row in ROWS}
               for side, columns in times.items()},
        'faster_than': baseline,
        'ratio': {side: {row: paired_ratio(times[baseline][row], columns[row])
                         for row in ('vision', *GOALS)}
                  for side, columns in times.items() if side != baseline},
        'few_rows': {side: {row: paired_ratio(times[side + ALL_ROWS][row], times[side][row])
                            for row in GOALS}
                     for side in times if side + ALL_ROWS in times}}


def table(name: str, facts: dict, result: dict) -> str:
    """Return the text of one size."""
    lines = [
        f'{name}: {facts["parameters"] / 1e6:.0f} M parameters, width {facts["width"]}, '
        f'{facts["layers"]} layers, {facts["tokens"]} tokens with {facts["visual_tokens"]} '
        f'visual, head {facts["head"]}; vision {100 * facts["vision_share"]:.0f} % of the '
        f'backbone\'s operations, in {facts["vision_precision"]}; {result["rounds"]} rounds',
        f'backbone: {facts["backbone_gflop"]:.3g} GFLOP, '
        f'{facts["backbone_gflop_all_rows"]:.3g} if '
        'its last block computed all rows; pruned as usual '
        f'{100 * facts["pruned_share"]:.0f} % of that, '
        f'{100 * facts["pruned_share_all_rows"]:.0f} % with all rows',
        f'{"p50/p95 in ms":{_NAME}}' + ''.join(f'{row:>16}' for row in ROWS)]
    for side, rows in result['ms'].items():
        lines.append(f'{side:{_NAME}}' + ''.join(
            f'{rows[row]["p50"]:>9.2f}/{rows[row]["p95"]:<6.2f}' for row in ROWS))
    for side, ratios in result['ratio'].items():
        lines.append(_ratios(side, ratios, result['faster_than']))
    for side, ratios in result['few_rows'].items():
        lines.append(_ratios(side, ratios, f'{side}{ALL_ROWS}'))
    return '\n'.join(lines)


def _ratios(side: str, ratios: dict, faster_than: str) -> str:
    return f'{side:{_NAME}}' + ', '.join(
        f'{row} {r["ratio"]:.2f}x ({r["low"]:.2f}-{r["high"]:.2f})'
        for row, r in ratios.items()) + f' of {faster_than}'


def curves_png(curves: dict) -> bytes:
    """
    Draw milliseconds of the backbone against kept tokens, layers and width.

    curves: {axis: {side: [[x, p50], ...]}}.
    """
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4.5 * len(curves), 3.6),
                                     constrained_layout=True, squeeze=False)
    for axes, (name, sides) in zip(panels[0], curves.items()):
        for side, points in sides.items():
            axes.plot(*zip(*points), marker='o', label=side)
        axes.set(xlabel=name, ylabel='backbone, ms (p50)', ylim=(0, None))
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=110)
    pyplot.close(figure)
    return picture.getvalue()
