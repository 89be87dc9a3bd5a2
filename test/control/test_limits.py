# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Limits that limit nothing, or everything, are refused with their name and numbers."""
import math

import numpy as np
import pytest

from sqap_vla_ros.control.limits import CommandLimits, JointLimits
from sqap_vla_ros.errors import ConfigError

JOINTS = {'velocity': [1.0, 2.0], 'lower': [-1.0, -2.0], 'upper': [1.0, 2.0]}


@pytest.mark.parametrize('changes, message', [
    ({'linear': 0.0}, 'linear limit is 0.0, expected a number above 0'),
    ({'linear': math.inf}, 'linear limit is inf'), ({'angular': math.nan}, 'angular'),
    ({'angular': True}, 'angular limit is True'), ({'linear': '0.1'}, "linear limit is '0.1'"),
    ({'reject_factor': 0.5}, 'reject_factor is 0.5, expected a number >= 1'),
    ({'reject_factor': math.inf}, 'reject_factor'),
    ({'linear_acceleration': 0.0}, 'linear_acceleration limit is 0.0.*infinite for none'),
    ({'angular_jerk': -1.0}, 'angular_jerk'), ({'first_linear': 0}, 'first_linear'),
    ({'axes': [1.0] * 5}, 'expected 6 numbers'), ({'axes': [1.0] * 5 + [0.0]}, 'above 0'),
    ({'workspace_low': [0.0] * 3}, 'go together'),
    ({'workspace_low': [0.0] * 3, 'workspace_high': [1, 1, 0]}, 'below that of the second'),
    ({'workspace_low': [0, 0, math.nan], 'workspace_high': [1.0] * 3}, 'expected 3 numbers'),
    ({'trip_count': -1}, 'trip_count is -1'), ({'trip_count': 2.5}, 'trip_count is 2.5'),
    ({'trip_window_s': 0.0}, 'trip_window_s')])
def test_limits_of_twists_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        CommandLimits(**{'linear': 0.1, 'angular': 0.1, **changes})


@pytest.mark.parametrize('changes, message', [
    ({'velocity': []}, 'expected one a joint|expected 0 numbers'),
    ({'velocity': [1.0, math.inf]}, 'velocity is .* expected 2 numbers'),
    ({'velocity': [1.0, 0.0]}, 'above 0'), ({'acceleration': [1.0]}, 'expected 2 numbers'),
    ({'jerk': [1.0, -1.0]}, 'jerk limits of the joints'), ({'margin': -0.1}, 'margin'),
    ({'margin': 1.0}, 'joint 1 may move from -1 to 1, which leaves nothing'),
    ({'upper': [-1.0, 2.0]}, 'joint 1 may move from -1 to -1'),
    ({'lower': [math.nan, 0.0]}, 'lower is'), ({'first': 0.0}, 'first limit'),
    ({'names': ['a']}, '1 names for 2 joints')])
def test_limits_of_joints_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        JointLimits(**{**JOINTS, **changes})


def test_limits_compare_by_value_whatever_lists_they_were_made_of():
    first = CommandLimits(0.1, 0.2, axes=[1] * 6)
    assert first == CommandLimits(0.1, 0.2, axes=np.ones(6)) and hash(first)
    assert JointLimits(**JOINTS) == JointLimits(
        np.array([1.0, 2.0]), None, None, (-1, -2), np.array([1, 2]))
    assert not JointLimits([1.0]).has_range and JointLimits(**JOINTS).has_range
