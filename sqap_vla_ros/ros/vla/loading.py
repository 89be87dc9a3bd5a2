# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The policy that a NodeConfig names, and what is told of it once it is loaded."""

from sqap_vla_ros.control.output_modes import check_output
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support.requirements import missing_modules_as

from ...ingest.cameras import cameras_seen
from ...ingest.state import check_state, state_of


def load_configured_policy(config):
    """Load and warm up the policy that a NodeConfig names; takes seconds, a refusal does not."""
    directory = config.checkpoint_directory
    with missing_modules_as(ConfigError):
        from sqap_vla_ros.policy import declared, load_policy
        checkpoint = declared(directory, config.policy)
        cameras_seen(config.cameras, checkpoint.cameras, checkpoint.model.images)
        check_output(checkpoint.action_space.kind, config.output)
        check_state(state_of(checkpoint), config.gripper_joint,
                    (config.state_base_frame, config.state_end_effector_frame))
        policy = load_policy(directory, config.policy)
        policy.warm_up()
    return policy


def policy_facts(policy) -> dict:
    """Return {name: value} of a policy that is loaded, for the log and /diagnostics."""
    space, cameras = policy.config.action_space, tuple(getattr(policy, 'cameras', ()))
    patches = max(1, len(cameras)) * policy.grid[0] * policy.grid[1]
    reason = getattr(policy, 'precision_reason', '')  # where auto was asked for
    vision = getattr(policy, 'vision_type', None)
    return {
        'precision': policy.precision, **({'precision_reason': reason} if reason else {}),
        **({'vision_dtype': str(vision)} if vision else {}),
        'tokens': f'{policy.kept_tokens} of {patches}',
        'cameras': ' '.join(cameras), 'state': ' '.join(policy.state_names),
        'instructions': '; '.join(policy.instructions), 'action': ' '.join(space.names),
        'action_kind': space.kind, 'action_frame': space.frame,
        'gripper_open': space.gripper_open, 'gripper_closed': space.gripper_closed,
        'row_s': space.dt}
