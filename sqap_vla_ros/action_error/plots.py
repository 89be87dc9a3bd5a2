# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Errors as lines, with the loss that they let expect at the right and episodes where there are any.

Pictures are SVG, drawn twice: wide, and narrow for a phone, where letters would be too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .prediction import Fit

WIDTHS = {'screen': 720, 'phone': 350}
HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 56, 48, 22, 44
TICKS = 5
LOSSES = (0, 1, 2, 5, 10, 20, 30, 50, 70)
LOOKS = 7
STYLE = ''.join(
    f'.k{place}{{--k:{light}}}' for place, light in enumerate(
        ('#6b7280', '#8b5cf6', '#009e73', '#0072b2', '#d55e00', '#cc79a7', '#b58900'))) + """
.line{fill:none;stroke:var(--k);stroke-width:2}.line.dashed{stroke-dasharray:6 4}
.line.dotted{stroke-dasharray:2 4}.line.long{stroke-dasharray:14 5}
.bar{stroke:var(--k);stroke-width:1.5}.dot{fill:var(--k)}
.seen{fill:var(--card);stroke:var(--k);stroke-width:2}.seen.dashed{fill:var(--k)}
.seen.dotted,.seen.long{fill:var(--k);fill-opacity:.35}.seenbar{stroke:var(--k);stroke-width:1;
stroke-dasharray:2 2}
.plot text{font:12px system-ui,sans-serif;fill:var(--ink)}.plot .soft{fill:var(--soft)}
.plot{width:100%;height:auto;display:block}.phone{display:none}
@media(max-width:600px){.phone{display:block}.screen{display:none}}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:8px 0 0;padding:0}
.legend svg{width:26px;height:12px;vertical-align:middle;margin-right:6px}
"""


@dataclass(frozen=True)
class Point:
    """
    One variant.

    place: of its category, from 0.  error: values of an Estimate.  seen: dict with the loss that
    episodes had, low and high, points; None without episodes.
    """

    place: int
    error: dict
    seen: dict | None = None


@dataclass(frozen=True)
class Line:
    """
    Variants that belong together.

    look: of its colour and mark, from 0.  dash: '', dashed, dotted or long.
    """

    name: str
    look: int
    points: tuple[Point, ...]
    dash: str = ''


def figure(title: str, axis: str, lines: Sequence[Line], places: Sequence[str],
           fit: Fit | None) -> str:
    """
    Return a card with the picture and its legend.

    axis: what the places are.  fit: gives the axis at the right, None for none.
    """
    lines = [line for line in lines if line.points]
    pictures = ''.join(_Picture(width, lines, places, axis, fit).svg(name, title)
                       for name, width in WIDTHS.items())
    seen = any(_is_seen(line) for line in lines)
    legend = ''.join(f'<li><svg viewBox="0 0 26 12" class="k{line.look % LOOKS}" '
                     f'aria-hidden="true"><path class="line {line.dash}" '
                     f'd="M0 6H26"/>{_mark(line.look, 8, 6)}'
                     f'{_diamond(20, 6, line.dash) if _is_seen(line) else ""}</svg>'
                     f'{escape(line.name)}</li>' for line in lines)
    if seen:
        legend += ('<li><svg viewBox="0 0 26 12" class="k0" aria-hidden="true">'
                   f'{_diamond(13, 6)}</svg>success lost in episodes (right axis, 95 %)</li>')
    return (f'<h2>{escape(title)}</h2><figure class="card">{pictures}'
            f'<ul class="legend">{legend}</ul></figure>')


