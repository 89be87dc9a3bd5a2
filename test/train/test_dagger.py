# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and the expert act in turn; the expert's plans are recorded and learned from."""
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

from libero_scene import libero_env
import numpy as np
import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import CheckpointError, ConfigError
from sqap_vla_ros.evaluate.rollouts import run_episode
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.sim.expert import Expert
from sqap_vla_ros.sim.options import INSTRUCTIONS, SceneOptions
from sqap_vla_ros.sim.units import GOAL_OFFSETS, SPEEDS
from sqap_vla_ros.train import acting, collect
from sqap_vla_ros.train.acting import ExpertAlone, Turns
from sqap_vla_ros.train.batches import Batches
from sqap_vla_ros.train.collect import collect_shard, CollectConfig, EpisodeNews, Score
from sqap_vla_ros.train.recipe import chances
from sqap_vla_ros.train.recording import (
    CHUNK_ROWS, EXPERT, expert_chunk, pack_shard, POLICY, record_episode)
from sqap_vla_ros.train.shards import load_shards, POINT_NAMES, read_shard, write_shard
from tiny_checkpoint import save_tiny_checkpoint
from training_data import make_record, write_data

PLATE = INSTRUCTIONS[2]


class CalmNoise:
    """Disturbs nothing, but closes the gripper so that it is seen who acts."""

    def apply(self, twist, gripper):
        """Return the twist as it is."""
        return twist, 0.0


class ScriptedDrive:
    """Stands for a policy that drives; fault_at: the command of each at which it is stopped."""

    made, fault_at = [], None

    def __init__(self, env, policy):
        env.command_scale = GOAL_OFFSETS
        self.commands, self.fault = [], ''
        self.made.append(self)

    def command(self, step, instruction):
        self.commands.append(step)
        self.fault = 'stopped' if len(self.commands) == self.fault_at else ''
        return np.full(6, 0.5), 1.0


def wander(stays_at=None):
    """Yield poses of a hand that goes 1 mm a step, to and fro 0.1 m, or stays from a step on."""
    for step in count():
        pose = np.eye(4)
        pose[0, 3] = 1e-3 * abs((step if stays_at is None else min(step, stays_at)) % 200 - 100)
        yield pose


@pytest.fixture
def turns(monkeypatch):
    """Return a maker of Turns whose policy is scripted, and the drives that it made."""
    monkeypatch.setattr(acting, 'Drive', ScriptedDrive)
    monkeypatch.setattr(ScriptedDrive, 'made', [])
    monkeypatch.setattr(ScriptedDrive, 'fault_at', None)
    resets = []

    def make(share, seed=0, hand=wander()):
        env = SimpleNamespace(instruction=PLATE, command_scale=SPEEDS,
                              end_effector_pose=lambda: next(hand))
        policy = SimpleNamespace(reset=lambda: resets.append(1))
        return Turns(env, policy, CalmNoise(), np.random.default_rng(seed), share), env
    return make, resets


def played(actor, steps=400):
    """Return who acts at each step."""
    return [actor.act(step, np.zeros(6), 1.0)[2] for step in range(steps)]


def test_without_an_experts_share_the_policy_drives_the_episode_whole(turns):
    actor, env = turns[0](0.0)
    assert played(actor) == [POLICY] * 400 and len(turns[1]) == 1
    assert len(ScriptedDrive.made) == 1 and ScriptedDrive.made[0].commands == list(range(400))
    np.testing.assert_array_equal(actor.act(400, np.zeros(6), 0.0)[0], np.full(6, 0.5))


def test_the_expert_may_act_alone(turns):
    actor, _ = turns[0](1.0)
    assert played(actor) == [EXPERT] * 400 and not ScriptedDrive.made
    assert actor.act(400, np.ones(6), 1.0)[1] == 0.0  # as disturbed


def test_turns_take_a_while_and_are_decided_by_the_seed(turns):
    acted = played(turns[0](0.5, 3)[0], 4000)
    assert acted == played(turns[0](0.5, 3)[0], 4000) != played(turns[0](0.5, 4)[0], 4000)
    changes = np.flatnonzero(np.diff(acted))
    assert np.diff(changes).min() >= acting.STRETCH_STEPS[0]
    assert 0.4 < np.mean(acted) < 0.6


