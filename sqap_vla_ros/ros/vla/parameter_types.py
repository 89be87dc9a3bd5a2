# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Numbers in the type that a parameter was declared with, where that loses nothing.

YAML, the command line and `ros2 param set` make a whole number of `max_linear_speed: 1`, a list of
whole numbers of `[1, 2, 3]` and a text of `[0.5, 1]`. rclpy refuses each of them for a parameter
that is declared as a decimal number, or as a list of them.
"""

from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.parameter import Parameter
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.options import from_text, is_list_of_numbers, kind_text, plain_default


class WrongTypeError(InvalidParameterTypeException):
    """A value that is not of a parameter's type, with what to write instead."""

    def __init__(self, name: str, value, item):
        """Say it of the option `item`."""
        ParameterException.__init__(
            self, f'parameter {name} is {_shown(value)!r}, expected {kind_text(item)}'
            f'{_cure(item, value)}', name)


def in_declared_type(item, parameter: Parameter) -> Parameter:
    """Return a parameter with its number in the type of an option, or as it is."""
    fitted = _fitted(item, parameter.value)
    return parameter if fitted is parameter.value else Parameter(parameter.name, value=fitted)


def _fitted(item, value):
    """Return a value in the type of an option; the very same if it has none there."""
    kind = type(plain_default(item))
    if is_list_of_numbers(item):
        return _fitted_list(item, value)
    if kind is float and _is_whole(value):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _fitted_list(item, value):
    """Return numbers as decimal ones; one number is a list of one."""
    if isinstance(value, str):
        try:
            return list(from_text(item, value))
        except ConfigError:
            return value
    if isinstance(value, float) or _is_whole(value):
        return [float(value)]
    if isinstance(value, (bool, bytes, type(None))) or not any(map(_is_whole, value)):
        return value
    are_numbers = all(isinstance(number, float) or _is_whole(number) for number in value)
    return [float(number) for number in value] if are_numbers else value


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value):
    """Return a value as YAML has it: rclpy's arrays as lists."""
    return list(value) if not isinstance(value, (str, bytes)) and hasattr(value, '__len__') \
        else value


def _cure(item, value) -> str:
    """Return how the value is to be written, where one can guess what was meant."""
    kind = type(plain_default(item))
    if kind is bool and isinstance(value, (int, str)):
        return ': write true or false, without quotes'
    if kind is str:
        return f": write it in quotes, '{value}'"
    if kind is tuple and isinstance(value, str):
        return f': write it in brackets, [{value}]'
    if kind is float and isinstance(value, str):
        return ': write it without quotes and unit, infinity as .inf'
    return ''