class _Picture:
    """One drawing of a width, px."""

    def __init__(self, width, lines, places, axis, fit):
        self._width, self._lines, self._places = width, lines, places
        self._axis, self._fit = axis, fit
        self._top = 1.08 * max((self._reach(point) for line in lines for point in line.points),
                               default=1.0) or 1.0

    def _reach(self, point: Point) -> float:
        high = max(value for value in point.error.values() if value is not None)
        return max(high, float(self._fit.error_of(point.seen['high']))) if (
            point.seen and self._fit) else high

    def svg(self, name: str, title: str) -> str:
        text = ''.join([self._grid(), self._losses(), self._categories(),
                        *map(self._line, range(len(self._lines)))])
        return (f'<svg class="plot {name}" viewBox="0 0 {self._width} {HEIGHT}" role="img" '
                f'aria-label="{escape(title)}">{text}</svg>')

    def _y(self, error: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(error / self._top, 0.0), 1.0)

    def _x(self, place: float) -> float:
        room = self._width - LEFT - RIGHT
        return LEFT + room * (place + 0.5) / len(self._places)

    def _grid(self) -> str:
        parts = ['<text class="soft" x="4" y="12">action error</text>']
        for tick in range(TICKS + 1):
            error = self._top * tick / TICKS
            y = self._y(error)
            parts.append(f'<path class="axis" d="M{LEFT} {y:.1f}H{self._width - RIGHT}"/>'
                         f'<text class="soft" x="{LEFT - 6}" y="{y + 4:.1f}" '
                         f'text-anchor="end">{error:.3f}</text>')
        return ''.join(parts)

    def _losses(self) -> str:
        """Return the axis at the right: points of success, as far apart as errors are."""
        if self._fit is None:
            return ''
        x, parts, last = self._width - RIGHT + 6, [], HEIGHT
        parts.append(f'<text class="soft" x="{self._width - 4}" y="12" text-anchor="end">'
                     'predicted loss, points</text>')
        for loss in LOSSES:
            error = float(self._fit.error_of(loss))
            if error <= self._top and last - self._y(error) >= 13:
                last = self._y(error)
                parts.append(f'<path class="axis" d="M{x - 6} {last:.1f}h4"/>'
                             f'<text class="soft" x="{x}" y="{last + 4:.1f}">{loss}</text>')
        return ''.join(parts)

    def _categories(self) -> str:
        labels = ''.join(f'<text x="{self._x(place):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                         f'text-anchor="middle">{escape(name)}</text>'
                         for place, name in enumerate(self._places))
        return labels + (f'<text class="soft" x="{(LEFT + self._width - RIGHT) / 2}" '
                         f'y="{HEIGHT - 6}" text-anchor="middle">{escape(self._axis)}</text>')

    def _line(self, number: int) -> str:
        """Return one line; lines stand a little beside each other, or bars would hide bars."""
        line, count = self._lines[number], len(self._lines)
        room = (self._width - LEFT - RIGHT) / max(1, len(self._places))
        beside = min(9.0, 0.6 * room / max(count, 1)) * (number - (count - 1) / 2)
        points = [(self._x(point.place) + beside, point) for point in line.points]
        path = 'M' + 'L'.join(f'{x:.1f} {self._y(point.error["mean"]):.1f}'
                              for x, point in points)
        marks = ''.join(self._marks(line, x, point) for x, point in points)
        return (f'<g class="k{line.look % LOOKS}"><path class="line {line.dash}" '
                f'd="{path}"/>{marks}</g>')

    def _marks(self, line: Line, x: float, point: Point) -> str:
        error, parts = point.error, []
        if error['low'] is not None:
            parts.append(f'<path class="bar" d="M{x:.1f} {self._y(error["low"]):.1f}'
                         f'V{self._y(error["high"]):.1f}"/>')
        parts.append(_mark(line.look, x, self._y(error['mean'])))
        if point.seen and self._fit:
            low, loss, high = (self._y(float(self._fit.error_of(point.seen[name])))
                               for name in ('low', 'loss', 'high'))
            parts.append(f'<path class="seenbar" d="M{x + 4:.1f} {low:.1f}V{high:.1f}"/>'
                         f'{_diamond(x + 4, loss, line.dash)}')
        return ''.join(parts)


def _mark(look: int, x: float, y: float) -> str:
    """Return a mark whose shape tells lines apart where colours do not."""
    shapes = ('M{0} {1}h8v8h-8z', 'M{2} {1}l5 8h-10z', 'M{0} {3}h8')
    if look % 4 == 0:
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    if look % 4 == 3:
        return f'<path class="dot" d="M{x:.1f} {y + 5:.1f}l-5 -8h10z"/>'
    shape = shapes[look % 4 - 1].format(f'{x - 4:.1f}', f'{y - 4:.1f}', f'{x:.1f}', f'{y:.1f}')
    return f'<path class="dot" d="{shape}"/>'


def _is_seen(line: Line) -> bool:
    return any(point.seen for point in line.points)


def _diamond(x: float, y: float, dash: str = '') -> str:
    """Return the mark of episodes, filled where the line is not drawn through."""
    return f'<path class="seen {dash}" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>'
