# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What commands the robot: one file an output, of which one is active at a time.

An Output is an arm's topic and a gripper. A command whose gripper is None leaves the gripper as
it is; a stop always does.
"""

from .choice import make_output
from .output import Output

__all__ = ['make_output', 'Output']
