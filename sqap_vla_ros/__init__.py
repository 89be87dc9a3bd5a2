# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantized, token-pruned vision-language-action policies for ROS 2 arms.

Importing this package is cheap: torch, transformers, mujoco and rclpy are imported where they
are used.
"""
import os
from pkgutil import extend_path

# The colcon build installs the generated messages (sqap_vla_ros.msg) below a package of this
# name. Whichever of that and the source tree Python finds first: both are searched, and from
# a symlink install the source tree comes first.
_here = os.path.dirname(os.path.realpath(__file__))
__path__ = list(dict.fromkeys(extend_path([_here, *__path__], __name__)))
__version__ = '0.1.0'
