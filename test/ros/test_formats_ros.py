# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node drives an arm by OpenVLA and CogACT checkpoints, once they say what they mean."""
import json

import golden_data
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: run `make setup`')
pytest.importorskip('sqap_vla_ros.msg', reason='needs the built messages: run `make setup`')

from ros_harness import World  # noqa: E402
from sqap_vla_ros.control.action_space import DELTA_NAMES, POSE_NAMES  # noqa: E402
from sqap_vla_ros.ros.vla.node import load_configured_policy  # noqa: E402

pytestmark = pytest.mark.ros
# A long step, so that a slow machine answers within it.
SPACE = {'kind': 'delta', 'names': [*DELTA_NAMES, 'gripper'], 'dt': 2.0, 'frame': 'end_effector',
         'rotation': 'rotvec', 'execute_steps': 1, 'gripper_open': 1.0, 'gripper_closed': 0.0}
PATIENT = {'image_timeout': 20.0, 'inference_timeout': 20.0, 'tf_timeout': 2.0,
           'torch_threads': 1, 'keep_tokens': 154}


@pytest.fixture
def node_with(tmp_path):
    """Return a function that makes a world around a checkpoint with a deployment.json."""
    worlds = []

    def make(head, **deployment):
        path = golden_data.copy_of(head, tmp_path)
        (path / 'deployment.json').write_text(json.dumps({
            'unnorm_key': golden_data.KEY, 'tokenizer': str(golden_data.openvla()),
            **deployment}))
        worlds.append(World(load_configured_policy, {**PATIENT, 'checkpoint': str(path)}))
        return worlds[-1]
    yield make
    for world in worlds:
        world.close()


@pytest.mark.parametrize('head, horizon', [('openvla', 1), ('cogact', 16)])
def test_the_node_drives_by_a_foreign_checkpoint(node_with, head, horizon):
    world = node_with(head, action_space=SPACE)
    world.start()
    world.move()
    world.until(lambda: world.robot.chunks and world.robot.selections)
    chunk, selection = world.robot.chunks[-1], world.robot.selections[-1]
    assert (chunk.horizon, chunk.dim, len(selection.kept)) == (horizon, 7, 154)
    assert world.robot.twists[-1].header.frame_id == 'end_effector'


@pytest.mark.parametrize('head', ['openvla', 'cogact'])
def test_the_node_refuses_to_guess_what_actions_mean(node_with, head):
    world = node_with(head)
    assert not world.node.start()
    assert 'declare action_space in' in world.node.problem
    assert 'deployment.json' in world.node.problem


def test_the_node_refuses_a_kind_of_action_that_it_has_no_output_for(node_with):
    pose = {**SPACE, 'kind': 'pose', 'names': [*POSE_NAMES, 'gripper']}
    world = node_with('openvla', action_space=pose)
    assert not world.node.start()
    assert "kind 'pose' cannot drive an arm in this version" in world.node.problem


def test_the_node_refuses_to_guess_whose_units_actions_have(node_with):
    world = node_with('cogact', action_space=SPACE, unnorm_key='')
    assert not world.node.start()
    assert "['bridge_orig', 'fractal20220817_data']" in world.node.problem
