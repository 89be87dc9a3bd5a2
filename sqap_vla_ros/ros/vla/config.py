# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All parameters of vla_node as one record, and what of them goes together: no ROS in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, Field, field, fields, replace
from math import inf, isfinite
from pathlib import Path
import re

from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ingest.cameras import check_names
from sqap_vla_ros.options import (
    checked, option, OPTIONS, parameter_name, PolicyOptions, renamed)
from sqap_vla_ros.support.resources import named_checkpoint

from .option_groups import (
    InputOptions, JointOptions, LimitOptions, OutputOptions, StartOptions, TimeOptions)

_TOKEN = r'(?:[A-Za-z_]|\{node\})(?:[A-Za-z0-9_]|\{node\})*'
ROS_NAME = re.compile(rf'(?:~?/)?{_TOKEN}(?:/{_TOKEN})*')
LONGEST_NAME = 150  # of 255 characters that DDS allows, some are ROS's own and the namespace's


@dataclass(frozen=True)
class NodeConfig(TimeOptions, JointOptions, LimitOptions, StartOptions, OutputOptions,
                 InputOptions):
    """
    All parameters of the node; raises ConfigError, naming the parameter, when made.

    policy: what load_policy is given; its fields are parameters of the node, too.
    of_cameras: what was given for one camera alone, {name: {parameter: value}}.  camera: the
    name of the camera whose own values stand here, see for_camera.
    """

    checkpoint: str = option(
        '', 'Checkpoint directory, or the name of a bundled model.')
    hardware_id: str = option(
        '', "Which robot this is, in /diagnostics; empty: the node's name with its namespace.")
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    of_cameras: Mapping = field(default_factory=dict)
    camera: str = ''

    def __post_init__(self):
        """Check each value, and what ranges cannot say."""
        for item in OWN:
            object.__setattr__(self, item.name, checked(item, getattr(self, item.name)))
        if not self.base_frame or not all(self.end_effector_frames or ['']):
            raise ConfigError('parameters base_frame and end_effector_frames name TF frames: '
                              f'found {self.base_frame!r} and {list(self.end_effector_frames)}')
        if self.gripper_open_position == self.gripper_closed_position:
            raise ConfigError('parameters gripper_open_position and gripper_closed_position are '
                              f'both {self.gripper_open_position}')
        self.limits  # raises for a workspace that is none
        self._check_cameras()
        self._check_names()
        self._check_twist_units()
        if self.servo_node and self.output not in ('twist', 'pose'):
            raise ConfigError(f'parameter servo_node is {self.servo_node!r}, but MoveIt Servo '
                              f'takes no {self.output}: use output twist or pose, or leave '
                              'servo_node empty')

    def _check_cameras(self):
        check_names(self.cameras)
        frames = {}
        for name in self.cameras:
            frame = self.for_camera(name).camera_frame.lstrip('/')
            other = frames.setdefault(frame, name) if frame else name
            if other != name:
                raise ConfigError(f'cameras {other} and {name} have the same optical frame, '
                                  f'{frame!r}: set {other}.camera_frame and {name}.camera_frame')

    def for_camera(self, name: str) -> NodeConfig:
        """
        Return the configuration in which the values of one camera stand; '' for the only one.

        Raises ConfigError, naming the camera, for a value that cannot be used.
        """
        if not name:
            return self
        own = self.of_cameras.get(name, {})
        try:
            return replace(self, camera=name, cameras=(), of_cameras={}, **own)
        except ConfigError as error:
            raise ConfigError(f'camera {name}: {error}') from error

    def parameter(self, name: str) -> str:
        """Return what a parameter of this camera is called, such as wrist.camera_frame."""
        return f'{self.camera}.{name}' if self.camera else name

    def _check_names(self):
        """ROS would only say so with a traceback, when the topic is made."""
        check_ros_name('estop_topic', self.estop_topic)
        check_ros_name('servo_node', self.servo_node)
        if self.gripper_output != 'topic':
            check_ros_name('gripper_action', self.gripper_action, may_be_empty=False)

    def check_space(self, space) -> None:
        """Raise ConfigError for a workspace that an ActionSpace's actions would not heed."""
        if self.limits.has_workspace and not space.is_cartesian:
            raise ConfigError('parameters workspace_low and workspace_high: the policy tells '
                              'joints, and where they lead is not checked. Leave them out, and '
                              'bound the joints: joint_lower_limits, joint_upper_limits')

    def _check_twist_units(self):
        """Servo drops, or in later versions lets pass, a unitless component above 1."""
        if self.output != 'twist':
            return
        for limit, scale in (('max_linear_speed', 'servo_linear_scale'),
                             ('max_angular_speed', 'servo_rotational_scale')):
            if self.twist_units == 'unitless' and getattr(self, limit) > getattr(self, scale):
                raise ConfigError(
                    f'parameter {limit} is {getattr(self, limit):g}, but unitless twists reach '
                    f'{getattr(self, scale):g} at most ({scale}): lower {limit}, or raise '
                    f'{scale} and with it the scale in the configuration of Servo')

    @property
    def twist_unit(self) -> tuple[float, float]:
        """Return what 1 in the linear and angular half of a twist is, in m/s and rad/s."""
        return ((1.0, 1.0) if self.twist_units == 'si'
                else (self.servo_linear_scale, self.servo_rotational_scale))

    @property
    def limits(self) -> CommandLimits:
        """Return what the safety gate lets through."""
        has_box = any(map(isfinite, (*self.workspace_low, *self.workspace_high)))
        return CommandLimits(
            self.max_linear_speed, self.max_angular_speed, self.reject_factor,
            self.max_linear_acceleration or inf, self.max_angular_acceleration or inf,
            self.max_linear_jerk or inf, self.max_angular_jerk or inf,
            self.max_axis_speeds if min(self.max_axis_speeds) < inf else None,
            self.workspace_low if has_box else None, self.workspace_high if has_box else None,
            self.first_action_distance or inf, self.first_action_angle or inf,
            self.trip_shortened, self.trip_window)

    @property
    def joint_settings(self) -> JointSettings:
        """Return what is asked of joints on top of the URDF."""
        return JointSettings(
            self.arm_joints, self.position_only, self.joint_limit_margin, self.joint_speed_factor,
            self.max_joint_speeds, self.joint_lower_limits, self.joint_upper_limits,
            self.max_joint_acceleration or inf, self.max_joint_jerk or inf, self.reject_factor,
            self.first_action_angle or inf, self.trip_shortened, self.trip_window,
            self.joint_tracking_error or inf, self.kinematics_distance or inf,
            self.kinematics_angle or inf)

    @classmethod
    def from_parameters(cls, values: Mapping):
        """Return the configuration of parameters by their ROS names; others keep defaults."""
        policy = PolicyOptions(**_policy_values(values))
        own = {item.name: values[item.name] for item in OWN if item.name in values}
        return cls(policy=policy, **own, of_cameras=of_cameras(values))

    def changed(self, values: Mapping) -> NodeConfig:
        """Return the configuration with other values of parameters; raises ConfigError."""
        of_policy = _policy_values(values)
        mine = {name: value for name, value in values.items()
                if name in PARAMETERS and name not in map(parameter_name, OPTIONS)}
        own = {name: {**self.of_cameras.get(name, {}), **of_cameras(values).get(name, {})}
               for name in self.cameras}
        return replace(self, **mine, policy=replace(self.policy, **of_policy), of_cameras=own)

    @property
    def needs_localization(self) -> bool:
        """Whether tokens round the robot's frames are to be protected."""
        policy = self.policy
        return bool(policy.keep and policy.protect and policy.selection_method == 'sqap')

    @property
    def checkpoint_directory(self) -> Path:
        """Return the directory or .pt file to load; raises ConfigError or CheckpointError."""
        if not self.checkpoint:
            raise ConfigError('parameter checkpoint is empty: set it to a checkpoint directory '
                              'or to the name of a bundled model')
        return named_checkpoint(self.checkpoint)


