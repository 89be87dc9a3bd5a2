# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A camera of a MuJoCo scene: frames, segmentation, intrinsics and pose.

Rendering in software is bound by geometry, not by pixels: LIBERO's scenes have a quarter of a
million triangles. So shadows, reflections, multisampling and the collision geometry (group 0)
are off, what lies outside of the view is left out, and what has not moved is not drawn again: a
frame is put together from a layer for each part of the scene, whichever is nearest at each
pixel. It is the frame that mujoco.Renderer makes (test/sim/test_sim_render.py compares them).
"""
import os

import mujoco
import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.layers import Backdrop, Drawables, Layer

# MuJoCo's cameras look along -z with y up; optical frames look along +z with y down.
_OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])
_FLAGS = mujoco.mjtRndFlag
_OFF = [int(_FLAGS.mjRND_SHADOW), int(_FLAGS.mjRND_REFLECTION)]
_SEGMENTATION = [int(_FLAGS.mjRND_SEGMENT), int(_FLAGS.mjRND_IDCOLOR)]


class SceneCamera:
    """A named camera of a scene, image_size (height, width); ConfigError for an unknown one."""

    def __init__(self, model, data, camera, image_size):
        self._model, self._data = model, data
        self.image_size = height, width = tuple(image_size)
        self.camera_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if self.camera_id < 0:
            names = [model.camera(i).name for i in range(model.ncam)]
            raise ConfigError(f'the scene has no camera {camera!r}: use one of {names}')
        self._drawables = Drawables(model, data, self.camera_id, width / height)
        self._canvas = self._backdrop = None
        self._layers = {}

    def render(self):
        """Return the frame uint8 [H, W, 3], RGB, upright."""
        self.canvas()
        shown, glass = self._drawables.shown()
        self._refresh(shown, glass)
        colors, right = self._backdrop.with_layers(self._layers.values())
        if not right or (glass & (self._drawables.part > 0)).any():
            colors, _ = self._draw(shown, skybox=True)  # layers do not shine through each other
        return np.ascontiguousarray(colors[::-1])

    def segment(self):
        """Return int32 [H, W]: the geom id seen at each pixel, -1 for none."""
        self.canvas()
        colors, _ = self._draw(self._drawables.shown()[0], segmentation=True)
        return self._canvas.geom_ids(colors[::-1])

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
        if self._canvas is not None:
            self._canvas.close()
            self._canvas = self._backdrop = None

    def _refresh(self, shown, glass):
        """Draw again what moved, or everything if a fixture, light or colour changed."""
        poses, part = self._drawables.poses(), self._drawables.part
        state = np.append(self._drawables.look(), poses[part == 0])
        if self._backdrop is None or not np.array_equal(state, self._backdrop.state):
            drawn = self._draw(shown & (part == 0), skybox=True)
            _, glass_depth = self._draw(glass & (part == 0), segmentation=True)
            self._backdrop, self._layers = Backdrop(state, *drawn, glass_depth), {}
        for number in range(1, self._drawables.part_count):
            members = part == number
            layer = self._layers.get(number)
            if layer is None or not layer.is_at(poses[members]):
                drawn = self._draw(shown & members)
                self._layers[number] = Layer.cut_out(poses[members], *drawn)

    def _draw(self, shown, **how):
        with self._drawables.only(shown):
            self._canvas.update(self._data, self.camera_id)
        return self._canvas.draw(**how)

    def canvas(self):
        """Make the rendering context if there is none, and return it."""
        if self._canvas is None:
            try:
                self._canvas = _Canvas(self._model, self.image_size)
            except (mujoco.FatalError, AttributeError, ImportError) as error:
                raise ConfigError(
                    f'no off-screen rendering (MUJOCO_GL={os.environ.get("MUJOCO_GL")!r}): '
                    f'{error}. Import sqap_vla_ros.sim before mujoco, and install libosmesa6 '
                    'or set MUJOCO_GL=egl on a machine with a GPU') from error
        return self._canvas


class MovingCamera(SceneCamera):
    """
    A camera that moves, as on the hand: nothing that it saw before is of use.

    It draws in the rendering context of another camera of the scene, and has its image size.
    """

    def __init__(self, model, data, camera, beside):
        super().__init__(model, data, camera, beside.image_size)
        self._beside = beside

    def render(self):
        """Return the frame uint8 [H, W, 3], RGB, upright."""
        self.canvas()
        colors, _ = self._draw(self._drawables.shown()[0], skybox=True)
        return np.ascontiguousarray(colors[::-1])

    def canvas(self):
        """Return the other camera's rendering context."""
        self._canvas = self._beside.canvas()
        return self._canvas

    def close(self):
        """Leave the context to the camera that it belongs to."""
        self._canvas = None


class _Canvas:
    """An off-screen OpenGL context with a model's meshes and textures, and a scene to draw."""

    def __init__(self, model, image_size):
        height, width = image_size
        model.vis.quality.offsamples = 0
        buffer = model.vis.global_
        buffer.offheight, buffer.offwidth = max(buffer.offheight, height), max(
            buffer.offwidth, width)
        self._model = model
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._options = mujoco.MjvOption()
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + model.nsite + 100)
        self._scene.flags[_OFF] = 0
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def update(self, data, camera_id):
        """Take over the poses of everything that is not hidden."""
        camera = mujoco.MjvCamera()
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera_id
        mujoco.mjv_updateScene(self._model, data, self._options, None, camera,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)

    def draw(self, segmentation=False, skybox=False):
        """Return (uint8 [H, W, 3], depth float32 [H, W], 0 is farthest), upside down."""
        height, width = self._rectangle.height, self._rectangle.width
        colors = np.empty((height, width, 3), np.uint8)
        depth = np.empty((height, width), np.float32)
        self._scene.flags[_SEGMENTATION] = segmentation
        self._scene.flags[_FLAGS.mjRND_SKYBOX] = skybox
        self._gl.make_current()
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(colors, depth, self._rectangle, self._context)
        return colors, depth

    def geom_ids(self, colors):
        """Return int32 [H, W]: geom ids, -1 for none, of a segmentation just drawn."""
        geoms = [geom for geom in self._scene.geoms[:self._scene.ngeom]
                 if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM]
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        table[[geom.segid + 1 for geom in geoms]] = [geom.objid for geom in geoms]
        return table[colors @ [1, 256, 65536]]

    def close(self):
        """Free the context; its own must be current, or another camera's objects would go."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()
