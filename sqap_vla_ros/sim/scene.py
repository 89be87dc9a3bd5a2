# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The benchmark's scene: its task files, how it is built, and how large its bodies are.

Only public pieces of the benchmark and of robosuite are used: the parsed task description
(`parsed_problem`), whose goal alone differs between the tasks that share a scene, and the MuJoCo
model underneath.
"""
import logging
from pathlib import Path

import mujoco
import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.placements import Box, Footprint

CONTROL_HZ = 20


def task_files(suite):
    """
    Return {instruction: path of its task file} of a suite, such as 'libero_goal'.

    Raises ConfigError for a suite that the installed benchmark does not have.
    """
    _quiet_robosuite()
    from libero.libero import get_libero_path
    root = Path(get_libero_path('bddl_files'))
    folder = root / suite
    if not folder.is_dir():
        known = sorted(path.name for path in root.iterdir() if path.is_dir())
        raise ConfigError(f'no LIBERO suite {suite!r}: use one of {known}')
    return {path.stem.replace('_', ' '): path for path in sorted(folder.glob('*.bddl'))}


def parse_tasks(suite, instructions):
    """
    Return {instruction: the benchmark's parsed task}, in the order asked for.

    Raises ConfigError for an instruction that the suite lacks or when two instructions do not
    share one scene.
    """
    files = task_files(suite)
    unknown = [instruction for instruction in instructions if instruction not in files]
    if unknown or not instructions:
        raise ConfigError(f'{suite} has no instruction {unknown}: use some of {list(files)}')
    from libero.libero.envs.bddl_utils import robosuite_parse_problem
    tasks = {name: robosuite_parse_problem(str(files[name])) for name in instructions}
    first = tasks[instructions[0]]
    for name, task in tasks.items():
        if any(task[key] != first[key] for key in ('fixtures', 'objects', 'initial_state')):
            raise ConfigError(f'{name!r} does not share its scene with {instructions[0]!r}: '
                              'use one environment for each')
    return tasks


def build_scene(suite, instruction):
    """Return the benchmark's environment of one instruction, without any of its rendering."""
    files = task_files(suite)
    from libero.libero.envs.env_wrapper import ControlEnv
    wrapper = ControlEnv(
        str(files[instruction]), use_camera_obs=False, has_offscreen_renderer=False,
        hard_reset=False, ignore_done=True, control_freq=CONTROL_HZ)
    scene = wrapper.env
    scene._observables.clear()  # a fifth of the step time; nothing here reads them
    return scene


def _quiet_robosuite():
    """Keep robosuite from warning, on import, about a macro file that nobody needs."""
    logging.getLogger('robosuite_logs').setLevel(logging.ERROR)


def placement_centers(task):
    """Return {movable object: (x, y)}: the centres of the regions on the table, m, table frame."""
    centers = {}
    movable = {name for names in task['objects'].values() for name in names}
    for predicate, *names in task['initial_state']:
        if predicate == 'on' and names[0] in movable and names[1] in task['regions']:
            x0, y0, x1, y1 = task['regions'][names[1]]['ranges'][0]
            centers[names[0]] = ((x0 + x1) / 2, (y0 + y1) / 2)
    return centers


def body_extent(model, data, body_id):
    """Return (low, high) [3] of a body and its children in the world, m."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    root = model.body_rootid[body_id]
    for geom in np.flatnonzero(model.body_rootid[model.geom_bodyid] == root):
        points = _geom_points(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T
        points = points + data.geom_xpos[geom]
        low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    return low, high


def body_footprint(model, data, body_id, name):
    """Return the Footprint of an upright object, seen from its body's origin."""
    low, high = body_extent(model, data, body_id)
    corners = np.abs(np.array([low, high]) - data.xpos[body_id])[:, :2].max(axis=0)
    round_object = abs(corners[0] - corners[1]) < 0.15 * corners.max()
    radius = corners.max() if round_object else np.hypot(*corners)
    return Footprint(name, float(radius), float(high[2] - low[2]))


def body_box(model, data, body_id):
    """Return the outline on the table, a Box, of a fixture where it stands now."""
    low, high = body_extent(model, data, body_id)
    return Box(low[0], low[1], high[0], high[1])


def _geom_points(model, geom):
    """Return points [n, 3] in the geom's frame whose extent is the geom's."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return model.mesh_vert[start:start + model.mesh_vertnum[mesh]]
    center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    return center + signs * half
