# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One control step of a robosuite scene, with each piece of dynamics computed once.

robosuite computes the forward dynamics three times a physics step: for itself, for the
controller, and in mj_step. Here mj_step1 brings positions and velocities up to date, the
controller reads them, and mj_step2 finishes the step: the same equations and, but for rounding,
the same trajectory (test/sim/test_sim_env.py compares them) in well under half the time.
"""
from collections.abc import Callable

import mujoco
import numpy as np


def _unwatched(time_s):
    """Do nothing behind a physics step."""


def control_step(scene, action, watch: Callable = _unwatched):
    """
    Move a robosuite scene by a control period with an action; physics alone, no reward.

    watch(time_s): called behind each physics step.
    """
    robot = scene.robots[0]
    _run(scene, scene.control_timestep,
         lambda substep: robot.control(action, policy_step=substep == 0), watch)


def tracking_step(scene, reference: Callable, gripper_action: float, duration_s: float,
                  watch: Callable = _unwatched) -> None:
    """
    Move by some physics steps, with the torques that reference(time_s) asks for (arm_control.py).

    gripper_action: -1 open, 1 closed.  watch(time_s): called behind each physics step.
    """
    robot, data = scene.robots[0], scene.sim.data._data
    controller, period_s = robot.controller, scene.model_timestep
    low, high = robot.torque_limits

    def actuate(substep):
        controller.update(force=True)
        torques = reference(substep * period_s).torques(controller)
        robot.grip_action(robot.gripper, [gripper_action])
        data.ctrl[robot._ref_joint_actuator_indexes] = np.clip(torques, low, high)
    _run(scene, duration_s, actuate, watch)


def _run(scene, duration_s, actuate, watch):
    """Run the physics for a time; actuate(number) sets the torques of each of its steps."""
    sim = scene.sim
    model, data = sim.model._model, sim.data._data
    sim.forward = _already_forward  # the controller asks for it; shadows the method
    try:
        for substep in range(round(duration_s / scene.model_timestep)):
            mujoco.mj_step1(model, data)
            actuate(substep)
            mujoco.mj_step2(model, data)
            watch((substep + 1) * scene.model_timestep)
    finally:
        del sim.forward
    scene._post_process()


def _already_forward():
    """Do nothing: mj_step1 has just updated all that the controller reads."""
