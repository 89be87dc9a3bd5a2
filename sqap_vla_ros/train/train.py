# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Behaviour cloning of the bundled policy: `sqap-vla train`.

Trains the engine's own model classes.  Starts on a coarse grid (2 x 2 patches averaged, four
times fewer tokens) and goes on with the full one; keeps an exponential moving average of the
weights; resumes from its own state file.  No token dropout and no quantization-aware training:
pruning and quantization must work on a model that has never seen them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
from pathlib import Path
import time

from .recipe import (
    choose_device, choose_dtype, initialise, norm_stats, normalisation, plain_options, schedule)
from .shards import load_shards, POINT_NAMES
from ..errors import ConfigError

POINT_WEIGHT, SPACE_WEIGHT = 0.1, 0.3


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla train`."""
    parser.add_argument('data', help='directory of shards that `sqap-vla collect` wrote')
    parser.add_argument('out', help='directory for the checkpoint, the curves and the state')
    parser.add_argument('--coarse-steps', type=int, default=6000)
    parser.add_argument('--fine-steps', type=int, default=6000)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--learning-rate', type=float, default=8e-4)
    parser.add_argument('--vit-depth', type=int, default=3)
    parser.add_argument('--llm-layers', type=int, default=4)
    parser.add_argument('--width', type=int, default=256)
    parser.add_argument('--stem', choices=('linear', 'conv'), default='conv')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument('--dtype', choices=('auto', 'float32', 'bfloat16'), default='auto',
                        help='auto: bfloat16 where a matrix product is measured to be faster')
    parser.add_argument('--threads', type=int, default=0, help='torch threads, 0: its default')
    parser.add_argument('--max-minutes', type=float, default=150, help='stop and save then')
    parser.add_argument('--name', default='libero_goal_bowl', help='unnorm_key of the checkpoint')
    parser.add_argument('--log-every', type=int, default=250,
                        help='steps between held-out figures')
    parser.add_argument('--seed', type=int, default=0)


def run(args) -> int:
    """Train, or go on with an interrupted training in the same directory."""
    import torch
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = Trainer(args)
    trainer.resume()
    trainer.loop()
    return 0


class Trainer:
    """Everything that lives as long as one training run."""

    def __init__(self, args):
        """Load the data and make model, auxiliary read-outs and optimizer."""
        import torch
        from ..model.prompt import Prompt, word_tokenizer
        from ..model.vla import VLA
        from .auxiliary import Auxiliary
        torch.manual_seed(args.seed)
        self.args, self.out = args, Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.data = load_shards(args.data)
        self.frame_size = self.data.frame(0).shape[0]
        self.norm = normalisation(self.data)
        self.tokenizer = word_tokenizer(self.data.instructions)
        self.config = self._config()
        prompt = Prompt(self.tokenizer, self.config.model.text_length)
        self.token_ids = torch.tensor(
            [[prompt.bos_id, *prompt.encode(text)] for text in self.data.instructions]).numpy()
        self.device = choose_device(args.device)
        self.dtype = choose_dtype(args.dtype, self.device)
        self.model = VLA(self.config.model).to(self.device)
        initialise(self.model)
        self.auxiliary = Auxiliary(
            self.config.model.llm.hidden_size, len(POINT_NAMES)).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        parameters = [*self.model.parameters(), *self.auxiliary.parameters()]
        decay = [p for p in parameters if p.ndim > 1]
        self.optimizer = torch.optim.AdamW(
            [{'params': decay, 'weight_decay': 0.05},
             {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0}],
            lr=args.learning_rate, betas=(0.9, 0.98))
        self.step, self.seconds, self.log = 0, 0.0, []

    @property
    def total_steps(self) -> int:
        """Coarse and fine steps together."""
        return self.args.coarse_steps + self.args.fine_steps

    def _config(self):
        from ..actions import ActionSpace
        from ..model.checkpoint import CheckpointConfig
        from ..model.heads import ChunkHeadConfig
        from ..model.llama import LlamaConfig
        from ..model.vit import ViTConfig
        from ..model.vla import VLAConfig
        args, data = self.args, self.data
        model = VLAConfig(
            vision=ViTConfig(self.frame_size, 14, args.width, args.vit_depth,
                             args.width // 64, 4 * args.width, args.stem),
            llm=LlamaConfig(self.tokenizer.get_vocab_size(), args.width, 2 * args.width,
                            args.llm_layers, args.width // 64, max(1, args.width // 128), 1e-5),
            head=ChunkHeadConfig(*data.chunks([0]).shape[1:]),
            text_length=12, state_dim=data.state.shape[1])
        return CheckpointConfig(
            model=model, action_space=ActionSpace(), instructions=tuple(data.instructions),
            unnorm_key=args.name)

    def _batches(self, rows, size, seed, augment=True):
        from .batches import Batches
        return Batches(self.data, rows, self.token_ids, self.norm, size, seed, augment)

    def losses(self, batch, model, pool: int) -> tuple:
        """Return the loss to minimise and a dict of plain figures."""
        import torch
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        cast = (torch.autocast(self.device, self.dtype) if self.dtype != torch.float32
                else contextlib.nullcontext())
        with cast:
            actions, visual, summary = model(
                batch['pixels'], batch['token_ids'], batch['state'], pool)
            rows, cols = self.config.model.vision.grid
            seen = batch['points_seen'].clone()
            seen[:, POINT_NAMES.index('place')] = False  # the image does not know which place
            points, pixel_error = self.auxiliary.image_points(
                visual, batch['points_px'], seen, (rows // pool, cols // pool),
                self.config.model.vision.image_size)
            space, space_error = self.auxiliary.space_loss(summary, batch['points_xyz'])
        error = (actions.float() - batch['actions']).abs()
        loss = error.mean() + POINT_WEIGHT * points + SPACE_WEIGHT * space
        return loss, {'action_l1': error.mean().item(), 'pixel_error': pixel_error.item(),
                      'space_error_m': space_error.item()}

    def loop(self) -> None:
        """Run to the last step or the time limit, saving every few minutes."""
        from tqdm import tqdm
        import numpy as np
        held = self.data.seed % 20 < 2  # both instructions, one episode in ten
        rows, held_rows = np.flatnonzero(~held), np.flatnonzero(held)
        held_out = self._batches(held_rows if len(held_rows) else rows, 64, 1, augment=False)
        self.held_batches = [held_out.make(held_out.draw()) for _ in range(6)]
        batches = self._batches(rows, self.args.batch_size, self.args.seed + self.step)
        began, saved = time.time() - self.seconds, time.time()
        deadline = time.time() + self.args.max_minutes * 60
        bar = tqdm(total=self.total_steps, initial=self.step, unit='step', mininterval=10)
        while self.step < self.total_steps and time.time() < deadline:
            figures = self._train_step(batches.take())
            bar.update()
            self.seconds = time.time() - began
            if self.step % self.args.log_every == 0:
                self._record(figures, bar)
            if time.time() - saved > 300:
                self.save()
                saved = time.time()
        bar.close()
        self.save()

    def _train_step(self, batch) -> dict:
        import torch
        args = self.args
        rate = args.learning_rate * schedule(self.step, args.coarse_steps, args.fine_steps)
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        is_coarse = self.step < args.coarse_steps
        pool = 2 if is_coarse else 1
        loss, figures = self.losses(batch, self.model, pool)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        since = self.step if is_coarse else self.step - args.coarse_steps  # average anew
        keep = min(0.999 if is_coarse else 0.99, (1 + since) / (10 + since))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        return figures

    def held_out(self, blank: bool = False) -> dict:
        """Return figures of the averaged weights on held-out episodes."""
        import torch
        pool = 2 if self.step <= self.args.coarse_steps else 1
        total: dict[str, float] = {}
        with torch.no_grad():
            for batch in self.held_batches:
                if blank:
                    batch = {**batch, 'pixels': torch.zeros_like(batch['pixels'])}
                for name, value in self.losses(batch, self.average, pool)[1].items():
                    total[name] = total.get(name, 0) + value / len(self.held_batches)
        return total

    def _record(self, figures: dict, bar) -> None:
        row = {'step': self.step, 'samples': self.step * self.args.batch_size,
               'minutes': round(self.seconds / 60, 2), 'train': figures,
               'held_out': self.held_out(), 'blank': self.held_out(blank=True)}
        self.log.append(row)
        held = row['held_out']
        bar.write(f'{row["samples"]:8d} samples {row["minutes"]:6.1f} min: action L1 '
                  f'{held["action_l1"]:.4f} (train {figures["action_l1"]:.4f}, blank '
                  f'{row["blank"]["action_l1"]:.4f}), image {held["pixel_error"]:.1f} px, '
                  f'space {held["space_error_m"] * 100:.1f} cm')

    def save(self) -> None:
        """Write the checkpoint (averaged weights, fp16), the curves and the resumable state."""
        import torch
        from ..model import checkpoint
        config = dataclasses.replace(self.config, training={
            'step': self.step, 'samples': self.step * self.args.batch_size,
            'minutes': round(self.seconds / 60, 1), 'arguments': plain_options(self.args),
            'episodes': self.data.episodes, 'frames': len(self.data),
            'skipped_shards': len(self.data.skipped)})
        weights = {name: tensor.detach().to('cpu', torch.float16)
                   for name, tensor in self.average.state_dict().items()}
        checkpoint.save(self.out / 'checkpoint', config, weights,
                        {self.args.name: norm_stats(self.norm)}, self.tokenizer)
        partial = self.out / 'state.pt.part'
        torch.save({'model': self.model.state_dict(), 'average': self.average.state_dict(),
                    'auxiliary': self.auxiliary.state_dict(), 'step': self.step,
                    'optimizer': self.optimizer.state_dict(), 'seconds': self.seconds,
                    'log': self.log, 'norm': {name: torch.as_tensor(value)
                                              for name, value in self.norm.items()}}, partial)
        os.replace(partial, self.out / 'state.pt')
        (self.out / 'curves.json').write_text(json.dumps(self.log, indent=1))
        if self.log:
            from .curves import plot_curves
            plot_curves(self.log, self.out / 'curves.png')

    def resume(self) -> None:
        """
        Go on from state.pt if there is one; raise ConfigError if it is of another shape.

        New shards may have been added since; the normalisation stays that of the first start.
        """
        import torch
        path = self.out / 'state.pt'
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True, map_location=self.device)
        try:
            for name in ('model', 'average', 'auxiliary', 'optimizer'):
                getattr(self, name).load_state_dict(state[name])
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f'{path} is of another model: give another output directory ({error})') from error
        self.step, self.seconds, self.log = state['step'], state['seconds'], state['log']
        self.norm = {name: value.numpy() for name, value in state['norm'].items()}
        print(f'resuming at step {self.step}')
