# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Conventions of public data sets, by name: what `"action_space": "bridge"` stands for.

Rows to execute are in none of them: they are the policy's affair.  Angles are about fixed axes,
and deltas are in the base frame in all of them.

bridge: bridge_orig, a WidowX at 5 Hz (openvla: experiments/robot/bridge, control_frequency 5).
OpenVLA trains on differences of reached states, so metres, and roll, pitch, yaw about the base's
axes (openvla: prismatic/vla/datasets/rlds, relabel_bridge_actions; bridge_data_robot:
action2transform_local, "axes are the same as world").  Gripper: 1 open, 0 closed
(binarize_gripper_actions), opened above 0.5 (CogACT: sim_cogact/cogact_policy.py).
fractal: fractal20220817_data, RT-1's robot at 3 Hz (SimplerEnv: --control-freq 3, controller
arm_pd_ee_delta_pose_align).  Metres and roll, pitch, yaw, as CogACT's client reads them
(euler2axangle); SimplerEnv's own RT-1 policy takes a rotation vector.  Gripper: 1 open, 0 closed
(openvla: rt1_dataset_transform, rel2abs_gripper_actions).
libero: libero_*_no_noops, robosuite's OSC_POSE at 20 Hz: -1..1 moves the controller's goal by up
to 0.05 m and turns it by a rotation vector of up to 0.5 rad (robosuite: osc_pose.json,
set_goal_orientation).  Gripper: 1 open, 0 closed (openvla: libero_dataset_transform), opened
above 0.5 (run_libero_eval.py, normalize_gripper_action).
The simulated arm lags behind that goal: while a full action is held it goes at 0.25 m/s, and not
at 1 m/s (sim/units.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigError

_DELTA = {'kind': 'delta', 'names': ('dx', 'dy', 'dz', 'rx', 'ry', 'rz', 'gripper'),
          'frame': 'base', 'gripper_open': 1.0, 'gripper_closed': 0.0, 'gripper_threshold': 0.5}
PRESETS = {
    'bridge': {**_DELTA, 'dt': 0.2, 'rotation': 'rpy'},
    'fractal': {**_DELTA, 'dt': 1 / 3, 'rotation': 'rpy'},
    'libero': {**_DELTA, 'dt': 0.05, 'rotation': 'rotvec',
               'scale': (0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 1.0)}}


def preset_name(config) -> str | None:
    """Return the preset that an `action_space` names, by itself or as a key; None for none."""
    return config.get('preset') if isinstance(config, Mapping) else (
        config if isinstance(config, str) else None)


def expanded(config):
    """
    Return an `action_space` of a file with its preset's values filled in.

    config: a preset's name, or an object whose other keys override those of its `preset`;
    whatever names none is returned as it is.  Raises ConfigError for an unknown preset.
    """
    name = preset_name(config)
    if name is None:
        return config
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f'action_space: preset {name!r} is unknown, there are {list(PRESETS)}')
    given = {} if isinstance(config, str) else config
    return {**PRESETS[name], **{key: given[key] for key in given if key != 'preset'}}
