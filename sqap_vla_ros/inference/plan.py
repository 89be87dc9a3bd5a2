# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
One inference of a network as stages: functions on static buffers that never ask the device.

A plan is made for one prompt length, selection and network; what changes from image to image lies
in `inputs` and `pixels`, and what comes out in `outputs`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .staging import Staging
from ..errors import ObservationError
from ..model.diffusion import TRAINING_STEPS
from ..model.heads import TokenHeadConfig
from ..model.vit import FusedViTConfig
from ..model.vla import VLA, VLAConfig
from ..tokens.choice import select_tokens, SelectionConfig
from ..tokens.on_device import check_status, select

_ADVICE = 'check the checkpoint and precision'


class Plan:
    """
    The stages of one network for prompts of one length.

    pixels: normalised image [1, C, h, w] at a fixed address.  inputs: token_ids int64 [1, L],
    and where they are needed state float32 [1, S], noise float32 [1, T, A], distance float32
    [N], kept int64 [K] and reason uint8 [K].  outputs: raw of the head (ids int64 [1, A], or
    floats [1, T, A]), and with a selection kept, reason and broken int32 [1], how many scores
    are not finite.
    """

    def __init__(self, model: VLA, pixels: torch.Tensor, tokens: int,
                 selection: SelectionConfig | None = None, beside=None):
        """
        Lay out the buffers on the device of `pixels`.

        tokens: BOS and everything behind it.  selection: None keeps all visual tokens.  beside:
        a CUDA stream in which one of two encoders may run.
        """
        self._model, self.pixels, self.selection = model, pixels, selection
        self._is_scored = selection is not None and selection.needs_scores
        self.inputs = Staging(
            _input_layout(model.config, tokens, selection), pixels.device)
        self.outputs = Staging(_output_layout(model.config, selection), pixels.device)
        self._beside = beside if isinstance(model.config.vision, FusedViTConfig) else None
        self.forget()

    @property
    def stages(self) -> dict[str, Callable[[], None]]:
        """Return the stages by name, in their order."""
        return {'vision': self._vision, 'prefill_1': self._prefill_1,
                'selection': self._selection, 'prefill_2': self._prefill_2, 'head': self._head}

    def forget(self) -> None:
        """Let go of what the stages have made for each other."""
        self._visual = self._x = self._caches = self._scores = None
        self._kept = self._reason = self._hidden = None
        self._length = 0

    def fill(self, token_ids, state=None, noise=None, distance=None, step: int = 0) -> None:
        """
        Write one inference's inputs to the host's side of the buffers.

        token_ids: int64 [1, L].  distance: float [N] or None for no protection.  step: see
        tokens.select_tokens.
        """
        given, host = {'token_ids': token_ids, 'state': state, 'noise': noise}, self.inputs.host
        for name in given.keys() & host.keys():
            host[name].copy_(given[name])
        if 'distance' in host:
            host['distance'].copy_(
                torch.full_like(host['distance'], torch.inf) if distance is None
                else torch.from_numpy(np.asarray(distance, np.float32)))
        if 'kept' in host:  # the host knows everything that this choice needs
            grid = self._model.config.vision.grid
            chosen = select_tokens(None, distance, grid, self.selection, step)
            host['kept'].copy_(torch.from_numpy(chosen.kept))
            host['reason'].copy_(torch.from_numpy(chosen.reason))

    def check(self) -> None:
        """Raise ObservationError if the outputs that were read back show a broken network."""
        try:
            if self._is_scored:
                check_status(int(self.outputs.host['broken']), self._model.config.num_visual)
        except ValueError as error:
            raise ObservationError(f'{error}: {_ADVICE}') from error

    def _vision(self) -> None:
        self._visual = (self._model.encode_image(self.pixels) if self._beside is None
                        else self._encoded_side_by_side())

    def _encoded_side_by_side(self):
        """Return the visual tokens; both encoders work at once, if neither fills the device."""
        vision, (first, second) = self._model.vision, self.pixels.split(3, dim=1)
        stream = torch.cuda.current_stream(self.pixels.device)
        self._beside.wait_stream(stream)
        with torch.cuda.stream(self._beside):
            behind = vision.siglip(second)
        in_front = vision.dino(first)
        stream.wait_stream(self._beside)
        return self._model.projector(torch.cat([in_front, behind], dim=-1))

    def _prefill_1(self) -> None:
        inputs, model = self.inputs.device, self._model
        x = model.embed(self._visual, inputs['token_ids'], inputs.get('state'))
        self._length, self._caches = x.shape[1], model.make_caches()
        self._x, self._scores = model.prefill_full(x, self._caches, self._is_scored)

    def _selection(self) -> None:
        inputs = self.inputs.device
        if not self._is_scored:
            self._kept, self._reason = inputs.get('kept'), inputs.get('reason')
            return
        try:
            self._kept, self._reason = select(
                self._scores[0], inputs['distance'], self._model.config.vision.grid,
                self.selection, status=self.outputs.device['broken'])
        except ValueError as error:  # a CPU looks at once, and check() where it cannot
            raise ObservationError(f'{error}: {_ADVICE}') from error

    def _prefill_2(self) -> None:
        self._hidden = self._model.prefill_kept(self._x, self._kept, self._caches)

    def _head(self) -> None:
        outputs = self.outputs.device
        outputs['raw'].copy_(self._model.answer(
            self._hidden, self._length, self._caches, self.inputs.device.get('noise')))
        if self._kept is not None:
            outputs['kept'].copy_(self._kept)
            outputs['reason'].copy_(self._reason)


def _input_layout(config: VLAConfig, tokens: int, selection: SelectionConfig | None) -> dict:
    """Return Staging's layout of what changes from image to image."""
    layout = {'token_ids': (torch.int64, (1, tokens))}
    if config.state_dim:
        layout['state'] = (torch.float32, (1, config.state_dim))
    if config.head.kind == 'diffusion':
        draws = () if config.head.ddim_steps else (TRAINING_STEPS,)
        layout['noise'] = (torch.float32, (1, *draws, *_chunk(config)))
    if selection is None:
        return layout
    if selection.needs_scores:
        return {**layout, 'distance': (torch.float32, (config.num_visual,))}
    return {**layout, **_choice(selection)}


def _output_layout(config: VLAConfig, selection: SelectionConfig | None) -> dict:
    """Return Staging's layout of what is read back."""
    raw = ((torch.int64, (1, config.head.action_dim))
           if isinstance(config.head, TokenHeadConfig) else (torch.float32, (1, *_chunk(config))))
    if selection is None:
        return {'raw': raw}
    return {'raw': raw, 'broken': (torch.int32, (1,)), **_choice(selection)}


def _chunk(config: VLAConfig) -> tuple[int, int]:
    return config.head.chunk_length, config.head.action_dim


def _choice(selection: SelectionConfig) -> dict:
    return {'kept': (torch.int64, (selection.keep,)), 'reason': (torch.uint8, (selection.keep,))}
