# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The parts that a frame is put together from: which there are, which moved, which are in view.

What a camera can show are the model's geoms and sites, here in one list: all geoms, then all
sites. Arrays [n] below have one row for each of them.
"""
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

STILL_TOLERANCE = 1e-6  # m, and entries of a rotation matrix: below a thousandth of a pixel
_HIDDEN_GROUP = 5  # which MuJoCo's default options do not show
# MuJoCo's default options but for geom group 0, the collision geometry; geoms, then sites.
_GROUPS_SHOWN = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0], bool)
_SITE = 6
_DEFAULT_RGBA = np.float32([0.5, 0.5, 0.5, 1.0])  # only then its material's colour counts


@dataclass(frozen=True)
class Layer:
    """The pixels that a part covers: their flat indices [k], colours [k, 3], depths [k]."""

    poses: np.ndarray
    pixels: np.ndarray
    colors: np.ndarray
    depths: np.ndarray

    @classmethod
    def cut_out(cls, poses, colors, depth):
        """Keep what a drawing covers. poses: [m, 12]; colors: [H, W, 3]; depth: [H, W]."""
        pixels = np.flatnonzero(depth)
        return cls(poses, pixels, colors.reshape(-1, 3)[pixels], depth.reshape(-1)[pixels])

    def is_at(self, poses):
        """Return whether the part still stands where it was drawn."""
        return np.abs(poses - self.poses).max() <= STILL_TOLERANCE

    def draw_over(self, colors, depth):
        """Put the layer's pixels into a frame [H, W, 3], in place, where they are nearer."""
        colors, depth = colors.reshape(-1, 3), depth.reshape(-1)
        nearer = self.depths > depth[self.pixels]
        pixels = self.pixels[nearer]
        colors[pixels], depth[pixels] = self.colors[nearer], self.depths[nearer]


@dataclass(frozen=True)
class Backdrop:
    """What is fixed to the world, as drawn: colours [H, W, 3] and depth [H, W], 0 farthest."""

    state: np.ndarray  # a vector that is the same as long as the drawing holds
    colors: np.ndarray
    depth: np.ndarray
    glass: np.ndarray  # depth [H, W] of the transparent things, which are in the colours, too

    def with_layers(self, layers):
        """Return (colours [H, W, 3], whether they are right: nothing stands behind glass)."""
        colors, depth = self.colors.copy(), self.depth.copy()
        for layer in layers:
            layer.draw_over(colors, depth)
        return colors, not ((depth > self.depth) & (depth < self.glass)).any()


class Drawables:
    """
    The geoms and sites of a scene as one camera sees them.

    model, data: mujoco.MjModel and mujoco.MjData; camera_id: the camera's index; aspect: width
    of its frames over their height. part: int [n], 0 for what is fixed to the world, then one
    number for each tree of bodies that can move (a robot, an object); part_count: how many.
    """

    def __init__(self, model, data, camera_id, aspect):
        self._model, self._data = model, data
        self._camera_id, self._aspect = camera_id, aspect
        body = np.concatenate([model.geom_bodyid, model.site_bodyid])
        tree = np.where(model.body_weldid[body] == 0, 0, model.body_rootid[body])
        trees, self.part = np.unique(np.append(0, tree), return_inverse=True)
        self.part, self.part_count = self.part[1:], len(trees)

    def poses(self):
        """Return [n, 12]: position (m) and rotation matrix of each in the world."""
        data = self._data
        return np.concatenate([np.hstack([data.geom_xpos, data.geom_xmat]),
                               np.hstack([data.site_xpos, data.site_xmat])])

    def look(self):
        """Return a vector of what, besides poses, decides the frame: colours, lights, camera."""
        model, data, camera = self._model, self._data, self._camera_id
        head = model.vis.headlight
        return np.concatenate([np.ravel(values) for values in (
            model.geom_rgba, model.geom_size, model.geom_matid, model.geom_group,
            model.site_rgba, model.site_size, model.site_matid, model.site_group,
            model.mat_rgba, model.mat_emission, model.mat_specular, model.mat_shininess,
            head.active, head.ambient, head.diffuse, head.specular,
            model.light_active, model.light_ambient, model.light_diffuse, model.light_specular,
            model.light_attenuation, model.light_cutoff, model.light_exponent,
            data.light_xpos, data.light_xdir, model.cam_fovy[camera],
            data.cam_xpos[camera], data.cam_xmat[camera])])

    def shown(self):
        """Return bool [n], twice: what may be seen, and which of it is transparent."""
        model, opacity = self._model, self._opacity()
        group = np.concatenate([model.geom_group, model.site_group + _SITE])
        shown = _GROUPS_SHOWN[group] & (opacity > 0) & self._in_view()
        return shown, shown & (opacity < 1)

    @contextmanager
    def only(self, shown):
        """Hide everything but `shown`, bool [n], from mjv_updateScene inside a `with` block."""
        geoms, sites = self._model.geom_group, self._model.site_group
        before = geoms.copy(), sites.copy()
        geoms[~shown[:len(geoms)]] = _HIDDEN_GROUP
        sites[~shown[len(geoms):]] = _HIDDEN_GROUP
        try:
            yield
        finally:
            geoms[:], sites[:] = before

    def _opacity(self):
        """Return [n]: alpha of each, 1 opaque, 0 or less invisible."""
        model = self._model
        rgba = np.concatenate([model.geom_rgba, model.site_rgba])
        material = np.concatenate([model.geom_matid, model.site_matid])
        of_material = (rgba == _DEFAULT_RGBA).all(axis=1) & (material >= 0)
        alpha = rgba[:, 3]
        alpha[of_material] = model.mat_rgba[material[of_material], 3]
        return alpha

    def _in_view(self):
        """Return bool [n]: what may be in view, going by bounding spheres; sites always may."""
        model, data = self._model, self._data
        radius = np.where(model.geom_rbound > 0, model.geom_rbound, np.inf)  # 0: a plane
        camera = data.cam_xmat[self._camera_id].reshape(3, 3)
        centers = (data.geom_xpos - data.cam_xpos[self._camera_id]) @ camera
        inside = (centers @ self._planes() > -radius[:, None]).all(axis=1)
        return np.concatenate([inside, np.ones(model.nsite, bool)])

    def _planes(self):
        """Return [3, 5]: normals into the view, in MuJoCo's camera frame (it looks along -z)."""
        slope = np.tan(np.deg2rad(self._model.cam_fovy[self._camera_id]) / 2)
        wide = slope * self._aspect
        planes = np.array([[1, 0, -wide], [-1, 0, -wide], [0, 1, -slope], [0, -1, -slope],
                           [0, 0, -1]])
        return (planes / np.linalg.norm(planes, axis=1, keepdims=True)).T
