# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The one interface that the node, the simulator loop and the benchmarks call.

    policy = load_policy('models/libero_goal', precision='w4a4', keep=154)
    chunk = policy.infer(observation)

A policy is thread-confined: load it, warm it up and run it on one thread.
"""

from __future__ import annotations

from copy import copy
import dataclasses
from functools import partial
import logging

import numpy as np
import torch

from .control.blending import EnsemblePolicy
from .formats import checkpoint, open_checkpoint
from .formats.source import Source
from .geometry.image_transform import checked_image, ImageTransform
from .geometry.patches import distances_of_views
from .inference import Runner
from .inference.device import find_device, find_dtype, memory_told
from .inference.inputs import ModelInputs
from .inference.outputs import ModelOutputs, timings_round
from .loading.chosen_options import check_budget, with_options
from .loading.encoder_error import read_encoder_error
from .loading.machines import auto_precision
from .loading.network import load_network
from .loading.vision_type import vision_type
from .model.prompt import check_known, make_prompt
from .model.vla import VLA
from .numerics.precision import AUTO
from .observation import ActionChunk, CameraView, Observation, TokenSelection
from .options import PolicyOptions
from .support.stopwatch import Stopwatch
from .tokens.choice import SelectionConfig

STAGES = ('preprocess', 'vision', 'prefill_1', 'selection', 'prefill_2', 'head', 'total')
_ROUNDS = 2  # the first compiles, the second captures
_LOG = logging.getLogger(__name__)


def load_policy(directory, options: PolicyOptions | None = None, **changes) -> Policy:
    """
    Load a checkpoint of any format (ours, OpenVLA, OpenVLA-OFT, CogACT) for inference.

    options: see PolicyOptions; changes: fields of it, laid over them.  On the CPU unless asked: a
    GPU's bfloat16 answers differ, and no robot may get those because a driver came or went.

    Raises CheckpointError for a directory that is missing or damaged, ConfigError for options
    that do not fit it, both before a weight is read where config and files' headers tell.
    """
    options = dataclasses.replace(options or PolicyOptions(), **changes)
    device = find_device(options.device)
    dtype = find_dtype(options.dtype, device)
    source = _opened(directory, options)
    config = source.config
    driving = source.doubts if config.declares_actions else ()
    for doubt in (*driving, *source.action_doubts()):
        _LOG.warning('%s', doubt)
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    choice = None
    if options.precision == AUTO:
        choice = auto_precision(config.model, config.quantization, device, options.int8)
        options = dataclasses.replace(options, precision=choice.precision)
        if choice.doubt:
            _LOG.warning('%s: %s', source.path, choice.doubt)
    vision = vision_type(options, config.model, config.quantization, device, dtype,
                         partial(read_encoder_error, source))
    if vision.doubt:
        _LOG.warning('%s', vision.doubt)
    if options.threads:
        torch.set_num_threads(options.threads)
    with memory_told(device):
        model = load_network(source, options.precision, options.rotate, options.int8,
                             options.prepare, device, dtype, vision.name if vision.rounds else '')
    policy = Policy(model, config, source.statistics(), prompt, options, device, dtype)
    policy.precision_reason = choice.reason if choice else ''
    policy.vision_type = vision
    return EnsemblePolicy(policy, config.ensemble) if config.ensemble else policy


def declared(directory, options: PolicyOptions) -> checkpoint.CheckpointConfig:
    """
    Return what a checkpoint says of itself, without reading a weight.

    Raises as load_policy does.  Its action_space raises ConfigError, once it is asked, where
    nobody declared it.
    """
    return _opened(directory, options).config


def _opened(directory, options: PolicyOptions) -> Source:
    """Return a checkpoint with what the caller chose, of which no weight is read yet."""
    source = open_checkpoint(directory, options.tokenizer).with_key(options.unnorm_key)
    config = with_options(source.config, options)
    source.check_driving(config)
    return dataclasses.replace(source, config=config)


class Policy:
    """A network with everything between an observation and SI actions."""

    def __init__(self, model: VLA, config: checkpoint.CheckpointConfig, stats: dict, prompt,
                 options: PolicyOptions, device: torch.device, dtype: torch.dtype):
        """Keep the parts; see load_policy.  precision_reason: why auto chose it, else ''."""
        self._model, self._config, self._stats = model, config, stats
        self.selection, self._radius_patches = options.selection, options.radius_patches
        self._inputs = ModelInputs(config, stats, prompt, options.seed)
        self._outputs, self._step = ModelOutputs(config, stats), 0
        self.precision_reason, self.vision_type = '', None  # see loading/vision_type.py
        self.precision = options.precision or config.quantization.get('precision', 'fp')
        self.device = device
        self.runner = Runner(model, self._inputs, device, dtype, options.capture)
        self.runner.by_stage = device.type == 'cpu'  # elsewhere one graph is faster than five

    @property
    def model(self) -> VLA:
        """Return the network."""
        return self._model

    @property
    def inputs(self) -> ModelInputs:
        """Return what turns observations into the network's tensors."""
        return self._inputs

    @property
    def image_transform(self) -> ImageTransform:
        """Return what an image goes through on its way into the network."""
        return self._inputs.image_transform

    @property
    def statistics(self) -> dict:
        """Return the statistics that un-normalise the actions; see norm_stats.statistics."""
        return self._stats

    @property
    def config(self) -> checkpoint.CheckpointConfig:
        """Return the checkpoint's config.json."""
        return self._config

    @property
    def selection(self) -> SelectionConfig | None:
        """Return how visual tokens are chosen, None if they are all kept; it may be set."""
        return self._selection

    @selection.setter
    def selection(self, selection: SelectionConfig | None) -> None:
        if selection is not None:
            check_budget(self._config, selection)
        self._selection = selection

    @property
    def instructions(self) -> tuple[str, ...]:
        """Instructions that the policy was trained on; empty means any."""
        return self._config.instructions

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of visual tokens."""
        return self._config.model.vision.grid

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras whose images it takes, in this order; empty: one, any."""
        return self._config.cameras

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the proprioception values the policy needs; empty for none."""
        return self._inputs.state_names

    @property
    def kept_tokens(self) -> int:
        """Return the number of visual tokens that reach the pruned layers."""
        return self._config.model.num_visual if self._selection is None else self._selection.keep

    @property
    def memory(self) -> int:
        """Return how many of the last observations it has to be shown to go on where it was."""
        return 0

    def twin(self, selection: SelectionConfig | None) -> Policy:
        """Return a policy of the same weights that chooses tokens otherwise and begins anew."""
        other = copy(self)
        other.selection = selection
        other.reset()
        return other

    def reset(self) -> None:
        """Forget everything about earlier observations (start of an episode)."""
        self._step = 0

    def skip(self) -> None:
        """Count an observation that was answered before, and need not be again."""
        self._step += 1

    def warm_up(self, rounds: int = _ROUNDS, instruction: str | None = None,
                image_size: tuple[int, int] | None = None) -> None:
        """
        Run on a grey image, so that the first real observation is not slower.

        Call it on the thread that will infer.  image_size: (H, W).  On a GPU kernels are compiled
        and tuned first for all prompts of usual length, which can take minutes the first time
        on a device; from then on nothing is tuned any more.  See make_ready for what is captured.
        """
        size = self._config.model.vision.image_size
        text = instruction or (self.instructions or ('pick up the object',))[0]
        with memory_told(self.device):
            if self.device.type == 'cuda':
                self.runner.tune(self._inputs.prompt_lengths(text), self._selection)
            for _ in range(rounds):
                self.infer(self._grey(text, image_size or (size, size)))
        self.reset()

    def is_ready(self, instruction: str, image_size: tuple[int, int]) -> bool:
        """
        Whether images (H, W) with this instruction meet nothing to capture; else make_ready.

        Raises ObservationError for an instruction that cannot be followed.
        """
        tokens = self._inputs.token_ids(instruction).shape[1]
        return self.runner.is_ready(tokens, self._selection)

    @torch.inference_mode()
    def make_ready(self, instruction: str, image_size: tuple[int, int]) -> None:
        """
        Capture what answers images (H, W) with an instruction of this length; else at once.

        Without it the first such observation is run kernel by kernel and the second captured.
        Nothing that was observed before is forgotten.  Raises what infer raises.
        """
        token_ids = self._inputs.token_ids(instruction)
        for _ in range(_ROUNDS):
            if self.is_ready(instruction, image_size):
                return
            grey = self._grey(instruction, image_size)
            self.runner([view.image for view in self._seen(grey)], token_ids,
                        self._inputs.state(grey.state), self._inputs.noise(None, 0),
                        selection=self._selection)

    def _grey(self, instruction: str, image_size: tuple[int, int]) -> Observation:
        image = np.full((*image_size, 3), 128, np.uint8)
        state = np.zeros(len(self.state_names), np.float32) if self.state_names else None
        return Observation(image, 0, instruction, state=state, views={
            name: CameraView(image, 0) for name in self.cameras})

    def _seen(self, observation: Observation) -> list[CameraView]:
        """Return what the network's cameras show, in its order."""
        if self._config.model.images > 1:
            return observation.views_of(self.cameras)
        return [observation.view(*self.cameras)]

    def check_instruction(self, instruction: str) -> None:
        """
        Raise ObservationError, naming the nearest, for an instruction it was not trained on.

        One that names no instructions takes any that its prompt has room for.
        """
        check_known(instruction, self.instructions)
        self._inputs.token_ids(instruction)

    @torch.inference_mode()
    def infer(self, observation: Observation, noise: np.ndarray | None = None) -> ActionChunk:
        """
        Answer one observation with a chunk of actions.

        noise: what a diffusion head begins with, see ModelInputs.noise; None draws it from the
        policy's seed and the number of observations since the last reset.
        timings: STAGES where runner.by_stage is set, as it is on a CPU; on a GPU preprocess,
        network and total.

        Of an observation of several cameras it takes the images of those that the checkpoint
        names, else the observation's own.

        Raises ObservationError for an image, state or instruction that cannot be used, and
        for an answer that is not finite: such a chunk must never reach a robot.
        """
        clock, inputs, selection = Stopwatch(), self._inputs, self._selection
        token_ids = inputs.token_ids(observation.instruction)
        seen = self._seen(observation)
        images = [checked_image(view.image) for view in seen]
        state = inputs.state(observation.state)
        noise = inputs.noise(noise, self._step)
        distance = None if selection is None else self._distance(*seen)
        clock.lap('inputs')
        outcome = self.runner(images, token_ids, state, noise, distance, selection, self._step)
        actions = self._outputs.actions(self._model.head.normalised(outcome.raw))
        clock.lap('answer')
        self._step += 1
        chosen = None if selection is None else TokenSelection(
            self.grid, outcome.kept, outcome.reason, self._config.model.images)
        chunk = self._outputs.chunk(
            actions, observation.stamp_ns, timings_round(clock, outcome.timings), chosen)
        return dataclasses.replace(chunk, doubts=inputs.state_doubts(observation.state))

    def _distance(self, *views: CameraView) -> np.ndarray:
        """Return how far each visual token of images is from a protected point, see geometry."""
        return distances_of_views(
            [(view.protected.pixels, view.protected.radii_px, view.image.shape[:2])
             for view in views], self.image_transform, self.grid, self._radius_patches)
