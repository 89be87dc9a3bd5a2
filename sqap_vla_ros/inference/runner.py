# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From an image and a prompt in host memory to a network's answer, in two graph launches.

The first graph resizes and normalises the image (one for each image size), the second is the
network (one for each prompt length and selection: padding prompts to one length would put masks
into every attention).  An instruction of a new length runs uncaptured once and is captured when
it comes again; `plans` of them are kept, the least recently used one goes first.  Static buffers
are small, and all graphs share their working memory, key-value caches included.

Kernels are tuned when they first meet a shape.  After Runner.tune nothing is tuned any more: what
was tuned for the nearest shape serves, so that no robot waits for a compiler.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
import logging

import numpy as np
import torch

from .capture import Recorder, Recording
from .inputs import ModelInputs
from .plan import Plan
from .resize import DeviceTransform, Inexact
from .staging import Staging
from ..geometry.image_transform import checked_image
from ..kernels.cuda import tuning
from ..model.vla import VLA
from ..support.stopwatch import Stopwatch
from ..tokens.choice import SelectionConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """
    What a network answered, in host memory.

    raw: see VLA.answer.  kept int64 [K] and reason uint8 [K] are None without a selection.
    timings: milliseconds; by stage if that was asked for, else of preprocess, network
    (everything that the device does) and total.
    """

    raw: torch.Tensor
    kept: np.ndarray | None
    reason: np.ndarray | None
    timings: dict[str, float]


class _Eye:
    """Images of one size on their way to the network's pixels."""

    def __init__(self, inputs: ModelInputs, pixels: torch.Tensor, image_size,
                 resize_on_device: bool):
        self._inputs, self._pixels, self._transform = inputs, pixels, None
        if resize_on_device:
            try:
                self._transform = DeviceTransform(
                    inputs.image_transform, image_size, pixels.device)
            except Inexact as reason:
                _log.warning('images are resized on the CPU, which is slower: %s', reason)
        size = inputs.image_transform.size if self._transform is None else image_size
        self._staging = Staging({'image': (torch.uint8, (*size, 3))}, pixels.device)

    def upload(self, image: np.ndarray) -> None:
        """Start to copy an image that has been checked, or its resized form, to the device."""
        if self._transform is None:
            image = self._inputs.image_transform.apply(image)
        np.copyto(self._staging.host['image'].numpy(), image)
        self._staging.upload()

    def preprocess(self) -> None:
        """Fill the network's pixels."""
        image = self._staging.device['image']
        if self._transform is not None:
            image = self._transform(image)
        self._pixels.copy_(self._inputs.normalised(image))


