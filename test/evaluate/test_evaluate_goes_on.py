# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla eval` over several nights: what is asked for later is added, nothing is run twice."""
import argparse
import json
import shutil
from types import SimpleNamespace

from golden_data import edit
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.cli import main
from sqap_vla_ros.commands import eval as command
from sqap_vla_ros.control.action_space import TWIST_NAMES
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate import evaluation, workers
from sqap_vla_ros.evaluate.converted import open_converted
from sqap_vla_ros.evaluate.intervals import mean_interval, wilson_interval
from sqap_vla_ros.evaluate.motion import path_length, rms_jerk
from sqap_vla_ros.evaluate.noise import NoisyPolicy
from sqap_vla_ros.evaluate.plan import Job, NOISE, Row
from sqap_vla_ros.evaluate.progress import Progress
from sqap_vla_ros.evaluate.rollouts import EpisodeResult, run_episode
from sqap_vla_ros.evaluate.seeds import (
    episode_seeds, KINDS, MORE_TEST_SEEDS, TEST_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS)
from sqap_vla_ros.evaluate.table import summarize, table_text
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.loading import vision_type
from sqap_vla_ros.observation import ActionChunk, Observation
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.support.checkpoint_files import fingerprint
from sqap_vla_ros.train.collect import CollectConfig
from still_scene import StillArm
from tiny_checkpoint import save_tiny_checkpoint

STOVE, PLATE = 'put the bowl on the stove', 'put the bowl on the plate'


