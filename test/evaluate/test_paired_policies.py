# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Two policies' tables, paired by seed."""
import json

from paired_policies import main
import pytest


def table(path, outcomes, **scene):
    """Write a table of episodes {seed: success} of fp, and one more of another row."""
    episodes = [{'variant': 'fp', 'control': 'none', 'seed': seed, 'success': success}
                for seed, success in outcomes.items()]
    other = {'variant': 'prune@154', 'control': 'none', 'seed': 0, 'success': True}
    path.write_text(json.dumps({'suite': 'libero_goal', **scene, 'episodes': [*episodes, other]}))
    return str(path)


def test_pairs_are_counted_by_seed_over_files(tmp_path, capsys):
    first = table(tmp_path / 'a', {500: True, 501: True, 502: True, 503: False})
    second = table(tmp_path / 'b', {504: True, 505: False, 506: True})
    old = table(tmp_path / 'c', {500: True, 501: False, 502: False, 503: True, 504: False})
    main(['--new', first, second, '--old', old])
    said = capsys.readouterr().out
    assert '5 pairs, seeds 500 to 504; 2 episodes of one side alone' in said
    assert 'new: 4 succeeded, 80.0 %' in said and 'old: 2 succeeded, 40.0 %' in said
    assert 'won 3, lost 1: +40.0 points' in said
    main(['--new', first, '--old', first])
    assert 'won 0, lost 0: +0.0 points' in capsys.readouterr().out


def test_two_rows_of_one_table_are_compared_and_how_they_moved(tmp_path, capsys):
    episodes = [{'variant': row, 'control': 'none', 'seed': seed, 'success': seed < most,
                 'steps': 90 + seed + more, 'path_m': 0.8, 'jerk': 7.0 + more * seed}
                for row, most, more in (('fp', 3, 0), ('prune@64', 4, 10)) for seed in range(5)]
    (tmp_path / 'a').write_text(json.dumps({'suite': 'libero_goal', 'episodes': episodes}))
    place = str(tmp_path / 'a')
    main(['--new', place, '--old', place, '--row', 'prune@64', '--old-row', 'fp'])
    said = capsys.readouterr().out
    assert 'won 1, lost 0: +20.0 points' in said
    assert 'control steps: +10 (+10 .. +10) more in 3 that both mastered' in said
    assert 'jerk, m/s3: +10 (-1.32 .. +21.3) more in 3' in said
    assert 'hand, m: +0 (+0 .. +0)' in said


@pytest.mark.parametrize('outcomes, scene, options, reason', [
    ({501: True}, {}, (), 'no seed in common'),
    ({500: True}, {'placement_m': 0.5}, (), r'differ in placement_m: \[0.25, 0.5\]'),
    ({500: True}, {'instructions': ['other']}, (), 'differ in instructions'),
    ({500: True}, {}, ('--row', 'w4a8'), "no table has episodes of 'w4a8'"),
    ({500: True}, {}, ('--control', 'blank-image'), "control 'blank-image'")])
def test_what_is_no_pair_is_refused(outcomes, scene, options, reason, tmp_path):
    new, old = table(tmp_path / 'a', {500: True}), table(tmp_path / 'b', outcomes, **scene)
    with pytest.raises(SystemExit, match=reason):
        main(['--new', new, '--old', old, *options])


def test_a_side_is_one_policy_whose_tables_agree(tmp_path, monkeypatch, capsys):
    first, other = table(tmp_path / 'a', {500: True}), table(tmp_path / 'b', {500: False})
    with pytest.raises(SystemExit, match='disagree about seed 500'):
        main(['--new', first, other, '--old', first])
    second = table(tmp_path / 'c', {501: True}, checkpoint_sha256='2')
    with pytest.raises(SystemExit, match='several checkpoints on one side'):
        main(['--new', first, second, '--old', first])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='nothing.json is no table'):
        main(['--new', 'nothing.json', '--old', first])
    (tmp_path / 'runs').mkdir()
    table(tmp_path / 'runs' / 'd', {500: True})
    main(['--new', 'runs/d', '--old', first])
    assert '1 pairs' in capsys.readouterr().out
