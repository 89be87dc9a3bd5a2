# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of vla_node that are not the policy's, by what they are about: no ROS in here."""

from dataclasses import dataclass
from math import inf

from sqap_vla_ros.control.output_modes import OUTPUTS
from sqap_vla_ros.control.seams import BLENDINGS
from sqap_vla_ros.options import option

TWIST_UNITS = ('si', 'unitless')
TRAJECTORY_VELOCITIES = ('none', 'spline')
GRIPPER_OUTPUTS = ('topic', 'gripper_command', 'parallel_gripper_command')
IMAGE_TRANSPORTS = ('raw', 'compressed')


@dataclass(frozen=True)
class InputOptions:
    """What the node looks at and hears."""

    base_frame: str = option('base_link', "TF frame of the robot's base.")
    end_effector_frames: tuple = option(
        ('tool0',), 'TF frames to protect; the first is the one that is commanded.')
    state_base_frame: str = option(
        '', "TF frame in which a data set of others tells the end effector's pose, such as "
        "LIBERO's world; policies whose state has it are refused while it is empty.")
    state_end_effector_frame: str = option(
        '', 'TF frame whose pose that is, turned as the data set has it; likewise.')
    cameras: tuple = option(
        (), 'Names of several cameras: camera wrist has the topics wrist/image and '
        'wrist/camera_info, and parameters of its own such as wrist.camera_frame, which are as '
        'those without its name unless given. A policy of one image sees the first, unless it '
        'names another; one of several images sees those that it names, in its order. Empty: one '
        'camera, on image and camera_info.')
    camera_tolerance: float = option(
        0.1, "How much older than the image that is asked about another camera's may be [s].",
        0.001, 10.0, live=True)
    protected_frames: tuple = option(
        (), 'TF frames to protect where a camera sees others of the robot than the '
        'end_effector_frames, which count if it is empty.')
    camera_frame: str = option(
        '', "TF frame of the camera's optical centre (x right, y down, z forward); empty takes "
        "the image's frame_id, which must be camera_info's too.")
    camera_rectified: bool = option(
        False, 'True if the image topic is rectified (P of camera_info is used, not K and D).')
    rotate_image_180: bool = option(
        False, 'True if the camera is mounted upside down: turn its images before the policy.')
    image_transport: str = option(
        'raw', 'Subscribe to image (raw) or to its transport, <image>/compressed: remap `image` '
        'for both.', choices=IMAGE_TRANSPORTS)
    require_localization: bool = option(
        True, 'No motion while camera_info or TF for the protected tokens is missing or stale; '
        'false goes on without protected tokens and warns.', live=True)
    calibration_error_px: float = option(
        0.0, 'Known error of a projected frame; widens the protected disk [px].',
        0.0, 1000.0, live=True)
    gripper_joint: str = option(
        '', "Joint of joint_states that tells the gripper's opening, for policies that need it.")
    gripper_open_position: float = option(0.04, 'Its position when open [m or rad].')
    gripper_closed_position: float = option(0.0, 'Its position when closed [m or rad].')


@dataclass(frozen=True)
class OutputOptions:
    """How the robot and its gripper are commanded."""

    output: str = option(
        'twist', 'What commands the robot, one topic: twist (delta_twist_cmds), pose '
        '(target_pose), joint_trajectory or joint_position (joint_commands).', choices=OUTPUTS)
    twist_units: str = option(
        'si', 'si: twists are in m/s and rad/s (Servo: command_in_type speed_units); unitless: '
        "divided by servo_linear_scale and servo_rotational_scale, by which Servo's default "
        'command_in_type, unitless, multiplies them.', choices=TWIST_UNITS)
    servo_linear_scale: float = option(
        0.4, "Servo's scale.linear, of unitless twists [m/s].", 0.001, 100.0)
    servo_rotational_scale: float = option(
        0.8, "Servo's scale.rotational, of unitless twists [rad/s].", 0.001, 100.0)
    servo_node: str = option(
        '', "Name of MoveIt Servo's node, such as /servo_node: on activation it is switched to "
        'twists or poses and unpaused, and nothing moves until it is. Empty: not asked.')
    trajectory_velocities: str = option(
        'none', 'none: joint_trajectory tells positions, between which a controller goes straight '
        'or upsamples itself; spline: velocities, too, of a spline through them.',
        choices=TRAJECTORY_VELOCITIES)
    trajectory_horizon: float = option(
        1.0, 'How far ahead a joint_trajectory reaches at most; its controller goes on for so '
        'long when this node dies [s].', 0.05, 60.0)
    robot_description_timeout: float = option(
        5.0, 'How long configure waits for robot_description, for joint outputs without a '
        'urdf_file [s].', 0.0, 600.0)
    gripper_output: str = option(
        'topic', 'How the gripper is commanded: topic (gripper_command, 0 to 1), or goals of the '
        'action gripper_command or parallel_gripper_command.', choices=GRIPPER_OUTPUTS)
    gripper_action: str = option(
        'gripper_controller/gripper_cmd', "Name of the gripper's action.")
    gripper_max_effort: float = option(
        10.0, 'Of goals [N or Nm]; 0 leaves it to the controller of a parallel gripper.',
        0.0, 10000.0, live=True)
    gripper_deadband: float = option(
        0.05, 'A goal is sent when the opening, 0 to 1, changes by more, or to the other half.',
        0.0, 1.0, live=True)
    gripper_required: bool = option(
        True, "No motion while the gripper's action server is missing.", live=True)
    control_rate: float = option(
        20.0, 'Rate at which commands are repeated [Hz].', 20.0, 1000.0)
    pipelined: bool = option(
        False, 'Of chunks that are executed to their end, such as single actions: ask about the '
        'image taken when that begins, not when it has ended. The arm stands still for less '
        'time, and the policy sees it a chunk earlier.')
    lockstep: bool = option(
        False, 'The simulator waits for one command a tick of /clock (needs use_sim_time).')
    autostart: bool = option(False, 'Configure and activate at start.')


