# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Demonstrations: recorded with clean labels, stored whole or not at all, loaded in part."""
from dataclasses import replace
import errno
from functools import lru_cache, partial

from libero_scene import libero_env
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.expert import Expert, ExpertConfig
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.sim.placements import NoRoomError
from sqap_vla_ros.train import collect
from sqap_vla_ros.train.collect import (
    collect_shard, CollectConfig, EpisodeNews, keep_options, missing_shards, shard_path)
from sqap_vla_ros.train.perturbation import Perturbation, PerturbationConfig
from sqap_vla_ros.train.recording import pack_shard
from sqap_vla_ros.train.shards import load_shards, POINT_NAMES, write_shard

UPRIGHT = np.array([0.4, 0.1, 0.2, 0.707, 0.707, 0.01, 0.01, 1.0], np.float32)


def record(steps, stride=2):
    """Return an episode's record whose action at step t is [t, t, ...]."""
    cv2 = pytest.importorskip('cv2')
    frame_steps = list(range(0, steps, stride))
    jpeg = cv2.imencode('.jpg', np.full((8, 8, 3), 90, np.uint8))[1]
    count = len(frame_steps)
    return {'jpeg': [jpeg] * count, 'state': [UPRIGHT] * count,
            'points_px': [np.zeros((3, 2), np.float32)] * count,
            'points_xyz': [np.zeros((3, 3), np.float32)] * count, 'frame_step': frame_steps,
            'actions': [np.full(7, step, np.float32) for step in range(steps)]}


def shard(lengths, first_seed=10_000):
    return pack_shard([(i % 2, record(length)) for i, length in enumerate(lengths)],
                      list(range(first_seed, first_seed + len(lengths))), [], ('stove', 'cabinet'),
                      POINT_NAMES)


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """Return one real episode's shard arrays, collected at a small size."""
    config = CollectConfig(out=tmp_path_factory.mktemp('recorded'), episodes=1,
                           shard_episodes=1, input_size=64, frame_stride=20)
    return collect_shard(libero_env(), config, 0)


def test_a_recorded_episode_holds_frames_states_points_and_every_clean_action(recorded):
    arrays = recorded
    assert len(arrays['seed']) == 1 and not len(arrays['failed_seeds'])
    steps = arrays['action_offsets'][-1]
    assert len(arrays['actions']) == steps and 50 < steps < 200
    assert set(arrays['actions'][:, 6]) == {0.0, 1.0}
    assert np.abs(arrays['actions'][:, :3]).max() < 0.25
    assert (np.diff(arrays['frame_step']) == 20).all()
    assert arrays['state'].shape == (len(arrays['frame_step']), 8)


def test_recorded_points_are_where_the_camera_sees_them(recorded):
    arrays = recorded
    pixels, end_effector = arrays['points_px'], POINT_NAMES.index('end_effector')
    assert tuple(arrays['point_names']) == (*POINT_NAMES, *libero_env().object_centers())
    assert pixels.shape[1] == len(arrays['point_names'])
    assert ((pixels > 0) & (pixels < 64)).all()
    np.testing.assert_allclose(arrays['points_xyz'][:, end_effector], arrays['state'][:, :3],
                               atol=1e-5)


def test_recorded_labels_are_the_experts_own_at_the_start(recorded):
    arrays = recorded
    env = libero_env()
    env.reset(int(arrays['seed'][0]), env.instructions[int(arrays['instruction'][0])])
    twist, gripper = Expert(env).act()
    np.testing.assert_allclose(arrays['actions'][0], [*twist, gripper], atol=1e-6)


def test_a_chunk_starts_at_its_frames_step_and_repeats_the_last_action(tmp_path):
    write_shard(tmp_path / 'a.npz', shard([6, 10]))
    write_shard(tmp_path / 'b.npz', shard([4], 10_002))
    data = load_shards(tmp_path)
    assert len(data) == 3 + 5 + 2 and data.episodes == 3
    rows = data.chunks(np.arange(len(data)), horizon=4)[:, :, 0]
    np.testing.assert_array_equal(rows[:3], [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 5, 5]])
    np.testing.assert_array_equal(rows[7:], [[8, 9, 9, 9], [0, 1, 2, 3], [2, 3, 3, 3]])
    np.testing.assert_array_equal(data.instruction, [0] * 3 + [1] * 5 + [0] * 2)
    np.testing.assert_array_equal(data.seed, [10_000] * 3 + [10_001] * 5 + [10_002] * 2)
    assert data.frame(9).shape == (8, 8, 3) and data.instructions == ('stove', 'cabinet')


