# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One inference of a network as stages: functions on static buffers that never ask the device.

A plan is made for one prompt length, selection and network; what changes from image to image lies
in `inputs`, and what comes out in `outputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
import logging

import numpy as np
import torch

from .inputs import noise_shape
from .staging import Staging
from ..errors import ObservationError
from ..kernels.cuda import unavailable
from ..model.heads import TokenHeadConfig
from ..model.oft import OFTHeadConfig
from ..model.vit import FusedViTConfig
from ..model.vla import VLA, VLAConfig
from ..tokens.choice import select_tokens, SelectionConfig

_log = logging.getLogger(__name__)


class Plan:
    """
    The stages of one network for prompts of one length.

    inputs: image uint8 [images, h, w, 3] of the network's size, token_ids int64 [1, L], and where
    they are needed state float [1, S], noise float32 [1, T, A], distance float32 [N], kept int64
    [K] and reason uint8 [K].  outputs: raw of the head (ids int64 [1, A], or floats [1, T, A]),
    and with a selection kept, reason and, where it needs them, scores float32 [N].  watch, if it
    is set, is called with the name of each stage behind it and this plan, whose `pixels`,
    `condition` [1, D], `visual` [1, N, D] and `hidden` [1, R, D] are what that stage has made.
    """

    def __init__(self, model: VLA, normalise: Callable, device: torch.device, tokens: int,
                 selection: SelectionConfig | None = None, beside=None,
                 all_rows: bool = False):
        """
        Lay out the buffers on a device.

        normalise: maps the images there to the network's pixels [1, images * C, h, w].  tokens:
        BOS and everything behind it.  selection: None keeps all visual tokens.  beside: a CUDA
        stream in which one of two encoders may run.  all_rows: the decoder's last block computes
        all rows, not only those that the head reads; so it does for a watch.
        """
        self._model, self._normalise, self.selection = model, normalise, selection
        self._all_rows = all_rows
        self._is_scored = selection is not None and selection.needs_scores
        self._grid, self._images = model.config.vision.grid, model.config.images
        self._kernel = (_selection_kernel(device, self._grid, selection, self._images)
                        if self._is_scored else None)
        self.inputs = Staging(_input_layout(model.config, tokens, selection), device)
        self.outputs = Staging(_output_layout(model.config, selection), device)
        self._beside = beside if isinstance(model.config.vision, FusedViTConfig) else None
        self.watch: Callable[[str, Plan], None] | None = None
        self.forget()

    @property
    def stages(self) -> dict[str, Callable[[], None]]:
        """Return the stages by name, in their order."""
        stages = {'vision': self._vision, 'prefill_1': self._prefill_1,
                  'selection': self._selection, 'prefill_2': self._prefill_2, 'head': self._head}
        return {name: partial(self._run, name, stage) for name, stage in stages.items()}

    @property
    def all_rows(self) -> bool:
        """Whether the decoder's last block computes rows that the head does not read."""
        return self._all_rows or self.watch is not None

    @property
    def on_host(self) -> frozenset[str]:
        """Return the stages that wait for the device, and stand between two graphs."""
        return frozenset(['selection'] if self._is_scored and self._kernel is None else [])

    def forget(self) -> None:
        """Let go of what the stages have made for each other."""
        self.pixels = self.condition = self.visual = self.hidden = None
        self._x = self._caches = None
        self._length = 0

    def fill(self, image, token_ids, state=None, noise=None, distance=None, step: int = 0) -> None:
        """
        Write one inference's inputs to the host's side of the buffers.

        image: uint8 [images, h, w, 3], numpy.  token_ids: int64 [1, L].  distance: float [N] or
        None for no protection.  step: see tokens.select_tokens.
        """
        host = self.inputs.host
        given = {'token_ids': token_ids, 'state': state, 'noise': noise}
        np.copyto(host['image'].numpy(), image)
        for name in given.keys() & host.keys():
            host[name].copy_(given[name])
        if 'distance' in host:
            host['distance'].copy_(
                torch.full_like(host['distance'], torch.inf) if distance is None
                else torch.from_numpy(np.asarray(distance, np.float32)))
        if 'kept' in host:  # the host knows everything that this choice needs
            self._put(select_tokens(None, distance, self._grid, self.selection, step,
                                    self._images), host)

    def check(self) -> None:
        """Raise ObservationError if the outputs that were read back show a broken network."""
        if self._is_scored:
            scores = self.outputs.host['scores']
            broken = len(scores) - int(scores.isfinite().sum())
            if broken:
                raise ObservationError(
                    f'{broken} of {len(scores)} attention scores are not finite: the model '
                    'overflows at this precision: check the checkpoint and precision')

    def _run(self, name: str, stage: Callable[[], None]) -> None:
        stage()
        if self.watch is not None:
            self.watch(name, self)

    def _vision(self) -> None:
        inputs, model = self.inputs.device, self._model
        self.pixels = self._normalise(inputs['image'])
        self.condition = model.condition(inputs['token_ids'])
        self.visual = (model.encode_image(self.pixels, condition=self.condition)
                       if self._beside is None else self._encoded_side_by_side())

    def _encoded_side_by_side(self):
        """Return the visual tokens; both encoders work at once, if neither fills the device."""
        model, vision = self._model, self._model.vision
        first, second = model.each_image(self.pixels).split(3, dim=1)
        stream = torch.cuda.current_stream(self.pixels.device)
        self._beside.wait_stream(stream)
        with torch.cuda.stream(self._beside):
            behind = vision.siglip(second, condition=self.condition)
        in_front = vision.dino(first, condition=self.condition)
        stream.wait_stream(self._beside)
        return model.project(torch.cat([in_front, behind], dim=-1))

    def _embedded(self, noisy=None, step: int = 0):
        """Return the decoder's input [1, S, D] of a denoising step; see VLA.embed."""
        inputs = self.inputs.device
        return self._model.embed(self.visual, inputs['token_ids'], inputs.get('state'), noisy,
                                 step)

    def _prefill_1(self) -> None:
        model, x = self._model, self._embedded(self.inputs.device.get('noise'))
        self._length, self._caches = x.shape[1], model.make_caches()
        self._x, scores = model.prefill_full(x, self._caches, self._is_scored, self.all_rows)
        if self._is_scored:
            self.outputs.device['scores'].copy_(scores[0])

    def _selection(self) -> None:
        inputs, outputs = self.inputs.device, self.outputs.device
        if not self._is_scored:
            for name in ('kept', 'reason') if self.selection is not None else ():
                outputs[name].copy_(inputs[name])
        elif self._kernel is not None:
            self._kernel(outputs['scores'], inputs['distance'], self._grid, self.selection,
                         outputs['kept'], outputs['reason'], self._images)
        else:
            self._select_on_host()

    def _select_on_host(self) -> None:
        """Wait for the scores and choose; raise ObservationError if they are broken."""
        scores = self.outputs.host['scores'].copy_(self.outputs.device['scores'])
        self.check()
        distance = self.inputs.host['distance'].numpy()
        self._put(select_tokens(scores.numpy(), distance, self._grid, self.selection,
                                images=self._images), self.outputs.device)

    @staticmethod
    def _put(chosen, tensors: dict[str, torch.Tensor]) -> None:
        tensors['kept'].copy_(torch.from_numpy(chosen.kept))
        tensors['reason'].copy_(torch.from_numpy(chosen.reason))

    def _prefill_2(self) -> None:
        self.hidden = self._kept(self._x, self._caches)

    def _kept(self, x, caches=None):
        """Return what the head reads behind the blocks that are pruned; see VLA.prefill_kept."""
        return self._model.prefill_kept(
            x, self.outputs.device.get('kept'), caches,
            self.selection is not None and self.selection.dropped == 'follow', self.all_rows)

    def _run_again(self, noisy, step: int):
        """Return the hidden states [1, R, D] of a later denoising step, with the same tokens."""
        x, _ = self._model.prefill_full(self._embedded(noisy, step), scored=False,
                                        all_rows=self.all_rows)
        return self._kept(x)

    def _head(self) -> None:
        self.outputs.device['raw'].copy_(self._model.answer(
            self.hidden, self._length, self._caches, self.inputs.device.get('noise'),
            self._run_again))


def _selection_kernel(device: torch.device, grid, selection: SelectionConfig,
                      images: int = 1) -> Callable | None:
    """Return what chooses without waiting for the device; None where the host has to."""
    if device.type != 'cuda':
        return None
    reason = unavailable(device)
    if not reason:
        from ..tokens.triton_choice import select_tokens_cuda, why_not_selected
        reason = why_not_selected(device, grid, selection, images)
        if not reason:
            return select_tokens_cuda
    _warn_on_host(reason)
    return None


@lru_cache(maxsize=None)
def _warn_on_host(reason: str) -> None:
    _log.warning('tokens are chosen on the CPU, between two CUDA graphs, which is slower: %s',
                 reason)


def _input_layout(config: VLAConfig, tokens: int, selection: SelectionConfig | None) -> dict:
    """Return Staging's layout of what changes from image to image."""
    size = config.vision.image_size
    layout = {'image': (torch.uint8, (config.images, size, size, 3)),
              'token_ids': (torch.int64, (1, tokens))}
    if config.state_dim:
        exact = isinstance(config.head, OFTHeadConfig)  # its reference rounds only once
        layout['state'] = (torch.float64 if exact else torch.float32, (1, config.state_dim))
    if (shape := noise_shape(config.head)) is not None:
        layout['noise'] = (torch.float32, (1, *shape))
    if selection is None:
        return layout
    if selection.needs_scores:
        return {**layout, 'distance': (torch.float32, (config.num_visual,))}
    return {**layout, **_choice(selection)}


def _output_layout(config: VLAConfig, selection: SelectionConfig | None) -> dict:
    """Return Staging's layout of what is read back."""
    raw = _raw_layout(config.head)
    if selection is None:
        return {'raw': raw}
    scores = {'scores': (torch.float32, (config.num_visual,))} if selection.needs_scores else {}
    return {'raw': raw, **scores, **_choice(selection)}


def _raw_layout(head) -> tuple:
    """Return type and shape of what a head answers: ids of all values, or the values."""
    if isinstance(head, TokenHeadConfig):
        return torch.int64, (1, head.action_dim)
    if isinstance(head, OFTHeadConfig) and head.reads == 'tokens':
        return torch.int64, (1, head.placeholders)
    return torch.float32, (1, head.chunk_length, head.action_dim)


def _choice(selection: SelectionConfig) -> dict:
    return {'kept': (torch.int64, (selection.keep,)), 'reason': (torch.uint8, (selection.keep,))}
