# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect demonstrations of the scripted expert in the simulator (`sqap-vla collect`).

Episode k of a run has the seed `seed + k` and the instruction k modulo their number. A shard that
holds all of its episodes is kept, so a stopped run goes on where it was, and the number of
episodes can be raised; collect.json keeps the options that decide what an episode is. Seeds of
evaluate/seeds.py are never used.
"""
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
import json
import os
from pathlib import Path

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.seeds import TRAINING_SEEDS
from sqap_vla_ros.sim.options import SceneOptions
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.support.files import (
    check_directory, make_directory, saving_to, write_whole)
from sqap_vla_ros.support.processes import run_jobs, tell
from sqap_vla_ros.support.progress import Progress
from sqap_vla_ros.support.requirements import require
from sqap_vla_ros.train.recording import pack_shard, record_episode
from sqap_vla_ros.train.shards import differences, episodes_in, POINT_NAMES, write_shard

OPTIONS, EXPERT = 'collect.json', 'expert'
KEPT = 'finished shards are kept'
FRAMES_AN_EPISODE = 56  # at a stride of 2: 0.9 MB of 16 KB each, of the tasks of libero_goal
BYTES_A_PIXEL = 16e3 / 224 ** 2  # of a JPEG
_TURNS_STREAM = 1  # of an episode's random numbers


@dataclass(frozen=True)
class CollectConfig:
    """What to collect; raises ConfigError for a count below 1 or a seed kept for evaluation."""

    out: Path
    scene: SceneOptions = SceneOptions()  # its instructions share one scene
    episodes: int = 1000
    seed: int = 10_000
    shard_episodes: int = 25
    workers: int = 2
    frame_stride: int = 2  # control steps from one frame to the next
    input_size: int = 224  # side of the stored, square frames (the network's input)
    max_steps: int = 300  # an episode is given up after these
    tail_steps: int = 16  # recorded after success, for the release
    policy: str = ''  # checkpoint that acts in turn with the expert; empty for the expert alone
    expert_share: float = 0.25  # of the turns, beside a policy
    niceness: int = 10

    def __post_init__(self):
        for name in ('episodes', 'shard_episodes', 'workers', 'frame_stride', 'input_size',
                     'max_steps'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be at least 1, found {getattr(self, name)}')
        last = self.seed + self.episodes - 1
        if self.seed not in TRAINING_SEEDS or last not in TRAINING_SEEDS:
            raise ConfigError(f'seeds {self.seed} to {last} are not all of those for training, '
                              f'{TRAINING_SEEDS[0]} to {TRAINING_SEEDS[-1]}: others are kept for '
                              'evaluation')
        if not 0 <= self.expert_share <= 1:
            raise ConfigError(f'expert_share must be from 0 to 1, found {self.expert_share}')

    def values(self):
        """Return what decides which episodes a folder holds, for a JSON file."""
        names = ('seed', 'shard_episodes', 'frame_stride', 'input_size', 'max_steps', 'tail_steps')
        from sqap_vla_ros.sim.expert import fingerprint
        values = {**self.scene.values(), **{name: getattr(self, name) for name in names},
                  EXPERT: fingerprint()}
        if self.policy:
            values.update(policy=digest(self.policy), expert_share=self.expert_share)
        return values


def collect_shard(env, config, shard):
    """Return the arrays of a shard; a seed at which objects find no room counts as failed."""
    from sqap_vla_ros.geometry.image_transform import ImageTransform
    from sqap_vla_ros.sim.expert import Expert
    from sqap_vla_ros.sim.placements import NoRoomError
    transform = ImageTransform((config.input_size, config.input_size))
    expert, records, seeds, failed = Expert(env), [], [], []
    first = shard * config.shard_episodes
    for episode in range(first, first + episodes_of(config, shard)):
        seed = config.seed + episode
        try:
            env.reset(seed, env.instructions[episode % len(env.instructions)])
        except NoRoomError:
            record = None
        else:
            record = record_episode(env, expert, _actor(env, config, seed), config, transform)
        if record is None:
            failed.append(seed)
        else:
            records.append((episode % len(env.instructions), record))
            seeds.append(seed)
        tell(EpisodeNews(record is None, 0 if record is None else len(record['jpeg']),
                         record is not None and not record['solved']))
    point_names = (*POINT_NAMES, *env.object_centers())
    return pack_shard(records, seeds, failed, env.instructions, point_names)


def _actor(env, config, seed):
    """Return who acts in the episode of this seed."""
    from sqap_vla_ros.train.acting import ExpertAlone, Turns
    from sqap_vla_ros.train.perturbation import Perturbation
    perturbation = Perturbation(np.random.default_rng([seed, 1]))
    if not config.policy:
        return ExpertAlone(perturbation)
    return Turns(env, _policy(config.policy), perturbation,
                 np.random.default_rng([seed, 1, _TURNS_STREAM]), config.expert_share)


@lru_cache(maxsize=1)
def _policy(checkpoint):
    """Return this process's policy, loaded for its first episode; it sees all tokens."""
    import torch
    from sqap_vla_ros.policy import load_policy
    torch.set_num_threads(1)
    return load_policy(checkpoint, vision_dtype='float32')  # the same acts on any processor


@dataclass(frozen=True)
class EpisodeNews:
    """What a worker tells of an episode that has ended; is_unsolved: kept without success."""

    is_failed: bool
    frames: int
    is_unsolved: bool = False


