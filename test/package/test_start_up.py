# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a process that only infers has to load: time and memory of every robot's node."""
import subprocess
import sys

from sqap_vla_ros.model.empty import without_weights
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch
from torch import nn

INFER = """
import sys
from sqap_vla_ros.policy import load_policy
load_policy(sys.argv[1], precision='w4a4', keep=20).warm_up()
unwanted = {'torch._dynamo', 'triton', 'transformers', 'mujoco', 'matplotlib', 'rclpy'}
print(*unwanted & {*sys.modules})
"""


def test_inference_loads_no_compiler_simulator_or_plotter(tiny):
    shown = subprocess.run([sys.executable, '-c', INFER, str(tiny)], check=True,
                           capture_output=True, text=True).stdout
    assert shown.strip() == ''


def test_networks_without_weights_take_no_memory_and_draw_nothing():
    torch.manual_seed(0)
    with without_weights():
        model, embedding = VLA(VLAConfig()), nn.Embedding(3, 4)
    assert all(tensor.is_meta for tensor in (*model.parameters(), embedding.weight))
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)
    assert not nn.Embedding(3, 4).weight.is_meta
