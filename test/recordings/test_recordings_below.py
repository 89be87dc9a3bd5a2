# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A directory that is no recording, with recordings further down: they are named."""

from pathlib import Path

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings import below
from sqap_vla_ros.recordings.open import open_recording


def place(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def why_not(path) -> str:
    """Return why a path cannot be opened, for which a user is to name another one."""
    with pytest.raises(ConfigError) as told:
        open_recording(path)
    return str(told.value)


def test_a_data_set_two_levels_below_is_named(tmp_path):
    place(tmp_path, 'hub/picks/meta/info.json')
    told = why_not(tmp_path)
    assert told.endswith('. There is a recording below it: hub/picks (LeRobot data set): name it')
    assert 'is a directory of LeRobot data sets, name one of them: picks' in why_not(
        tmp_path / 'hub')
    place(tmp_path, 'data/own/picks/meta/info.json', 'data/own/picks/data/chunk-000/a.parquet')
    assert 'hub/picks (LeRobot data set), data/own/picks (LeRobot data set)' in why_not(tmp_path)


def test_bags_and_data_sets_are_told_apart_the_nearest_first(tmp_path):
    place(tmp_path, 'a/b/c/d/meta/info.json', 'day/run_1/run_1_0.mcap', 'old/metadata.yaml',
          'old/more/x.db3', '.trash/y.mcap', 'day/notes.txt')
    assert why_not(tmp_path).endswith(
        '. There are recordings below it: old (bag), day/run_1 (bag), a/b/c/d (LeRobot data set): '
        'name one')


def test_many_are_counted_and_the_search_has_an_end(tmp_path, monkeypatch):
    place(tmp_path, *(f'days/run_{number}/x.mcap' for number in range(7)))
    assert why_not(tmp_path).endswith('days/run_3 (bag) and 3 more: name one')
    monkeypatch.setattr(below, 'LOOKED_AT', 3)
    assert why_not(tmp_path).endswith('days/run_0 (bag), days/run_1 (bag): name one')
    place(tmp_path / 'deep', '1/2/3/4/5/x.mcap')
    assert 'below it' not in why_not(tmp_path / 'deep')


def test_nothing_below_is_nothing_more(tmp_path):
    place(tmp_path, 'notes/a.txt')
    assert why_not(tmp_path).endswith('it holds notes/, expected *.mcap or *.db3')