def test_the_policy_begins_anew_behind_the_expert_and_goes_on_behind_itself(turns):
    actor, _ = turns[0](0.5, 3)
    acted = np.array(played(actor, 2000))
    stretches = np.count_nonzero(np.diff(np.append(EXPERT, acted)) > 0)
    assert len(ScriptedDrive.made) == stretches > 5


def test_a_policy_that_is_stopped_leaves_the_rest_of_its_turn_to_the_expert(turns):
    ScriptedDrive.fault_at = 4
    actor, _ = turns[0](0.0)
    acted = played(actor)
    assert acted[:4] == [POLICY] * 3 + [EXPERT]
    assert len(ScriptedDrive.made) == acted.count(POLICY) / 3 > 3
    lengths = np.diff(np.flatnonzero(np.diff(acted) > 0))
    assert lengths.min() >= acting.STRETCH_STEPS[0]


def test_a_policy_that_is_stuck_gives_the_next_turn_to_the_expert(turns):
    actor, _ = turns[0](1e-9, hand=wander(stays_at=30))
    acted = played(actor, 200)
    assert acted[:30 + 10] == [POLICY] * 40 and EXPERT in acted[40:30 + acting.STUCK_STEPS + 1]
    turn = acted[acted.index(EXPERT):]
    assert acting.STRETCH_STEPS[0] <= turn.index(POLICY) <= acting.STRETCH_STEPS[1]
    again = turn[turn.index(POLICY):].index(EXPERT)
    assert again == acting.STUCK_STEPS  # it still does not move
    assert played(turns[0](0.0, hand=wander(stays_at=30))[0], 200) == [POLICY] * 200


def test_each_is_heard_in_its_own_units(turns):
    actor, env = turns[0](0.5, 3)
    for step in range(300):
        who = actor.act(step, np.zeros(6), 1.0)[2]
        assert env.command_scale is (SPEEDS if who == EXPERT else GOAL_OFFSETS)


def test_what_the_expert_would_do_leaves_no_trace():
    env = libero_env()

    def path(looks_ahead):
        env.reset(1234, PLATE)
        env.command_scale, expert, states = GOAL_OFFSETS, Expert(env), []
        for step in range(14):
            twist, gripper = expert.act()
            if looks_ahead and step % 6 == 0:
                plan = expert_chunk(env, expert)
                np.testing.assert_array_equal(plan[0], np.float32([*twist, gripper]))
                assert plan.shape == (CHUNK_ROWS, 7) and np.ptp(plan[:, :3], axis=0).max() > 0
            env.step([*twist[:3], 0, 0, 0], step < 7)  # it keeps the orientation that it had
            states.append([*env.data.qpos, *env.data.qvel, *env.end_effector_pose().ravel(),
                           env.time, env.command_scale.linear])
        return np.array(states)
    np.testing.assert_array_equal(path(True), path(False))


def test_a_plan_is_what_the_expert_then_does_when_it_acts_alone():
    env = libero_env()
    env.reset(1235, PLATE)
    expert = Expert(env)
    plan = expert_chunk(env, expert)
    for row in plan:
        twist, gripper = expert.act()
        np.testing.assert_array_equal(row, np.float32([*twist, gripper]))
        env.step(twist, gripper)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    pytest.importorskip('torch', reason='a policy acts')
    path = tmp_path_factory.mktemp('policy')
    save_tiny_checkpoint(path, INSTRUCTIONS)
    return str(path)


@pytest.fixture
def config(tmp_path, checkpoint):
    return CollectConfig(
        out=tmp_path / 'data', seed=10_028, episodes=1, shard_episodes=1, input_size=64,
        frame_stride=8, max_steps=25, policy=checkpoint, expert_share=0.5,
        scene=SceneOptions(instructions=INSTRUCTIONS))


