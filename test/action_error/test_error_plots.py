# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Lines of errors, and the diamonds of what episodes lost beside them."""
from dataclasses import replace

import pytest
from sqap_vla_ros.action_error.plots import figure, HEIGHT, Line, Point
from sqap_vla_ros.action_error.prediction import shipped_fit

ERROR = {'mean': 0.02, 'low': 0.01, 'high': 0.03}
SEEN = {'loss': 4.0, 'low': -1.0, 'high': 9.0}
FIT = replace(shipped_fit(), points=10_000.0)


def drawn(*lines, fit=FIT):
    return figure('Errors', 'tokens', lines, ['all', '64'], fit)


def test_diamonds_of_lines_of_one_colour_differ_as_the_lines_do():
    plain, dashed = (Line(name, 4, (Point(0, ERROR, SEEN),), dash) for name, dash in (
        ('w4a4', ''), ('w4a4-nearest', 'dashed')))
    page = drawn(plain, dashed)
    each, of_legend = 2, 1  # for a screen and for a phone
    assert page.count('class="seen dashed"') == each + of_legend
    assert page.count('class="seen "') == each + of_legend + 1  # and what diamonds are
    assert 'class="line dashed"' in page and 'success lost in episodes' in page


@pytest.mark.parametrize('line, fit', [
    (Line('w4a4', 4, (Point(0, ERROR),)), FIT), (Line('w4a4', 4, (Point(0, ERROR, SEEN),)), None)])
def test_without_episodes_or_a_fit_there_are_no_bars_of_them(line, fit):
    assert 'class="seenbar"' not in drawn(line, fit=fit)


def test_a_diamond_stands_where_its_loss_is_predicted():
    """4 points stand where an error of 0.02 does: at the height of that mark."""
    page = drawn(Line('w4a4', 0, (Point(0, ERROR, SEEN),)))
    height = float(page.split('cy="')[1].split('"')[0])
    x, y = page.split('class="seen " d="M')[1].split('l')[0].split()
    assert float(y) + 5 == pytest.approx(height, abs=0.1) and 0 < height < HEIGHT
    assert float(x) > 0
