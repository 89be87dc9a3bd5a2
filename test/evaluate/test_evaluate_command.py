# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla eval`: what a table runs, what an interrupted run leaves, what is refused."""
import argparse
import json
import os
from pathlib import Path
import shutil

import pytest
from sqap_vla_ros.commands import eval as evaluate
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate import evaluation, workers
from sqap_vla_ros.evaluate.plan import Job, plan_rows, Row
from sqap_vla_ros.evaluate.progress import Progress
from sqap_vla_ros.evaluate.rollouts import EpisodeResult
from sqap_vla_ros.evaluate.seeds import episode_seeds
from sqap_vla_ros.evaluate.table import summarize, table_text
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.support import checkpoint_files
from sqap_vla_ros.support.locks import Lock
from sqap_vla_ros.support.resources import model_directory
from still_scene import StillScene
from tiny_checkpoint import save_tiny_checkpoint

STOVE, PLATE = 'put the bowl on the stove', 'put the bowl on the plate'


def result(seed, success=True, steps=10):
    return EpisodeResult(seed, (STOVE, PLATE)[seed % 2], success, steps, 2.0)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Write a random checkpoint of two tasks with 64 visual tokens."""
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    path = tmp_path_factory.mktemp('models') / 'tiny'
    save_tiny_checkpoint(path, (STOVE, PLATE))
    return path


@pytest.fixture
def stand_in(monkeypatch):
    """Let every episode succeed at once; return the list of the jobs that were run."""
    ran = []

    def run_episodes(jobs, scene, processes):
        for job in jobs:
            ran.append(job)
            yield job, result(job.seed, job.row.control == 'none')
    monkeypatch.setattr(evaluation, 'run_episodes', run_episodes)
    return ran


def options(checkpoint, *extra):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return parser.parse_args([str(checkpoint), '--keep', '40,20', *extra])


def test_each_pruning_variant_runs_at_each_number_of_tokens():
    rows = plan_rows(['fp', 'sqap', 'random-prune'], [40, 20], ['none'], ['fp'])
    assert [row.name for row in rows] == [
        'fp', 'sqap@40', 'sqap@20', 'random-prune@40', 'random-prune@20']


def test_controls_run_only_for_the_variants_that_they_are_asked_for():
    rows = plan_rows(['fp', 'sqap'], [40, 20], ['none', 'blank-image'], ['fp', 'sqap@20'])
    assert [(row.name, row.control) for row in rows[3:]] == [
        ('fp', 'blank-image'), ('sqap@20', 'blank-image')]
    assert plan_rows(['sqap'], [40], ['none'], ['fp']) == [Row('sqap', 40)]


@pytest.mark.parametrize('names, message', [
    ((['w2a2'], ['none'], ['fp']), 'w2a2'), ((['fp'], ['blind'], ['fp']), 'blind'),
    ((['fp', 'fp'], ['none'], ['fp']), 'at most once'),
    ((['sqap'], ['blank-image'], ['fp']), '--control-variants fp')])
def test_names_that_no_table_has_are_refused(names, message):
    variants, controls, control_variants = names
    with pytest.raises(ConfigError, match=message):
        plan_rows(variants, [40], controls, control_variants)


@pytest.mark.parametrize('first, episodes', [(0, 101), (499, 1), (995, 2), (1000, 1), (0, 0)])
def test_seeds_of_training_or_of_two_kinds_are_refused(first, episodes):
    with pytest.raises(ConfigError):
        episode_seeds(first, 5, episodes)


def test_every_task_gets_its_number_of_episodes():
    seeds = episode_seeds(500, 5, 100)
    assert [sum(seed % 5 == task for seed in seeds) for task in range(5)] == [100] * 5


def test_the_table_counts_by_task_and_compares_pairs():
    rows = [Row('fp'), Row('w4a4')]
    seeds = range(6)
    results = {rows[0]: [result(seed, seed < 4) for seed in seeds],
               rows[1]: [result(seed, seed in (0, 5)) for seed in seeds]}
    table = summarize(rows, results, (STOVE, PLATE))
    assert table[0]['successes'] == 4 and table[0]['difference'] is None
    assert table[1]['by_instruction'] == {STOVE: [1, 3], PLATE: [1, 3]}
    difference = table[1]['difference']
    assert (difference['only_this'], difference['only_fp']) == (1, 3)
    assert difference['value'] == pytest.approx(-2 / 6) and table[1]['mean_steps'] == 10
    text = table_text(table, (STOVE, PLATE))
    assert '-33 % (' in text.replace('%', ' %') and f'task 2: {PLATE}' in text


def test_a_run_writes_its_options_its_table_and_its_episodes(checkpoint, stand_in, tmp_path,
                                                             capsys):
    out = tmp_path / 'table.json'
    controls = ('--controls', 'none,blank-image', '--out', str(out))
    assert evaluate.run(options(checkpoint, '--episodes-per-task', '3', *controls)) == 0
    content = json.loads(out.read_text())
    assert [row['variant'] for row in content['table']] == ['fp', 'sqap@40', 'sqap@20', 'fp']
    assert len(content['episodes']) == 4 * 6 == len(stand_in)
    assert content['checkpoint'] == 'tiny' and content['placement_m'] == 0.25
    assert [path.name for path in tmp_path.iterdir()] == ['table.json']
    assert 'blank-image' in capsys.readouterr().out


def test_auto_is_settled_once_for_all_rows_and_told(checkpoint, stand_in, tmp_path, capsys):
    out = tmp_path / 'table.json'
    evaluate.run(options(checkpoint, '--episodes-per-task', '1', '--variants', 'auto,auto-prune',
                         '--control-variants', 'auto', '--out', str(out)))
    content = json.loads(out.read_text())
    assert [row['variant'] for row in content['table']] == ['auto', 'auto-prune@40',
                                                            'auto-prune@20']
    assert {job.row.precision for job in stand_in} == {content['auto']} <= set(PRECISIONS)
    assert f"precision {content['auto']}, chosen by auto: " in capsys.readouterr().out


def test_an_interrupted_run_goes_on_where_it_was(checkpoint, stand_in, tmp_path, monkeypatch,
                                                 capsys):
    args = options(checkpoint, '--episodes-per-task', '2', '--out', str(tmp_path / 'o.json'))
    whole = evaluation.run_episodes

    def interrupted(jobs, scene, processes):
        for count, item in enumerate(whole(jobs, scene, processes)):
            if count == 5:
                raise KeyboardInterrupt
            yield item
    monkeypatch.setattr(evaluation, 'run_episodes', interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(args)
    assert '5 of 12 episodes are kept' in capsys.readouterr().out
    part = tmp_path / 'o.json.part.jsonl'
    part.write_bytes(part.read_bytes()[:-9])  # and the last line was cut off
    monkeypatch.setattr(evaluation, 'run_episodes', whole)
    stand_in.clear()
    assert evaluate.run(args) == 0
    assert len(stand_in) == 12 - 4 and not part.exists()
    assert len(json.loads((tmp_path / 'o.json').read_text())['episodes']) == 12


def test_two_evaluations_are_not_written_into_one_file(checkpoint, stand_in, tmp_path):
    args = options(checkpoint, '--out', str(tmp_path / 'o.json'))
    with Lock(tmp_path / 'o.json.lock', 'first'):
        with pytest.raises(ConfigError, match='another process .* is evaluating into .*o.json'):
            evaluate.run(args)
    assert not stand_in and evaluate.run(args) == 0
    assert [path.name for path in tmp_path.iterdir()] == ['o.json']


def test_a_full_disk_is_named_and_loses_no_episode(tmp_path):
    path = tmp_path / 'part.jsonl'
    progress = Progress(path, {})
    progress.add(Job(Row('fp'), 2), result(2))
    path.rename(tmp_path / 'whole')
    path.symlink_to('/dev/full')
    with pytest.raises(ConfigError, match='No space left'):
        progress.add(Job(Row('fp'), 3), result(3))
    (tmp_path / 'whole').replace(path)
    assert Progress(path, {}).finished == {('fp', 'none', 2): result(2)}


def test_the_directory_of_the_results_is_made(checkpoint, stand_in, tmp_path):
    out = tmp_path / 'new' / 'table.json'
    assert evaluate.run(options(checkpoint, '--out', str(out))) == 0
    assert json.loads(out.read_text())['table']


@pytest.mark.parametrize('extra, error', [
    (('--keep', '65'), ConfigError), (('--keep', 'all'), ConfigError),
    (('--keep', '3,3'), ConfigError), (('--instructions', 'juggle'), ConfigError),
    (('--max-steps', '0'), ConfigError), (('--processes', '0'), ConfigError),
    (('--initial-states', '--episodes-per-task', '51'), ConfigError)])
def test_what_the_checkpoint_cannot_do_is_refused_before_any_episode(checkpoint, stand_in, extra,
                                                                     error):
    with pytest.raises(error):
        evaluate.run(options(checkpoint, *extra))
    assert not stand_in


def test_random_tokens_are_drawn_by_the_episodes_seed(checkpoint, monkeypatch):
    loaded, seeds = [], []
    monkeypatch.setattr('sqap_vla_ros.policy.load_policy', lambda *args, **options: (
        loaded.append(options) or load_policy(*args, **options)))
    worker = worker_of(checkpoint)
    for row in (Row('random-prune', 20), Row('prune', 20)):
        for seed in (7, 8):
            seeds.append(worker.policy(Job(row, seed)).selection.seed)
    assert worker.policy(Job(Row('fp'), 9)).selection is None
    assert seeds == [7, 8, 0, 0] and len(loaded) == 1


def worker_of(checkpoint):
    """Return a worker without a simulator."""
    worker = object.__new__(workers._Worker)
    worker.scene = workers.Scene(
        str(checkpoint), SceneOptions(instructions=(STOVE, PLATE)),
        fingerprint=checkpoint_files.fingerprint(checkpoint))
    worker._loaded = worker._policy = None
    return worker


def test_a_checkpoint_that_changes_meanwhile_is_refused(checkpoint, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / 'copy')
    worker = worker_of(copy)
    worker.policy(Job(Row('fp'), 0))
    os.utime(copy / 'model.safetensors', (1, 1))
    worker.policy(Job(Row('prune', 20), 0))  # is loaded already
    with pytest.raises(ConfigError, match='has changed'):
        worker.policy(Job(Row('w4a4'), 0))


def test_every_official_state_of_a_task_is_used_once():
    options = SceneOptions(instructions=('a', 'b', 'c', 'd', 'e'), initial_states=True)
    starts = {task: [options.start(seed, 5) % 50 for seed in range(task, 250, 5)]
              for task in range(5)}
    assert all(sorted(states) == list(range(50)) for states in starts.values())
    assert SceneOptions().start(7, 5) == 7


def test_processes_share_the_episodes_and_lose_none(checkpoint):
    rows = plan_rows(['fp', 'random-prune'], [20], ['none'], [])
    jobs = [Job(rows[0], 0), Job(rows[1], 1), Job(rows[0], 1)]
    scene = StillScene(str(checkpoint), SceneOptions(instructions=(STOVE, PLATE)), 2)
    found = dict(workers.run_episodes(jobs, scene, 2))
    assert found.keys() == set(jobs)
    assert all(done.instruction == (STOVE, PLATE)[job.seed] and done.steps == 2
               and done.seed == job.seed for job, done in found.items())


def test_an_error_of_a_worker_reaches_the_caller(checkpoint):
    scene = StillScene(str(checkpoint), SceneOptions(instructions=('juggle',)))
    with pytest.raises(ValueError, match='juggle'):
        list(workers.run_episodes([Job(Row('fp'), 0)], scene, 1))


@pytest.mark.parametrize('largest', [10, 2 ** 26])
def test_the_digest_and_the_fingerprint_know_a_checkpoint_of_any_format(tmp_path, monkeypatch,
                                                                        largest):
    monkeypatch.setattr(checkpoint_files, 'WHOLE_BYTES', largest)
    (tmp_path / 'checkpoints').mkdir()
    weights = tmp_path / 'checkpoints' / 'step.pt'
    seen = []
    for content in (bytes(2 ** 20), bytes(2 ** 20 - 1) + b'1'):
        weights.write_bytes(content)
        (tmp_path / 'config.json').write_text('{}')
        (tmp_path / 'README.md').write_text(f'no part of it: {len(seen)}')
        seen.append((checkpoint_files.digest(tmp_path), checkpoint_files.fingerprint(tmp_path)))
        assert seen[-1] == (checkpoint_files.digest(tmp_path),
                            checkpoint_files.fingerprint(tmp_path))
        assert checkpoint_files.checkpoint_files(weights) == [weights, tmp_path / 'config.json']
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1]


def test_the_bundled_policy_is_the_one_of_the_committed_table():
    root = Path(__file__).resolve().parents[2]
    table = json.loads((root / 'benchmarks/results/libero_goal_dagger.json').read_text())
    for name, committed in (('libero_goal', 'checkpoint_sha256'),
                            ('libero_goal_w4', 'quantized_sha256')):
        assert checkpoint_files.digest(model_directory(name)) == table[committed]


@pytest.mark.parametrize('stored, variants', [
    (None, ('fp', 'sqap')), ('fp', ('fp', 'prune')), ('w4a4', ('w4a4', 'sqap')),
    ('w4a8', ('w4a8', 'w4a8-prune'))])
def test_a_converted_checkpoint_runs_in_its_own_precision(stored, variants):
    assert evaluation.usual_variants(stored) == variants