def shard_path(config, shard):
    """Return where the shard of this number belongs; the name holds its first seed."""
    return config.out / f'shard_{config.seed + shard * config.shard_episodes:07d}.npz'


def episodes_of(config, shard):
    """Return how many episodes the shard of this number has; the last one may have fewer."""
    return min(config.shard_episodes, config.episodes - shard * config.shard_episodes)


def missing_shards(config):
    """Return the numbers of the shards that lack episodes: all of theirs are collected anew."""
    count = -(-config.episodes // config.shard_episodes)
    return [shard for shard in range(count)
            if episodes_in(shard_path(config, shard)) < episodes_of(config, shard)]


def keep_options(config):
    """Write a folder's collect.json, or raise ConfigError naming differences from it."""
    check_options(config)
    path = config.out / OPTIONS
    if path.is_file():
        return
    if any(config.out.glob('*.npz')):
        print(f'{config.out} does not say with which options it was collected: taken to be '
              'the present ones')
    with saving_to(config.out, 0, KEPT):
        write_whole(path, (json.dumps(config.values(), indent=1) + '\n').encode())


def check_options(config):
    """Raise ConfigError for a folder whose collect.json has other options; it may have none."""
    path, values = config.out / OPTIONS, json.loads(json.dumps(config.values()))
    if not path.is_file():
        return
    try:
        found = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(f'{path} is damaged ({error}): delete it if the options are those of '
                          'the shards, or give another --out') from error
    changed = differences({**found, EXPERT: values[EXPERT]}, values)
    if changed:
        raise ConfigError(f'{config.out} holds demonstrations of other options: {changed}. Give '
                          'the same options to go on, or another --out')
    if found.get(EXPERT) != values[EXPERT]:
        raise ConfigError(f'{config.out} holds demonstrations of another expert than that of this '
                          'version, whose paths differ: give another --out, and train on both')


@lru_cache(maxsize=1)
def _environment(scene):
    """Return this process's environment, made for its first shard."""
    from sqap_vla_ros.sim.making import make_environment
    return make_environment(scene)


def _work(config, shard):
    """Collect a shard in a worker process; return (episodes, failures, frames)."""
    if not _environment.cache_info().currsize:
        os.nice(config.niceness)
    arrays = collect_shard(_environment(config.scene), config, shard)
    size = sum(array.nbytes for array in arrays.values())
    with saving_to(config.out, size, KEPT):
        write_shard(shard_path(config, shard), arrays)
    return len(arrays['seed']), len(arrays['failed_seeds']), len(arrays['state'])


def collect(config):
    """
    Collect what is missing; return (episodes, failures, frames) added.

    Raises ConfigError, before anything is written, for a folder without permission or room, for
    one that holds demonstrations of other options, and for a scene that cannot be.
    """
    if config.policy:
        check_policy(config)
    check_options(config)
    with Progress('looking at the shards that are there'):
        shards, totals = missing_shards(config), np.zeros(3, int)
    missing = sum(episodes_of(config, shard) for shard in shards)
    if shards:
        check_collection(config, missing)
    make_directory(config.out)
    keep_options(config)
    with Progress('collect', total=config.episodes, done=config.episodes - missing,
                  unit='episode') as progress:
        score = Score(progress)
        jobs = run_jobs(partial(_work, config), shards, config.workers, score.add)
        with closing(jobs):
            for _, counts in jobs:
                totals += counts
    return tuple(totals.tolist())


class Score:
    """Counts episodes as they end, within a shard too."""

    def __init__(self, progress: Progress):
        """Show them there."""
        self._progress, self._failed, self._unsolved, self._frames = progress, 0, 0, 0

    def add(self, news: EpisodeNews) -> None:
        """Count one."""
        self._failed += news.is_failed
        self._unsolved += news.is_unsolved
        self._frames += news.frames
        kept = f'{self._unsolved} unsolved but kept, ' if self._unsolved else ''
        self._progress.advance(note=f'{self._failed} failed, {kept}{self._frames} frames')


def check_policy(config) -> None:
    """Raise ConfigError or CheckpointError for a policy that cannot act in the scene."""
    require(ConfigError, 'libero', 'mujoco')
    with Progress('looking at the policy'):
        from sqap_vla_ros.evaluate.evaluation import check_action_space
        from sqap_vla_ros.formats import open_checkpoint
        from sqap_vla_ros.sim.env import tasks_of
        from sqap_vla_ros.train.acting import check_instructions
        found = open_checkpoint(config.policy).config
        check_action_space(found.action_space)
        check_instructions(found, tasks_of(config.scene.suite, config.scene.instructions or None))


def check_collection(config, episodes: int) -> None:
    """Raise ConfigError for what would only fail after a simulator was built, or hours later."""
    require(ConfigError, 'libero', 'mujoco')
    with Progress('reading the tasks'):
        from sqap_vla_ros.sim.making import check_scene
        check_scene(config.scene)
    frames = episodes * FRAMES_AN_EPISODE * 2 / config.frame_stride
    needed = int(frames * BYTES_A_PIXEL * config.input_size ** 2)
    folder = config.out.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigError(f'--out {config.out} cannot be a directory for results: {folder} is a '
                          'file')
    check_directory(folder, '--out', needed, config.out)
