# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which output the parameters ask for."""

from sqap_vla_ros.control.drives import Drive, PoseDrive, TwistDrive

from .gripper import GripperTopic
from .gripper_action import GripperCommandAction, ParallelGripperCommandAction
from .output import Output
from .pose import PoseOutput
from .servo import ServoClient
from .twist import TwistOutput

SERVO_TYPES = {'twist': 'TWIST', 'pose': 'POSE'}
GRIPPERS = {'gripper_command': GripperCommandAction,
            'parallel_gripper_command': ParallelGripperCommandAction}


def make_drive(config, space) -> Drive:
    """Return the pure half of the output that a NodeConfig names."""
    return PoseDrive(space.frame) if config.output == 'pose' else TwistDrive()


def make_output(node, config, space, arm) -> Output:
    """
    Return the ROS half of the output; arm: tells where the arm is, see measured.py.

    Raises ConfigError for messages that are not installed.
    """
    if config.output == 'pose':
        output = PoseOutput(node, config.base_frame, arm, config.lockstep)
    else:
        frame = config.base_frame if space.frame == 'base' else config.end_effector_frames[0]
        output = TwistOutput(node, frame, config.twist_unit)
    if not config.lockstep and output.repeats:
        output.period_s = 1 / config.control_rate
    servo = ServoClient(node, config.servo_node, SERVO_TYPES[config.output]) if (
        config.servo_node) else None
    return Output(output, _gripper(node, config, space), servo)


def _gripper(node, config, space):
    if 'gripper' not in space.names or config.gripper_output == 'topic':
        return GripperTopic(node)
    return GRIPPERS[config.gripper_output](node, config)
