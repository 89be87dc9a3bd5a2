# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect demonstrations of the scripted expert in the simulator (`sqap-vla collect`).

Disturbed actions are executed, the expert's own are recorded. Episode k of a run has the seed
`seed + k` and the instruction k modulo their number; a shard that is already there is kept, so a
stopped run goes on where it was. Seeds of evaluate/seeds.py are never used.
"""
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
import os
from pathlib import Path

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.seeds import FIRST_TRAINING_SEED
from sqap_vla_ros.files import saving_to
from sqap_vla_ros.observation import end_effector_state
from sqap_vla_ros.processes import run_jobs
from sqap_vla_ros.sim.options import add_scene_arguments, scene_options, SceneOptions
from sqap_vla_ros.train.shards import POINT_NAMES, write_shard

JPEG_QUALITY = 95


@dataclass(frozen=True)
class CollectConfig:
    """
    What to collect.

    scene: of the simulator; its instructions share one scene, none for its own choice.
    frame_stride: control steps from one frame to the next; input_size: side of the stored,
    square frames (the network's input); max_steps: an episode is given up after these;
    tail_steps: what is recorded after success, for the release.
    """

    out: Path
    scene: SceneOptions = SceneOptions()
    episodes: int = 1000
    seed: int = 10_000
    shard_episodes: int = 25
    workers: int = 2
    frame_stride: int = 2
    input_size: int = 224
    max_steps: int = 300
    tail_steps: int = 16
    niceness: int = 10

    def __post_init__(self):
        """Raise ConfigError for a count that is not positive or a seed kept for evaluation."""
        for name in ('episodes', 'shard_episodes', 'workers', 'frame_stride', 'max_steps'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be at least 1, found {getattr(self, name)}')
        if self.seed < FIRST_TRAINING_SEED:
            raise ConfigError(f'seeds below {FIRST_TRAINING_SEED} are kept for evaluation: '
                              f'use a larger seed than {self.seed}')


def record_episode(env, expert, perturbation, config, transform):
    """
    Run one episode; return its record as a dict of lists, or None when the expert failed.

    Keys: jpeg, state, points_px, points_xyz, frame_step (one a frame) and actions (one a step).
    """
    record = {name: [] for name in
              ('jpeg', 'state', 'points_px', 'points_xyz', 'frame_step', 'actions')}
    tail = None
    for step in range(config.max_steps):
        twist, gripper = expert.act()
        early = tail is None or tail > config.tail_steps // 2
        if step % config.frame_stride == 0 and early:
            _record_frame(record, env, step, transform)
        record['actions'].append(np.append(twist, gripper).astype(np.float32))
        success = env.step(*perturbation.apply(twist, gripper))
        if tail is None and success:
            tail = config.tail_steps
        elif tail is not None:
            tail -= 1
            if tail == 0:
                return record
    return None


def _record_frame(record, env, step, transform):
    """Append what a policy sees at this step, and where its points are in the image."""
    import cv2
    image = transform.apply(env.render())
    jpeg = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    points = np.array([*env.task_points(), *env.object_centers().values()])
    record['jpeg'].append(jpeg)
    record['state'].append(environment_state(env))
    record['points_xyz'].append(points.astype(np.float32))
    record['points_px'].append(project_points(env, points, transform).astype(np.float32))
    record['frame_step'].append(step)


def environment_state(env):
    """Return the proprioception float32 [8] of an environment, as the policy takes it."""
    from scipy.spatial.transform import Rotation
    pose = env.end_effector_pose()
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return end_effector_state(pose[:3, 3], quaternion, env.gripper_open())


def project_points(env, points, transform):
    """Return where points [P, 3] (base frame, m) lie in the transformed image, [P, 2] px."""
    camera = env.camera_pose()
    in_camera = (points - camera[:3, 3]) @ camera[:3, :3]
    pixels = in_camera @ env.camera_intrinsics().T
    return transform.pixels_to_input(pixels[:, :2] / pixels[:, 2:], env.image_size)


def collect_shard(env, config, shard):
    """Return (arrays of the shard, frames, episodes) for the shard of this number."""
    from sqap_vla_ros.image_transform import ImageTransform
    from sqap_vla_ros.sim.expert import Expert
    from sqap_vla_ros.train.perturbation import Perturbation
    transform = ImageTransform((config.input_size, config.input_size))
    expert, records, seeds, failed = Expert(env), [], [], []
    first = shard * config.shard_episodes
    for episode in range(first, first + episodes_of(config, shard)):
        seed = config.seed + episode
        env.reset(seed, env.instructions[episode % len(env.instructions)])
        perturbation = Perturbation(np.random.default_rng([seed, 1]))
        record = record_episode(env, expert, perturbation, config, transform)
        if record is None:
            failed.append(seed)
        else:
            records.append((episode % len(env.instructions), record))
            seeds.append(seed)
    point_names = (*POINT_NAMES, *env.object_centers())
    return pack_shard(records, seeds, failed, env.instructions, point_names)


def pack_shard(records, seeds, failed, instructions, point_names):
    """Return a shard's arrays (see shards.py) of [(instruction index, record), ...]."""
    def joined(name, shape):
        values = [value for _, record in records for value in record[name]]
        return np.array(values).reshape(-1, *shape)
    frames = [frame for _, record in records for frame in record['jpeg']]
    return {
        'jpeg': np.concatenate(frames) if frames else np.zeros(0, np.uint8),
        'jpeg_offsets': np.cumsum([0] + [len(frame) for frame in frames]),
        'state': joined('state', (8,)),
        'points_px': joined('points_px', (len(point_names), 2)),
        'points_xyz': joined('points_xyz', (len(point_names), 3)),
        'frame_step': joined('frame_step', ()).astype(np.int32),
        'frame_episode': np.repeat(np.arange(len(records), dtype=np.int32),
                                   [len(record['jpeg']) for _, record in records]),
        'actions': joined('actions', (7,)),
        'action_offsets': np.cumsum([0] + [len(record['actions']) for _, record in records]),
        'instruction': np.array([instruction for instruction, _ in records], np.int32),
        'seed': np.array(seeds, np.int64),
        'failed_seeds': np.array(failed, np.int64),
        'instructions': np.array(instructions), 'point_names': np.array(point_names)}


def shard_path(config, shard):
    """Return where the shard of this number belongs; the name holds its first seed."""
    return config.out / f'shard_{config.seed + shard * config.shard_episodes:07d}.npz'


def episodes_of(config, shard):
    """Return how many episodes the shard of this number has; the last one may have fewer."""
    return min(config.shard_episodes, config.episodes - shard * config.shard_episodes)


def missing_shards(config):
    """Return the numbers of the shards that are still to be collected."""
    count = -(-config.episodes // config.shard_episodes)
    return [shard for shard in range(count) if not shard_path(config, shard).exists()]


@lru_cache(maxsize=1)
def _environment(scene):
    """Return this process's environment, made for its first shard."""
    return scene.environment()


def _work(config, shard):
    """Collect a shard in a worker process; return (episodes, failures, frames)."""
    if not _environment.cache_info().currsize:
        os.nice(config.niceness)
    arrays = collect_shard(_environment(config.scene), config, shard)
    size = sum(array.nbytes for array in arrays.values())
    with saving_to(config.out, size, 'finished shards are kept'):
        write_shard(shard_path(config, shard), arrays)
    return len(arrays['seed']), len(arrays['failed_seeds']), len(arrays['state'])


def collect(config):
    """
    Collect what is missing, with a progress bar; return (episodes, failures, frames) added.

    Raises ConfigError when the disk is full and RuntimeError when a worker process dies.
    """
    from tqdm import tqdm
    config.out.mkdir(parents=True, exist_ok=True)
    shards, totals = missing_shards(config), np.zeros(3, int)
    jobs = run_jobs(partial(_work, config), shards, config.workers)
    with closing(jobs), tqdm(total=config.episodes, initial=config.episodes - sum(
            episodes_of(config, shard) for shard in shards), unit='episode') as bar:
        for shard, counts in jobs:
            totals += counts
            bar.update(episodes_of(config, shard))
            bar.set_postfix(failed=totals[1], frames=totals[2])
    return tuple(totals.tolist())


def add_arguments(parser):
    """Add the options of `sqap-vla collect` to an argparse parser."""
    parser.add_argument('--out', type=Path, default=Path('data'), help='folder for the shards')
    for name, text in (
            ('episodes', 'episodes in all, over the instructions'),
            ('seed', f'seed of the first episode, at least {FIRST_TRAINING_SEED}'),
            ('workers', 'processes'),
            ('shard_episodes', 'episodes in one file'),
            ('frame_stride', 'control steps (0.05 s) from one frame to the next'),
            ('input_size', 'side of the stored frames, px')):
        parser.add_argument('--' + name.replace('_', '-'), type=int, help=text,
                            default=getattr(CollectConfig, name))
    parser.add_argument('--instructions', nargs='+', default=(), metavar='TEXT',
                        help='tasks of the suite, all in one scene; default: five of libero_goal')
    add_scene_arguments(parser)


def run(args):
    """Run `sqap-vla collect`; return the exit status."""
    config = CollectConfig(
        out=args.out, scene=scene_options(args, args.instructions), episodes=args.episodes,
        seed=args.seed, workers=args.workers, shard_episodes=args.shard_episodes,
        frame_stride=args.frame_stride, input_size=args.input_size)
    episodes, failures, frames = collect(config)
    print(f'added {episodes} episodes with {frames} frames to {config.out}; the expert failed '
          f'in {failures} more, which were left out')
    return 0
