# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One control step of a robosuite scene, with each piece of dynamics computed once.

robosuite computes the forward dynamics three times a physics step: for itself, for the
controller, and in mj_step. Here mj_step1 brings positions and velocities up to date, the
controller reads them, and mj_step2 finishes the step: the same equations and, but for rounding,
the same trajectory (test/sim/test_sim_env.py compares them) in well under half the time.
"""
import mujoco


def control_step(scene, action):
    """Move a robosuite scene by a control period with an action; physics alone, no reward."""
    sim, robot = scene.sim, scene.robots[0]
    model, data = sim.model._model, sim.data._data
    sim.forward = _already_forward  # the controller asks for it; shadows the method
    try:
        for substep in range(round(scene.control_timestep / scene.model_timestep)):
            mujoco.mj_step1(model, data)
            robot.control(action, policy_step=substep == 0)
            mujoco.mj_step2(model, data)
    finally:
        del sim.forward
    scene._post_process()


def _already_forward():
    """Do nothing: mj_step1 has just updated all that the controller reads."""