@dataclass(frozen=True)
class StartOptions:
    """Who may start motion, and who stops it."""

    dry_run: bool = option(
        False, 'Everything is published but the commands: nothing moves. Set to false in a '
        'running node, it wants ~/resume before the arm moves.', live=True)
    require_resume: bool = option(
        True, 'What interrupts a motion (loss of a camera, TF, joints, ...) stops until '
        '~/resume; false goes on when it is mended.', live=True)
    start_on_activate: bool = option(
        False, 'An instruction that was heard before activation, or latched before start, moves '
        'the arm; false waits until it is published again, or for ~/resume.', live=True)
    max_instruction_length: int = option(
        256, 'Characters of the longest instruction that is taken.', 1, 10000, live=True)
    idle_zeros: bool = option(
        False, 'Repeat zero commands without a task, too; false is silent then.', live=True)
    estop_topic: str = option(
        '', 'Topic of an emergency stop (std_msgs/Bool): true stops until ~/resume, and nothing '
        'moves before the first message; empty for none.')
    estop_timeout: float = option(
        0.0, 'Stop when estop_topic is silent for longer; 0: for five times as long as it was '
        'between its last messages where it is repeated, else when its publisher is gone [s].',
        0.0, 60.0, live=True)


@dataclass(frozen=True)
class LimitOptions:
    """What the safety gate lets through."""

    max_linear_speed: float = option(
        0.25, 'Commands above it are shortened to it [m/s].', 0.001, 10.0, live=True)
    max_angular_speed: float = option(
        1.0, 'Commands above it are shortened to it [rad/s].', 0.001, 50.0, live=True)
    speed_scale: float = option(
        1.0, 'Share of its speed with which the arm goes the same way, for first runs.',
        0.0, 1.0, live=True)
    max_linear_acceleration: float = option(
        1.0, 'Of the end effector; 0: none [m/s2].', 0.0, 1000.0, live=True)
    max_angular_acceleration: float = option(
        4.0, 'Of the end effector; 0: none [rad/s2].', 0.0, 10000.0, live=True)
    max_linear_jerk: float = option(
        0.0, 'Of the end effector, unless it brakes; 0: none [m/s3].', 0.0, 1e6, live=True)
    max_angular_jerk: float = option(
        0.0, 'Of the end effector, unless it brakes; 0: none [rad/s3].', 0.0, 1e6, live=True)
    max_axis_speeds: tuple = option(
        (inf,) * 6, 'Of x, y, z [m/s] and about them [rad/s], on top of the other limits; .inf: '
        'none.', live=True)
    workspace_low: tuple = option(
        (-inf,) * 3, 'Lower corner of the box that the end effector stays in, in base_frame; '
        '-.inf: open on that side [m].', live=True)
    workspace_high: tuple = option(
        (inf,) * 3, 'Its upper corner; .inf: open on that side [m].', live=True)
    first_action_distance: float = option(
        0.2, 'The first target of absolute actions may be so far from the measured one; 0: '
        'anywhere [m].', 0.0, 100.0, live=True)
    first_action_angle: float = option(
        0.5, 'The same of its orientation, or of each joint; 0: any [rad].', 0.0, 10.0, live=True)
    reject_factor: float = option(
        5.0, 'A command beyond this many times a speed limit (or 0.4 m/s, 2.4 rad/s where the '
        'limit is lower) is a fault that stops until ~/resume.', 1.0, 1000.0, live=True)
    trip_shortened: int = option(
        0, 'So many commands within trip_window that were too fast, or led out of the workspace, '
        'are a fault; 0: never.', 0, 1000000, live=True)
    trip_window: float = option(10.0, 'See trip_shortened [s].', 0.1, 3600.0, live=True)


