# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The one interface that the node, the simulator loop and the benchmarks call.

    policy = load_policy('models/libero_goal_bowl', precision='w4a4', keep=154)
    chunk = policy.infer(observation)

A policy is thread-confined: load it, warm it up and run it on one thread.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
import time

import numpy as np
import torch

from .errors import ConfigError, ObservationError
from .geometry import protected_distances
from .image_transform import ImageTransform
from .model import checkpoint
from .model.prompt import Prompt
from .model.vla import VLA
from .observation import ActionChunk, Observation, STATE_NAMES
from .quant import PRECISIONS, quantize_model, restore_quantized
from .tokens import select_tokens, SelectionConfig

STAGES = ('preprocess', 'vision', 'prefill_1', 'selection', 'prefill_2', 'head', 'total')


def load_policy(directory, precision: str | None = None, keep: int | None = None,
                selection: SelectionConfig | None = None, radius_patches: float = 2.0,
                rotate: bool = True, unnorm_key: str | None = None,
                threads: int | None = None) -> Policy:
    """
    Load a checkpoint directory for inference on the CPU.

    precision: one of quant.PRECISIONS; None takes the checkpoint's own.  keep: number of
    visual tokens, None keeps them all; selection: strategies (its `keep` is replaced by
    `keep`).  rotate: Hadamard rotations when quantizing here.  threads: torch threads of this
    process, None leaves them alone.

    Raises CheckpointError for a directory that is missing or damaged and ConfigError for
    options that do not fit it.
    """
    directory = Path(directory)
    if threads:
        torch.set_num_threads(threads)
    config = checkpoint.read_config(directory)
    stats = checkpoint.read_norm_stats(
        directory, unnorm_key or config.unnorm_key, config.model)
    stored = config.quantization.get('precision', 'fp')
    precision = precision or stored
    if precision not in PRECISIONS:
        raise ConfigError(f'precision {precision!r} is unknown: use one of {PRECISIONS}')
    if stored not in ('fp', precision):
        raise ConfigError(
            f'{directory} holds {stored} weights, {precision} was asked for: convert the '
            'original checkpoint')
    model = VLA(config.model)
    weights = checkpoint.read_weights(directory)
    if stored == 'fp':
        weights = {name: tensor.float() for name, tensor in weights.items()}
        checkpoint.load_into(model, weights, str(directory))
        model.eval()
        if precision != 'fp':
            quantize_model(model, precision, rotate=rotate)
    else:
        restore_quantized(model, config.quantization, weights)
        model.eval()
    if keep is None and selection is not None:
        keep = selection.keep
    if keep is not None:
        selection = dataclasses.replace(selection or SelectionConfig(keep=keep), keep=keep)
    prompt = Prompt(checkpoint.read_tokenizer(directory), config.model.text_length)
    return Policy(model, config, stats, prompt, precision, selection, radius_patches)


