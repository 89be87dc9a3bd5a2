# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""frames.csv and frames.parquet: the same rows as the results, or nothing at all."""
import csv
from dataclasses import replace
import json
import re

from full_disk import full_disk  # noqa: F401
from made_results import made_results
import numpy as np
from pyarrow import parquet
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import REASONS
from sqap_vla_ros.replay.export import columns
from sqap_vla_ros.replay.export.tables import CSV, PARQUET, write_tables
from sqap_vla_ros.replay.metrics.held import frame_error
from sqap_vla_ros.replay.metrics.truths import held_against
from sqap_vla_ros.replay.play_options import PlayOptions
from sqap_vla_ros.replay.played import play

COUNT, BLIND = 60, 5
SPACE = ActionSpace(execute_steps=8)


@pytest.fixture(scope='module')
def results():
    """Return results with a stage that one row does not have, and a name that needs quotes."""
    made = made_results(COUNT, controls=('none', 'blank-image'))
    first, *others = made.answers
    first = replace(first, latency_ms={**first.latency_ms, 'denoise, all': np.ones(COUNT)})
    images = replace(made.images, instructions=('put "it", there',) * COUNT,
                     warnings=(('one', 'two'), *made.images.warnings[1:]))
    return replace(made, answers=(first, *others), images=images)


@pytest.fixture(scope='module')
def written(results, tmp_path_factory):
    """Return (the directory, what was played); parts are small, so that there are several."""
    out = tmp_path_factory.mktemp('tables')
    played = [play(results.images, results.answers[0], SPACE, PlayOptions(latency_s=0.03))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, 'PART', 17)
        assert write_tables(results, out, played) == (CSV, PARQUET)
    return out, played[0]


@pytest.fixture(scope='module')
def rows(written):
    """Return the rows of the CSV."""
    with (written[0] / CSV).open(newline='') as file:
        return list(csv.DictReader(file))


def column(rows, name):
    """Return numbers of a column, NaN where it is empty."""
    return np.array([float(row[name] or 'nan') for row in rows])


def test_there_is_a_row_an_image_and_variant(results, rows):
    assert len(rows) == COUNT * 4
    assert [(row['variant'], row['control']) for row in rows[::COUNT]] == [
        ('fp', 'none'), ('fp', 'blank-image'), ('sqap@154', 'none'), ('sqap@154', 'blank-image')]
    for index, answers in enumerate(results.answers):
        mine = rows[index * COUNT:(index + 1) * COUNT]
        assert [int(row['image']) for row in mine] == list(range(COUNT))
        np.testing.assert_array_equal(column(mine, 'predicted_vx_m_s'),
                                      answers.velocities[:, 0, 0])
        np.testing.assert_array_equal(column(mine, 'predicted_end_qw'),
                                      answers.positions[:, 0, 6])
        np.testing.assert_array_equal(column(mine, 'latency_total_ms'),
                                      answers.latency_ms['total'])
    assert rows[0]['instruction'] == 'put "it", there' and rows[0]['warnings'] == 'one; two'
    assert int(rows[1]['stamp_ns']) == results.images.stamps_ns[1]
    assert float(rows[1]['time_s']) == pytest.approx(0.05)


def test_what_is_not_known_is_empty(rows):
    blind = rows[BLIND]
    assert blind['image_problem'] == 'no transform base -> end_effector'
    assert blind['answered'] == 'False' and rows[0]['answered'] == 'True'
    for name in ('predicted_vx_m_s', 'tokens_kept', 'end_effector_u_px', 'error_vx_m_s'):
        assert blind[name] == '' and rows[0][name] != ''
    assert rows[0]['latency_denoise, all_ms'] == '1.0'
    assert rows[COUNT]['latency_denoise, all_ms'] == ''


def test_errors_are_those_of_the_metrics(results, rows):
    answers = results.answers[2]
    mine, held = rows[2 * COUNT:3 * COUNT], held_against(results, answers)[0]
    assert mine[0]['held_against'] == held.facts.title == '/delta_twist_cmds'
    said, truth, error = (column(mine, f'{what}_vy_m_s')
                          for what in ('predicted', 'recorded', 'error'))
    np.testing.assert_allclose(said - truth, error, atol=1e-12)
    np.testing.assert_allclose(truth[:-1], results.commands[0].values[:-1, 1])
    mean, unit, _ = frame_error(held, answers)
    assert unit == 'm/s'
    np.testing.assert_array_equal(column(mine, 'error_linear_mean_m_s'), mean)


