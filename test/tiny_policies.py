# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny policies of every head, and what they may see."""
import dataclasses

import golden_data
import golden_oft
import numpy as np
from sqap_vla_ros.observation import end_effector_state, Observation, ProtectedPoints
from sqap_vla_ros.policy import load_policy

HEADS = ('openvla', 'cogact', 'chunk')
OFT = ('oft_tiny', 'oft_tiny_aloha', 'oft_tiny_diffusion')


def load_head(directory, head, **options):
    """Load the policy with that head; directory: of the one with a chunk head."""
    if head in OFT:
        return golden_oft.load(head, **options)
    return load_policy(directory, **options) if head == 'chunk' else golden_data.load(
        head, **options)


def observation(head, case=0, **changes):
    """Return an observation with a protected point for a policy with that head."""
    hand = ProtectedPoints(np.array([[40.0, 60.0]]), np.zeros(1), ('hand',))
    if head in OFT:
        return golden_oft.observation(head, 1, protected=hand, **changes)
    if head != 'chunk':
        return golden_data.observation(case, protected=hand, **changes)
    image = np.random.default_rng(case).integers(0, 255, (90, 120, 3), np.uint8)
    state = end_effector_state([0.5, 0.0, 0.2], [1.0, 0.0, 0.0, 0.0], 0.5)
    return dataclasses.replace(Observation(
        image, 0, 'put the bowl on the stove', hand, state), **changes)