class Runner:
    """A network with static buffers on one device; use it on one thread."""

    def __init__(self, model: VLA, inputs: ModelInputs, device: torch.device,
                 dtype: torch.dtype = torch.bfloat16, capture: bool = True, plans: int = 8,
                 resize_on_device: bool | None = None):
        """
        Take a network that is on the device already.

        capture: False runs kernel by kernel.  resize_on_device: None does so on CUDA, where the
        result is the same to the last bit; a CPU leaves it to Pillow, which is faster there.
        """
        self._model, self._inputs = model, inputs
        self._recorder = Recorder(device, capture)
        vision = model.config.vision
        self._pixels = torch.zeros(
            1, vision.channels, *inputs.image_transform.size, dtype=dtype, device=device)
        if device.type == 'cuda':
            torch.cuda.synchronize(device)  # these and the weights are made in another stream
        self._resize_on_device = (device.type == 'cuda' if resize_on_device is None
                                  else resize_on_device)
        self._most, self._tuned = plans, set()
        self._eyes: OrderedDict[tuple, tuple[_Eye, Recording]] = OrderedDict()
        self._plans: OrderedDict[tuple, tuple[Plan, Recording]] = OrderedDict()
        self.by_stage = False
        self.watch = None  # see Plan; graphs are replayed without it

    @property
    def problems(self) -> list[str]:
        """Return why what runs kernel by kernel could not be captured."""
        recordings = [recording for cache in (self._eyes, self._plans)
                      for _, recording in cache.values()]
        return [recording.problem for recording in recordings if recording.problem]

    @property
    def captured(self) -> int:
        """Return the number of prompt lengths and selections that are replayed."""
        return sum(recording.is_captured for _, recording in self._plans.values())

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, token_ids: torch.Tensor,
                 state: torch.Tensor | None = None, noise: torch.Tensor | None = None,
                 distance: np.ndarray | None = None,
                 selection: SelectionConfig | None = None, step: int = 0) -> Outcome:
        """
        Run one inference and wait for it.

        image: uint8 [H, W, 3].  For the others see Plan.fill; all of them on the host.  With
        by_stage set each stage is a graph of its own, and timed.  Raises ObservationError for
        an image that cannot be used and for scores that are not finite.
        """
        clock, recorder = Stopwatch(), self._recorder
        image = checked_image(image)
        with recorder.active(), self._settled(selection):
            eye, preprocessing = self._eye(image.shape[:2])
            plan, recording = self._plan(token_ids, selection)
            plan.watch = self.watch
            plan.fill(token_ids, state, noise, distance, step)
            eye.upload(image)
            plan.inputs.upload()
            marks = preprocessing.run(self.by_stage)
            clock.lap('preprocess')
            marks += recording.run(self.by_stage)
            plan.outputs.download()
            recorder.wait()
            clock.lap('network')
        plan.check()
        found = plan.outputs.host
        kept, reason = (found[name].numpy().copy() if name in found else None
                        for name in ('kept', 'reason'))
        return Outcome(found['raw'].clone(), kept, reason, self._timings(clock, marks, plan))

    @torch.inference_mode()
    def tune(self, lengths: Sequence[int], selection: SelectionConfig | None = None) -> None:
        """
        Compile and tune whatever prompts of these lengths (with BOS) need, and nothing later.

        So many lengths are run, on zeros, that all choices are made for this selection.  May take
        minutes on a device that has never done it (not measured); a log says how far it is.
        """
        visual = self._model.config.num_visual
        kept = visual if selection is None else selection.keep
        picked = tuning.covering([(visual + tokens, kept + tokens) for tokens in lengths])
        with self._recorder.active():
            for number, index in enumerate(picked, start=1):
                _log.info('prompts of %d tokens (%d of %d): kernels are compiled and tuned, if '
                          'this device has not done so before', lengths[index], number,
                          len(picked))
                plan = self._new_plan(lengths[index], selection)
                plan.inputs.upload()
                for stage in plan.stages.values():
                    stage()
                self._recorder.wait()
        self._tuned.add(selection)

    def is_ready(self, image_size: tuple[int, int], tokens: int,
                 selection: SelectionConfig | None) -> bool:
        """Whether an image (H, W) and a prompt of such a length meet nothing new."""
        if not self._recorder.capture:
            return True
        found = self._eyes.get(image_size), self._plans.get((tokens, selection))
        return all(entry is not None and entry[1].is_ready for entry in found)

    def _settled(self, selection):
        return tuning.settled() if selection in self._tuned else contextlib.nullcontext()

    def _timings(self, clock: Stopwatch, marks: list, plan: Plan) -> dict[str, float]:
        timings = clock.timings()
        if not self.by_stage:
            return timings
        spans = [self._recorder.milliseconds(*pair) for pair in zip(marks[2:], marks[3:])]
        inside = self._recorder.milliseconds(marks[0], marks[1])
        on_host = timings['preprocess'] + (0.0 if self._recorder.stream is None else inside)
        return {'preprocess': on_host, **dict(zip(plan.stages, spans)),
                'total': timings['total']}

    def _eye(self, image_size: tuple[int, int]) -> tuple[_Eye, Recording]:
        def make():
            eye = _Eye(self._inputs, self._pixels, image_size, self._resize_on_device)
            name = f'preprocessing of {image_size} images'
            return eye, Recording(self._recorder, name, {'preprocess': eye.preprocess})
        return self._cached(self._eyes, image_size, make)

    def _plan(self, token_ids, selection) -> tuple[Plan, Recording]:
        def make():
            plan = self._new_plan(token_ids.shape[1], selection)
            name = f'inference on {token_ids.shape[1]} prompt tokens'
            return plan, Recording(
                self._recorder, name, plan.stages, plan.forget, plan.on_host)
        return self._cached(self._plans, (token_ids.shape[1], selection), make)

    def _new_plan(self, tokens: int, selection) -> Plan:
        return Plan(self._model, self._pixels, tokens, selection, self._recorder.beside)

    def _cached(self, cache: OrderedDict, key, make):
        """Return an entry of a cache, made if it is not there; the oldest one goes."""
        if key not in cache:
            if len(cache) >= self._most:
                self._recorder.wait()
                cache.popitem(last=False)
            cache[key] = make()
        cache.move_to_end(key)
        return cache[key]
