# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Results of a replay that nobody ran, for the tests of what reads them; seeded, all plausible."""
from __future__ import annotations

import numpy as np
from sqap_vla_ros.control.action_space import TWIST_NAMES
from sqap_vla_ros.observation import FILLED, PROTECTED, SAMPLED
from sqap_vla_ros.replay.results import Answers, Commands, DROPPED, Images, Results

RATE_NS, START_NS = 50_000_000, 1_700_000_000_000_000_000
GRID, IMAGE_PX = (16, 16), 224


def made_results(count: int = 60, rows: int = 8, seed: int = 0, controls=('none',)) -> Results:
    """Return results of fp and sqap@154 on so many images; the sixth had a problem."""
    rng = np.random.default_rng(seed)
    times = START_NS + RATE_NS * np.arange(count)
    phase = np.arange(count) / 15
    poses = np.column_stack([0.5 + 0.1 * np.sin(phase), 0.1 * np.cos(phase), 0.3 + 0 * phase,
                             np.ones(count), *np.zeros((3, count))])
    problems = tuple('no transform base -> end_effector' if index == 5 else ''
                     for index in range(count))
    where = np.column_stack([112 + 60 * np.sin(phase), 112 + 60 * np.cos(phase)])
    images = Images(
        np.arange(count), np.zeros(count, np.int32), times + 4_000_000, times, problems,
        ((),) * count, poses, np.zeros((count, 1)), ('panda_finger_joint1',),
        ('put the bowl on the stove',) * count,
        tuple({} if text else {'end_effector': (u, v, 3.0)}
              for (u, v), text in zip(where, problems)))
    twist = np.zeros((count, 6))
    twist[:, 0], twist[:, 1] = 0.1 * np.cos(phase), -0.1 * np.sin(phase)
    opening = (np.arange(count) < count // 2).astype(float)
    shared = (images, twist, opening, where, rows)
    answers = [_answers('fp', control, 0.004, rng, *shared) for control in controls]
    answers += [_answers('sqap@154', control, 0.008, rng, *shared) for control in controls]
    commands = (
        Commands('/delta_twist_cmds', 'twist', TWIST_NAMES, 'base', times + 9_000_000, twist),
        Commands('/gripper_command', 'gripper', ('gripper',), 'base', times + 9_000_000,
                 opening[:, None]))
    facts = {'source': 'made.mcap', 'form': 'rosbag2, mcap', 'checkpoint': 'libero_goal',
             'instruction': 'put the bowl on the stove', 'image_size': [IMAGE_PX, IMAGE_PX]}
    return Results(facts, (), images, tuple(answers), commands)


def _answers(name, control, noise, rng, images, twist, opening, where, rows):
    """Return what follows the recorded commands up to some noise; a control stands still."""
    count = len(images)
    at = np.minimum(np.arange(count)[:, None] + np.arange(rows), count - 1)
    velocities = (twist[at] if control == 'none' else 0 * twist[at]) + rng.normal(
        0, noise, (count, rows, 6))
    gripper = np.clip(opening[at] + rng.normal(0, 0.05, (count, rows)), 0, 1)
    steps = np.cumsum(velocities[..., :3] * 0.05, axis=1)
    positions = np.concatenate([images.poses[:, None, :3] + steps, np.broadcast_to(
        images.poses[:, None, 3:], (count, rows, 4))], axis=2)
    blind = np.array([bool(text) for text in images.problems], bool)
    for each in (velocities, gripper, positions):
        each[blind] = np.nan
    actions = np.concatenate([velocities, gripper[..., None]], axis=2).astype(np.float32)
    stages = {'observe': 2.0, 'preprocess': 1.0, 'vision': 20.0, 'prefill_1': 6.0,
              'selection': 0.2, 'prefill_2': 8.0, 'head': 2.0, 'total': 39.2}
    latency = {stage: np.where(blind, np.nan, ms * rng.uniform(0.9, 1.3, count))
               for stage, ms in stages.items()}
    covered = _covered(where) & ~blind[:, None]
    reasons = np.zeros((count, 256), np.uint8) if name == 'fp' else _reasons(covered, rng)
    return Answers(name, control, 'twist', 'base', TWIST_NAMES, 0.05, rows, velocities, positions,
                   gripper, actions, latency, GRID, reasons, covered, ('',) * count)


def _covered(where):
    rows, columns = np.divmod(np.arange(GRID[0] * GRID[1]), GRID[1])
    patch = IMAGE_PX / GRID[0]
    return np.hypot(where[:, :1] / patch - columns, where[:, 1:] / patch - rows) < 2.5


def _reasons(covered, rng):
    """Keep 154: what is covered, 32 at random as preserved, the rest sampled and one filled."""
    reasons = np.full(covered.shape, DROPPED, np.uint8)
    for row, mine in zip(reasons, covered):
        row[mine] = PROTECTED
        free = rng.permutation(np.flatnonzero(~mine))[:154 - int(mine.sum())]
        row[free] = SAMPLED
        row[free[:32]], row[free[-1:]] = 0, FILLED
    return reasons
