# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The panels of the picture: stages of each network, growth curves, roofline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .engine import STAGES

_MARKS = {'fp': 'o', 'w8a8': 's', 'w4a16': '^', 'w4a4': 'D'}


def panels(content: dict) -> list[Callable]:
    """Return a function of matplotlib's axes for everything that was measured."""
    sections, found = content['sections'], []
    for name in content['networks']:
        if 'ms' in sections.get(name, {}):
            found.append(partial(stages, name=name, section=sections[name]))
    for axis, sides in sections.get('growth', {}).get('curves', {}).items():
        found.append(partial(curve, axis=axis, sides=sides))
    if sections.get('layers', {}).get('points'):
        found.append(partial(roofline, points=sections['layers']['points'],
                             card=sections['ceilings']))
    return found


def stages(axes, name: str, section: dict) -> None:
    """Draw a bar a side, made of its stages, with its floor."""
    sides = list(section['ms'])
    left = [0.0] * len(sides)
    for stage in STAGES:
        values = [section['ms'][side][stage]['p50'] for side in sides]
        axes.barh(sides, values, left=left, label=stage)
        left = [before + value for before, value in zip(left, values)]
    floors = [section['floor'][side]['total']['floor_ms'] for side in sides]
    axes.plot(floors, sides, 'k|', markersize=16, label='floor')
    axes.invert_yaxis()
    axes.set(title=name, xlabel='ms (p50)')
    axes.legend(fontsize='x-small')


def curve(axes, axis: str, sides: dict) -> None:
    """Draw milliseconds of the backbone against one size."""
    for side, points in sides.items():
        axes.plot(*zip(*points), marker='o', label=side)
    axes.set(xlabel=axis, ylabel='backbone, ms (p50)', ylim=(0, None))
    axes.legend()


def roofline(axes, points: list, card: dict) -> None:
    """Draw the layers' rates over operations a byte, under the ceilings of this run."""
    intensities = [point['ops_a_byte'] for point in points]
    low, high = min(intensities) / 2, max(intensities) * 2
    for name in ('bf16', 'int8'):
        if name in card:
            knee = card[name] / card['bandwidth']
            axes.plot([low, min(max(knee, low), high), high],
                      [min(card[name], x * card['bandwidth']) / 1e12
                       for x in (low, min(max(knee, low), high), high)], label=f'{name} ceiling')
    for precision, mark in _MARKS.items():
        chosen = [point for point in points if point['precision'] == precision]
        axes.plot([point['ops_a_byte'] for point in chosen],
                  [point['tops'] for point in chosen], mark, label=precision)
    axes.set(xscale='log', yscale='log', xlabel='operations a byte', ylabel='TOP/s',
             title='layers')
    axes.legend(fontsize='x-small')
