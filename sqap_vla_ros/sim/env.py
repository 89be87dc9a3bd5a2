# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO as a robot: SI twists in, frames and poses out, success by the benchmark's own predicate.

One MuJoCo scene serves every instruction that shares it; only the goal is exchanged. All poses
are in the robot's base frame (robosuite's robot base body), metres.
"""
import mujoco
import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim import scene as scenes
from sqap_vla_ros.sim.arm import ArmPose
from sqap_vla_ros.sim.physics import control_step
from sqap_vla_ros.sim.placements import sample_placements
from sqap_vla_ros.sim.render import SceneCamera
from sqap_vla_ros.sim.units import CONTROL_PERIOD_S, gripper_to_unit, twist_to_unit

INSTRUCTIONS = ('put the bowl on the stove', 'put the bowl on top of the cabinet')
GRASPED_OBJECT = 'akita_black_bowl_1'
SETTLE_STEPS = 12
SETTLED_SHIFT_M = 0.01
RESET_TRIES = 20
END_EFFECTOR_OFFSET_M = (0.08, 0.08, 0.06)


class LiberoEnv:
    """
    A Panda arm at the benchmark's table, 20 control steps a second.

    instructions: those that the environment serves; they must share one scene.
    placement_m: side of the square in which each movable object is placed; 0 for the
        benchmark's own 2 cm squares.
    image_size: (height, width) of the frames. camera: a camera of the scene.
    Raises ConfigError for an unknown suite, instruction or camera.
    """

    dt = CONTROL_PERIOD_S

    def __init__(self, instructions=INSTRUCTIONS, suite='libero_goal', placement_m=0.14,
                 image_size=(256, 256), camera='agentview'):
        self.instructions = tuple(instructions)
        self.image_size = tuple(image_size)
        self._tasks = scenes.parse_tasks(suite, self.instructions)
        self._scene = scenes.build_scene(suite, self.instructions[0])
        self._placement_m = placement_m
        self._arm = ArmPose(self._scene)
        self.model = self._scene.sim.model._model
        self.data = self._scene.sim.data._data
        self._camera = SceneCamera(self.model, self.data, camera, self.image_size)
        self._body_ids = dict(self._scene.obj_body_id)
        self._movable = list(self._scene.objects_dict)
        self.instruction = self.instructions[0]
        self.time = 0.0
        self.success = False

    def reset(self, seed, instruction=None):
        """
        Start an episode: place the objects and the arm, let everything settle.

        The same seed gives the same episode, whatever came before. Raises ConfigError for an
        instruction that this environment does not serve.
        """
        instruction = self.instruction if instruction is None else instruction
        if instruction not in self._tasks:
            raise ConfigError(f'no instruction {instruction!r} in this scene: '
                              f'use one of {list(self.instructions)}')
        self.instruction = instruction
        task = self._tasks[instruction]
        self._scene.parsed_problem['goal_state'] = task['goal_state']
        for attempt in range(RESET_TRIES):
            if self._try_reset(np.random.default_rng([seed, attempt]), task):
                break
        else:
            raise RuntimeError(f'seed {seed}: objects do not come to rest')
        self.time = 0.0
        self.success = bool(self._scene._check_success())

    def _try_reset(self, rng, task):
        """Return whether one random start has come to rest where it was put."""
        self._reset_scene(int(rng.integers(2**31)))
        if self._placement_m > 0:
            self._place_objects(rng, task)
        if not self._arm.offset(rng, END_EFFECTOR_OFFSET_M):
            return False
        before = self.object_positions()
        for _ in range(SETTLE_STEPS):
            control_step(self._scene, np.array([0, 0, 0, 0, 0, 0, gripper_to_unit(1.0)]))
        after = self.object_positions()
        return all(np.abs(after[name] - before[name])[:2].max() < SETTLED_SHIFT_M
                   for name in self._movable)

    def _reset_scene(self, seed):
        """Reset the benchmark's scene, which draws from NumPy's global generator."""
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            self._scene.reset()
        finally:
            np.random.set_state(state)

    def _place_objects(self, rng, task):
        centers = scenes.placement_centers(task)
        names = list(centers)
        footprints = [scenes.body_footprint(self.model, self.data, self._body_ids[name], name)
                      for name in names]
        fixtures = [scenes.body_box(self.model, self.data, self._body_ids[name])
                    for name in self._scene.fixtures_dict]
        positions = sample_placements(rng, list(centers.values()), self._placement_m,
                                      footprints, fixtures, GRASPED_OBJECT)
        for name, position in zip(names, positions):
            joint = self._scene.objects_dict[name].joints[-1]
            address = self.model.joint(joint).qposadr[0]
            self.data.qpos[address:address + 2] = position
        mujoco.mj_forward(self.model, self.data)

    def step(self, twist, gripper_open):
        """
        Move for one control period (0.05 s) and return whether the instruction is fulfilled.

        twist: [6] linear m/s and angular rad/s of the end effector, base frame, cut off at what
        the controller can do; gripper_open: 0 closed .. 1 open.
        """
        unit = twist_to_unit(twist)  # the base is not rotated in the world
        control_step(self._scene, np.append(unit, gripper_to_unit(gripper_open)))
        self.time += self.dt
        self.success = bool(self._scene._check_success())
        return self.success

    def render(self):
        """Return the camera's frame uint8 [H, W, 3], RGB, upright."""
        return self._camera.render()

    def segment(self):
        """Return int32 [H, W]: MuJoCo's geom id at each pixel, -1 where there is none."""
        return self._camera.segment()

    def camera_intrinsics(self):
        """Return K float64 [3, 3]; integer pixels are pixel centres."""
        return self._camera.intrinsics()

    def camera_pose(self):
        """Return 4x4: the camera's optical frame in the base frame."""
        return self._in_base(self._camera.pose_in_world())

    def end_effector_pose(self):
        """Return 4x4: the controller's end effector (between the fingertips) in the base frame."""
        return self._in_base(self._arm.end_effector())

    def joint_state(self):
        """Return (names, positions, velocities): 7 arm joints (rad), 2 fingers (m)."""
        return self._arm.joint_state()

    def gripper_open(self):
        """Return how far the gripper is open, 0 closed .. 1 open."""
        return self._arm.gripper_open()

    def touches(self, name):
        """Return whether both fingers touch an object."""
        return self._arm.holds(self._scene.objects_dict[name])

    def object_positions(self):
        """Return {name: xyz float64 [3]} of all objects and fixtures in the base frame."""
        return {name: self._to_base(self.data.xpos[body])
                for name, body in self._body_ids.items()}

    def object_rotation(self, name):
        """Return the rotation [3, 3] of an object in the base frame."""
        return self._arm.base_rotation.T @ self.data.xmat[self._body_ids[name]].reshape(3, 3)

    def nominal_rotation(self):
        """Return the end effector's rotation [3, 3] at the benchmark's own start."""
        return self._arm.base_rotation.T @ self._arm.start_rotation

    def goal_region(self):
        """Return the name of the region where the instruction's object belongs."""
        return self._tasks[self.instruction]['goal_state'][0][2]

    def table_height(self):
        """Return the height of the table's top in the base frame, m."""
        return float(self._to_base(self.data.site('table_top').xpos)[2])

    def place_target(self):
        """Return xyz float64 [3] of the goal region's centre in the base frame."""
        return self._to_base(self.data.site(self.goal_region()).xpos)

    def task_points(self):
        """Return float64 [3, 3]: object, place and end effector in the base frame, m."""
        return np.array([self.object_positions()[GRASPED_OBJECT], self.place_target(),
                         self.end_effector_pose()[:3, 3]])

    def geom_ids(self, prefix):
        """Return the ids of the geoms whose names start with a prefix."""
        return [i for i in range(self.model.ngeom)
                if self.model.geom(i).name.startswith(prefix)]

    def close(self):
        """Free the rendering context and the scene."""
        self._camera.close()
        self._scene.close()

    def _to_base(self, position):
        return self._arm.base_rotation.T @ (position - self._arm.base_position)

    def _in_base(self, pose):
        rotation = self._arm.base_rotation
        result = np.eye(4)
        result[:3, :3] = rotation.T @ pose[:3, :3]
        result[:3, 3] = self._to_base(pose[:3, 3])
        return result
