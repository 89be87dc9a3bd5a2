# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node: one dataclass is their list, their defaults and their checks.

Read-only parameters shape what is loaded or connected at configure time; a change needs a new
node. All others take effect at once, and a value that makes no sense is refused.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult)
from sqap_vla_ros.control.safety_gate import CommandLimits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.precision import PARTS
from sqap_vla_ros.support.resources import model_directory
from sqap_vla_ros.tokens.choice import METHODS, SelectionConfig, TIES

OUTPUTS = ('twist',)
IMAGE_TRANSPORTS = ('raw', 'compressed')


def _parameter(default, description, low=None, high=None, choices=(), live=False):
    metadata = {'description': description, 'low': low, 'high': high, 'choices': choices,
                'read_only': not live}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeConfig:
    """All parameters of the node; raises ConfigError, naming the parameter, when made."""

    checkpoint: str = _parameter(
        '', 'Checkpoint directory, or the name of a bundled model.')
    precision: str = _parameter(
        '', 'Precision to run in, such as fp, w4a16, w8a8, w4a8 or w4a4; empty takes the '
        "checkpoint's own.")
    device: str = _parameter(
        'cpu', 'Where the policy runs: cpu, cuda, cuda:0 and so on, or auto for a GPU where there '
        'is one. A GPU computes in bfloat16, see dtype.')
    dtype: str = _parameter(
        '', 'Type of what is not quantized: float32, bfloat16 or float16; empty takes bfloat16 on '
        'a GPU and float32 on a CPU.')
    int8_parts: tuple = _parameter(
        ('',), 'Parts outside the decoder to hold at w8a8, of a checkpoint that is not converted '
        "yet; [''] for none.", choices=PARTS)
    ddim_steps: int = _parameter(
        -1, "Denoising steps of a diffusion head; -1 takes the checkpoint's, 0 all 100 of DDPM.",
        -1, 100)
    keep_tokens: int = _parameter(
        0, 'Visual tokens to keep; 0 keeps them all (no pruning).', 0, 4096)
    prune_layer: int = _parameter(
        0, 'First decoder layer, counted from 0, that pruned tokens do not reach; 0 takes the '
        "checkpoint's.", 0, 1000)
    selection_method: str = _parameter(
        'sqap', 'How tokens are chosen; all but sqap are baselines.', choices=METHODS)
    preserve: bool = _parameter(True, 'Keep the tokens that the task attends to most.')
    preserve_top_k: int = _parameter(32, 'How many tokens preserve may keep.', 0, 4096)
    protect: bool = _parameter(True, 'Keep the tokens round the end effector frames.')
    sample: bool = _parameter(True, 'Fill the budget with spatially spread tokens.')
    sample_ties: str = _parameter(
        'even', 'Which of equally far tokens sample takes first: the lowest index, or evenly '
        'spread ones.', choices=TIES)
    selection_seed: int = _parameter(0, 'Seed of random token choices.', 0, 2**31 - 1)
    protected_radius: float = _parameter(
        2.0, 'Radius of the protected disk round each frame [patches].', 0.0, 64.0)
    torch_threads: int = _parameter(
        0, "Threads for the policy's arithmetic; 0 leaves PyTorch's choice.", 0, 256)

    base_frame: str = _parameter('base_link', "TF frame of the robot's base.")
    end_effector_frames: tuple = _parameter(
        ('tool0',), 'TF frames to protect; the first is the one that is commanded.')
    camera_frame: str = _parameter(
        '', "TF frame of the camera's optical centre (x right, y down, z forward); empty takes "
        "the image's frame_id, which must be camera_info's too.")
    camera_rectified: bool = _parameter(
        False, 'True if the image topic is rectified (P of camera_info is used, not K and D).')
    rotate_image_180: bool = _parameter(
        False, 'True if the camera is mounted upside down: turn its images before the policy.')
    image_transport: str = _parameter(
        'raw', 'Subscribe to image (raw) or to its transport, <image>/compressed: remap `image` '
        'for both.', choices=IMAGE_TRANSPORTS)
    require_localization: bool = _parameter(
        True, 'No motion while camera_info or TF for the protected tokens is missing or stale; '
        'false goes on without protected tokens and warns.', live=True)
    calibration_error_px: float = _parameter(
        0.0, 'Known error of a projected frame; widens the protected disk [px].',
        0.0, 1000.0, live=True)
    gripper_joint: str = _parameter(
        '', "Joint of joint_states that tells the gripper's opening, for policies that need it.")
    gripper_open_position: float = _parameter(0.04, 'Its position when open [m or rad].')
    gripper_closed_position: float = _parameter(0.0, 'Its position when closed [m or rad].')

    output: str = _parameter(
        'twist', 'What commands the robot; twist is the only one in this version.')
    control_rate: float = _parameter(
        20.0, 'Rate at which commands are repeated [Hz].', 20.0, 1000.0)
    execute_steps: int = _parameter(
        0, "Rows of a chunk to play before asking again; 0 takes the checkpoint's.", 0, 1000)
    pipelined: bool = _parameter(
        False, 'Of chunks that are executed to their end, such as single actions: ask about the '
        'image taken when that begins, not when it has ended. The arm stands still for less '
        'time, and the policy sees it a chunk earlier.')
    lockstep: bool = _parameter(
        False, 'The simulator waits for one command a tick of /clock (needs use_sim_time).')
    autostart: bool = _parameter(False, 'Configure and activate at start.')

    max_linear_speed: float = _parameter(
        0.25, 'Commands above it are shortened to it [m/s].', 0.001, 10.0, live=True)
    max_angular_speed: float = _parameter(
        1.0, 'Commands above it are shortened to it [rad/s].', 0.001, 50.0, live=True)
    reject_factor: float = _parameter(
        5.0, 'A command beyond this many times a limit is a fault that stops until ~/resume.',
        1.0, 1000.0, live=True)
    image_timeout: float = _parameter(
        0.5, 'Stop when the newest image is older [s].', 0.05, 60.0, live=True)
    tf_timeout: float = _parameter(
        0.1, "How long to wait for TF and joint_states at the image's stamp [s].",
        0.0, 10.0, live=True)
    tf_max_age: float = _parameter(
        0.1, 'Use TF or joint_states older than the image by at most this [s].',
        0.0, 10.0, live=True)
    camera_info_max_age: float = _parameter(
        10.0, "Refuse a camera_info whose stamp is further from the image's; one without a stamp "
        'or one that is latched is always taken [s].', 0.0, 86400.0, live=True)
    inference_timeout: float = _parameter(
        2.0, 'Stop when an inference takes longer [s].', 0.01, 600.0, live=True)

    def __post_init__(self):
        """Check what ranges cannot say; [''] is how a list of strings is empty in ROS."""
        object.__setattr__(self, 'int8_parts', tuple(filter(None, self.int8_parts)))
        if self.output not in OUTPUTS:
            raise ConfigError(f'parameter output is {self.output!r}, which this version does not '
                              f'offer: use one of {OUTPUTS}')
        for item in fields(self):
            _check_value(item, getattr(self, item.name))
        if not self.base_frame or not all(self.end_effector_frames or ['']):
            raise ConfigError('parameters base_frame and end_effector_frames name TF frames: '
                              f'found {self.base_frame!r} and {list(self.end_effector_frames)}')
        if self.gripper_open_position == self.gripper_closed_position:
            raise ConfigError('parameters gripper_open_position and gripper_closed_position are '
                              f'both {self.gripper_open_position}')

    @property
    def limits(self) -> CommandLimits:
        """Return what the safety gate lets through."""
        return CommandLimits(self.max_linear_speed, self.max_angular_speed, self.reject_factor)

    @property
    def selection(self):
        """Return the SelectionConfig, or None to keep all tokens."""
        if not self.keep_tokens:
            return None
        return SelectionConfig(
            keep=self.keep_tokens, preserve_top_k=self.preserve_top_k, preserve=self.preserve,
            protect=self.protect, sample=self.sample, method=self.selection_method,
            seed=self.selection_seed, ties=self.sample_ties)

    @property
    def needs_localization(self) -> bool:
        """Whether tokens round the robot's frames are to be protected."""
        return bool(self.keep_tokens and self.protect and self.selection_method == 'sqap')

    @property
    def checkpoint_directory(self) -> Path:
        """Return the directory to load; raises ConfigError or CheckpointError if none is named."""
        if not self.checkpoint:
            raise ConfigError('parameter checkpoint is empty: set it to a checkpoint directory '
                              'or to the name of a bundled model')
        is_path = len(Path(self.checkpoint).parts) > 1 or Path(self.checkpoint).is_dir()
        return Path(self.checkpoint) if is_path else model_directory(self.checkpoint)


