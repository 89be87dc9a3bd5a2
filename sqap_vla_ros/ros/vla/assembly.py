# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a node that is configured, made for its configuration and policy."""

from sqap_vla_ros.ingest.stamps import future_s
from sqap_vla_ros.ingest.state import joints_of

from .estop import EmergencyStop
from .inference import Inference
from .inputs import Inputs, polling
from .measured import MeasuredArm
from .observing import cameras_shown, observer_of
from .outputs import make_output
from .parts import Parts
from .planned import PlannedTrajectory
from .results import Results
from .transforms import Transforms


def make_parts(node, config, policy, drive, *, worker, **of_the_node):
    """
    Return (Parts, Observer); nothing is subscribed to before their setup.

    of_the_node: the Parts that the node keeps from one configure to the next.  Raises ConfigError
    for what does not fit together.
    """
    space = policy.config.action_space
    joint_names = {*joints_of(policy.state_names, config.gripper_joint), *drive.joint_names}
    ahead_s = future_s(config.lockstep, node.get_parameter('use_sim_time').value)
    shown = cameras_shown(node, config, policy)
    inputs = Inputs(node, config, joint_names, ahead_s, shown[0])
    transforms = Transforms(node, ahead_s)
    observer = observer_of(config, inputs, transforms, policy, polling, shown)
    results = Results(node, shown, [name for name in config.cameras if name not in shown])
    arm = MeasuredArm(config, transforms, inputs, drive.needs | space.needs, drive.joint_names)
    parts = Parts(
        node=node, inputs=inputs, transforms=transforms,
        inference=Inference(node, worker, policy, observer, results),
        drive=drive, arm=arm, output=make_output(node, config, space, drive, arm),
        results=results, planned=PlannedTrajectory(node, config, space, drive, transforms),
        estop=EmergencyStop(node, config.estop_topic, config.estop_timeout), **of_the_node)
    return parts, observer
