# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How an episode starts: objects and arm at random, or one of the benchmark's official states.

At random, each movable object on the table is put somewhere in a square (placements.py). What
stands on another movable object goes along with it; what starts on or in a fixture stays where
the benchmark puts it. Distractors come last and anywhere in reach, from a random stream of their
own: as far as they find room, the same seed gives the same episode with and without them.
"""
from itertools import product

import numpy as np

from sqap_vla_ros.sim.grasps import grasp_of
from sqap_vla_ros.sim.placements import (
    clears_others, free_square, hand_is_free, NoRoomError, Reach, sample_placements)
from sqap_vla_ros.sim.shapes import footprint

SETTLE_STEPS = 12
OFFICIAL_SETTLE_STEPS = 10  # of the benchmark's evaluation, with a zero action
SETTLED_SHIFT_M = 0.01
RESET_TRIES = 20
DISTRACTOR_DRAWS = 2000
DISTRACTOR_TRIES = 5  # before everything else is drawn again
REACH_M = ((0.32, 0.75), (-0.30, 0.30))  # where the hand reaches the table, base frame x and y
HAND_HEIGHT_M = 0.07  # from the end effector up to the hand behind the fingers
END_EFFECTOR_OFFSET_M = (0.08, 0.08, 0.06)
_YAW_STREAM, _DISTRACTOR_STREAM = 2, 3


def start_officially(scene, states, index):
    """Start from the official state of this index, as the benchmark's evaluation does."""
    index %= len(states)
    scene.reset(index)  # fixtures are not in the state, but they are in their 2 cm squares
    scene.restore(states[index])
    scene.settle(OFFICIAL_SETTLE_STEPS)


def start_at_random(scene, problem, seed, side_m, yaw_rad=0.0):
    """Start at random from a seed, in squares of side_m (0: stock places), or NoRoomError."""
    again = range(DISTRACTOR_TRIES if scene.distractors else 1)
    for attempt, distractor_attempt in product(range(RESET_TRIES), again):
        if _try_start(scene, problem, (seed, attempt), distractor_attempt, side_m, yaw_rad):
            return
    raise NoRoomError(f'seed {seed}: objects find no room or do not come to rest: use fewer '
                      'distractors or a smaller placement_m')


def _try_start(scene, problem, seed, distractor_attempt, side_m, yaw_rad):
    """Return whether one random start has come to rest where it was put."""
    rng = np.random.default_rng(seed)
    scene.reset(int(rng.integers(2**31)))
    if yaw_rad > 0:
        _turn_objects(scene, problem, np.random.default_rng([*seed, _YAW_STREAM]), yaw_rad)
    if side_m > 0:
        _place_objects(scene, problem, rng, side_m)
    if scene.distractors and not _place_distractors(scene, problem, np.random.default_rng(
            [*seed, _DISTRACTOR_STREAM, distractor_attempt])):
        return False
    if not scene.arm.offset(rng, END_EFFECTOR_OFFSET_M):
        return False
    before = scene.positions()
    scene.settle(SETTLE_STEPS)
    after = scene.positions()
    return all(np.abs(after[name] - before[name])[:2].max() < SETTLED_SHIFT_M
               for name in (*carriers(problem), *scene.distractors))


def standing_objects(problem):
    """Return {movable object: (x, y)}: centres of the stock regions on the table, its frame."""
    centers, movable = {}, _movable(problem)
    for predicate, *names in problem['initial_state']:
        ranges = problem['regions'].get(names[-1], {}).get('ranges')
        if predicate == 'on' and names[0] in movable and ranges:
            x0, y0, x1, y1 = ranges[0]
            centers[names[0]] = ((x0 + x1) / 2, (y0 + y1) / 2)
    return centers


def carriers(problem):
    """Return {object: the movable object on the table that carries it}, itself for those."""
    below = {names[0]: names[1] for predicate, *names in problem['initial_state']
             if predicate == 'on' and names[1] in _movable(problem)}
    standing = standing_objects(problem)
    result = {name: name for name in standing}
    for name in below:
        root = name
        while root in below:
            root = below[root]
        if root in standing:
            result[name] = root
    return result


def _movable(problem):
    return {name for names in problem['objects'].values() for name in names}


def _turn_objects(scene, problem, rng, yaw_rad):
    """Turn what stands on the table, but not the object in which the goal's region is."""
    place = scene.place_body(problem['goal_state'][0][-1])
    for name in standing_objects(problem):
        yaw = rng.uniform(-yaw_rad, yaw_rad)
        if name != place:
            scene.turn(name, yaw)
    scene.forward()


def _place_objects(scene, problem, rng, side_m):
    stock, fixtures = standing_objects(problem), scene.fixtures()
    carried_by = carriers(problem)
    footprints = [_footprint(scene, name, carried_by) for name in stock]
    centers = [free_square(center + scene.table_origin, side_m, print_.radius, fixtures, REACH_M)
               for center, print_ in zip(stock.values(), footprints)]
    places = dict(zip(stock, sample_placements(
        rng, centers, side_m, footprints, fixtures, _reaches(scene, problem, carried_by))))
    before = scene.positions()
    for name, root in carried_by.items():
        scene.stand(name, places[root] + (before[name] - before[root])[:2])
    scene.forward()


def _footprint(scene, name, carried_by):
    """Return the Footprint of an object together with what it carries."""
    positions = scene.positions()
    return footprint(np.concatenate([
        scene.points(other) + (positions[other] - positions[name])
        for other, root in carried_by.items() if root == name]), name)


def _reaches(scene, problem, carried_by):
    """Return where the hand has to come down for a task: at its object, and at its place."""
    _, name, *place = problem['goal_state'][0]
    if name not in scene.movable:
        return []
    points, positions = scene.points(name), scene.positions()
    grasp = grasp_of(points)
    height = grasp.offset[2] - points[:, 2].min()  # of the hand over the object's underside
    reaches = []
    if name in carried_by:
        root = carried_by[name]
        offset = grasp.offset[:2] + (positions[name] - positions[root])[:2]
        low = root == name and height < HAND_HEIGHT_M
        reaches.append(Reach(root, tuple(offset), low, height + HAND_HEIGHT_M))
    body = scene.place_body(place[0]) if place else None
    if body in carried_by:
        reaches.append(Reach(carried_by[body], tuple(grasp.offset[:2]), False,
                             height + HAND_HEIGHT_M))
    return reaches


def _place_distractors(scene, problem, rng):
    """Put the distractors where they clear everything; return whether all found a place."""
    carried_by = carriers(problem)
    roots = list(dict.fromkeys(carried_by.values()))
    footprints = [_footprint(scene, name, carried_by) for name in roots]
    positions = [scene.positions()[name][:2] for name in roots]
    fixtures, reaches = scene.fixtures(), _reaches(scene, problem, carried_by)
    for name in scene.distractors:
        footprints.append(footprint(scene.points(name), name))
        for _ in range(DISTRACTOR_DRAWS):
            position = rng.uniform(*np.transpose(REACH_M))
            if _distractor_fits([*positions, position], footprints, fixtures, reaches):
                break
        else:
            return False
        positions.append(position)
        scene.stand(name, position)
    scene.forward()
    return True


def _distractor_fits(positions, footprints, fixtures, reaches):
    """Say whether the last object is clear of all others and of the hand."""
    if not clears_others(len(positions) - 1, positions, footprints, fixtures):
        return False
    rows = {footprint.name: row for row, footprint in enumerate(footprints)}
    return all(hand_is_free([positions[rows[reach.name]], positions[-1]],
                            [footprints[rows[reach.name]], footprints[-1]], [], reach)
               for reach in reaches)
