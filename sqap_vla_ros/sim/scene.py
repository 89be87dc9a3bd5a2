# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One compiled scene of the benchmark: its objects, arm and camera, as the robot's base sees them.

Only public pieces of the benchmark and of robosuite are used: the parsed task description
(`parsed_problem`), whose goal alone differs between the tasks that share a scene, and the MuJoCo
model underneath. Poses are in the robot's base frame, which is not rotated in the world, metres.
"""
import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.sim.arm import ArmPose
from sqap_vla_ros.sim.distractors import add_distractors, task_file
from sqap_vla_ros.sim.physics import control_step
from sqap_vla_ros.sim.render import MovingCamera, SceneCamera
from sqap_vla_ros.sim.shapes import body_points, outline_box
from sqap_vla_ros.sim.units import gripper_to_unit

CONTROL_HZ = 20


class Scene:
    """
    A Task's scene; ConfigError for an unknown camera or too many distractors.

    cameras: names of one that stands still, and of the one on the hand (`wrist`).
    """

    def __init__(self, task, cameras, image_size, distractors=0):
        text, self.distractors = add_distractors(task, distractors)
        self.benchmark = _build_benchmark(text)
        self.model = self.benchmark.sim.model._model
        self.data = self.benchmark.sim.data._data
        self.arm = ArmPose(self.benchmark)
        self.camera = SceneCamera(self.model, self.data, cameras[0], image_size)
        self.wrist = MovingCamera(self.model, self.data, cameras[1], self.camera)
        self.body_ids = dict(self.benchmark.obj_body_id)
        self.movable = tuple(self.benchmark.objects_dict)  # not fixed; distractors among them
        self.table_origin = (self.to_base(np.zeros(3))
                             + [*self.benchmark.workspace_offset[:2], 0])[:2]
        self._points = {name: body_points(self.model, self.data, body)
                        for name, body in self.body_ids.items()}
        self._ground = self._scenery_height()

    def positions(self):
        """Return {name: xyz float64 [3]} of all objects and fixtures."""
        return {name: self.to_base(self.data.xpos[body])
                for name, body in self.body_ids.items()}

    def rotation(self, name):
        """Return the rotation [3, 3] of an object."""
        return self.arm.base_rotation.T @ self.data.xmat[self.body_ids[name]].reshape(3, 3)

    def points(self, name):
        """Return float64 [n, 3]: an object's surface, from its origin, in the base's axes."""
        return self._points[name] @ self.rotation(name).T

    def fixtures(self):
        """Return the Boxes of what stands fixed on the table."""
        positions, ground = self.positions(), self.table_height()
        return [outline_box(self.points(name) + positions[name], ground)
                for name in self.benchmark.fixtures_dict]

    def place_position(self, place):
        """Return xyz float64 [3] of the origin of a region or object."""
        if place in self.body_ids:
            return self.positions()[place]
        return self.to_base(self.data.site(place).xpos)

    def place_body(self, place):
        """Return the name of the object or fixture at which a place is; None for the table."""
        if place in self.body_ids:
            return place
        return getattr(self.benchmark.object_sites_dict[place], 'parent_name', None)

    def table_height(self):
        """Return the height of what the objects stand on."""
        if self._ground is not None:
            return self._ground
        return float(self.to_base(self.data.site('table_top').xpos)[2])

    def stand(self, name, position):
        """Move an object to (x, y); takes effect with the next `forward`."""
        address = self._address(name)
        origin = self.to_base(np.zeros(3))[:2]
        self.data.qpos[address:address + 2] = position - origin

    def turn(self, name, yaw):
        """Turn an object by yaw (rad) about the vertical through its origin."""
        address = self._address(name) + 3
        w, x, y, z = self.data.qpos[address:address + 4]
        turned = Rotation.from_rotvec([0, 0, yaw]) * Rotation.from_quat([x, y, z, w])
        self.data.qpos[address:address + 4] = np.roll(turned.as_quat(), 1)

    def forward(self):
        """Bring all poses up to date after `stand` and `turn`."""
        mujoco.mj_forward(self.model, self.data)

    def reset(self, seed):
        """Reset the benchmark's scene, which draws from NumPy's global generator."""
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            self.benchmark.reset()
        finally:
            np.random.set_state(state)

    def restore(self, state):
        """Take over the benchmark's state [d] (time, qpos, qvel); the controller is not told."""
        self.benchmark.sim.set_state_from_flattened(state)
        self.arm.forget()
        self.forward()

    def settle(self, steps):
        """Let some control steps pass with the arm at rest and the gripper opening."""
        for _ in range(steps):
            control_step(self.benchmark, np.array([0, 0, 0, 0, 0, 0, gripper_to_unit(1.0)]))

    def fulfils(self, goal):
        """Return whether the benchmark's predicates of a goal all hold."""
        self.benchmark.parsed_problem['goal_state'] = goal
        return bool(self.benchmark._check_success())

    def to_base(self, position):
        """Return a position [3] of the world in the base frame."""
        return self.arm.base_rotation.T @ (position - self.arm.base_position)

    def in_base(self, pose):
        """Return a pose 4x4 of the world in the base frame."""
        result = np.eye(4)
        result[:3, :3] = self.arm.base_rotation.T @ pose[:3, :3]
        result[:3, 3] = self.to_base(pose[:3, 3])
        return result

    def base_in_world(self):
        """Return the pose 4x4 of the base frame in the world."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.arm.base_rotation, self.arm.base_position
        return pose

    def close(self):
        """Free the rendering context and the model."""
        self.camera.close()
        self.benchmark.close()

    def _address(self, name):
        return self.model.joint(self.benchmark.objects_dict[name].joints[-1]).qposadr[0]

    def _scenery_height(self):
        """Return the height under the first object where no site tells it, else None."""
        if mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, 'table_top') >= 0:
            return None
        things = {self.model.body_rootid[body] for body in self.body_ids.values()}
        start = self.data.xpos[self.body_ids[self.movable[0]]].copy()
        geom = np.full(1, -1, np.int32)
        while True:
            start[2] -= mujoco.mj_ray(
                self.model, self.data, start, np.array([0, 0, -1.0]), None, 1, -1, geom)
            if self.model.body_rootid[self.model.geom_bodyid[geom[0]]] not in things:
                return float(self.to_base(start)[2])
            start[2] -= 1e-4


def _build_benchmark(text):
    """Return the benchmark's environment of a task file's text, without its rendering."""
    from libero.libero.envs.env_wrapper import ControlEnv
    with task_file(text) as path:
        wrapper = ControlEnv(
            str(path), use_camera_obs=False, has_offscreen_renderer=False,
            hard_reset=False, ignore_done=True, control_freq=CONTROL_HZ)
    benchmark = wrapper.env
    benchmark._observables.clear()  # a fifth of the step time; nothing here reads them
    return benchmark