def test_an_episode_that_fails_is_kept_with_plans_and_who_acted(config, tmp_path):
    arrays = collect_shard(libero_env(), config, 0)
    assert arrays['solved'].tolist() == [False] and not len(arrays['failed_seeds'])
    assert len(arrays['acted']) == len(arrays['actions']) == 25
    assert arrays['acted'].tolist() == [EXPERT] * 21 + [POLICY] * 4
    assert arrays['frame_step'].tolist() == [0, 8, 16, 24]
    np.testing.assert_array_equal(
        arrays['chunks'][:, 0], arrays['actions'][arrays['frame_step']])
    write_shard(tmp_path / 'a.npz', arrays)
    data = load_shards(tmp_path)
    np.testing.assert_array_equal(data.chunks(np.arange(4)), arrays['chunks'])


def test_a_policy_without_an_expert_beside_it_drives_as_in_evaluation(config):
    env, policy = libero_env(), load_policy(config.policy)
    run_episode(env, policy, 10_028, PLATE, max_steps=10)
    wanted = env.data.qpos.copy()
    env.reset(10_028, PLATE)
    turns = Turns(env, policy, CalmNoise(), np.random.default_rng(0), 0.0)
    record = record_episode(env, Expert(env), turns, replace(config, max_steps=10),
                            ImageTransform((64, 64)))
    assert record['acted'] == [POLICY] * 10 and len(record['chunks']) == 2
    np.testing.assert_array_equal(env.data.qpos, wanted)


def test_an_episode_ends_where_the_expert_could_do_nothing(config):
    env = libero_env()
    env.reset(1234, PLATE)
    expert = Expert(env)
    assert expert.can_act()
    bowl = env.scene.benchmark.objects_dict[env.target_object()].joints[-1]
    address = env.model.joint(bowl).qposadr[0]
    kept = env.data.qpos[address:address + 3].copy()
    for place, can in ((kept + [0, 1.2, 0], False), (kept - [0, 0, 0.3], False), (kept, True)):
        env.data.qpos[address:address + 3] = place
        env.scene.forward()
        assert expert.can_act() == can
    env.data.qpos[address:address + 3] = kept + [0, 1.2, 0]
    env.scene.forward()
    record = record_episode(env, expert, ExpertAlone(CalmNoise()), config, None)
    assert record['actions'] == [] and not record['solved']


def test_the_folder_remembers_the_policy_by_its_weights(config, tmp_path):
    collect.make_directory(config.out)
    collect.keep_options(config)
    with pytest.raises(ConfigError, match='expert_share was 0.5 and is 0.25'):
        collect.check_options(replace(config, expert_share=0.25))
    with pytest.raises(ConfigError, match='policy was .* and is None'):
        collect.check_options(replace(config, policy=''))
    (tmp_path / 'moved').symlink_to(config.policy)
    collect.check_options(replace(config, policy=str(tmp_path / 'moved')))
    assert 'policy' not in replace(config, policy='').values()  # older folders go on


@pytest.mark.parametrize('changes, error, told', [
    ({'policy': '/nowhere'}, CheckpointError, '/nowhere'),
    ({'scene': SceneOptions('libero_object')}, ConfigError, 'knows .*give --instructions')])
def test_a_policy_that_cannot_act_is_refused_before_anything_is_written(
        config, changes, error, told):
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    with pytest.raises(error, match=told):
        collect.collect(replace(config, **changes))
    assert not config.out.exists()


@pytest.mark.parametrize('share', [-0.1, 1.1, float('nan')])
def test_a_share_is_from_0_to_1(tmp_path, share):
    with pytest.raises(ConfigError, match='expert_share must be from 0 to 1'):
        CollectConfig(out=tmp_path, expert_share=share)


