# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO as a robot: SI twists, poses or joint positions in, frames and poses out.

Success is the benchmark's own predicate. One MuJoCo scene serves every instruction that
shares it; only the goal is exchanged. All poses are in the robot's base frame (robosuite's robot
base body), metres.
"""
import gc

import numpy as np

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.sim.arm_control import JointSetpoint, PoseSetpoint
from sqap_vla_ros.sim.options import INSTRUCTIONS, PLACEMENT_M, WRIST_CAMERA
from sqap_vla_ros.sim.physics import control_step, tracking_step
from sqap_vla_ros.sim.reset import start_at_random, start_officially
from sqap_vla_ros.sim.scene import Scene
from sqap_vla_ros.sim.tasks import find_tasks
from sqap_vla_ros.sim.units import CONTROL_PERIOD_S, gripper_to_unit, SPEEDS
from sqap_vla_ros.sim.variation import Looks, Variation


def tasks_of(suite, instructions=None):
    """
    Return {instruction: Task} of a LiberoEnv; for its arguments see there.

    Raises ConfigError for an unknown suite or instruction.
    """
    if instructions is None and suite == 'libero_goal':
        instructions = INSTRUCTIONS
    return find_tasks(suite, instructions)


class LiberoEnv:
    """
    A Panda arm at the benchmark's table, 20 control steps a second.

    instructions: those that the environment serves, or names of their task files; None for
        INSTRUCTIONS of libero_goal, and for all tasks of another suite. Those that share a scene
        should: another scene is built when it is first asked for (5 s, 1.5 GB), and takes the
        place of the last one.
    placement_m: side of the square in which each movable object is placed, round its stock
        place (moved where the arm would not reach); 0 for the benchmark's own squares.
    image_size: (height, width) of the frames. camera: a camera of the scene. wrist_camera: one
        that moves with the hand, which costs nothing until it is asked.
    initial_states: start from the benchmark's official states: seed s takes number s modulo
        their count (50), and placement_m does not apply.
    variation: what else may differ from the benchmark's look.
    command_scale: how `step` reads its twists, see units.py; it may be set.
    watch: called with the time since a step began (s) behind each of its physics steps; it may
        be set.
    Raises ConfigError for an unknown suite, instruction or camera, and for options that exclude
    each other.
    """

    dt = CONTROL_PERIOD_S

    def __init__(self, instructions=None, suite='libero_goal', placement_m=PLACEMENT_M,
                 image_size=(256, 256), camera='agentview', initial_states=False,
                 variation=Variation(), command_scale=SPEEDS, wrist_camera=WRIST_CAMERA):
        check_placing(placement_m, initial_states, variation)
        self._tasks = tasks_of(suite, instructions)
        self._problems = {name: task.parse() for name, task in self._tasks.items()}
        self._states = {name: task.initial_states() if initial_states else None
                        for name, task in self._tasks.items()}
        self.instructions = tuple(self._tasks)
        self.image_size = tuple(image_size)
        self.command_scale = command_scale
        self._placement_m, self._variation = placement_m, variation
        self._cameras = camera, wrist_camera
        self.scene = None
        self.time, self.success = 0.0, False
        self.watch = lambda time_s: None
        self._use(self.instructions[0])

    @property
    def model(self):
        """Return the mujoco.MjModel of the present scene."""
        return self.scene.model

    @property
    def data(self):
        """Return the mujoco.MjData of the present scene."""
        return self.scene.data

    def reset(self, seed, instruction=None):
        """
        Start an episode: place the objects and the arm, let everything settle.

        The same seed gives the same episode, whatever came before. Raises ConfigError for an
        instruction that this environment does not serve.
        """
        instruction = self.instruction if instruction is None else instruction
        if instruction not in self._tasks:
            raise ConfigError(f'no instruction {instruction!r} in this environment: '
                              f'use one of {list(self.instructions)}')
        self._use(instruction)
        states = self._states[instruction]
        self._looks.vary(seed)
        if states is not None:
            start_officially(self.scene, states, seed)
        else:
            start_at_random(self.scene, self._problem, seed, self._placement_m,
                            self._variation.yaw_rad)
        self.time = 0.0
        self.success = self.scene.fulfils(self._problem['goal_state'])

    def _use(self, instruction):
        """Make an instruction the present one; build its scene where another one stands."""
        task, problem = self._tasks[instruction], self._problems[instruction]
        if self.scene is None or not _share_scene(problem, self._problem):
            if self.scene is not None:
                self.scene.close()
                self.scene = self._looks = None
                gc.collect()  # the benchmark's objects refer to each other
            self.scene = Scene(task, self._cameras, self.image_size, self._variation.distractors)
            self._looks = Looks(self.scene, self._variation)
        self.instruction, self._problem = instruction, problem

    def step(self, twist, gripper_open):
        """
        Move for one control period (0.05 s) and return whether the instruction is fulfilled.

        twist: [6] linear m/s and angular rad/s of the end effector, base frame, as
        `command_scale` reads it, cut off at what the controller takes; gripper_open: 0 closed
        .. 1 open.
        """
        unit = self.command_scale.unit_action(twist)  # the base is not rotated in the world
        control_step(self.scene.benchmark, np.append(unit, gripper_to_unit(gripper_open)),
                     self.watch)
        self.time += self.dt
        self.success = self.scene.fulfils(self._problem['goal_state'])
        return self.success

    def follow(self, reference, gripper_open, duration_s=CONTROL_PERIOD_S):
        """
        Track a Reference (arm_control.py) for a time; return whether the instruction is fulfilled.

        reference: poses of it are in the base frame.  gripper_open: 0 closed .. 1 open.
        duration_s: a multiple of the physics' period, 2 ms.
        """
        tracking_step(self.scene.benchmark, lambda time_s: self._in_world(reference(time_s)),
                      gripper_to_unit(gripper_open), duration_s, self.watch)
        self.time += duration_s
        self.success = self.scene.fulfils(self._problem['goal_state'])
        return self.success

    def _in_world(self, setpoint):
        """Return a setpoint with its pose in the world; the base is not rotated there."""
        if isinstance(setpoint, JointSetpoint):
            return setpoint
        pose = setpoint.pose.copy()
        pose[:3, 3] += self.scene.arm.base_position
        return PoseSetpoint(pose, setpoint.velocity)

    def render(self):
        """Return the camera's frame uint8 [H, W, 3], RGB, upright."""
        return self.scene.camera.render()

    def segment(self):
        """Return int32 [H, W]: MuJoCo's geom id at each pixel, -1 where there is none."""
        return self.scene.camera.segment()

    def camera_intrinsics(self):
        """Return K float64 [3, 3]; integer pixels are pixel centres."""
        return self.scene.camera.intrinsics()

    def camera_pose(self):
        """Return 4x4: the camera's optical frame in the base frame, in this episode."""
        return self.scene.in_base(self.scene.camera.pose_in_world())

    def render_wrist(self):
        """Return the frame of the camera on the hand, as `render` does."""
        return self.scene.wrist.render()

    def wrist_intrinsics(self):
        """Return K float64 [3, 3] of the camera on the hand."""
        return self.scene.wrist.intrinsics()

    def wrist_pose(self):
        """Return 4x4: the optical frame of the camera on the hand in the base frame, now."""
        return self.scene.in_base(self.scene.wrist.pose_in_world())

    def base_in_world(self):
        """Return 4x4: the base frame in the benchmark's world."""
        return self.scene.base_in_world()

    def end_effector_pose(self):
        """Return 4x4: the controller's end effector (between the fingertips) in the base frame."""
        return self.scene.in_base(self.scene.arm.end_effector())

    def joint_state(self):
        """Return (names, positions, velocities): 7 arm joints (rad), 2 fingers (m)."""
        return self.scene.arm.joint_state()

    def gripper_open(self):
        """Return how far the gripper is open, 0 closed .. 1 open."""
        return self.scene.arm.gripper_open()

    def touches(self, name):
        """Return whether both fingers touch an object."""
        return self.scene.arm.holds(self.scene.benchmark.objects_dict[name])

    def object_positions(self):
        """Return {name: xyz float64 [3]} of all objects and fixtures in the base frame."""
        return self.scene.positions()

    def object_points(self, name):
        """Return float64 [n, 3]: an object's surface, from its origin, in the base's axes, m."""
        return self.scene.points(name)

    def nominal_rotation(self):
        """Return the end effector's rotation [3, 3] at the benchmark's own start."""
        return self.scene.arm.base_rotation.T @ self.scene.arm.start_rotation

    def goal(self):
        """Return the benchmark's goal: [[predicate, object, and mostly a place], ...]."""
        return self._problem['goal_state']

    def target_object(self):
        """Return the name of the object that the instruction is about."""
        return self.goal()[0][1]

    def target_place(self):
        """Return the name of the region or object where it belongs; None for other goals."""
        return (self.goal()[0] + [None])[2]

    def target_body(self):
        """Return the object or fixture at which the target place is; None for the table."""
        return self.scene.place_body(self.target_place())

    def place_position(self):
        """Return xyz float64 [3] of the origin of the target place in the base frame, m."""
        return self.scene.place_position(self.target_place())

    def task_points(self):
        """Return float64 [3, 3]: object, place and end effector in the base frame, m."""
        return np.array([self.object_positions()[self.target_object()], self.place_position(),
                         self.end_effector_pose()[:3, 3]])

    def object_centers(self):
        """
        Return {name: xyz float64 [3]}: the middles of the movable objects, base frame, m.

        They are those of all instructions, not numbers where the present scene lacks them;
        distractors are none of them.
        """
        centers = {name: np.full(3, np.nan) for problem in self._problems.values()
                   for names in problem['objects'].values() for name in names}
        positions = self.object_positions()
        for name in set(self.scene.movable).intersection(centers):
            points = self.object_points(name)
            centers[name] = positions[name] + (points.min(axis=0) + points.max(axis=0)) / 2
        return centers

    def movable_objects(self):
        """Return the names of the objects that are not fixed to the table."""
        return self.scene.movable

    def fixtures(self):
        """Return the Boxes of what stands fixed on the table, base frame."""
        return self.scene.fixtures()

    def table_height(self):
        """Return the height of the table's top in the base frame, m."""
        return self.scene.table_height()

    def geom_ids(self, prefix):
        """Return the ids of the geoms whose names start with a prefix."""
        return [i for i in range(self.model.ngeom)
                if self.model.geom(i).name.startswith(prefix)]

    def close(self):
        """Free the rendering context and the scene."""
        self.scene.close()


def _share_scene(problem, other):
    """Return whether two parsed tasks differ in their goals alone."""
    return all(problem[key] == other[key] for key in
               ('problem_name', 'fixtures', 'objects', 'initial_state', 'regions'))


def check_placing(placement_m, initial_states, variation):
    """Raise ConfigError for a side that is out of range, and for options that exclude others."""
    if not 0 <= placement_m <= 1:
        raise ConfigError(f'placement_m is {placement_m}: use 0 to 1')
    if initial_states and (variation.distractors or variation.yaw_rad):
        raise ConfigError('official initial states leave no room for distractors or yaw: '
                          'turn initial_states off, or those')
