# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One side of a comparison: a network with random weights in the package's own Runner."""

from __future__ import annotations

import numpy as np
from sqap_vla_ros.bench.sides import random_model
from sqap_vla_ros.bench.sizes import sequence_length
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.inference import Outcome, Runner
from sqap_vla_ros.inference.inputs import ModelInputs, noise_shape
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.quant import prepare_kernels
import torch

from .shapes import SQAP, Variant

GIB = 2 ** 30
STAGES = ('preprocess', 'vision', 'prefill_1', 'selection', 'prefill_2', 'head')
ROWS = (*STAGES, 'backbone', 'total')
_RADIUS = 2.0  # patches round the middle that are protected, as round a gripper
_CAMERA = 480, 640


def ready_model(config: VLAConfig, variant: Variant, device: torch.device,
                dtype: torch.dtype) -> VLA:
    """
    Return a variant's network with its kernels, as load_policy prepares one.

    Its weights are random, its floats of `dtype`; two of one configuration have the same weights.
    On a CPU only SQAP's kernels are the GPU's, interpreted, which takes a thousand times as long.
    """
    from sqap_vla_ros.model.fused_blocks import fuse_blocks
    torch.manual_seed(0)
    overrides = {'vision': variant.vision} if variant.vision != 'fp' else {}
    with torch.device(device):
        model = random_model(config, variant.precision, overrides, dtype)
    interpreted = device.type == 'cpu' and variant.name == SQAP
    prepare_kernels(model, sequence_length(config), release=True,
                    backend='triton' if interpreted else None)
    if variant.fused and (interpreted or device.type == 'cuda'):
        fuse_blocks(model)
    return model


def allocated_gib(device: torch.device, peak: bool = False) -> float:
    """Return what torch's allocator has given, or at most gave; 0 on a CPU."""
    if device.type != 'cuda':
        return 0.0
    read = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
    return read(device) / GIB


def random_inputs(config: VLAConfig, seed: int = 0) -> dict:
    """Return what a camera, an operator and TF give, in host memory; see Runner."""
    rng, shape = np.random.default_rng(seed), noise_shape(config.head)
    rows, cols = config.vision.grid
    row, col = np.divmod(np.arange(rows * cols), cols)
    distance = np.hypot(row - rows / 2, col - cols / 2)
    distance = np.tile(np.where(distance <= _RADIUS, distance, np.inf), config.images)
    noise = None if shape is None else torch.from_numpy(
        rng.standard_normal((1, *shape), np.float32))
    state = torch.zeros(1, config.state_dim) if config.state_dim else None
    ids = rng.integers(0, config.llm.vocab_size, (1, 1 + config.text_length))
    images = [rng.integers(0, 256, (*_CAMERA, 3), np.uint8) for _ in range(config.images)]
    return {'images': images, 'token_ids': torch.from_numpy(ids), 'state': state, 'noise': noise,
            'distance': distance}


class Side:
    """A variant of a network on its device, captured and warm."""

    def __init__(self, variant: Variant, model: VLA, config: VLAConfig, device: torch.device,
                 dtype: torch.dtype):
        """Take a network, which variants that differ in their tokens alone may share."""
        self.variant, self.name = variant, variant.name
        half = (0.5,) * config.vision.channels
        inputs = ModelInputs(
            CheckpointConfig(model=config, pixel_mean=half, pixel_std=half), {}, None)
        self._runner = Runner(model, inputs, device, dtype, capture=not variant.eager)
        self._inputs = random_inputs(config)
        for _ in range(3 if device.type == 'cuda' else 0):  # tune, capture, replay
            self.laps()

    @property
    def problems(self) -> list[str]:
        """Return why parts run kernel by kernel that should not."""
        return self._runner.problems

    @torch.inference_mode()
    def infer(self, by_stage: bool = False) -> Outcome:
        """Run one inference and wait for it; by_stage: with a graph, and a time, a stage."""
        self._runner.by_stage = by_stage
        return self._runner(**self._inputs, selection=self.variant.selection)

    def laps(self) -> dict[str, float]:
        """
        Return the milliseconds of ROWS.

        Of the stages, on the device; of the total, what the caller of the whole graph waits.
        """
        stages = self.infer(by_stage=True).timings
        found = {stage: stages[stage] for stage in STAGES}
        return {**found, 'backbone': found['prefill_1'] + found['prefill_2'],
                'total': self.infer().timings['total']}
