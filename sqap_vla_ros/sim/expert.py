# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A scripted expert that picks an object up and puts it where the instruction says.

It knows all poses. Its action is a function of the present state alone (poses, gripper opening,
finger contact): no timers, no hidden phases. So every state that a learner reaches has one right
answer, and a dropped or missed object is picked up again without further code. The path bends
smoothly: the hand keeps above what stands between it and its target (clearance.py) and comes
down in a funnel over the target.
"""
from dataclasses import asdict, dataclass
import hashlib
import json

import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim import clearance
from sqap_vla_ros.sim.clearance import Clearance, MARGIN_M
from sqap_vla_ros.sim.grasps import grasps_of
from sqap_vla_ros.sim.resting import place_of

FINGER_TRAVEL_M = 0.08


@dataclass(frozen=True)
class ExpertConfig:
    """Speeds (m/s, rad/s), gains (1/s), heights and tolerances (m) of the expert."""

    max_speed: float = 0.24
    gain: float = 5.0
    max_turn: float = 0.5
    turn_gain: float = 2.0
    approach_height: float = 0.13  # kept above the target until the horizontal distance is
    carry_height: float = 0.085  # below them divided by funnel_slope, plus funnel_radius
    funnel_slope: float = 2.5
    funnel_radius: float = 0.02
    well_slope: float = 10.0  # the same inside of a container's walls
    well_radius: float = 0.015
    lift_slack: float = 0.03  # sideways motion is full this far below the height that is kept
    lift_span: float = 0.05  # and begins this much further below
    grasp_tolerance: float = 0.014
    grasp_turn: float = 0.15
    missed_opening: float = 0.02
    open_slack: float = 0.125  # how much wider (of 0..1) fingers may be and still hold an object
    held_tolerance: float = 0.02
    lift_speed: float = 0.06
    lift_gain: float = 4.0
    reopen_height: float = 0.06
    region_tolerance: float = 0.03
    object_tolerance: float = 0.015
    place_height: float = 0.008
    press: float = 0.01  # below its resting height an object is lowered, until it touches
    retreat_slack: float = 0.3  # as open_slack, before the fingers leave it
    retreat_height: float = 0.10
    reach: tuple = (0.25, 0.85)  # from the base's axis to an object that it can get hold of
    fallen: float = 0.05  # below the table's top an object is lost


def fingerprint() -> str:
    """Return a digest of the numbers that decide the expert's paths."""
    numbers = {**asdict(ExpertConfig()), **{
        name: value for name, value in vars(clearance).items() if name.endswith('_M')}}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]