class Policy:
    """A network with everything between an observation and SI actions."""

    def __init__(self, model: VLA, config: checkpoint.CheckpointConfig, stats: dict,
                 prompt: Prompt, precision: str, selection: SelectionConfig | None,
                 radius_patches: float):
        """Keep the parts; see load_policy."""
        total = config.model.num_visual
        if selection is not None and not 1 <= selection.keep <= total:
            raise ConfigError(f'keep must be in 1..{total} visual tokens, got {selection.keep}')
        self._model, self._config, self._prompt = model, config, prompt
        self._selection, self._radius_patches = selection, radius_patches
        self._mean = torch.tensor(config.pixel_mean).view(3, 1, 1) * 255
        self._std = torch.tensor(config.pixel_std).view(3, 1, 1) * 255
        self._stats = stats
        self._step = 0
        self._token_ids: dict[str, torch.Tensor] = {}
        self.precision = precision
        self.image_transform = ImageTransform(**{
            'size': (config.model.vision.image_size,) * 2, **config.image})

    @property
    def config(self) -> checkpoint.CheckpointConfig:
        """Return the checkpoint's config.json."""
        return self._config

    @property
    def instructions(self) -> tuple[str, ...]:
        """Instructions that the policy was trained on; empty means any."""
        return self._config.instructions

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of visual tokens."""
        return self._config.model.vision.grid

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the proprioception values the policy needs; empty for none."""
        return STATE_NAMES if self._config.model.state_dim else ()

    @property
    def kept_tokens(self) -> int:
        """Return the number of visual tokens that reach the pruned layers."""
        return self._config.model.num_visual if self._selection is None else self._selection.keep

    def reset(self) -> None:
        """Forget everything about earlier observations (start of an episode)."""
        self._step = 0

    def warm_up(self, rounds: int = 2) -> None:
        """Run on a grey image, so that the first real observation is not slower."""
        size = self._config.model.vision.image_size
        image = np.full((size, size, 3), 128, np.uint8)
        state = np.zeros(len(self.state_names), np.float32) if self.state_names else None
        text = self.instructions[0] if self.instructions else 'pick up the object'
        for _ in range(rounds):
            self.infer(Observation(image, 0.0, text, state=state))
        self.reset()

    def check_instruction(self, instruction: str) -> None:
        """Raise ObservationError if the policy cannot follow the instruction."""
        self._encode(instruction)

    @torch.inference_mode()
    def infer(self, observation: Observation) -> ActionChunk:
        """
        Answer one observation with a chunk of actions.

        Raises ObservationError for an image, state or instruction that cannot be used, and
        for an answer that is not finite: such a chunk must never reach a robot.
        """
        clock = _Stopwatch()
        token_ids = self._encode(observation.instruction)
        pixels = self._pixels(observation.image)
        state = self._state(observation.state)
        clock.lap('preprocess')
        visual = self._model.encode_image(pixels)
        clock.lap('vision')
        x = self._model.embed(visual, token_ids, state)
        x, scores = self._model.prefill_full(x)
        clock.lap('prefill_1')
        selection = self._select(scores, observation)
        clock.lap('selection')
        kept = None if selection is None else torch.from_numpy(selection.kept)
        hidden = self._model.prefill_kept(x, kept)
        clock.lap('prefill_2')
        actions = self._unnormalise(self._model.head(hidden)[0].float().numpy())
        clock.lap('head')
        self._step += 1
        if not np.isfinite(actions).all():
            raise ObservationError(
                'the policy answered with non-finite actions: check the checkpoint and precision')
        space = self._config.action_space
        return ActionChunk(
            actions, space.dt, space.names, observation.stamp, clock.timings(), selection)

    def _encode(self, instruction: str) -> torch.Tensor:
        """Return the token ids [1, 1 + L], cached by instruction."""
        if instruction not in self._token_ids:
            ids = [self._prompt.bos_id, *self._prompt.encode(instruction)]
            self._token_ids[instruction] = torch.tensor([ids])
        return self._token_ids[instruction]

    def _pixels(self, image) -> torch.Tensor:
        """Return normalised pixels [1, 3, h, w]."""
        small = self.image_transform.apply(image).astype(np.float32)
        pixels = torch.from_numpy(small).permute(2, 0, 1)
        return ((pixels - self._mean) / self._std)[None].contiguous()

    def _state(self, state) -> torch.Tensor | None:
        """Return the normalised state [1, S]; raise ObservationError if it cannot be used."""
        if not self.state_names:
            return None
        if state is None or np.shape(state) != (len(self.state_names),):
            found = None if state is None else np.shape(state)
            raise ObservationError(
                f'the policy needs the state {self.state_names}, found shape {found}')
        if not np.isfinite(state).all():
            raise ObservationError(f'the state is not finite: {state}')
        mean, std = self._stats['state_mean'], self._stats['state_std']
        return torch.from_numpy((np.asarray(state, np.float32) - mean) / std)[None]

    def _select(self, scores, observation: Observation):
        """Choose the visual tokens to keep; None without pruning."""
        if self._selection is None:
            return None
        protected = observation.protected
        distance = protected_distances(
            protected.pixels, protected.radii_px, observation.image.shape[:2],
            self.image_transform, self.grid, self._radius_patches)
        return select_tokens(
            scores[0].float().numpy(), distance, self.grid, self._selection, self._step)

    def _unnormalise(self, normalised: np.ndarray) -> np.ndarray:
        """Map [-1, 1] to q01..q99 where the mask says so."""
        low, high, mask = (self._stats[name] for name in ('low', 'high', 'mask'))
        scaled = 0.5 * (normalised + 1) * (high - low) + low
        return np.where(mask, scaled, normalised).astype(np.float32)


class _Stopwatch:
    """Milliseconds between laps."""

    def __init__(self):
        """Start now."""
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Close the stage `name`."""
        now = time.perf_counter()
        self._laps[name] = (now - self._last) * 1e3
        self._last = now

    def timings(self) -> dict[str, float]:
        """Return milliseconds by stage, with the total."""
        return {**self._laps, 'total': (self._last - self._start) * 1e3}
