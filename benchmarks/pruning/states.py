# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Clips of demonstrations: what a policy would see in looks that follow each other.

Frames come from the shards of `sqap-vla collect`, which also hold where the objects and the
gripper are, in metres and in pixels, so each look is told by the phase of its task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqap_vla_ros.train.shards import Demonstrations, load_shards

PHASES = ('far', 'near', 'grasp', 'carry', 'place')
NEAR_M, PLACE_M, LIFTED_M, SHUT = 0.10, 0.08, 0.02, 0.95
POINTS = ('object', 'place', 'end_effector')


@dataclass(frozen=True)
class Look:
    """
    One image with what is known of it.

    frame: its number in the demonstrations.  image uint8 [h, w, 3]; state [8]; points float
    [P, 2] in patches (column, row; whole numbers are centres) by POINTS; phase: one of PHASES.
    """

    frame: int
    seed: int
    step: int
    image: np.ndarray
    instruction: str
    state: np.ndarray
    points: np.ndarray
    phase: str


def clips(folder, count: int, looks: int, apart: int, patch_px: int,
          seed: int = 0) -> list[list[Look]]:
    """
    Return so many clips of `looks` looks, one an episode, begun at a time that is drawn.

    apart: control steps between looks.  patch_px: side of a patch.  Episodes are taken in their
    order, each task as often as the others; fewer clips where there are fewer episodes.
    """
    data, generator, found = load_shards(folder), np.random.default_rng(seed), []
    for mine in _episodes(data):
        steps = data.frame_step[mine]
        stride = int(apart / (steps[1] - steps[0]))
        room = len(mine) - stride * (looks - 1)
        if room > 0 and len(found) < count:
            first = int(generator.integers(room))
            found.append([_look(data, mine, first + stride * number, patch_px)
                          for number in range(looks)])
    return found


def _episodes(data: Demonstrations) -> list[np.ndarray]:
    """Return the frames of each episode, in order."""
    seeds, first = np.unique(data.seed, return_index=True)
    return [np.flatnonzero(data.seed == data.seed[index]) for index in np.sort(first)]


def _look(data: Demonstrations, mine, place: int, patch_px: int) -> Look:
    frame = mine[place]
    points = (data.points_px[frame, :len(POINTS)] + 0.5) / patch_px - 0.5
    return Look(int(frame), int(data.seed[frame]), int(data.frame_step[frame]),
                data.frame(frame), data.instructions[data.instruction[frame]], data.state[frame],
                points, phase_of(data.points_xyz[mine[0], 0], data.points_xyz[frame, :len(POINTS)],
                                 data.state[frame, 7]))


def phase_of(begun, points, gripper: float) -> str:
    """
    Return how far a task has come.

    begun [3]: where its object was at first, m.  points [3, 3]: where object, place and gripper
    are, by POINTS.  gripper: 0 closed .. 1 open.
    """
    thing, place, hand = points
    is_shut = gripper < SHUT
    if thing[2] - begun[2] > LIFTED_M or np.linalg.norm((thing - begun)[:2]) > NEAR_M:
        return 'place' if np.linalg.norm((thing - place)[:2]) < PLACE_M else 'carry'
    if np.linalg.norm((thing - hand)[:2]) > NEAR_M:
        return 'far'
    return 'grasp' if is_shut else 'near'