def test_a_truncated_shard_is_skipped_and_named(tmp_path):
    write_shard(tmp_path / 'good.npz', shard([6]))
    whole = (tmp_path / 'good.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'empty.npz').write_bytes(b'')
    data = load_shards(tmp_path)
    assert len(data) == 3 and [name for name, _ in data.skipped] == ['cut.npz', 'empty.npz']


@pytest.mark.parametrize('name, values, message', [
    ('instructions', ['plate', 'rack'], 'instructions was .*stove.* and is .*plate'),
    ('point_names', ['a', 'b', 'c'], 'point_names was .*object.* and is .*a')])
def test_shards_of_unlike_demonstrations_are_refused(tmp_path, name, values, message):
    write_shard(tmp_path / 'a.npz', shard([6]))
    write_shard(tmp_path / 'b.npz', {**shard([6]), name: np.array(values)})
    with pytest.raises(ConfigError, match=f'b.npz .*{message}'):
        load_shards(tmp_path)


@pytest.mark.parametrize('damage', [
    {'actions': None}, {'point_names': None}, {'state': np.zeros((3, 7), np.float32)},
    {'frame_step': np.zeros(3)}, {'instruction': np.array([2], np.int32)},
    {'instructions': np.array([1, 2])}, {'points_px': np.zeros((3, 4, 2), np.float32)}])
def test_a_shard_that_lacks_something_is_skipped(tmp_path, damage):
    write_shard(tmp_path / 'a.npz', shard([6]))
    arrays = {name: value for name, value in {**shard([6]), **damage}.items()
              if value is not None}
    write_shard(tmp_path / 'b.npz', arrays)
    data = load_shards(tmp_path)
    assert data.episodes == 1 and data.skipped[0][0] == 'b.npz'
    assert [*damage][0] in data.skipped[0][1]


def test_flipped_bytes_make_a_shard_be_skipped(tmp_path):
    write_shard(tmp_path / 'a.npz', shard([6]))
    whole = (tmp_path / 'a.npz').read_bytes()
    headers = whole.index(b'NUMPY') - 1, whole.rindex(b'PK\x01\x02')
    for place in (*range(headers[0], headers[0] + 80), *range(headers[1], headers[1] + 46)):
        flipped = bytearray(whole)
        flipped[place] ^= 0xff
        (tmp_path / 'b.npz').write_bytes(flipped)
        data = load_shards(tmp_path)
        assert data.episodes == 1 or not data.skipped, place


def test_a_folder_without_shards_says_how_to_make_them(tmp_path):
    with pytest.raises(ConfigError, match='sqap-vla collect'):
        load_shards(tmp_path)


def test_a_shard_without_a_single_success_loads_as_no_frames(tmp_path):
    nothing = pack_shard([], [], [10_000], ('stove', 'cabinet'), POINT_NAMES)
    write_shard(tmp_path / 'a.npz', nothing)
    with pytest.raises(ConfigError, match='collect more episodes'):
        load_shards(tmp_path)
    write_shard(tmp_path / 'b.npz', shard([6]))
    assert len(load_shards(tmp_path)) == 3


def test_a_shard_that_lacks_episodes_is_collected_again(tmp_path):
    few = CollectConfig(out=tmp_path, episodes=12, shard_episodes=10)
    write_shard(shard_path(few, 0), {**shard([6] * 8), 'failed_seeds': np.array([1, 2])})
    write_shard(shard_path(few, 1), shard([6] * 2))
    assert missing_shards(few) == []
    more = CollectConfig(out=tmp_path, episodes=25, shard_episodes=10)
    assert missing_shards(more) == [1, 2]
    shard_path(few, 0).write_bytes(b'damaged')
    assert missing_shards(few) == [0]


def test_a_folder_goes_on_with_the_same_options_only(tmp_path):
    config = CollectConfig(out=tmp_path, scene=SceneOptions(instructions=('stove', 'cabinet')))
    keep_options(config)
    keep_options(replace(config, episodes=2000, workers=1))
    for changed in ({'seed': 20_000}, {'shard_episodes': 10}, {'frame_stride': 1},
                    {'input_size': 64}, {'scene': SceneOptions(placement_m=0.1)}):
        with pytest.raises(ConfigError, match=f'{[*changed][0]} was .*another --out'.replace(
                'scene', 'instructions was .*placement_m')):
            keep_options(replace(config, **changed))
    with pytest.raises(ConfigError, match='another --out'):
        collect.collect(replace(config, seed=20_000))
    (tmp_path / 'collect.json').write_text('{')
    with pytest.raises(ConfigError, match='collect.json is damaged'):
        keep_options(config)


@pytest.mark.parametrize('place, value', [
    ('expert.ExpertConfig', partial(ExpertConfig, lift_speed=0.1)), ('clearance.MARGIN_M', 0.01)])
def test_a_folder_of_another_expert_is_not_gone_on_with(tmp_path, monkeypatch, place, value):
    config = CollectConfig(out=tmp_path)
    keep_options(config)
    monkeypatch.setattr(f'sqap_vla_ros.sim.{place}', value)
    with pytest.raises(ConfigError, match='of another expert .* give another --out'):
        keep_options(config)


@pytest.mark.parametrize('changes, told', [
    ({'out': 'file/data'}, 'cannot be a directory for results: .*file is a file'),
    ({'scene': SceneOptions(suite='libero_gaol')}, "did you mean 'libero_goal'"),
    ({'scene': SceneOptions(instructions=('put the bowl on the stoev',))},
     "did you mean 'put the bowl on the stove'"),
    ({'scene': SceneOptions(placement_m=2.0)}, 'placement_m is 2.0'),
    ({'episodes': 80_000, 'input_size': 10**5},
     'No space left on device .[0-9]+ bytes are needed, [0-9]+ bytes')])
def test_what_cannot_be_collected_is_refused_before_anything_is_written(tmp_path, changes, told):
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    (tmp_path / 'file').touch()
    values = {'out': 'data', 'shard_episodes': 10**6, **changes}
    with pytest.raises(ConfigError, match=told):
        collect.collect(CollectConfig(**{**values, 'out': tmp_path / values['out']}))
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_a_seed_without_room_counts_as_failed(tmp_path):
    class FullTable:
        instructions = ('stove', 'cabinet')

        def reset(self, seed, instruction):
            raise NoRoomError(f'seed {seed}: no room')

        def object_centers(self):
            return {}
    config = CollectConfig(out=tmp_path, episodes=3, shard_episodes=3)
    arrays = collect_shard(FullTable(), config, 0)
    assert arrays['failed_seeds'].tolist() == [10_000, 10_001, 10_002]
    write_shard(shard_path(config, 0), arrays)
    assert missing_shards(config) == []


@pytest.mark.parametrize('options', [
    {'seed': 999}, {'episodes': 0}, {'workers': 0}, {'frame_stride': 0}])
def test_held_out_seeds_and_empty_work_are_refused(tmp_path, options):
    with pytest.raises(ConfigError):
        CollectConfig(out=tmp_path, **options)


def test_the_command_does_nothing_where_all_is_there(tmp_path, capsys):
    write_shard(tmp_path / 'shard_0010000.npz', shard([6, 6]))
    assert main(['collect', '--out', str(tmp_path), '--episodes', '2',
                 '--shard-episodes', '2']) == 0
    assert 'added 0 episodes' in capsys.readouterr().out


def test_a_full_disk_stops_the_collection_and_leaves_no_half_shard(tmp_path, monkeypatch):
    config = CollectConfig(out=tmp_path, episodes=1, shard_episodes=1)

    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(collect, '_environment', lru_cache(lambda scene: None))
    monkeypatch.setattr(collect, 'collect_shard', lambda *_: shard([6]))
    monkeypatch.setattr('os.replace', full)
    with pytest.raises(ConfigError, match='free .* MiB and start the same command again'):
        collect._work(config, 0)
    assert not list(tmp_path.iterdir())


def test_processes_add_up_what_they_collect(tmp_path, monkeypatch):
    config = CollectConfig(out=tmp_path, episodes=25, shard_episodes=10)
    write_shard(shard_path(config, 0), shard([6] * 10))
    asked = []

    def run_jobs(function, jobs, processes, heard):
        asked.extend(jobs)
        for job in jobs:
            for number in range(5):
                heard(EpisodeNews(number == 0, 0 if number == 0 else 10))
            yield job, (4, 1, 50)
    shown = []
    monkeypatch.setattr(collect, 'run_jobs', run_jobs)
    monkeypatch.setattr(collect, 'check_collection', lambda config, episodes: shown.append(
        episodes))
    monkeypatch.setattr(collect.Progress, 'advance', lambda self, count=1, note=None:
                        shown.append(note))
    assert collect.collect(config) == (8, 2, 100) and asked == [1, 2]
    assert shown[0] == 15 and shown[1:3] == ['1 failed, 0 frames', '1 failed, 10 frames']
    assert shown[-1] == '2 failed, 80 frames'  # of each episode, within a shard


def test_a_perturbation_is_decided_by_its_generator():
    def path(seed):
        perturbation = Perturbation(np.random.default_rng(seed))
        return [perturbation.apply(np.full(6, 0.1), 1.0) for _ in range(50)]
    for (one, first), (other, second) in zip(path(1), path(1)):
        np.testing.assert_array_equal(one, other)
        assert first == second
    assert any(np.abs(one - other).max() > 1e-3 for (one, _), (other, _) in zip(path(1), path(2)))


def test_disturbances_average_out_and_are_weaker_where_the_expert_stands_still():
    config = PerturbationConfig(push_rate=0.0, slip_rate=0.0)

    def spread(speed):
        noise = []
        for seed in range(300):
            perturbation = Perturbation(np.random.default_rng(seed), config)
            for _ in range(20):
                twist, gripper = perturbation.apply([speed, 0, 0, 0, 0, 0], 1.0)
            noise.append(twist[1])
            assert gripper == 1.0
        assert abs(np.mean(noise)) < 0.01
        return np.std(noise)
    assert spread(0.0) == pytest.approx(config.still * spread(0.2), rel=0.01)


def test_a_slip_turns_the_gripper_command_round_for_its_length():
    config = PerturbationConfig(slip_rate=1e9)
    perturbation = Perturbation(np.random.default_rng(0), config)
    assert [perturbation.apply(np.zeros(6), 1.0)[1] for _ in range(3)] == [0.0] * 3
