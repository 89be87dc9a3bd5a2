# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From an observation to the tensors that a network takes, each checked on the way."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import CheckpointError, ConfigError, ObservationError
from ..formats.checkpoint import CheckpointConfig
from ..geometry.image_transform import ImageTransform
from ..kernels.resample import fit
from ..model.diffusion import TRAINING_STEPS
from ..model.dit import DiffusionHeadConfig
from ..model.oft import OFTHeadConfig
from ..model.prompt import Prompt
from ..observation import STATE_NAMES

FAR = 0.5  # of its range, by which a value may lie outside before it is doubted
_USUAL = range(18, 65)  # tokens of OpenVLA's question, for up to about forty words


class ModelInputs:
    """Pixels, token ids, state and noise, in the form that one checkpoint was trained with."""

    def __init__(self, config: CheckpointConfig, stats: dict, prompt, seed: int = 0):
        """
        Keep the parts; stats: see norm_stats.statistics, prompt: see model/prompt.py.

        Raises CheckpointError unless there is a mean and a deviation for every channel, and a
        name for every value of the state, and ConfigError for a negative seed.
        """
        vision = config.model.vision
        if seed < 0:
            raise ConfigError(f'seed is {seed}, expected a whole number >= 0')
        if not len(config.pixel_mean) == len(config.pixel_std) == vision.channels:
            raise CheckpointError(
                f'pixel_mean and pixel_std have {len(config.pixel_mean)} and '
                f'{len(config.pixel_std)} values, the vision encoder takes {vision.channels} '
                'channels: correct them in the config')
        self._constants = {torch.device('cpu'): self._pixel_constants(config)}
        self._head, self._stats, self._prompt, self._seed = (
            config.model.head, stats, prompt, seed)
        self._token_ids: dict[str, torch.Tensor] = {}
        self.state_names = config.state_names or (STATE_NAMES if config.model.state_dim else ())
        if len(self.state_names) != config.model.state_dim:
            raise CheckpointError(
                f'the network takes a state of {config.model.state_dim}, and its names are of '
                f'{len(self.state_names)} values, {" ".join(self.state_names)}: correct '
                'state_names in the config')
        self.image_transform = ImageTransform(**{
            'size': (vision.image_size,) * 2, **config.image})

    @property
    def statistics(self) -> dict:
        """Return the statistics that normalise a state; see norm_stats.statistics."""
        return self._stats

    def token_ids(self, instruction: str) -> torch.Tensor:
        """Return the token ids [1, 1 + L], cached by instruction."""
        if instruction not in self._token_ids:
            ids = [self._prompt.bos_id, *self._prompt.encode(instruction)]
            self._token_ids[instruction] = torch.tensor([ids])
        return self._token_ids[instruction]

    def prompt_lengths(self, instruction: str) -> range:
        """
        Return the numbers of tokens, with BOS, that usual instructions have.

        instruction: an example, which is among them.
        """
        length = self.token_ids(instruction).shape[1]
        if isinstance(self._prompt, Prompt):  # all have one length
            return range(length, length + 1)
        return range(min(length, _USUAL.start), max(length + 1, _USUAL.stop))

    def pixels(self, *images) -> torch.Tensor:
        """Return the normalised pixels [1, images * C, h, w] of images uint8 [H, W, 3]."""
        small = np.stack([fit(self.image_transform, image) for image in images])
        return self.normalised(torch.from_numpy(small))

    def normalised(self, small: torch.Tensor) -> torch.Tensor:
        """
        Return normalised pixels [1, images * C, h, w], each image once for each encoder.

        small: uint8 [images, h, w, 3] of what the transform gives, on any device; the result there
        is the same to the last bit.
        Our own encoder normalises in units of 0..255 and those of OpenVLA and CogACT in 0..1,
        which differs in the last bit: each is what its checkpoints were trained, or are compared,
        with.
        """
        if small.device not in self._constants:  # graphs that are captured hold their addresses
            self._constants[small.device] = tuple(
                part if part is None else part.to(small.device)
                for part in self._constants[torch.device('cpu')])
        highest, mean, std = self._constants[small.device]
        # bytes are sorted by channel first: a quarter of the time that it takes behind arithmetic
        pixels = small.permute(0, 3, 1, 2).contiguous().float()
        if highest is not None:  # a tensor divides exactly, where CUDA multiplies by 1 / a number
            pixels = (pixels / highest).repeat(1, len(mean) // 3, 1, 1)
        return pixels.sub_(mean).div_(std).flatten(0, 1)[None]

    @staticmethod
    def _pixel_constants(config: CheckpointConfig) -> tuple[torch.Tensor | None, ...]:
        """
        Return 255, and the mean and deviation [C, 1, 1] in the units that are normalised.

        None in place of 255 where these are units of 0..255.
        """
        highest = torch.tensor(255.0)
        mean, std = (torch.tensor(values).view(-1, 1, 1)
                     for values in (config.pixel_mean, config.pixel_std))
        is_ours = config.prompt == 'words' and len(mean) == 3
        return (None, mean * 255, std * 255) if is_ours else (highest, mean, std)

    def state(self, state) -> torch.Tensor | None:
        """Return the normalised state [1, S]; raise ObservationError if it cannot be used."""
        if not self.state_names:
            return None
        if state is None or np.shape(state) != (len(self.state_names),):
            found = None if state is None else np.shape(state)
            raise ObservationError(
                f'the policy needs the state {self.state_names}, found shape {found}')
        if not np.isfinite(state).all():
            raise ObservationError(f'the state is not finite: {state}')
        if 'state_low' in self._stats:
            state = within_bounds(np.asarray(state, np.float64), self._stats)
            return torch.from_numpy(state)[None]
        mean, std = self._stats['state_mean'], self._stats['state_std']
        return torch.from_numpy((np.asarray(state, np.float32) - mean) / std)[None]

    def state_doubts(self, state) -> tuple[str, ...]:
        """Return in words which values of a state [S], raw, are far from all training data."""
        if not self.state_names or 'state_low' not in self._stats:
            return ()
        return far_from_bounds(self.state_names, np.asarray(state, np.float64), self._stats)

    def noise(self, given, step: int) -> torch.Tensor | None:
        """
        Return what a diffusion head begins with, [1, T, A] (DDPM: [1, 100, T, A]).

        given: that without the batch axis, or None to draw it from the seed and the step.
        Raises ObservationError if it cannot be used.
        """
        shape = noise_shape(self._head)
        if shape is None:
            if given is not None:
                raise ObservationError(
                    f'noise was given, but a {self._head.kind!r} head takes none')
            return None
        if given is None:
            given = np.random.default_rng((self._seed, step)).standard_normal(shape)
        given = np.asarray(given, np.float32)
        if given.shape not in (shape, (1, *shape)) or not np.isfinite(given).all():
            raise ObservationError(f'noise must be {list(shape)} finite numbers, found '
                                   f'{list(given.shape)}')
        return torch.from_numpy(given.reshape(1, *shape))


def within_bounds(state: np.ndarray, stats: dict) -> np.ndarray:
    """
    Return a raw state float64 [S] as OpenVLA-OFT's network takes it, in -1..1.

    stats: state_low and state_high are what -1 and 1 stand for; state_mask is false for values
    that are only clipped; epsilon is added to every range.  As in the reference, a value without
    a range is -1 at it, else -1 or 1.  Raises ObservationError for another number of values.
    """
    low, high = stats['state_low'], stats['state_high']
    if state.shape != low.shape:
        raise ObservationError(f'the state has the shape {state.shape}, and the statistics are of '
                               f'{len(low)} values')
    scaled = 2.0 * (state - low) / (high - low + stats['epsilon']) - 1.0
    return np.clip(np.where(stats['state_mask'], scaled, state), -1.0, 1.0)


def far_from_bounds(names, state: np.ndarray, stats: dict) -> tuple[str, ...]:
    """
    Return in words which values [S] lie beyond their range by more than half of it.

    names: of the values.  stats: see within_bounds, which clips them; a value without a range
    tells nothing.
    """
    low, high = stats['state_low'], stats['state_high']
    beyond = np.maximum(low - state, state - high)
    is_far = stats['state_mask'] & (high > low) & (beyond > FAR * (high - low))
    return tuple(
        f'the state has {names[index]} {state[index]:.4g}, far outside the training data '
        f'({low[index]:.4g} .. {high[index]:.4g}), and is clipped: compare state_base_frame, '
        'state_end_effector_frame and joints with what the data set tells'
        for index in np.flatnonzero(is_far))


def noise_shape(head) -> tuple[int, ...] | None:
    """Return the shape, without a batch axis, of what a head begins with; None for nothing."""
    shape = head.chunk_length, head.action_dim
    if isinstance(head, DiffusionHeadConfig):
        return shape if head.ddim_steps else (TRAINING_STEPS, *shape)
    return shape if isinstance(head, OFTHeadConfig) and head.diffuses else None
