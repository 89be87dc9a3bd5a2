# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The network in training: one step, its losses, and the average of its weights."""

from __future__ import annotations

import contextlib
import copy

import torch

from .auxiliary import Auxiliary
from .diverged import Diverged
from .recipe import schedule
from .shards import POINT_NAMES

POINT_WEIGHT, SPACE_WEIGHT = 0.1, 0.3
HAND = POINT_NAMES.index('end_effector')
BLACK = -1.0  # of normalised pixels
MOST_SKIPPED = 10  # steps in a row without finite gradients, behind which training ends
MODULES = ('model', 'average', 'auxiliary', 'optimizer')


class Learner:
    """A VLA, its read-outs, the average of its weights, and the optimizer."""

    def __init__(self, model, points: int, args, device: str, dtype: torch.dtype):
        """Take a VLA that is on the device; points: P; dtype: of matrix products."""
        self.args, self.device, self.dtype = args, device, dtype
        self.skipped = self.skipped_in_all = 0  # steps in a row, and since this start
        self.model, self.average = model, copy.deepcopy(model).requires_grad_(False)
        self.auxiliary = Auxiliary(
            model.config.llm.hidden_size, points, len(POINT_NAMES)).to(device)
        parameters = [*self.model.parameters(), *self.auxiliary.parameters()]
        self.optimizer = torch.optim.AdamW(
            [{'params': [p for p in parameters if p.ndim > 1], 'weight_decay': 0.05},
             {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0}],
            lr=args.learning_rate, betas=(0.9, 0.98))

    def state(self) -> dict:
        """Return the state dicts by name."""
        return {name: getattr(self, name).state_dict() for name in MODULES}

    def load_state(self, state: dict) -> None:
        """Take over state dicts; raise KeyError, RuntimeError or ValueError for others."""
        for name in MODULES:
            getattr(self, name).load_state_dict(state[name])

    def losses(self, batch: dict, model, pool: int) -> tuple:
        """Return the loss to minimise and a dict of plain figures; batch: see batches.py."""
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        cast = (torch.autocast(self.device, self.dtype) if self.dtype != torch.float32
                else contextlib.nullcontext())
        with cast:
            actions, visual, summary = model(
                batch['pixels'], batch['token_ids'], batch['state'], pool)
            rows, cols = model.config.vision.grid
            seen = batch['points_seen'].clone()
            seen[:, :HAND] = False  # the image does not know which object and place are meant
            points, pixel_error = self.auxiliary.image_points(
                visual, batch['points_px'], seen, (rows // pool, cols // pool),
                model.config.vision.image_size)
            space, space_error = self.auxiliary.space_loss(summary, batch['points_xyz'])
        error = (actions.float() - batch['actions']).abs()
        loss = error.mean() + POINT_WEIGHT * points + SPACE_WEIGHT * space
        return loss, {'action_l1': error.mean().item(), 'pixel_error': pixel_error.item(),
                      'space_error_m': space_error.item()}

    def train_step(self, batch: dict, step: int) -> dict:
        """
        Take the optimizer's step of this number, from 0 on; return the batch's figures.

        A step whose loss or gradients are not finite leaves the weights as they are.  Raises
        Diverged at the tenth in a row.
        """
        coarse, fine = self.args.coarse_steps, self.args.fine_steps
        rate = self.args.learning_rate * schedule(step, coarse, fine)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        loss, figures = self.losses(batch, self.model, pool=2 if step < coarse else 1)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        beside = [p.grad.norm() for p in self.auxiliary.parameters() if p.grad is not None]
        if not torch.isfinite(loss.detach() + norm + sum(beside)):
            self._skip(step, loss.item())
            return figures
        self.skipped = 0
        self.optimizer.step()
        self._update_average(step + 1)
        return figures

    def _skip(self, step: int, loss: float) -> None:
        """Count a step that is not taken; raise Diverged where too many are."""
        self.skipped += 1
        self.skipped_in_all += 1
        if self.skipped < MOST_SKIPPED:
            return
        kind = str(self.dtype).removeprefix('torch.')
        raise Diverged(
            f'the loss or its gradients have not been finite for {MOST_SKIPPED} steps up to step '
            f'{step} (loss {loss}, products in {kind}, learning rate {self.args.learning_rate}). '
            'The weights are those of before, and saved. Give another output directory with '
            '--init, a lower --learning-rate' + (
                ' or --dtype float32' if self.dtype != torch.float32 else ''))

    @torch.no_grad()
    def _update_average(self, steps: int) -> None:
        """Average the weights of the last of so many steps, anew on the full grid."""
        is_coarse = steps <= self.args.coarse_steps
        since = steps if is_coarse else steps - self.args.coarse_steps
        keep = min(0.999 if is_coarse else 0.99, (1 + since) / (10 + since))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.model.parameters()), 1 - keep)

    @torch.no_grad()
    def figures(self, batches: list, steps: int, blank: bool = False) -> dict:
        """Return mean figures of the averaged weights after so many steps; blank: black images."""
        pool = 2 if steps <= self.args.coarse_steps else 1
        total: dict[str, float] = {}
        for batch in batches:
            if blank:
                batch = {**batch, 'pixels': torch.full_like(batch['pixels'], BLACK)}
            for name, value in self.losses(batch, self.average, pool)[1].items():
                total[name] = total.get(name, 0) + value / len(batches)
        return total