def test_the_command_passes_the_policy_on(tmp_path, checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr('sqap_vla_ros.commands.collect.collect',
                        lambda config: asked.append(config) or (1, 0, 9))
    assert main(['collect', '--out', str(tmp_path), '--policy', checkpoint,
                 '--expert-share', '0.4']) == 0
    assert main(['collect', '--out', str(tmp_path), '--policy', 'libero_goal']) == 0
    assert main(['collect', '--out', str(tmp_path)]) == 0
    assert [(found.policy, found.expert_share) for found in asked[::2]] == [
        (checkpoint, 0.4), ('', 0.25)]
    assert asked[1].policy.endswith('models/libero_goal')


def test_failures_that_are_kept_are_told():
    notes = []
    score = Score(SimpleNamespace(advance=lambda note: notes.append(note)))
    score.add(EpisodeNews(False, 10))
    score.add(EpisodeNews(False, 75, True))
    assert notes == ['0 failed, 10 frames', '0 failed, 1 unsolved but kept, 85 frames']


def dagger_shard(first_seed=40_000, **damage):
    """Return a shard of the training tests' toy task in which a policy acted."""
    rng = np.random.default_rng(1)
    records = []
    for turn in (0, 0, 0):
        record = make_record(rng, turn)
        record.update(acted=[EXPERT, POLICY] * 6, solved=False, chunks=[
            np.full((CHUNK_ROWS, 7), 10 * number, np.float32) + np.arange(8)[:, None]
            for number in range(12)])
        records.append((turn, record))
    seeds = [first_seed + number for number in range(3)]
    return {**pack_shard(records, seeds, [], ('go right',), POINT_NAMES), **damage}


def test_folders_of_other_instructions_are_learned_from_together(data, tmp_path):
    write_shard(tmp_path / 'a.npz', dagger_shard())
    plain, both = load_shards(data), load_shards(data, tmp_path)
    assert both.instructions == plain.instructions == ('go left', 'go right')
    frames = len(plain)
    assert both.source.tolist() == [0] * frames + [1] * 36 and both.episodes == 23
    assert both.instruction[frames:].tolist() == [1] * 36
    np.testing.assert_array_equal(both.instruction[:frames], plain.instruction)
    np.testing.assert_array_equal(both.chunks(np.arange(frames)), plain.chunks(np.arange(frames)))
    chunk = both.chunks([frames + 13], horizon=10)[0, :, 0]
    np.testing.assert_array_equal(chunk, [10, 11, 12, 13, 14, 15, 16, 17, 17, 17])


@pytest.mark.parametrize('damage', [
    {'acted': np.zeros(3, np.uint8)}, {'chunks': np.zeros((36, 8, 6), np.float32)},
    {'chunks': np.zeros((36, 0, 7), np.float32)}, {'chunks': np.zeros((5, 8, 7), np.float32)},
    {'chunks': np.zeros((36, 8, 7), int)}, {'solved': np.zeros(3)}])
def test_a_shard_with_damaged_plans_is_skipped(tmp_path, damage):
    write_shard(tmp_path / 'a.npz', dagger_shard(**damage))
    with pytest.raises(ValueError, match=[*damage][0]):
        read_shard(tmp_path / 'a.npz')


def test_folders_of_another_scene_are_refused(data, tmp_path):
    write_data(tmp_path, points=4)
    with pytest.raises(ConfigError, match='point_names was .* Train on folders of one scene'):
        load_shards(data, tmp_path)


def test_weights_are_shares_of_the_samples_however_many_frames_a_folder_has(data, tmp_path):
    write_shard(tmp_path / 'a.npz', dagger_shard())
    both = load_shards(data, tmp_path)
    rows = np.arange(10, len(both))
    shares = chances(both, rows, '1,3')
    np.testing.assert_allclose([shares[both.source[rows] == 1].sum(), shares.sum()], [0.75, 1])
    assert len(set(shares.round(12))) == 2 and chances(both, rows, '') is None
    batches = Batches(both, rows, np.zeros((2, 3), np.int64), None, 2000, 0, chances=shares)
    drawn = batches.draw()
    assert drawn.min() >= 10 and 0.7 < both.source[drawn].mean() < 0.8


@pytest.mark.parametrize('text', ['1', '1,2,3', '1,0', '1,-1', '1,inf', '1,x', '1,nan'])
def test_weights_must_be_one_for_each_folder(data, tmp_path, text):
    write_shard(tmp_path / 'a.npz', dagger_shard())
    both = load_shards(data, tmp_path)
    with pytest.raises(ConfigError, match=f'--weights {text}: give 2 numbers above 0'):
        chances(both, np.arange(len(both)), text)
