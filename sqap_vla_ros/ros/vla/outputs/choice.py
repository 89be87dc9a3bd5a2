# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which output the parameters ask for."""

from sqap_vla_ros.control.drives import Drive

from .gripper import GripperTopic
from .gripper_action import GripperCommandAction, ParallelGripperCommandAction
from .joint_position import JointPositionOutput
from .joint_trajectory import JointTrajectoryOutput, trajectory_timing
from .output import Output
from .pose import PoseOutput
from .servo import ServoClient
from .twist import TwistOutput

SERVO_TYPES = {'twist': 'TWIST', 'pose': 'POSE'}
GRIPPERS = {'gripper_command': GripperCommandAction,
            'parallel_gripper_command': ParallelGripperCommandAction}


def make_output(node, config, space, drive: Drive, arm) -> Output:
    """
    Return the ROS half of the output; arm: tells where the arm is, see measured.py.

    Raises ConfigError for messages that are not installed.
    """
    servo = ServoClient(node, config.servo_node, SERVO_TYPES[config.output]) if (
        config.servo_node) else None
    output = _arm(node, config, space, drive, arm)
    if not config.lockstep and output.repeats:
        output.period_s = 1 / config.control_rate
    return Output(output, _gripper(node, config, space), servo)


def _arm(node, config, space, drive, arm):
    if config.output == 'joint_position':
        return JointPositionOutput(node, arm, config.lockstep)
    if config.output == 'joint_trajectory':
        return JointTrajectoryOutput(
            node, arm, config.lockstep, drive.names,
            trajectory_timing(config, space, drive.limits.velocity))
    if config.output == 'pose':
        return PoseOutput(node, config.base_frame, arm, config.lockstep)
    frame = config.base_frame if space.frame == 'base' else config.end_effector_frames[0]
    return TwistOutput(node, frame, config.twist_unit)


def _gripper(node, config, space):
    if 'gripper' not in space.names or config.gripper_output == 'topic':
        return GripperTopic(node)
    return GRIPPERS[config.gripper_output](node, config)
