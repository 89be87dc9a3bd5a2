# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A scripted expert that puts the bowl where the instruction says, from privileged poses.

Its action is a function of the present state alone (poses, gripper opening, finger contact): no
timers, no hidden phases. So every state that a learner reaches has one right answer, and a
dropped or missed bowl is picked up again without further code. The path bends smoothly: a target
height that falls with the horizontal distance makes the arm come from above and go over what
stands in between.
"""
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.sim.env import GRASPED_OBJECT

# End effector relative to the bowl's origin (middle of its underside) at the grasp: over the
# rim on the +y side, the fingers on both sides of it.
GRASP_OFFSET_M = np.array([0.0, 0.050, 0.042])


# How high the bowl's origin comes to rest above the goal region's site.
RESTING_HEIGHT_M = {'flat_stove_1_cook_region': 0.022, 'wooden_cabinet_1_top_side': 0.001}


@dataclass(frozen=True)
class ExpertConfig:
    """
    Speeds (m/s, rad/s), gains (1/s), heights and tolerances (m) of the expert.

    approach_height, carry_height: kept above the target until the horizontal distance is below
    them divided by funnel_slope, plus funnel_radius. lift_slack, lift_span: sideways motion
    begins lift_slack + lift_span below the carrying height and is full lift_slack below it.
    press: how far below its resting height the bowl is lowered, until it touches.
    """

    max_speed: float = 0.24
    gain: float = 5.0
    max_turn: float = 0.5
    turn_gain: float = 2.0
    approach_height: float = 0.13
    carry_height: float = 0.06
    funnel_slope: float = 2.5
    funnel_radius: float = 0.02
    lift_slack: float = 0.03
    lift_span: float = 0.05
    grasp_tolerance: float = 0.014
    missed_opening: float = 0.02
    held_opening: float = 0.2
    held_tolerance: float = 0.02
    lift_speed: float = 0.06
    lift_gain: float = 4.0
    reopen_height: float = 0.06
    place_tolerance: float = 0.03
    place_height: float = 0.008
    press: float = 0.01
    retreat_opening: float = 0.4
    retreat_height: float = 0.10


class Expert:
    """Acts in a LiberoEnv whose instruction puts the bowl somewhere."""

    def __init__(self, env, config=ExpertConfig()):
        self._env = env
        self._config = config

    def act(self):
        """Return (twist float64 [6] m/s and rad/s in the base frame, gripper 0 or 1)."""
        pose = self._env.end_effector_pose()
        bowl = self._env.object_positions()[GRASPED_OBJECT]
        place = self.place_position()
        end_effector, opening = pose[:3, 3], self._env.gripper_open()
        if self._is_placed(bowl - place):
            linear, gripper = self._release(end_effector, opening, place), 1.0
        elif self._is_held(bowl + GRASP_OFFSET_M - end_effector, opening):
            linear, gripper = self._carry(bowl, place), 0.0
        else:
            linear, gripper = self._grasp(bowl + GRASP_OFFSET_M - end_effector, opening)
        return np.concatenate([linear, self._turn(pose[:3, :3])]), gripper

    def place_position(self):
        """Return xyz [3] of the bowl's origin once it rests on the goal, base frame, m."""
        return self._env.place_target() + [0, 0, RESTING_HEIGHT_M[self._env.goal_region()]]

    def _is_placed(self, offset):
        """Return whether the bowl, `offset` from its resting place, may be let go."""
        config = self._config
        return _horizontal(offset) < config.place_tolerance and offset[2] < config.place_height

    def _is_held(self, error, opening):
        """Return whether the bowl is between closed fingers; contact alone flickers."""
        config = self._config
        if not config.missed_opening < opening < config.held_opening:
            return False
        return np.abs(error).max() < config.held_tolerance or self._env.touches(GRASPED_OBJECT)

    def _is_at_grasp(self, error, opening):
        """Return whether the fingers may close; the more they have, the less stops them."""
        config = self._config
        sideways = config.grasp_tolerance * (2 - opening)
        return np.abs(error[:2]).max() < sideways and abs(error[2]) < config.grasp_tolerance

    def _grasp(self, error, opening):
        """Return (velocity, gripper): come from above with open fingers, close at the rim."""
        config = self._config
        if self._is_at_grasp(error, opening):
            if opening < config.missed_opening:
                return np.array([0, 0, config.max_speed]), 1.0
            return self._towards(error), 0.0
        height = self._funnel(error, config.approach_height)
        height = max(height, config.reopen_height * (1 - opening))
        return self._towards(error + [0, 0, height]), 1.0

    def _carry(self, bowl, place):
        """Return the velocity that lifts the bowl, moves it over its place and lowers it."""
        config = self._config
        error = place - bowl
        error[2] += self._funnel(error, config.carry_height) - config.press
        below = max(error[2] - config.lift_slack, 0.0)
        error[:2] *= np.clip(1 - below / config.lift_span, 0.0, 1.0)
        lifted = max(bowl[2] - self._env.table_height(), 0.0)
        return self._towards(error, config.lift_speed + config.lift_gain * lifted)

    def _release(self, end_effector, opening, place):
        """Return the velocity after the bowl stands: wait for the fingers, then go up."""
        config = self._config
        if opening < config.retreat_opening:
            return np.zeros(3)
        rise = place[2] + GRASP_OFFSET_M[2] + config.retreat_height - end_effector[2]
        return self._towards(np.array([0, 0, max(rise, 0.0)]))

    def _funnel(self, error, height):
        """Return the height to keep above a target that is `error` away."""
        config = self._config
        far = max(_horizontal(error) - config.funnel_radius, 0.0)
        return min(height, config.funnel_slope * far)

    def _towards(self, error, max_speed=np.inf):
        """Return the velocity [3] along an error [3], m, limited in speed (m/s)."""
        return _limited(self._config.gain * error, min(max_speed, self._config.max_speed))

    def _turn(self, rotation):
        """Return the angular velocity [3] back to the orientation that every grasp has."""
        error = Rotation.from_matrix(self._env.nominal_rotation() @ rotation.T).as_rotvec()
        return _limited(self._config.turn_gain * error, self._config.max_turn)


def _limited(vector, length):
    return vector * min(1.0, length / max(np.linalg.norm(vector), 1e-9))


def _horizontal(error):
    return float(np.hypot(error[0], error[1]))
