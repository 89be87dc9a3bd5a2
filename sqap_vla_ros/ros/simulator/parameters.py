# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of libero_sim_node: one dataclass is their list, defaults and checks."""
from dataclasses import dataclass, fields

from rclpy.node import Node

from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.options import option
from sqap_vla_ros.ros.simulator.arm_commands import INTERFACES
from sqap_vla_ros.ros.simulator.episodes import CONTROLS
from sqap_vla_ros.ros.simulator.faults import Faults
from sqap_vla_ros.ros.simulator.gripper_server import KINDS as GRIPPER_ACTIONS
from sqap_vla_ros.ros.vla.config import check_ros_name
from sqap_vla_ros.ros.vla.parameters import declare_parameters, read_parameter
from sqap_vla_ros.sim.options import INSTRUCTIONS, PLACEMENT_M
from sqap_vla_ros.sim.units import COMMAND_SCALES, CONTROL_PERIOD_S


@dataclass(frozen=True)
class SimSettings:
    """All parameters of the simulator; raises ConfigError, naming the parameter, when made."""

    lockstep: bool = option(
        True, 'True: time stands still until a command answers the tick. False: wall clock, '
        'physics never waits.')
    command_interface: str = option(
        'twist', 'What the arm takes: twist (delta_twist_cmds), pose (target_pose), '
        'joint_trajectory, or joint_position (joint_commands).', choices=tuple(INTERFACES))
    command_period: float = option(
        CONTROL_PERIOD_S, 'Time in which a pose or joint positions are approached, evenly: that '
        'between two commands [s].', 0.002, 1.0)
    gripper_interface: str = option(
        'topic', 'What the gripper takes: topic (gripper_command), or in real time the action '
        'gripper_command or parallel_gripper_command of control_msgs.',
        choices=('topic', *GRIPPER_ACTIONS))
    gripper_action: str = option(
        'gripper_controller/gripper_cmd', "Name of the gripper's action.")
    suite: str = option('libero_goal', 'LIBERO suite that the scene comes from.')
    instructions: tuple[str, ...] = option(
        INSTRUCTIONS, 'Tasks of the suite, by instruction; one in another scene than the last '
        'is built when its turn comes (seconds).')
    instruction: str = option(
        '', 'The one of instructions to ask for; empty: they take turns.')
    control: str = option(
        'none', 'Control experiment: blank-image shows black, other-instruction tells another '
        'instruction than the one that is judged.', choices=CONTROLS)
    command_kind: str = option(
        'twist', "What delta_twist_cmds say, after the policy's kind of actions: twist, how fast "
        'the arm shall be (a unit of its controller is 0.25 m/s); delta, goals ahead of it, over '
        'dt (a unit is 0.05 m in 0.05 s).', choices=tuple(COMMAND_SCALES))
    episodes: int = option(10, 'Number of episodes.', 1, 100000)
    seed: int = option(
        0, 'Placement seed of the first episode; episode i takes seed + i.', 0, 2**31 - 1)
    max_steps: int = option(
        300, 'Control steps of 0.05 s after which an episode has failed.', 1, 100000)
    placement_m: float = option(
        PLACEMENT_M, 'Side of the square in which each object is placed at random [m].', 0.0, 0.3)
    initial_states: bool = option(
        False, "Start from the benchmark's official states, number seed modulo 50; placement_m "
        'does not apply.')
    yaw_rad: float = option(
        0.0, 'Objects are turned at random by up to this, either way [rad].', 0.0, 3.14159)
    distractors: int = option(0, 'Objects added to the scene, of no goal.', 0, 6)
    camera: str = option('agentview', 'Camera of the scene.')
    wrist_camera: str = option(
        '', 'Camera on the hand, robot0_eye_in_hand, for policies that see two: on wrist/image '
        'and wrist/camera_info. Empty: none, for its pictures take time.')
    camera_pose: tuple[float, ...] = option(
        (0.0,) * 6, 'x, y, z of the camera and of what it looks at, base frame [m]; all zero: '
        "the scene's own.")
    camera_jitter_m: float = option(
        0.0, 'The camera is moved by up to this along its axes in each episode [m].', 0.0, 1.0)
    camera_jitter_rad: float = option(
        0.0, 'The camera is turned by up to this about its axes in each episode [rad].', 0.0, 1.0)
    light_jitter: float = option(
        0.0, 'How much brightness and direction of the lights change in each episode.', 0.0, 1.0)
    image_width: int = option(256, 'Image width [px].', 16, 2048)
    image_height: int = option(256, 'Image height [px].', 16, 2048)
    image_every: int = option(4, 'Control steps from one image to the next.', 1, 100)
    image_listeners: int = option(
        0, 'Subscriptions to image (or to wrist/image, where it has more) to wait for before the '
        'first episode, up to policy_timeout_s: what discovers the simulator later does not see '
        'its first images.', 0, 100)
    base_frame: str = option(
        'base', 'TF frame of the robot base, in which twists are expressed.')
    end_effector_frame: str = option('end_effector', 'TF frame of the end effector.')
    policy_node: str = option(
        'vla_node', 'Node whose ~/reset is called between episodes.')
    repeat_s: float = option(
        2.0, 'Lockstep: wall time after which a tick is sent again [s].', 0.05, 60.0)
    policy_timeout_s: float = option(
        120.0, 'Wall time without an answer of the policy node after which the run ends in an '
        'error [s].', 0.5, 3600.0)
    joint_states_rate: float = option(
        0.0, 'Real time: joint_states at this rate, physics runs at 500 Hz; 0: with every control '
        'step, 20 Hz [Hz].', 0.0, 1000.0)
    faults: tuple[str, ...] = option(
        (), 'Faults of sensors on a schedule, each SENSOR_EFFECT[:VALUE]@START[+DURATION] in '
        'seconds of every episode, such as image_freeze@5+3; docs/simulator.md lists them.')
    command_max_age_s: float = option(
        0.15, 'Real time: a twist or pose older than this is not executed; the arm stands still '
        'when its last twist is so old [s].', 0.01, 10.0)

    def __post_init__(self):
        """Check what ranges cannot say."""
        for name in ('suite', 'camera', 'base_frame', 'end_effector_frame', 'policy_node',
                     'instructions'):
            if not getattr(self, name):
                raise ConfigError(f'parameter {name} of libero_sim_node must not be empty')
        for name, known in (('control', CONTROLS), ('command_kind', tuple(COMMAND_SCALES)),
                            ('command_interface', tuple(INTERFACES)),
                            ('gripper_interface', ('topic', *GRIPPER_ACTIONS))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f'parameter {name} is {getattr(self, name)!r}: use one of {known}')
        if self.lockstep and self.gripper_interface != 'topic':
            raise ConfigError('parameter gripper_interface: actions need lockstep: false, for '
                              'their goals belong to no tick')
        if self.lockstep and self.joint_states_rate:
            raise ConfigError('parameter joint_states_rate needs lockstep: false: there, '
                              'joint_states belong to ticks')
        check_ros_name('policy_node', self.policy_node)
        if self.gripper_interface != 'topic':
            check_ros_name('gripper_action', self.gripper_action, may_be_empty=False)
        Faults(self.faults)
        if len(self.camera_pose) != 6:
            raise ConfigError(f'parameter camera_pose has {len(self.camera_pose)} numbers: give '
                              'x, y, z of the camera and of what it looks at')

    @property
    def camera_frame(self) -> str:
        """TF frame of the camera: x right, y down, z forward."""
        return f'{self.camera}_optical_frame'

    @property
    def wrist_frame(self) -> str:
        """TF frame of the camera on the hand."""
        return f'{self.wrist_camera}_optical_frame'

    @property
    def mode(self) -> str:
        """'lockstep' or 'real_time'."""
        return 'lockstep' if self.lockstep else 'real_time'


def declare_sim_settings(node: Node) -> SimSettings:
    """
    Declare every field of SimSettings on the node and return their values.

    Raises rclpy's ParameterException for a value out of range or of another type, ConfigError
    for one that makes no sense.
    """
    items = {item.name: item for item in fields(SimSettings)}
    declare_parameters(node, items)
    return SimSettings(**{
        name: read_parameter(node, name, item) for name, item in items.items()})
