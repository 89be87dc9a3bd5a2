# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node drives an arm by OpenVLA and CogACT checkpoints, once they say what they mean."""
import json

import golden_data
import pytest
from sqap_vla_ros.control.action_space import DELTA_NAMES
from sqap_vla_ros.ros.vla.node import load_configured_policy

# A long step, so that a slow machine answers within it.
SPACE = {'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 2.0, 'frame': 'end_effector',
         'rotation': 'rotvec', 'execute_steps': 1, 'gripper_open': 1.0, 'gripper_closed': 0.0}
PATIENT = {'image_timeout': 20.0, 'inference_timeout': 20.0, 'tf_timeout': 2.0,
           'torch_threads': 1, 'keep_tokens': 154}


@pytest.fixture
def node_with(make_world, tmp_path):
    """Return a function that makes a world around a checkpoint with a deployment.json."""
    def make(head, **deployment):
        path = golden_data.copy_of(head, tmp_path)
        (path / 'deployment.json').write_text(json.dumps({
            'unnorm_key': golden_data.KEY, 'tokenizer': str(golden_data.openvla()),
            **deployment}))
        return make_world(load_configured_policy, {**PATIENT, 'checkpoint': str(path)})
    return make


@pytest.mark.parametrize('head, horizon', [('openvla', 1), ('cogact', 16)])
def test_the_node_drives_by_a_foreign_checkpoint(node_with, head, horizon):
    world = node_with(head, action_space=SPACE)
    world.start()
    world.move()
    world.until(lambda: world.robot.chunks and world.robot.selections)
    chunk, selection = world.robot.chunks[-1], world.robot.selections[-1]
    assert (chunk.horizon, chunk.dim, len(selection.kept)) == (horizon, 7, 154)
    assert world.robot.twists[-1].header.frame_id == 'end_effector'


@pytest.mark.parametrize('deployment, text', [
    ({}, 'declare action_space in'),
    ({'action_space': {'kind': 'joint_position', 'names': [f'joint{i}' for i in range(7)],
                       'dt': 0.05}}, 'which no twist can tell'),
    ({'action_space': SPACE, 'unnorm_key': ''}, "['bridge_orig', 'libero_spatial_no_noops']")])
def test_the_node_refuses_to_guess_what_actions_mean(node_with, deployment, text):
    world = node_with('openvla', **deployment)
    assert not world.node.start()
    assert text in world.node.problem
