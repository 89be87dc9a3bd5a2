# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Policies that load nothing and answer nothing, for a node that is only configured."""

from types import SimpleNamespace

from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.observation import STATE_NAMES


class StandInPolicy:
    """Has the facts that the node asks for when it is configured."""

    state_names = ()
    instructions = ()
    precision, grid, kept_tokens = 'fp', (4, 4), 8

    def __init__(self, config):
        """Take any NodeConfig."""
        self.config = SimpleNamespace(action_space=ActionSpace(execute_steps=1))
        self.image_transform = ImageTransform((64, 64))


class PairPolicy(StandInPolicy):
    """Sees two cameras."""

    cameras = ('front', 'wrist')


class StatePolicy(StandInPolicy):
    """Is told where the arm and its gripper are."""

    state_names = STATE_NAMES