def result(seed, success=True, steps=10, **motion):
    return EpisodeResult(seed, (STOVE, PLATE)[seed % 2], success, steps, 2.0, **motion)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Make a checkpoint, its conversion, and one of another training; return their places."""
    place = tmp_path_factory.mktemp('models')
    save_tiny_checkpoint(place / 'tiny', (STOVE, PLATE))
    save_tiny_checkpoint(place / 'other', (STOVE, PLATE))
    weights = place / 'other/model.safetensors'
    save_file({name: 2 * tensor if name.startswith('vision') else tensor
               for name, tensor in load_file(weights).items()}, weights)
    assert main(['convert', str(place / 'tiny'), str(place / 'four'), '--precision', 'w4a8']) == 0
    return place


@pytest.fixture
def ran(monkeypatch):
    """Let every episode succeed at once; return the list of the jobs that were run."""
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    jobs = []

    def run_episodes(missing, scene, processes):
        assert scene.fingerprint == fingerprint(*scene.files)
        for job in missing:
            jobs.append(job)
            yield job, result(job.seed)
    monkeypatch.setattr(evaluation, 'run_episodes', run_episodes)
    return jobs


def evaluate(checkpoint, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(
        [str(checkpoint), '--keep', '20', '--episodes-per-task', '2', *map(str, words)]))


def content(path):
    return json.loads(path.read_text())


def test_rows_and_episodes_that_are_asked_for_later_are_added(made, ran, tmp_path):
    out = tmp_path / 'table.json'
    evaluate(made / 'tiny', '--variants', 'fp,prune', '--out', out)
    assert len(ran) == 8
    evaluate(made / 'tiny', '--variants', 'fp-repeat,fp', '--out', out)
    assert {job.row.variant for job in ran[8:]} == {'fp-repeat'} and len(ran) == 12
    found = content(out)
    assert [row['variant'] for row in found['table']] == ['fp-repeat', 'fp']
    assert len(found['episodes']) == 12, 'those of prune, which took their time, are kept'
    evaluate(made / 'tiny', '--variants', 'fp', '--out', out, '--episodes-per-task', '3')
    assert [job.seed for job in ran[12:]] == [4, 5]
    evaluate(made / 'tiny', '--variants', 'prune,fp', '--out', out)
    assert len(ran) == 14 and content(out)['table'][0]['episodes'] == 4


def test_a_killed_run_goes_on_with_its_rows_in_another_order(made, ran, tmp_path, monkeypatch):
    out, whole = tmp_path / 'table.json', evaluation.run_episodes

    def killed(jobs, scene, processes):
        yield from list(whole(jobs, scene, processes))[:5]
        raise RuntimeError('killed')
    monkeypatch.setattr(evaluation, 'run_episodes', killed)
    with pytest.raises(RuntimeError, match='killed'):
        evaluate(made / 'tiny', '--variants', 'fp,w4a4', '--out', out)
    monkeypatch.setattr(evaluation, 'run_episodes', whole)
    ran.clear()
    evaluate(made / 'tiny', '--variants', 'w4a4,fp-noise,fp', '--out', out)
    assert [(job.row.variant, job.seed) for job in ran] == [
        ('w4a4', 2), ('w4a4', 1), ('w4a4', 3), *(('fp-noise', seed) for seed in (0, 2, 1, 3))]
    assert len(content(out)['episodes']) == 12


def test_what_would_not_be_comparable_is_not_gone_on_with(made, ran, tmp_path):
    out = tmp_path / 'table.json'
    evaluate(made / 'tiny', '--variants', 'fp', '--out', out)
    evaluate(made / 'tiny', '--variants', 'w4a8', '--quantized', made / 'four', '--out', out)
    count = len(ran)
    for words, message in ((('--max-steps', '9'), 'max_steps was 300 and is 9'),
                           (('--seed', '500'), 'seed was 0 and is 500'),
                           (('--variants', 'w4a8'), "quantized was 'four' and is None")):
        with pytest.raises(ConfigError, match=f'table.json holds a run of other .*{message}'):
            evaluate(made / 'tiny', '--variants', 'fp', '--out', out, *words)
    out.write_text('{}')
    with pytest.raises(ConfigError, match='is no table of an evaluation'):
        evaluate(made / 'tiny', '--variants', 'fp', '--out', out)
    assert len(ran) == count


def test_a_table_of_another_processor_whose_encoder_is_rounded_is_not_gone_on_with(
        made, ran, tmp_path, monkeypatch, capsys):
    out, table = tmp_path / 'table.json', tmp_path / 'rounded.json'
    evaluate(made / 'tiny', '--variants', 'fp', '--out', out, '--vision-dtype', 'auto')
    assert 'vision_dtype' not in content(out)
    monkeypatch.setattr(vision_type, 'arithmetic', lambda: vision_type.Arithmetic(vision_type.AMX))
    with pytest.raises(ConfigError, match="vision_dtype was 'float32' and is 'bfloat16'"):
        evaluate(made / 'tiny', '--variants', 'fp', '--out', out)
    count = len(ran)
    evaluate(made / 'tiny', '--variants', 'fp', '--out', out, '--vision-dtype', 'float32')
    assert len(ran) == count  # all are known
    evaluate(made / 'tiny', '--variants', 'fp', '--out', table)
    assert content(table)['vision_dtype'] == 'bfloat16'
    assert capsys.readouterr().out.count('vision dtype bfloat16: AMX') == 2


def test_an_interrupted_run_of_other_options_is_not_gone_on_with(tmp_path):
    path = tmp_path / 'part.jsonl'
    Progress(path, {'ties': 'lowest', 'seed': 0}).add(Job(Row('fp'), 3), result(3))
    again = Progress(path, {'ties': 'lowest', 'seed': 0})
    assert again.finished == {('fp', 'none', 3): result(3)}
    with pytest.raises(ConfigError, match=r"ties was 'lowest' and is 'spread'"):
        Progress(path, {'ties': 'spread', 'seed': 0})
    path.unlink()
    Progress(path, {'auto': 'w4a8'}).add(Job(Row('auto', auto='w4a8'), 3), result(3))
    assert Progress(path, {}).finished  # without a row of it
    Progress(path, {'auto': 'w4a8'}).add(Job(Row('auto', auto='w4a8'), 4), result(4))
    table = tmp_path / 'table.json'
    for options in ({'auto': 'fp'}, {}, {'auto': 'fp'}):  # a run without auto between
        if options:
            with pytest.raises(ConfigError, match="auto was 'w4a8' and is 'fp'"):
                Progress(path, options, table)
            continue
        kept = Progress(path, options)
        assert kept.options == {'auto': 'w4a8'}
        evaluation._write(table, [], kept)
        kept.remove()
    assert content(table)['auto'] == 'w4a8' and len(content(table)['episodes']) == 2
    table.write_text(json.dumps({**content(table), 'auto': None}))
    with pytest.raises(ConfigError, match="auto was None and is 'w4a8'"):
        Progress(path, {'auto': 'w4a8'}, table)


@pytest.mark.parametrize('directory, variants, message', [
    ('other', 'w4a8', 'holds no quantized weights, expected those of one of w4a'),
    ('four', 'fp,w4a4-nearest,w8a8', 'no variant takes its weights')])
def test_a_directory_that_serves_no_row_is_refused(made, ran, directory, variants, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(made / 'tiny', '--variants', variants, '--quantized', made / directory)
    assert not ran


def test_a_conversion_of_another_checkpoint_is_refused(made, ran, tmp_path):
    with pytest.raises(ConfigError, match='not converted from .*other: the weights differ .SHA-256'
                       '.*sqap-vla convert'):
        evaluate(made / 'other', '--variants', 'w4a4', '--quantized', made / 'four')
    save_tiny_checkpoint(tmp_path / 'wider', (STOVE, PLATE), limit=0.3)
    with pytest.raises(ConfigError, match='the statistics of actions differ'):
        evaluate(tmp_path / 'wider', '--variants', 'w4a4', '--quantized', made / 'four')
    save_tiny_checkpoint(tmp_path / 'told', (STOVE,))
    with pytest.raises(ConfigError, match='of config.json differs'):
        evaluate(tmp_path / 'told', '--variants', 'w4a4', '--quantized', made / 'four')
    with pytest.raises(ConfigError, match='is converted already'):
        evaluate(made / 'four', '--variants', 'w4a4', '--quantized', made / 'four')


def test_without_a_record_weights_are_compared_and_undeclared_actions_are_equal(made, tmp_path):
    old = shutil.copytree(made / 'four', tmp_path / 'four')
    edit(old / 'config.json', lambda config: config['conversion'].pop('weights_sha256'))
    open_converted(str(old), open_checkpoint(made / 'tiny'))
    with pytest.raises(ConfigError, match='the weights vision.* differ'):
        open_converted(str(old), open_checkpoint(made / 'other'))
    tuned = shutil.copytree(made / 'tiny', tmp_path / 'tuned')
    weights = load_file(tuned / 'model.safetensors')
    save_file({name: tensor * 1.1 if 'embed_tokens' in name else tensor
               for name, tensor in weights.items()}, tuned / 'model.safetensors')
    with pytest.raises(ConfigError, match='the weights llm.embed_tokens.weight differ'):
        open_converted(str(old), open_checkpoint(tuned))
    plain = shutil.copytree(made / 'tiny', tmp_path / 'plain')
    for place in (plain, old):
        edit(place / 'config.json', lambda config: config.update(action_space=None))
    open_converted(str(old), open_checkpoint(plain))
    with pytest.raises(ConfigError, match='action_space of config.json differs'):
        open_converted(str(old), open_checkpoint(made / 'tiny'))


def test_rows_take_converted_weights_but_for_those_that_are_rounded(made, monkeypatch):
    loaded = []

    def load(path, common, precision):
        loaded.append((path.rsplit('/', 1)[1], precision))
        return SimpleNamespace(warm_up=lambda: None, selection=None)
    monkeypatch.setattr('sqap_vla_ros.policy.load_policy', load)
    worker = object.__new__(workers._Worker)
    worker.scene = workers.Scene(str(made / 'tiny'), SceneOptions(), quantized=str(made / 'four'))
    worker.scene = workers.Scene(str(made / 'tiny'), SceneOptions(), quantized=str(made / 'four'),
                                 fingerprint=fingerprint(*worker.scene.files))
    worker._loaded = worker._policy = None
    for name in ('fp', 'w4a8', 'w4a4', 'w4a4-nearest', 'w4a4-nearest-prune', 'w8a8'):
        worker.policy(Job(Row(name, 20 if 'prune' in name else None), 0))
    assert loaded == [('tiny', 'fp'), ('four', 'w4a8'), ('four', 'w4a4'), ('tiny', 'w4a4'),
                      ('tiny', 'w8a8')]
    assert isinstance(worker.policy(Job(Row('fp-noise'), 0)), NoisyPolicy)
    (made / 'four/config.json').touch()
    with pytest.raises(ConfigError, match='tiny or .*four has changed'):
        worker.policy(Job(Row('w4a8'), 0))


def test_noise_is_drawn_by_the_seed_in_normalised_actions():
    statistics = {'low': np.array([-2.0, 0, 5]), 'high': np.array([2.0, 1, 5]),
                  'mask': np.array([True, True, True])}
    actions = np.full((1000, 3), [0.5, 0.25, 5], np.float32)
    policy = SimpleNamespace(statistics=statistics, resets=7, infer=lambda observation: (
        ActionChunk(actions, 0.05, TWIST_NAMES[:3], 0, {'total': 1.0})))
    seen = Observation(np.zeros((2, 2, 3), np.uint8), 0, STOVE)
    noisy = NoisyPolicy(policy, NOISE, 3)
    found = noisy.infer(seen).actions - actions
    assert found.std(0)[:2] == pytest.approx([0.002, 0.0005], rel=0.1) and not found[:, 2].any()
    assert np.array_equal(NoisyPolicy(policy, NOISE, 3).infer(seen).actions - actions, found)
    for other in (noisy, NoisyPolicy(policy, NOISE, 4)):
        assert not np.array_equal(other.infer(seen).actions - actions, found)
    assert noisy.resets == 7


def test_seeds_of_all_kinds_are_apart_and_enough():
    kinds = [*KINDS.values(), TRAINING_SEEDS]
    assert kinds[:2] == [TEST_SEEDS, VALIDATION_SEEDS]
    assert sum(map(len, kinds)) == len(set().union(*kinds))
    assert len(episode_seeds(MORE_TEST_SEEDS[0], 5, 500)) == 2500
    with pytest.raises(ConfigError, match='further test seeds 100000 to 109999'):
        episode_seeds(MORE_TEST_SEEDS[-1], 2, 1)
    for seed, episodes in ((999, 4), (99_999, 2), (100_000, 1)):
        with pytest.raises(ConfigError, match='kept for evaluation'):
            CollectConfig(out='x', seed=seed, episodes=episodes)
    assert CollectConfig(out='x', seed=99_998, episodes=2).seed == 99_998


def test_the_table_tells_how_many_pairs_differ_and_how_the_hand_went():
    rows, seeds = [Row('fp'), Row('w4a8')], range(1000)
    results = {rows[0]: [result(seed, seed < 900, 40, path_m=1.0, jerk=4.0) for seed in seeds],
               rows[1]: [result(seed, 10 <= seed < 905, 42, path_m=1.0 + 0.2 * (seed % 2),
                                jerk=None) for seed in seeds]}
    plain, table = summarize(rows, results, (STOVE, PLATE))
    assert plain['mean_path_m'] == 1.0 and plain['mean_jerk'] == 4.0
    difference = table['difference']
    assert difference['pairs_that_differ'] == 15
    assert difference['differ95'] == list(wilson_interval(15, 1000))
    assert difference['behaviour']['steps'] == [2.0, 2.0, 2.0]
    mean, low, high = difference['behaviour']['path_m']
    assert mean == pytest.approx(0.1) and high - low == pytest.approx(3.92 * 0.1 / 890 ** 0.5,
                                                                      rel=0.01)
    assert difference['behaviour']['jerk'] is None and table['mean_jerk'] is None
    lines = table_text([plain, table], (STOVE, PLATE)).splitlines()
    assert '-0.5% (' in lines[2] and '1.5% (0.9% .. 2.5%)' in lines[2]
    assert mean_interval([1.0, 3.0]) == pytest.approx((2.0, 0.04, 3.96))


def test_the_way_of_a_hand_is_measured():
    time_s = np.arange(6) * 0.05
    positions = np.stack([0.2 * time_s ** 3, 0 * time_s, 0 * time_s], 1)
    assert rms_jerk(positions, 0.05) == pytest.approx(1.2)
    assert path_length(positions) == pytest.approx(0.2 * 0.25 ** 3)
    assert rms_jerk(positions[:3], 0.05) == 0.0


def test_an_episode_tells_the_way_of_its_hand(made):
    from sqap_vla_ros.policy import load_policy

    class Falling(StillArm):
        height = 1.0

        def step(self, twist, gripper):
            self.height -= 0.01
            return False

        def end_effector_pose(self):
            pose = np.eye(4)
            pose[2, 3] = self.height
            return pose
    done = run_episode(Falling((STOVE,)), load_policy(made / 'tiny'), 0, STOVE, max_steps=4)
    assert done.steps == 4 and done.path_m == pytest.approx(0.04) and done.jerk < 1e-6