def _check_value(item, value):
    limits = item.metadata
    for name in value if isinstance(value, tuple) else (value,):
        if limits['choices'] and name not in limits['choices']:
            raise ConfigError(f'parameter {item.name} is {name!r}, expected one of '
                              f'{limits["choices"]}')
    if limits['low'] is not None and not limits['low'] <= value <= limits['high']:
        raise ConfigError(f'parameter {item.name} is {value}, expected {limits["low"]} to '
                          f'{limits["high"]}')


def descriptor(item) -> ParameterDescriptor:
    """Return the ROS descriptor of one field of NodeConfig."""
    limits = item.metadata
    result = ParameterDescriptor(
        description=limits['description'], read_only=limits['read_only'])
    if limits['choices']:
        result.additional_constraints = 'one of ' + ', '.join(limits['choices'])
    if isinstance(item.default, float) and limits['low'] is not None:
        result.floating_point_range = [
            FloatingPointRange(from_value=limits['low'], to_value=limits['high'])]
    elif limits['low'] is not None:
        result.integer_range = [
            IntegerRange(from_value=limits['low'], to_value=limits['high'], step=1)]
    return result


def declare_parameters(node):
    """Declare every field of NodeConfig; rclpy raises for an override of a wrong type."""
    for item in fields(NodeConfig):
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        node.declare_parameter(item.name, default, descriptor(item))


def read_parameters(node) -> NodeConfig:
    """Return the declared parameters; raises ConfigError for values that don't go together."""
    config = NodeConfig(**{item.name: _read(node, item) for item in fields(NodeConfig)})
    if config.lockstep and not node.get_parameter('use_sim_time').value:
        raise ConfigError('parameter lockstep is true but use_sim_time is false: in lockstep the '
                          "simulator's /clock is the time, set both")
    return config


def _read(node, item):
    if not isinstance(item.default, tuple):
        return node.get_parameter(item.name).value
    return tuple(node.get_parameter_or(item.name).value or ())  # [] in YAML has no type


def changed(config: NodeConfig, parameters) -> tuple:
    """Return (new config, SetParametersResult) for a request to set parameters."""
    known = {item.name for item in fields(NodeConfig)}
    updates = {p.name: tuple(p.value) if isinstance(p.value, list) else p.value
               for p in parameters if p.name in known}
    try:
        return replace(config, **updates), SetParametersResult(successful=True)
    except (ConfigError, TypeError) as error:
        return config, SetParametersResult(successful=False, reason=str(error))
