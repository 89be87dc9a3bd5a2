# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How large the bodies of a MuJoCo model are: points of their surfaces, and their footprints."""
import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from sqap_vla_ros.sim.placements import Box, Footprint

THIN_M = 0.006


def body_points(model, data, body_id):
    """Return [n, 3]: thinned surface points of a body and its children, in its frame, m."""
    root = model.body_rootid[body_id]
    clouds = []
    for geom in np.flatnonzero(model.body_rootid[model.geom_bodyid] == root):
        points = _geom_points(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T
        clouds.append(points + data.geom_xpos[geom])
    points = (np.concatenate(clouds) - data.xpos[body_id]) @ data.xmat[body_id].reshape(3, 3)
    _, kept = np.unique(np.round(points / THIN_M).astype(int), axis=0, return_index=True)
    return points[np.union1d(kept, ConvexHull(points).vertices)]


def footprint(points, name):
    """Return the Footprint of an object with points [n, 3] relative to its origin, upright."""
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.abs([low, high])[:, :2].max(axis=0)
    round_object = abs(corners[0] - corners[1]) < 0.15 * corners.max()
    radius = corners.max() if round_object else np.hypot(*corners)
    return Footprint(name, float(radius), float(high[2] - low[2]))


def outline_box(points, ground):
    """Return the Box round points [n, 3], its height from the ground (m) on."""
    low, high = points.min(axis=0), points.max(axis=0)
    return Box(low[0], low[1], high[0], high[1], high[2] - ground)


def _geom_points(model, geom):
    """Return points [n, 3] in the geom's frame whose extent is the geom's."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return model.mesh_vert[start:start + model.mesh_vertnum[mesh]]
    center, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    return center + signs * half
