# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node as ROS has them: those of the policy (options.py) and its own.

Read-only parameters shape what is loaded or connected at configure time; a change needs a new
node. All others take effect at once, and a value that makes no sense is refused.
"""

from collections.abc import Sequence

from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult)
from rclpy.exceptions import InvalidParameterTypeException
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ingest.cameras import NAME
from sqap_vla_ros.options import description, known, plain_default

from .config import camera_parameters, NodeConfig, PARAMETERS, PER_CAMERA
from .overrides import check_overrides, overrides, unknown_parameter
from .parameter_types import in_declared_type, WrongTypeError

# what limits twists and poses, and nothing of policies that tell joints
OF_TWISTS = ('max_linear_speed', 'max_angular_speed', 'max_linear_acceleration',
             'max_angular_acceleration', 'max_linear_jerk', 'max_angular_jerk',
             'max_axis_speeds', 'first_action_distance')


def descriptor(item) -> ParameterDescriptor:
    """Return the ROS descriptor of one option."""
    facts, kind = known(item), type(plain_default(item))
    result = ParameterDescriptor(description=description(item), read_only=not facts.live)
    if facts.choices:
        result.additional_constraints = 'one of ' + ', '.join(facts.choices)
    if kind is float and facts.low is not None:
        result.floating_point_range = [
            FloatingPointRange(from_value=facts.low, to_value=facts.high)]
    elif facts.low is not None:
        result.integer_range = [IntegerRange(from_value=facts.low, to_value=facts.high, step=1)]
    return result


def declare_parameters(node, parameters=PARAMETERS):
    """
    Declare parameters, fields by name; numbers that were given are taken in either type.

    Raises rclpy's ParameterException for a value of a wrong type, or out of range.
    """
    given = overrides(node)
    for name, item in parameters.items():
        default = plain_default(item)
        if isinstance(default, tuple):
            default = list(default or [''])  # an empty list has no type
        if name in given:
            given[name] = in_declared_type(item, given[name])
        try:
            node.declare_parameter(name, default, descriptor(item))
        except InvalidParameterTypeException as error:
            raise WrongTypeError(name, given[name].value, item) from error


def asked_for(node, parameters) -> tuple[list, str]:
    """
    Return (parameters that a running node is asked to set, why they can't be).

    Numbers are taken in either type; of a parameter that there is not, the nearest is told.
    """
    known = declared(node)
    unknown = [unknown_parameter(node, asked.name, known) for asked in parameters
               if not node.has_parameter(asked.name)]
    return [in_declared_type(known[asked.name], asked) if asked.name in known else asked
            for asked in parameters], ' '.join(unknown)


def declare_camera_parameters(node):
    """
    Declare what each of the cameras has of its own, by default as without the camera's name.

    To be called when PARAMETERS are declared.  Names that make no sense are left to configure.
    """
    values = {name: read_parameter(node, name, PARAMETERS[name]) for name in PER_CAMERA}
    cameras = [name for name in read_parameter(node, 'cameras', PARAMETERS['cameras'])
               if NAME.fullmatch(name)]
    declare_parameters(node, camera_parameters(dict.fromkeys(cameras), values))


def declared(node) -> dict:
    """Return all options of a node by the names of their parameters, those of cameras, too."""
    cameras = read_parameter(node, 'cameras', PARAMETERS['cameras'])
    of_cameras = camera_parameters(cameras, {
        name: plain_default(PARAMETERS[name]) for name in PER_CAMERA})
    return {**PARAMETERS, **{
        name: item for name, item in of_cameras.items() if node.has_parameter(name)}}


def read_parameters(node, arguments: Sequence[str] = ()) -> NodeConfig:
    """
    Return the declared parameters; arguments: the process's, for the files among them.

    Raises ConfigError for parameters that nobody declared, files of which nothing arrives, and
    values that don't go together.
    """
    parameters = declared(node)
    check_overrides(node, parameters, arguments)
    config = NodeConfig.from_parameters({
        name: read_parameter(node, name, item) for name, item in parameters.items()})
    if config.lockstep and not node.get_parameter('use_sim_time').value:
        raise ConfigError('parameter lockstep is true but use_sim_time is false: in lockstep the '
                          "simulator's /clock is the time, set both")
    return config


def read_parameter(node, name, item):
    """Return the value of a declared parameter, a list as a tuple."""
    if not isinstance(plain_default(item), tuple):
        return node.get_parameter(name).value
    return tuple(node.get_parameter_or(name).value or ())  # [] in YAML has no type


def changed(config: NodeConfig, parameters, space=None) -> tuple:
    """
    Return (new config, SetParametersResult) for a request to set parameters.

    space: the ActionSpace of the policy that is loaded; what would do nothing with it is refused.
    """
    updates = {p.name: p.value for p in parameters if is_live(p.name)}
    try:
        _check_reaches_a_camera(config, updates)
        wanted = config.changed(updates)
        if space is not None:
            wanted.check_space(space)
            _check_heard(config, wanted, space)
        return wanted, SetParametersResult(successful=True)
    except ConfigError as error:
        return config, SetParametersResult(successful=False, reason=str(error))


def is_live(name: str) -> bool:
    """Return whether a running node takes a change of a parameter, also of a camera's own."""
    item = PARAMETERS.get(name.rpartition('.')[2])
    return item is not None and known(item).live


def _check_reaches_a_camera(config: NodeConfig, updates) -> None:
    """Raise ConfigError for a change that no camera follows, for each has a value of its own."""
    for name in set(PER_CAMERA) & set(updates) if config.cameras else ():
        if updates[name] != getattr(config, name):
            raise ConfigError(f'parameter {name} was what cameras began with: set '
                              + ' or '.join(f'{camera}.{name}' for camera in config.cameras))


def _check_heard(config: NodeConfig, wanted: NodeConfig, space) -> None:
    """Raise ConfigError for a change of a limit that the policy's actions do not have."""
    for name in () if space.is_cartesian else OF_TWISTS:
        if getattr(wanted, name) != getattr(config, name):
            raise ConfigError(f'parameter {name} limits nothing here: the policy tells joints. '
                              'Set speed_scale for a slower arm, and for a new node '
                              'max_joint_speeds, max_joint_acceleration or max_joint_jerk')