def test_tokens_are_counted(results, rows):
    answers, mine = results.answers[2], rows[2 * COUNT:3 * COUNT]
    kept = column(mine, 'tokens_kept')
    assert (kept[np.arange(COUNT) != BLIND] == 154).all() and np.isnan(kept[BLIND])
    np.testing.assert_allclose(sum(column(mine, f'tokens_{each}') for each in REASONS), kept)
    robot = (answers.covered & answers.kept).sum(1)
    assert column(mine, 'robot_patches_kept')[0] == robot[0] > 0


def test_it_is_told_what_a_node_would_have_asked(written, rows):
    _, played = written
    asked = np.array([row['asked'] == 'True' for row in rows[:COUNT]])
    np.testing.assert_array_equal(np.flatnonzero(asked), played.asked)
    assert rows[0]['known_s'] == '0.03' and rows[0]['played'] == 'True'
    assert rows[BLIND]['played'] == 'False' and rows[COUNT]['asked'] == 'False'


def test_parquet_has_the_same_and_whole_answers(results, written, rows):
    table = parquet.read_table(written[0] / PARQUET)
    assert table.num_rows == len(rows)
    found = table.column('predicted_vx_m_s').to_numpy()
    np.testing.assert_array_equal(found, column(rows, 'predicted_vx_m_s'))
    assert table.column('predicted_vx_m_s').null_count == 4
    assert table.column('image').type == 'int64' and table.column('answered').type == 'bool'
    answers, at = results.answers[2], 2 * COUNT + 7
    np.testing.assert_array_equal(table.column('chunk_velocities')[at].as_py(),
                                  answers.velocities[7])
    np.testing.assert_array_equal(table.column('chunk_actions')[at].as_py(), answers.actions[7])
    kept = table.column('kept_patches')[at].as_py()
    np.testing.assert_array_equal(kept, np.flatnonzero(answers.kept[7]))
    assert table.column('kept_reasons')[at].as_py() == [
        REASONS[answers.reasons[7, patch]] for patch in kept]
    assert table.column('chunk_velocities')[BLIND].as_py() is None
    about = json.loads(table.schema.metadata[b'sqap_vla_replay'])
    assert about['chunk_velocities'][0] == 'vx_m_s' and about['dt_s'] == 0.05


def test_answers_without_positions_have_none(tmp_path):
    made = made_results(4)
    bare = replace(made.answers[0], positions=None)
    write_tables(replace(made, answers=(bare,), commands=()), tmp_path)
    table = parquet.read_table(tmp_path / PARQUET)
    assert table.column('chunk_positions').null_count == 4
    assert table.column('chunk_velocities').null_count == 0
    assert 'predicted_end_x_m' not in table.column_names


def test_every_column_is_explained(rows):
    words = re.findall(r'[A-Za-z]\w*', re.sub(r'<[^>]+>', 'ANYTHING', columns.__doc__))
    known = re.compile('|'.join(word.replace('ANYTHING', '.+') for word in words))
    for name in (*rows[0], *columns.LISTS):
        assert known.fullmatch(name), name


@pytest.mark.parametrize('room', [0, 30_000, 300_000])
def test_a_full_disk_leaves_no_half_of_a_file(results, tmp_path, full_disk, room):  # noqa: F811
    (tmp_path / CSV).write_text('of before')
    full_disk(room)
    with pytest.raises(ConfigError, match=r'No space left for .* start the same command again; '
                                          r'answers are kept'):
        write_tables(results, tmp_path, kept='answers are kept')
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {CSV}
    is_whole = (tmp_path / CSV).read_bytes().count(b'\n') == COUNT * 4 + 1
    assert is_whole or (tmp_path / CSV).read_text() == 'of before'
    assert is_whole == (room == 300_000)
