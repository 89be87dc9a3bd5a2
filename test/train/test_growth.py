# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a training's curve says of more samples."""
import json
from pathlib import Path
import runpy

import numpy as np
import pytest
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.train.growth import held_out_errors, outlook, power_law

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'training_curve.py'


def curve(rows, bend=0.0):
    """Return rows of a curves.json whose error is 3 * samples ** -0.25, steeper from the bend."""
    log = []
    for number in range(1, rows + 1):
        samples = 3200 * number
        error = 3 * samples ** -0.25 * (number / rows) ** (-bend if number > 0.8 * rows else 0)
        log.append({'samples': samples, 'minutes': 6.0 * number, 'train': {'action_l1': 0.1},
                    'held_out': {'action_l1': error}, 'blank': {'action_l1': 0.5}})
    return log


def test_a_power_law_is_found_and_followed():
    log = curve(32)
    a, b = power_law(*held_out_errors(log))
    assert (a, b) == (pytest.approx(3), pytest.approx(0.25))
    for times, errors in outlook(log):
        wanted = 3 * (times * 32 * 3200) ** -0.25
        assert errors == {'half': pytest.approx(wanted), 'quarter': pytest.approx(wanted)}


def test_a_bend_at_the_end_shows_as_two_outlooks():
    (_, errors), _ = outlook(curve(40, bend=0.3))
    assert errors['quarter'] < 0.98 * errors['half']


def test_rows_without_held_out_episodes_do_not_count():
    log = curve(20)
    del log[3]['held_out']
    assert len(held_out_errors(log)[0]) == 19
    assert outlook(curve(15)) == [] != outlook(curve(16))


def test_the_script_prints_curve_outlook_and_the_tables_of_its_checkpoint(
        tmp_path, capsys, monkeypatch):
    log = curve(40)
    found = {'successes': 9, 'episodes': 20, 'wilson95': [0.258, 0.658]}
    log[7]['success'] = found
    (tmp_path / 'checkpoint').mkdir()
    (tmp_path / 'checkpoint' / 'config.json').write_text('{}')
    (tmp_path / 'curves.json').write_text(json.dumps(log))
    for name, sha in (('own', digest(tmp_path / 'checkpoint')), ('other', 'else')):
        (tmp_path / f'{name}.json').write_text(json.dumps({
            'checkpoint_sha256': sha,
            'table': [{'variant': 'fp', 'control': 'none', **found}]}))
    tables = [str(tmp_path / f'{name}.json') for name in ('own', 'other')]
    monkeypatch.setattr('sys.argv', ['training_curve', str(tmp_path), '--rows', '3',
                                     '--tables', *tables])
    runpy.run_path(str(SCRIPT), run_name='__main__')
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith('| ') and line[2].isdigit()]
    assert len(rows) == 4
    assert '| 25600 | 0.80 | 0.2372 | 0.5000 | 9/20 = 45% (26% .. 66%) |' in lines
    told = 3 * (2 * 128000) ** -0.25
    assert np.sum([f'(4.0 hours more at this pace): action error {told:.4f} by the last half'
                   in line for line in lines]) == 1
    assert 'checkpoint (own.json): fp, none: 9/20 = 45% (26% .. 66%)' in lines
    assert not any('other.json' in line for line in lines)
