# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect demonstrations of the scripted expert in the simulator (`sqap-vla collect`).

Disturbed actions are executed, the expert's own are recorded. Episode k of a run has the seed
`seed + k` and the instruction k modulo their number; a shard that is already there is kept, so a
stopped run goes on where it was. Seeds below 1000 are for evaluation only.
"""
import argparse
from dataclasses import dataclass
import multiprocessing
import os
from pathlib import Path
import time

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.observation import end_effector_state
from sqap_vla_ros.train.shards import write_shard

HELD_OUT_SEEDS = 1000
JPEG_QUALITY = 95


@dataclass(frozen=True)
class CollectConfig:
    """
    What to collect.

    frame_stride: control steps from one frame to the next; input_size: side of the stored,
    square frames (the network's input); max_steps: an episode is given up after these;
    tail_steps: what is recorded after success, for the release.
    """

    out: Path
    episodes: int = 1000
    seed: int = 10_000
    shard_episodes: int = 25
    workers: int = 2
    frame_stride: int = 2
    input_size: int = 224
    placement_m: float = 0.14
    max_steps: int = 200
    tail_steps: int = 16
    niceness: int = 10

    def __post_init__(self):
        """Raise ConfigError for a count that is not positive or a seed kept for evaluation."""
        for name in ('episodes', 'shard_episodes', 'workers', 'frame_stride', 'max_steps'):
            if getattr(self, name) < 1:
                raise ConfigError(f'{name} must be at least 1, found {getattr(self, name)}')
        if self.seed < HELD_OUT_SEEDS:
            raise ConfigError(f'seeds below {HELD_OUT_SEEDS} are held out for evaluation: '
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
    points = env.task_points()
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
    for episode in range(first, min(first + config.shard_episodes, config.episodes)):
        seed = config.seed + episode
        env.reset(seed, env.instructions[episode % len(env.instructions)])
        perturbation = Perturbation(np.random.default_rng([seed, 1]))
        record = record_episode(env, expert, perturbation, config, transform)
        if record is None:
            failed.append(seed)
        else:
            records.append((episode % len(env.instructions), record))
            seeds.append(seed)
    return pack_shard(records, seeds, failed, env.instructions)


def pack_shard(records, seeds, failed, instructions):
    """Return a shard's arrays (see shards.py) of [(instruction index, record), ...]."""
    def joined(name, shape):
        values = [value for _, record in records for value in record[name]]
        return np.array(values).reshape(-1, *shape)
    frames = [frame for _, record in records for frame in record['jpeg']]
    return {
        'jpeg': np.concatenate(frames) if frames else np.zeros(0, np.uint8),
        'jpeg_offsets': np.cumsum([0] + [len(frame) for frame in frames]),
        'state': joined('state', (8,)),
        'points_px': joined('points_px', (3, 2)),
        'points_xyz': joined('points_xyz', (3, 3)),
        'frame_step': joined('frame_step', ()).astype(np.int32),
        'frame_episode': np.repeat(np.arange(len(records), dtype=np.int32),
                                   [len(record['jpeg']) for _, record in records]),
        'actions': joined('actions', (7,)),
        'action_offsets': np.cumsum([0] + [len(record['actions']) for _, record in records]),
        'instruction': np.array([instruction for instruction, _ in records], np.int32),
        'seed': np.array(seeds, np.int64),
        'failed_seeds': np.array(failed, np.int64),
        'instructions': np.array(instructions)}


def shard_path(config, shard):
    """Return where the shard of this number belongs; the name holds its first seed."""
    return config.out / f'shard_{config.seed + shard * config.shard_episodes:07d}.npz'


def missing_shards(config):
    """Return the numbers of the shards that are still to be collected."""
    count = -(-config.episodes // config.shard_episodes)
    return [shard for shard in range(count) if not shard_path(config, shard).exists()]


def _work(config, shards, done):
    """Collect shards in a worker process; report (episodes, failures, frames) of each."""
    os.nice(config.niceness)
    from sqap_vla_ros.sim.env import LiberoEnv
    env = LiberoEnv(placement_m=config.placement_m)
    for shard in shards:
        if not multiprocessing.parent_process().is_alive():
            return
        arrays = collect_shard(env, config, shard)
        write_shard(shard_path(config, shard), arrays)
        done.put((len(arrays['seed']), len(arrays['failed_seeds']), len(arrays['state'])))


def collect(config):
    """
    Collect what is missing, with a progress bar; return (episodes, failures, frames) added.

    Raises RuntimeError when a worker process dies.
    """
    from tqdm import tqdm
    config.out.mkdir(parents=True, exist_ok=True)
    shards = missing_shards(config)
    context = multiprocessing.get_context('spawn')
    done = context.Queue()
    workers = [context.Process(target=_work, daemon=True,
                               args=(config, shards[i::config.workers], done))
               for i in range(min(config.workers, len(shards)))]
    for worker in workers:
        worker.start()
    totals = np.zeros(3, int)
    with tqdm(total=len(shards) * config.shard_episodes, unit='episode', mininterval=5) as bar:
        for _ in shards:
            counts = np.array(_next_report(done, workers))
            totals += counts
            bar.update(int(counts[0] + counts[1]))
            bar.set_postfix(failed=totals[1], frames=totals[2])
    for worker in workers:
        worker.join()
    return tuple(totals.tolist())


def _next_report(done, workers):
    """Return the next report, unless a worker has died."""
    while done.empty():
        if any(worker.exitcode for worker in workers):
            raise RuntimeError('a collecting process died; its message stands above. Start '
                               'again: finished shards are kept')
        time.sleep(0.5)
    return done.get()


def add_arguments(parser):
    """Add the options of `sqap-vla collect` to an argparse parser."""
    parser.add_argument('--out', type=Path, default=Path('data'), help='folder for the shards')
    for name, text in (
            ('episodes', 'episodes in all, over both instructions'),
            ('seed', f'seed of the first episode, at least {HELD_OUT_SEEDS}'),
            ('workers', 'processes'),
            ('shard_episodes', 'episodes in one file'),
            ('frame_stride', 'control steps (0.05 s) from one frame to the next'),
            ('input_size', 'side of the stored frames, px')):
        parser.add_argument('--' + name.replace('_', '-'), type=int, help=text,
                            default=getattr(CollectConfig, name))
    parser.add_argument('--placement-m', type=float, default=CollectConfig.placement_m,
                        help='side of the square each object is placed in, m')


def run(args):
    """Run `sqap-vla collect`; return the exit status."""
    config = CollectConfig(
        out=args.out, episodes=args.episodes, seed=args.seed, workers=args.workers,
        shard_episodes=args.shard_episodes, frame_stride=args.frame_stride,
        input_size=args.input_size, placement_m=args.placement_m)
    episodes, failures, frames = collect(config)
    print(f'added {episodes} episodes with {frames} frames to {config.out}; the expert failed '
          f'in {failures} more, which were left out')
    return 0


if __name__ == '__main__':
    _parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add_arguments(_parser)
    raise SystemExit(run(_parser.parse_args()))
