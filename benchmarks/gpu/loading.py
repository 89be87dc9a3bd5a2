# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long a packed checkpoint of full size takes to load, and how much memory."""

from __future__ import annotations

from pathlib import Path
import sys
import tempfile
import time

from sqap_vla_ros.model.checkpoint import CheckpointConfig, read_tokenizer, save
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.observation import Observation
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state
import torch

from .engine import Given
from .golden import TESTS
from .models import Memory, random_model, release
from .shapes import Plan

PRECISION, _KEY = 'w4a4', 'random'


def measure(plan: Plan, device: torch.device, dtype: torch.dtype) -> dict:
    """
    Return seconds, and GiB of the device: when loaded, at most while loading, at most in all.

    A CogACT with random weights is written to a temporary directory and loaded as a user does.
    """
    with tempfile.TemporaryDirectory(prefix='sqap_gpu_') as directory:
        size = write_checkpoint(Path(directory), plan.models['cogact'], device, dtype)
        release(device)
        memory, start = Memory(device), time.perf_counter()
        policy = load_policy(directory, keep=plan.keep, device=str(device), dtype=dtype)
        seconds, loaded = time.perf_counter() - start, memory.gib()
    image = Given.random(policy.config.model).image
    for _ in range(3):
        chunk = policy.infer(Observation(image, 0.0, 'pick up the cup'))
    running = memory.gib()
    return {'precision': PRECISION, 'file_gib': size / 2 ** 30, 'load_s': seconds,
            'loaded_gib': loaded['allocated'], 'load_peak_gib': loaded['peak'],
            'peak_gib': running['peak'], 'reserved_gib': running['reserved'],
            'timings_ms': chunk.timings}


def write_checkpoint(directory: Path, config: VLAConfig, device, dtype) -> int:
    """Write a quantized network with random weights and return the bytes of its weights."""
    sys.path.insert(0, str(TESTS))
    import golden_data
    model, record = random_model(config, PRECISION, 'fp', device, dtype)
    weights = {name: tensor.cpu() for name, tensor in packed_state(model).items()}
    golden_data.recipe().write_tokenizer(directory)
    tokenizer = read_tokenizer(directory)
    width, channels = config.head.action_dim, config.vision.channels
    statistics = {_KEY: {'action': {'q01': [-1.0] * width, 'q99': [1.0] * width}}}
    save(directory, CheckpointConfig(
        model=config, prompt='cogact', unnorm_key=_KEY, quantization=record,
        pixel_mean=(0.5,) * channels, pixel_std=(0.5,) * channels), weights, statistics, tokenizer)
    return (directory / 'model.safetensors').stat().st_size
