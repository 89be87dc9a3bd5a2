# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The page of what the node costs says what its result says, and what was not measured."""
import json

from node_cost import compared, PAGE, parsed, RESULTS
import pytest
from rig.node_cost_page import figures, UNMEASURED, with_figures

MACHINE = {'processor': 'CPU', 'cores': 2, 'date': '2026-11-29T00:00:00', 'load_average_before':
           0.1, 'load_average_after': 1.5}
EXECUTOR = {name: {'executor': share, 'dds': 0.01, 'answers_hz': 20.0, 'joints_hz': 1000.0,
                   'tf_hz': 500.0, 'images_hz': 30.0}
            for name, share in (('nothing', 0.05), ('joints', 0.08), ('tf', 0.09),
                                ('images', 0.2), ('all', 0.3))}


def test_the_page_is_what_its_result_says():
    page = PAGE.read_text()
    assert with_figures(page, json.loads(RESULTS.read_text())) == page


def test_all_figures_of_a_whole_run_stand_on_the_page():
    gil = {name: {'n': 90, 'p50_ms': 100.0 + index, 'p95_ms': 120.0}
           for index, name in enumerate(('nobody', 'elsewhere', 'node'))}
    gil |= compared({'nobody': [[100.0]], 'elsewhere': [[100.0], [100.0]],
                     'node': [[104.0], [108.0]]})
    memory = {'rss_mib': [300.0, 301.0], 'threads': [4, 4], 'files': [9, 9],
              'mib_a_cycle': {'slope': 0.5, 'low': 0.25, 'high': 0.75}}
    text = figures({'command': 'node_cost.py', 'machine': MACHINE, 'limits': {'gil_percent': 10},
                    'executor': EXECUTOR, 'gil': gil, 'memory': memory})
    for figure in (
            '| images, 30 Hz, and both streams | 1000, 500, 30 | 30.0% | 1.0% | 20.0 |',
            'streams add 10.0% of a core', 'they add 7.0% together', 'the node | 102.0 ms',
            'p50 +6.0 % (pairs: +4.0 to +8.0)', '301 MiB', '+0.50 MiB a cycle (95 %: +0.25 to',
            'files stay as many', 'load average 0.1 before and 1.5 after'):
        assert figure in text
    assert UNMEASURED not in text


def test_what_was_not_measured_is_said_and_a_page_without_a_place_is_refused():
    result = {'command': 'node_cost.py --parts executor', 'machine': MACHINE,
              'executor': EXECUTOR}
    assert f'*gil*: {UNMEASURED}' in figures(result)
    with pytest.raises(ValueError, match='has 0 places'):
        with_figures('# A page', result)


def test_one_run_without_options_measures_everything():
    options = parsed([])
    assert options.parts == ['executor', 'gil', 'memory'] and options.cycles == 30
    assert (options.out, options.page) == (RESULTS, PAGE)
