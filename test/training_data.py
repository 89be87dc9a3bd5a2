# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A task that a small network learns in seconds, and the command line that trains it."""
import argparse

import numpy as np
from sqap_vla_ros.commands import train
from sqap_vla_ros.observation import end_effector_state
from sqap_vla_ros.train.recording import pack_shard
from sqap_vla_ros.train.shards import POINT_NAMES, write_shard
from tiny_checkpoint import save_tiny_checkpoint

INSTRUCTIONS = ('go left', 'go right')
SIZE = 56


def make_record(rng, instruction, steps=12, points=3):
    """Draw an episode: a white circle whose place and the instruction decide the action."""
    import cv2
    record = {name: [] for name in
              ('jpeg', 'state', 'points_px', 'points_xyz', 'frame_step', 'actions')}
    for step in range(steps):
        place = rng.uniform(8, SIZE - 8, 2)
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        cv2.circle(image, tuple(int(v) for v in place), 5, (255, 255, 255), -1)
        record['jpeg'].append(cv2.imencode('.jpg', image)[1].ravel())
        record['state'].append(end_effector_state(rng.normal(0, 0.1, 3), [1.0, 0, 0, 0], 1.0))
        record['points_px'].append(np.stack([place] * points).astype(np.float32))
        record['points_xyz'].append(np.zeros((points, 3), np.float32))
        record['frame_step'].append(step)
        sign = 1 if instruction else -1
        action = [sign * 0.1, (place[0] - SIZE / 2) / 200, 0, 0, 0, 0, instruction]
        record['actions'].append(np.array(action, np.float32))
    return record


def write_data(path, instructions=INSTRUCTIONS, shards=2, episodes=10, points=3, seed=10_000):
    """Write shards in which the instructions take turns, from this seed on."""
    rng = np.random.default_rng(0)
    names = [*POINT_NAMES, 'plate', 'stove'][:points]
    for shard in range(shards):
        first = shard * episodes
        turns = [k % len(instructions) for k in range(first, first + episodes)]
        records = [(turn, make_record(rng, turn, points=points)) for turn in turns]
        seeds = list(range(seed + first, seed + first + episodes))
        arrays = pack_shard(records, seeds, [], instructions, names)
        write_shard(path / f'shard_{shard}.npz', arrays)
    return path


def save_checkpoint_and_data(folder, instruction):
    """Return (a random checkpoint of 64 tokens that knows it, shards of 10 episodes) in folder."""
    save_tiny_checkpoint(folder / 'tiny', (instruction, 'open the drawer'))
    (folder / 'data').mkdir()
    return folder / 'tiny', write_data(folder / 'data', (instruction,), shards=1)


def options(data, out, *extra):
    """Return the parsed options of a run of about one million multiplications a sample."""
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args([
        str(data), str(out), '--width', '64', '--vit-depth', '1', '--llm-layers', '3',
        '--batch-size', '16', '--dtype', 'float32', '--log-every', '10', '--name', 'toy',
        '--device', 'cpu', '--threads', '1', '--learning-rate', '3e-3', *extra])
