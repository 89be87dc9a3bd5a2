# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From a camera's picture to what the robot is told, as the official clients of OpenVLA-OFT do."""
import json
import shutil

import golden_data
import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.ingest.images import read_image
from sqap_vla_ros.observation import CameraView
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.sim.units import GOAL_OFFSETS, gripper_to_unit

PICTURES = golden_data.GOLDEN / 'oft_pictures'
CLOSE = 2e-3  # of values of about 1: up to five of 301056 values of the pixels are off by a level


def camera_pictures(client, case, variant):
    """Return a golden case's Observation with its cameras' own pictures."""
    images = {name: read_image(PICTURES / f'{client}_case{case}_{name}.png')
              for name in golden_oft.CAMERAS[variant]}
    views = {name: CameraView(image, 0) for name, image in images.items() if name != 'full'}
    return golden_oft.observation(variant, case, image=images['full'], views=views)


@pytest.mark.parametrize('client, variant', [('libero', 'oft_tiny'), ('aloha', 'oft_tiny_aloha')])
def test_a_preset_makes_the_official_actions_of_the_cameras_pictures(client, variant, tmp_path):
    checkpoint = shutil.copytree(golden_oft.directory(variant), tmp_path / variant)
    (checkpoint / 'deployment.json').write_text(json.dumps({'image': client}))
    policy, seen = load_policy(checkpoint, prepare=False), camera_pictures(client, 1, variant)
    expected = golden_oft.expected(variant, 1)['actions']
    np.testing.assert_allclose(policy.infer(seen).actions, expected, atol=CLOSE)
    policy.inputs.image_transform = ImageTransform((224, 224))
    assert np.abs(policy.infer(seen).actions - expected).max() > 10 * CLOSE


@pytest.mark.parametrize('case', [0, 1])
def test_the_benchmark_is_told_what_its_official_client_tells_it(case):
    golden = golden_oft.expected('oft_tiny', case)
    commands = ActionSpace.from_config('libero').commands(golden['actions'])
    told = [[*GOAL_OFFSETS.unit_action(command.velocity), gripper_to_unit(command.gripper)]
            for command in commands]
    np.testing.assert_allclose(told, np.clip(golden['env_actions'], -1, 1), atol=1e-6)
    assert set(golden['env_actions'][:, 6]) <= {-1.0, 1.0}
