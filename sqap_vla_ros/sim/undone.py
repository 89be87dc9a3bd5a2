# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What would come of acting otherwise: steps of the simulator that are taken back.

MuJoCo's state is copied whole, with contacts and the solver's warm start; robosuite keeps some of
an episode's state in Python, the controller's goal and the gripper's integrated command.
"""
from contextlib import contextmanager
import copy

_GOALS = ('goal_pos', 'goal_ori')  # of the controller


@contextmanager
def undone(env):
    """Take back, at the end, all that a LiberoEnv did in between, to the last bit."""
    import mujoco  # with the simulator, not with the commands that may need it
    robot = env.scene.benchmark.robots[0]
    controller, gripper = robot.controller, robot.gripper
    data, command = copy.copy(env.data), gripper.current_action.copy()
    goals = {name: getattr(controller, name).copy() for name in _GOALS}
    own = {name: getattr(env, name) for name in ('time', 'success', 'command_scale')}
    try:
        yield
    finally:
        mujoco.mj_copyData(env.data, env.model, data)
        gripper.current_action = command
        for name, goal in goals.items():
            setattr(controller, name, goal)
        for name, value in own.items():
            setattr(env, name, value)
