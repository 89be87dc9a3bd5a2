# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One side of a comparison: a network in the package's own Runner, with random inputs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from sqap_vla_ros.formats.checkpoint import CheckpointConfig
from sqap_vla_ros.inference import Outcome, Runner
from sqap_vla_ros.inference.inputs import ModelInputs
from sqap_vla_ros.model.vla import VLA, VLAConfig
import torch

from .shapes import Variant

_RADIUS = 2.0  # patches round the middle that are protected, as round a gripper
_CAMERA = 480, 640
STAGES = ('preprocess', 'vision', 'prefill_1', 'selection', 'prefill_2', 'head')
BACKBONE = ('prefill_1', 'prefill_2')
ROWS = (*STAGES, 'backbone', 'total')


@dataclass(frozen=True)
class Given:
    """What a camera, an operator and TF give: all of it in host memory, see Runner."""

    image: np.ndarray
    token_ids: torch.Tensor
    noise: torch.Tensor | None
    distance: np.ndarray

    @classmethod
    def random(cls, config: VLAConfig, seed: int = 0) -> Given:
        """Return inputs of a prompt as long as the configuration's."""
        rng, head = np.random.default_rng(seed), config.head
        rows, cols = config.vision.grid
        row, col = np.divmod(np.arange(rows * cols), cols)
        distance = np.hypot(row - rows / 2, col - cols / 2)
        noise = None
        if head.kind == 'diffusion':
            noise = torch.from_numpy(
                rng.standard_normal((1, head.chunk_length, head.action_dim), np.float32))
        ids = rng.integers(0, config.llm.vocab_size, (1, 1 + config.text_length))
        return cls(rng.integers(0, 256, (*_CAMERA, 3), np.uint8), torch.from_numpy(ids), noise,
                   np.where(distance <= _RADIUS, distance, np.inf))


class Side:
    """A variant of a network that is on its device and has its kernels."""

    def __init__(self, variant: Variant, model: VLA, config: VLAConfig, device: torch.device,
                 dtype: torch.dtype):
        """
        Take a network, which variants that differ in nothing but its configuration may share.

        config: the network's own, before the variant changes it.
        """
        self.variant, self.name = variant, variant.name
        self.config, self._model = variant.applied(config), model
        self._original, self._place = config, (device, dtype)
        channels = config.vision.channels
        half = (0.5,) * channels
        inputs = ModelInputs(
            CheckpointConfig(model=self.config, pixel_mean=half, pixel_std=half), {}, None)
        self._runner = Runner(model, inputs, device, dtype, capture=not variant.eager)
        self._first_runs = 3 if device.type == 'cuda' else 0
        self.given = Given.random(self.config)

    @property
    def problems(self) -> list[str]:
        """Return why parts run kernel by kernel that should not."""
        return self._runner.problems

    @torch.inference_mode()
    def infer(self, by_stage: bool = False, given: Given | None = None) -> Outcome:
        """Run one inference and wait for it; by_stage: with a graph, and a time, a stage."""
        self._model.config, self._model.head.config = self.config, self.config.head
        self._runner.by_stage, given = by_stage, given or self.given
        return self._runner(given.image, given.token_ids, None, given.noise, given.distance,
                            self.variant.selection)

    def laps(self) -> dict[str, float]:
        """
        Return the milliseconds of ROWS.

        Of the stages, on the device; of the total, what the caller of the whole graph waits.
        """
        stages = self.infer(by_stage=True).timings
        found = {stage: stages[stage] for stage in STAGES}
        return {**found, 'backbone': sum(found[stage] for stage in BACKBONE),
                'total': self.infer().timings['total']}

    def tune(self) -> None:
        """Compile and tune, which takes memory that no later inference does."""
        if self._first_runs:
            self.infer()

    def eager_twin(self) -> Side:
        """Return the same network launched kernel by kernel, with buffers of its own."""
        return Side(dataclasses.replace(self.variant, eager=True), self._model, self._original,
                    *self._place)

    def warm_up(self) -> None:
        """Capture both forms, and replay them; compile and tune what is not yet."""
        for _ in range(self._first_runs):
            self.laps()