def _policy_values(values: Mapping) -> dict:
    """Return what values of parameters say of fields of PolicyOptions."""
    return {item.name: values[parameter_name(item)] for item in OPTIONS
            if parameter_name(item) in values}


def of_cameras(values: Mapping) -> dict:
    """Return {camera: {parameter: value}} of values by names such as wrist.camera_frame."""
    found = {}
    for name, value in values.items():
        camera, dot, rest = name.partition('.')
        if dot and rest in PER_CAMERA:
            found.setdefault(camera, {})[rest] = value
    return found


def camera_parameters(cameras, values: Mapping) -> dict[str, Field]:
    """
    Return the parameters of cameras by names such as wrist.camera_frame.

    values: of those without a camera's name, which are their defaults.
    """
    return {f'{camera}.{name}': renamed(PARAMETERS[name], f'{camera}.{name}', values[name])
            for camera in cameras for name in PER_CAMERA}


def check_ros_name(parameter: str, name: str, may_be_empty: bool = True):
    """Raise ConfigError if a parameter is no name of a topic, action or node in ROS."""
    is_name = ROS_NAME.fullmatch(name) and len(name) <= LONGEST_NAME
    if not is_name and (name or not may_be_empty):
        raise ConfigError(
            f'parameter {parameter} is {name!r}, expected a ROS name of at most {LONGEST_NAME} '
            'characters, such as arm/name, /arm/name or ~/name: letters, digits and _ between '
            'single slashes, none at the end, and no digit behind one'
            + (', or an empty string' if may_be_empty else ''))


OWN = tuple(item for item in fields(NodeConfig) if 'option' in item.metadata)
# what each of several cameras has of its own
PER_CAMERA = (
    'camera_frame', 'camera_rectified', 'rotate_image_180', 'image_transport',
    'protected_frames', 'require_localization', 'calibration_error_px', 'camera_info_max_age',
    'frozen_image_timeout', 'min_contrast', 'max_image_change')
PARAMETERS = {parameter_name(item): item for item in (*OPTIONS, *OWN)}
