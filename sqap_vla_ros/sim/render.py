# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera of a MuJoCo scene: frames, segmentation, intrinsics and pose.

Rendering in software is bound by geometry, not by pixels, so what costs most is off: shadows,
reflections, multisampling and the collision geometry (group 0).
"""
import os

import mujoco
import numpy as np

from sqap_vla_ros.errors import ConfigError

# MuJoCo's cameras look along -z with y up; optical frames look along +z with y down.
_OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])


class SceneCamera:
    """
    One fixed camera of a scene.

    model, data: mujoco.MjModel and mujoco.MjData; camera: its name in the model;
    image_size: (height, width). Raises ConfigError for an unknown camera.
    """

    def __init__(self, model, data, camera, image_size):
        self._model, self._data = model, data
        self.image_size = tuple(image_size)
        self.camera_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if self.camera_id < 0:
            names = [model.camera(i).name for i in range(model.ncam)]
            raise ConfigError(f'the scene has no camera {camera!r}: use one of {names}')
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0
        self._renderer = None

    def render(self):
        """Return the frame uint8 [H, W, 3], RGB, upright."""
        renderer = self._ready()
        renderer.disable_segmentation_rendering()
        return renderer.render()

    def segment(self):
        """Return int32 [H, W]: the geom id seen at each pixel, -1 for none."""
        renderer = self._ready()
        renderer.enable_segmentation_rendering()
        ids, kinds = np.moveaxis(renderer.render(), -1, 0)
        renderer.disable_segmentation_rendering()
        return np.where(kinds == mujoco.mjtObj.mjOBJ_GEOM, ids, -1)

    def intrinsics(self):
        """Return K float64 [3, 3]; integer pixels are pixel centres (OpenCV's convention)."""
        height, width = self.image_size
        focal = height / 2 / np.tan(np.deg2rad(self._model.cam_fovy[self.camera_id]) / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])

    def pose_in_world(self):
        """Return 4x4: the optical frame (x right, y down, z forward) in the world, m."""
        pose = np.eye(4)
        rotation = self._data.cam_xmat[self.camera_id].reshape(3, 3)
        pose[:3, :3] = rotation @ _OPTICAL_FROM_MUJOCO
        pose[:3, 3] = self._data.cam_xpos[self.camera_id]
        return pose

    def close(self):
        """Free the rendering context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _open_renderer(self):
        try:
            return mujoco.Renderer(self._model, *self.image_size)
        except (mujoco.FatalError, AttributeError, ImportError) as error:
            raise ConfigError(
                f'no off-screen rendering (MUJOCO_GL={os.environ.get("MUJOCO_GL")!r}): {error}. '
                'Import sqap_vla_ros.sim before mujoco, and install libosmesa6 or set '
                'MUJOCO_GL=egl on a machine with a GPU') from error

    def _ready(self):
        if self._renderer is None:
            self._model.vis.quality.offsamples = 0
            self._renderer = self._open_renderer()
            flags = self._renderer.scene.flags
            flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._renderer.update_scene(self._data, self.camera_id, self._options)
        return self._renderer
