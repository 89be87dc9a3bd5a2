# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From an image and a prompt in host memory to a network's answer, in one graph launch.

There is a graph for each prompt length and selection: padding prompts to one length would put
masks into every attention.  An instruction of a new length runs uncaptured once and is captured
when it comes again; `plans` of them are kept, the least recently used one goes first.  Static
buffers are small, and all graphs share their working memory, key-value caches included.

Kernels are tuned when they first meet a shape.  After Runner.tune nothing is tuned any more: what
was tuned for the nearest shape serves, so that no robot waits for a compiler.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
import contextlib
from dataclasses import dataclass
from functools import partial
import logging

import numpy as np
import torch

from .capture import Recorder, Recording
from .inputs import ModelInputs
from .plan import Plan
from ..errors import ObservationError
from ..kernels.cuda import tuning
from ..kernels.resample import fit
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


class Runner:
    """A network with static buffers on one device; use it on one thread."""

    def __init__(self, model: VLA, inputs: ModelInputs, device: torch.device,
                 dtype: torch.dtype = torch.bfloat16, capture: bool = True, plans: int = 8):
        """
        Take a network that is on the device already.

        capture: False runs kernel by kernel.
        """
        self._model, self._inputs, self._dtype = model, inputs, dtype
        self._recorder = Recorder(device, capture)
        if device.type == 'cuda':
            torch.cuda.synchronize(device)  # the weights are made in another stream
        self._most, self._tuned = plans, set()
        self._plans: OrderedDict[tuple, tuple[Plan, Recording]] = OrderedDict()
        self.by_stage = False
        self.watch = None  # see Plan; graphs are replayed without it

    @property
    def problems(self) -> list[str]:
        """Return why what runs kernel by kernel could not be captured."""
        return [recording.problem for _, recording in self._plans.values() if recording.problem]

    @property
    def captured(self) -> int:
        """Return the number of prompt lengths and selections that are replayed."""
        return sum(recording.is_captured for _, recording in self._plans.values())

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray], token_ids: torch.Tensor,
                 state: torch.Tensor | None = None, noise: torch.Tensor | None = None,
                 distance: np.ndarray | None = None,
                 selection: SelectionConfig | None = None, step: int = 0) -> Outcome:
        """
        Run one inference and wait for it.

        images: each uint8 [H, W, 3], in the network's order.  For the others see Plan.fill; all
        of them on the host.  With by_stage set each stage is a graph of its own, and timed.
        Raises ObservationError for images that cannot be used and for scores that are not finite.
        """
        clock, recorder = Stopwatch(), self._recorder
        image = self._fitted(images)
        with recorder.active(), self._settled(selection):
            plan, recording = self._plan(token_ids, selection)
            plan.watch = self.watch
            plan.fill(image, token_ids, state, noise, distance, step)
            plan.inputs.upload()
            clock.lap('preprocess')
            marks = recording.run(self.by_stage)
            plan.outputs.download()
            recorder.wait()
            clock.lap('network')
        plan.check()
        found = plan.outputs.host
        kept, reason = (found[name].numpy().copy() if name in found else None
                        for name in ('kept', 'reason'))
        return Outcome(found['raw'].clone(), kept, reason, self._timings(clock, marks, plan))

    def _fitted(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return images as the network takes them, uint8 [images, h, w, 3]."""
        wanted = self._model.config.images
        if len(images) != wanted:
            raise ObservationError(f'the network takes {wanted} images, found {len(images)}')
        transform = self._inputs.image_transform
        return np.stack([fit(transform, image) for image in images])

    @torch.inference_mode()
    def tune(self, lengths: Sequence[int], selection: SelectionConfig | None = None) -> None:
        """
        Compile and tune whatever prompts of these lengths (with BOS) need, and nothing later.

        So many lengths are run, on zeros, that all choices are made for this selection.  May take
        minutes on a device that has never done it (not measured); a log says how far it is.
        """
        config = self._model.config
        visual, behind = config.num_visual, config.placeholders
        kept = visual if selection is None else selection.keep
        picked = tuning.covering([(visual + tokens + behind, kept + tokens + behind)
                                  for tokens in lengths])
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

    def is_ready(self, tokens: int, selection: SelectionConfig | None) -> bool:
        """Whether a prompt of such a length meets nothing new."""
        found = self._plans.get((tokens, selection))
        return not self._recorder.capture or found is not None and found[1].is_ready

    def _settled(self, selection):
        return tuning.settled() if selection in self._tuned else contextlib.nullcontext()

    def _timings(self, clock: Stopwatch, marks: list, plan: Plan) -> dict[str, float]:
        timings = clock.timings()
        if not self.by_stage:
            return timings
        spans = [self._recorder.milliseconds(*pair) for pair in zip(marks, marks[1:])]
        return {'preprocess': timings['preprocess'], **dict(zip(plan.stages, spans)),
                'total': timings['total']}

    def _plan(self, token_ids, selection) -> tuple[Plan, Recording]:
        """Return what is kept for a prompt's length, made if it is not there; the oldest goes."""
        key = token_ids.shape[1], selection
        if key not in self._plans:
            if len(self._plans) >= self._most:
                self._recorder.wait()
                self._plans.popitem(last=False)
            plan = self._new_plan(*key)
            self._plans[key] = plan, Recording(
                self._recorder, f'inference on {key[0]} prompt tokens', plan.stages, plan.forget,
                plan.on_host)
        self._plans.move_to_end(key)
        return self._plans[key]

    def _new_plan(self, tokens: int, selection) -> Plan:
        # not a method of ours: a plan that knows its runner would outlive it
        normalise = partial(_normalised, self._inputs, self._dtype)
        return Plan(self._model, normalise, self._recorder.device, tokens, selection,
                    self._recorder.beside)


def _normalised(inputs: ModelInputs, dtype: torch.dtype, image: torch.Tensor) -> torch.Tensor:
    return inputs.normalised(image).to(dtype)