@dataclass(frozen=True)
class JointOptions:
    """Of joint outputs, and of policies that speak of joints."""

    urdf_file: str = option(
        '', 'URDF of the robot, for joint outputs; empty takes the topic robot_description.')
    arm_joints: tuple = option(
        (), "Joints that are commanded, in the controller's order; empty: all that move between "
        "base_frame and the first end_effector_frame, or the policy's own.")
    position_only: bool = option(
        False, 'The hand turns as it comes, as with an arm of 3 to 5 joints: from twists and '
        'poses to joints, only the place is followed.')
    joint_limit_margin: float = option(
        0.05, 'Kept from the position limits of joints [rad or m].', 0.0, 10.0)
    joint_speed_factor: float = option(
        1.0, "Share of the joints' velocity limits that may be used.", 0.001, 1.0)
    max_joint_speeds: tuple = option(
        (0.0,), "In place of the URDF's velocity limits, one for all joints or one each; 0: the "
        "URDF's [rad/s or m/s].")
    joint_lower_limits: tuple = option(
        (-inf,), "On top of the URDF's, one for all joints or one each; -.inf: none [rad or m].")
    joint_upper_limits: tuple = option(
        (inf,), "On top of the URDF's, one for all joints or one each; .inf: none [rad or m].")
    max_joint_acceleration: float = option(
        5.0, 'Of each joint; 0: none [rad/s2 or m/s2].', 0.0, 10000.0)
    max_joint_jerk: float = option(
        0.0, 'Of each joint, unless it brakes; 0: none [rad/s3 or m/s3].', 0.0, 1e6)
    joint_tracking_error: float = option(
        0.1, 'Stop, until ~/resume, when a joint is further than this from all places where it '
        'was told to be within half a second; 0: anywhere [rad or m].', 0.0, 10.0)
    kinematics_distance: float = option(
        0.01, 'Do not begin to move when URDF and joint_states put the end effector further from '
        'where TF has it; 0: anywhere [m].', 0.0, 10.0)
    kinematics_angle: float = option(
        0.05, 'The same of its orientation; 0: any [rad].', 0.0, 3.2)


@dataclass(frozen=True)
class TimeOptions:
    """When chunks are played, and how old or strange what is seen may be."""

    blending: str = option(
        'linear', 'How an action chunk takes over from the one before: none (at once), linear (a '
        'fade), or ensemble (the mean of all that still say something). Not in lockstep, nor of '
        'chunks that are executed to their end.', choices=BLENDINGS)
    blending_time: float = option(
        0.2, 'Of the plan, that a fade takes [s].', 0.0, 10.0)
    missed_chunks: int = option(
        10, 'So many action chunks in a row that come when the one before has run out are a fault '
        'that stops until ~/resume, instead of an arm that stops and starts; 0: never.',
        0, 1000000, live=True)
    image_timeout: float = option(
        0.5, 'Stop when the newest image is older [s].', 0.05, 60.0, live=True)
    tf_timeout: float = option(
        0.1, "How long to wait for TF and joint_states at the image's stamp [s].",
        0.0, 10.0, live=True)
    tf_max_age: float = option(
        0.1, 'Use TF or joint_states older than the image by at most this [s].',
        0.0, 10.0, live=True)
    camera_info_max_age: float = option(
        10.0, "Refuse a camera_info whose stamp is further from the image's; one without a stamp "
        'or one that is latched is always taken [s].', 0.0, 86400.0, live=True)
    frozen_image_timeout: float = option(
        0.5, 'Stop when no picture differs from those before while the arm is commanded to move '
        'for this long; 0 never, for a simulated camera that may not see the arm [s].',
        0.0, 3600.0, live=True)
    min_contrast: float = option(
        3.0, 'Refuse images of less contrast (black, covered, overexposed) and of noise; 0 takes '
        'all [levels of 255].', 0.0, 128.0, live=True)
    max_image_change: float = option(
        80.0, 'Refuse images whose brightness changed by more within seconds, or that lost their '
        'colours, contrast or part of the picture; 0 takes all [levels of 255].',
        0.0, 255.0, live=True)
    max_reach: float = option(
        2.5, 'How far from base_frame the end effector can be, and a quarter of how far the '
        'camera: TF beyond it is not believed; 0 for any [m].', 0.0, 1000.0, live=True)
    max_end_effector_speed: float = option(
        1.0, 'How fast it can be, whoever moves it, or twice max_linear_speed where that is more: '
        'TF that jumps is not believed; 0 for any [m/s].', 0.0, 1000.0, live=True)
    inference_timeout: float = option(
        2.0, 'Stop when an inference takes longer [s].', 0.01, 600.0, live=True)