class Expert:
    """Acts in a LiberoEnv whose instruction puts an object somewhere."""

    def __init__(self, env, config=ExpertConfig()):
        self._env = env
        self._config = config

    def can_act(self):
        """Return whether its object lies where the hand gets hold of it: no further off."""
        config, origin = self._config, self._env.object_positions()[self._env.target_object()]
        nearest, farthest = config.reach
        return bool(nearest < _horizontal(origin) < farthest
                    and origin[2] > self._env.table_height() - config.fallen)

    def act(self):
        """Return (twist [6] m/s, rad/s, base frame; gripper 0 or 1); ConfigError for no put."""
        env, name = self._env, self._env.target_object()
        if len(env.goal()) > 1:
            raise ConfigError(f'the expert can only pursue one goal, not the {len(env.goal())} of '
                              f'{env.instruction!r}: leave this instruction out')
        if name not in env.movable_objects() or env.target_place() is None:
            raise ConfigError(f'the expert can only put objects somewhere, not '
                              f'{env.instruction!r}: leave this instruction out')
        points, origin = env.object_points(name), env.object_positions()[name]
        grasps, bottom = grasps_of(points), points[:, 2].min()
        place = place_of(env, grasps[0].offset[2] - bottom)
        goal = place.origin + [0, 0, place.height - bottom]
        pose, opening = env.end_effector_pose(), env.gripper_open()
        hand, yaw = pose[:3, 3], grasps[0].yaw
        if self._is_placed(origin - goal):
            linear, gripper = self._release(hand, opening, goal, grasps[0]), 1.0
        elif any(self._is_held(origin + grasp.offset - hand, opening, grasp, name)
                 for grasp in grasps):
            linear, gripper, yaw = self._carry(hand, origin, goal, bottom, place.wall), 0.0, 0.0
        else:
            grasp = self._free_grasp(grasps, origin)
            error, yaw = origin + grasp.offset - hand, grasp.yaw
            turn = np.abs(self._turn_error(pose, yaw)).max()
            linear, gripper = self._grasp(hand, error, opening, turn)
        turning = _limited(self._config.turn_gain * self._turn_error(pose, yaw),
                           self._config.max_turn)
        return np.concatenate([linear, turning]), gripper

    def _free_grasp(self, grasps, origin):
        """Return the first grasp at which nothing is in the fingers' way, else the first."""
        if len(grasps) == 1:
            return grasps[0]
        clearance = Clearance(self._env, (self._env.target_object(),))
        return next((grasp for grasp in grasps
                     if clearance.leaves_room(origin + grasp.offset)), grasps[0])

    def _is_placed(self, offset):
        """Return whether the object, `offset` from its resting place, may be let go."""
        config, on_object = self._config, self._env.target_place() in self._env.movable_objects()
        tolerance = config.object_tolerance if on_object else config.region_tolerance
        return _horizontal(offset) < tolerance and offset[2] < config.place_height

    def _is_held(self, error, opening, grasp, name):
        """Return whether the object is between closed fingers; contact alone flickers."""
        config, width = self._config, grasp.width / FINGER_TRAVEL_M
        if not config.missed_opening < opening < width + config.open_slack:
            return False
        return np.abs(error).max() < config.held_tolerance or self._env.touches(name)

    def _is_at_grasp(self, error, opening, turn):
        """Return whether the fingers may close; the more they have, the less stops them."""
        config = self._config
        sideways = config.grasp_tolerance * (2 - opening)
        return (np.abs(error[:2]).max() < sideways and abs(error[2]) < config.grasp_tolerance
                and turn < config.grasp_turn * (2 - opening))

    def _grasp(self, hand, error, opening, turn):
        """Return (velocity, gripper): come from above with open fingers, close when there."""
        config = self._config
        if self._is_at_grasp(error, opening, turn):
            if opening < config.missed_opening:
                return np.array([0, 0, config.max_speed]), 1.0
            return self._towards(error), 0.0
        clear = Clearance(self._env, (self._env.target_object(),)).hand_height(hand, hand + error)
        height = max(config.approach_height, clear - (hand + error)[2])
        height = max(self._funnel(error, height), config.reopen_height * (1 - opening))
        return self._towards(self._rise_first(error + [0, 0, height])), 1.0

    def _carry(self, hand, origin, goal, bottom, wall):
        """Return the velocity that lifts the object, moves it over its place and lowers it."""
        config = self._config
        error = goal - origin
        ignored = self._env.target_object(), self._env.target_body()
        clear = Clearance(self._env, ignored).held_height(
            hand, hand + error, origin[2] + bottom)
        height = max(config.carry_height, clear - (hand + error)[2])
        if wall > 0:
            height = max(height, wall + MARGIN_M)
            error[2] += self._funnel(error, height, config.well_slope, config.well_radius)
        else:
            error[2] += self._funnel(error, height) - config.press
        lifted = max(origin[2] + bottom - self._env.table_height(), 0.0)
        return self._towards(self._rise_first(error),
                             config.lift_speed + config.lift_gain * lifted)

    def _rise_first(self, error):
        """Return the error with less sideways motion the further it is still to rise."""
        below = max(error[2] - self._config.lift_slack, 0.0)
        sideways = np.clip(1 - below / self._config.lift_span, 0.0, 1.0)
        return error * [sideways, sideways, 1.0]

    def _release(self, hand, opening, place, grasp):
        """Return the velocity after the object stands: wait for the fingers, then go up."""
        config = self._config
        if opening < grasp.width / FINGER_TRAVEL_M + config.retreat_slack:
            return np.zeros(3)
        rise = (place + grasp.offset)[2] + config.retreat_height - hand[2]
        return self._towards(np.array([0, 0, max(rise, 0.0)]))

    def _funnel(self, error, height, slope=None, radius=None):
        """Return the height to keep above a target that is `error` away."""
        slope = self._config.funnel_slope if slope is None else slope
        radius = self._config.funnel_radius if radius is None else radius
        return min(height, slope * max(_horizontal(error) - radius, 0.0))

    def _towards(self, error, max_speed=np.inf):
        """Return the velocity [3] along an error [3], m, limited in speed (m/s)."""
        return _limited(self._config.gain * error, min(max_speed, self._config.max_speed))

    def _turn_error(self, pose, yaw):
        """Return the rotation vector [3] (rad) to the nominal orientation turned by yaw."""
        wanted = Rotation.from_rotvec([0, 0, yaw]).as_matrix() @ self._env.nominal_rotation()
        return Rotation.from_matrix(wanted @ pose[:3, :3].T).as_rotvec()


def _limited(vector, length):
    return vector * min(1.0, length / max(np.linalg.norm(vector), 1e-9))


def _horizontal(error):
    return float(np.hypot(error[0], error[1]))
