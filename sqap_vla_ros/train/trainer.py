# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One training run: model, data, steps, figures, and what it leaves on the disk."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from importlib.util import find_spec
import json
from pathlib import Path
import signal
import time

from .curves import curves_png
from .recipe import (
    choose_device, choose_dtype, held_out_episodes, initialise, network, norm_stats,
    normalisation, plain_options, schedule)
from .saving import LAST_SAVE, read_state, stop_signals, write_state
from .shards import describe, load_shards, POINT_NAMES
from .success import is_best, read_best, SuccessMeter
from ..errors import ConfigError
from ..files import saving_to, write_whole
from ..sim.options import scene_options

POINT_WEIGHT, SPACE_WEIGHT = 0.1, 0.3
HAND = POINT_NAMES.index('end_effector')
MODULES = ('model', 'average', 'auxiliary', 'optimizer')
SAVE_EVERY_S = 300


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
        print(describe(self.data))
        self.norm = normalisation(self.data)
        self.tokenizer = word_tokenizer(self.data.instructions)
        self.config = network(args, self.data, self.tokenizer)
        prompt = Prompt(self.tokenizer, self.config.model.text_length)
        self.token_ids = torch.tensor(
            [[prompt.bos_id, *prompt.encode(text)] for text in self.data.instructions]).numpy()
        self.device = choose_device(args.device)
        self.dtype = choose_dtype(args.dtype, self.device)
        self.model = VLA(self.config.model).to(self.device)
        initialise(self.model)
        self.init = self._warm_start()
        self.auxiliary = Auxiliary(
            self.config.model.llm.hidden_size, self.data.points_px.shape[1],
            len(POINT_NAMES)).to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        parameters = [*self.model.parameters(), *self.auxiliary.parameters()]
        decay = [p for p in parameters if p.ndim > 1]
        self.optimizer = torch.optim.AdamW(
            [{'params': decay, 'weight_decay': 0.05},
             {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0}],
            lr=args.learning_rate, betas=(0.9, 0.98))
        self.step, self.seconds, self.log = 0, 0.0, []
        self.meter = self._success_meter()

    @property
    def total_steps(self) -> int:
        """Coarse and fine steps together."""
        return self.args.coarse_steps + self.args.fine_steps

    def _warm_start(self) -> str:
        """Take over the weights of --init; return its name, or '' where it takes no part."""
        from .warm_start import warm_start
        path = self.args.init
        if path is None:
            return ''
        if (self.out / 'state.pt').is_file():
            print(f'--init is ignored: {self.out} holds a training that goes on')
            return ''
        print(warm_start(self.model, self.tokenizer, path))
        return Path(path).resolve().name

    def _success_meter(self):
        """Return what measures success in the simulator, or None without --eval-every."""
        args = self.args
        if not args.eval_every:
            return None
        return SuccessMeter(self.out / 'checkpoint', scene_options(args, self.data.instructions),
                            args.eval_episodes)

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
            seen[:, :HAND] = False  # the image does not know which object and place are meant
            points, pixel_error = self.auxiliary.image_points(
                visual, batch['points_px'], seen, (rows // pool, cols // pool),
                self.config.model.vision.image_size)
            space, space_error = self.auxiliary.space_loss(summary, batch['points_xyz'])
        error = (actions.float() - batch['actions']).abs()
        loss = error.mean() + POINT_WEIGHT * points + SPACE_WEIGHT * space
        return loss, {'action_l1': error.mean().item(), 'pixel_error': pixel_error.item(),
                      'space_error_m': space_error.item()}

    def loop(self) -> int:
        """
        Run to the last step, the time limit or a signal, saving every few minutes.

        Returns the exit status: 0, or 128 and the signal's number.
        """
        from tqdm import tqdm
        batches = self._split()
        began, saved = time.time() - self.seconds, time.time()
        deadline = time.time() + self.args.max_minutes * 60
        with stop_signals() as stop, tqdm(total=self.total_steps, initial=self.step,
                                          unit='step', mininterval=10) as bar:
            while self.step < self.total_steps and time.time() < deadline and not stop:
                figures = self._train_step(batches.take())
                bar.update()
                self.seconds = time.time() - began
                measure = self.meter and self._is_due(self.args.eval_every, at_end=True)
                if measure or self._is_due(self.args.log_every):
                    self._record(figures, bar)
                if measure:
                    paused = time.time()
                    self._measure(stop, bar)
                    began += time.time() - paused
                if time.time() - saved > SAVE_EVERY_S:
                    self.save()
                    saved = time.time()
            self.save()
        print(self._outcome(stop))
        return 128 + stop[0] if stop else 0

    def _split(self):
        """Draw the held-out batches; return the stream of training batches."""
        import numpy as np
        held = held_out_episodes(self.data)
        rows, held_rows = np.flatnonzero(~held), np.flatnonzero(held)
        held_out = self._batches(held_rows if len(held_rows) else rows, 64, 1, augment=False)
        self.held_batches = [held_out.make(held_out.draw()) for _ in range(6)]
        return self._batches(rows, self.args.batch_size, self.args.seed + self.step)

    def _is_due(self, every: int, at_end: bool = False) -> bool:
        return self.step % every == 0 or (at_end and self.step == self.total_steps)

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

    def _measure(self, stop: list, bar) -> None:
        """Log the success in the simulator, and keep the checkpoint if it is the best."""
        self._save_checkpoint('checkpoint')
        found = self.meter.measure(stop)
        if found is None:
            return
        found['step'] = self.step
        self.log[-1]['success'] = found
        best = is_best(found, read_best(self.out / 'best'))
        if best:
            self._save_checkpoint('best', validation=found)
        low, high = found['wilson95']
        bar.write(f'step {self.step}: {found["successes"]} of {found["episodes"]} validation '
                  f'episodes ({low:.0%} .. {high:.0%})' + (', the best so far' if best else ''))
        self.save()

    def _outcome(self, stop: list) -> str:
        """Return what came out, in one line."""
        text = f'step {self.step} of {self.total_steps}'
        if self.step < self.total_steps:
            cause = f'stopped by {signal.Signals(stop[0]).name}' if stop else 'time is up'
            text += f', {cause}: the same command goes on'
        best = read_best(self.out / 'best')
        if best is None:
            return f'{text}. The checkpoint is {self.out / "checkpoint"}'
        return (f'{text}. The checkpoint to ship is {self.out / "best"}, of step {best["step"]}: '
                f'{best["successes"]} of {best["episodes"]} validation episodes')

    def save(self) -> None:
        """Write the resumable state, the checkpoint and the curves, each whole or not at all."""
        import torch
        write_state(self.out / 'state.pt', {
            **{name: getattr(self, name).state_dict() for name in MODULES},
            'step': self.step, 'seconds': self.seconds, 'log': self.log, 'init': self.init,
            'norm': {name: torch.as_tensor(value) for name, value in self.norm.items()}})
        self._save_checkpoint('checkpoint')
        with saving_to(self.out, 0, LAST_SAVE):
            write_whole(self.out / 'curves.json', json.dumps(self.log, indent=1).encode())
            if self.log and find_spec('matplotlib'):
                write_whole(self.out / 'curves.png', curves_png(self.log))

    def _save_checkpoint(self, name: str, **training) -> None:
        """Write the averaged weights in fp16 to a checkpoint directory in out."""
        import torch
        from ..model import checkpoint
        config = dataclasses.replace(self.config, training={
            'step': self.step, 'samples': self.step * self.args.batch_size,
            'minutes': round(self.seconds / 60, 1), 'arguments': plain_options(self.args),
            'episodes': self.data.episodes, 'frames': len(self.data),
            'skipped_shards': len(self.data.skipped), 'init': self.init, **training})
        weights = {name: tensor.detach().to('cpu', torch.float16)
                   for name, tensor in self.average.state_dict().items()}
        with saving_to(self.out, sum(tensor.nbytes for tensor in weights.values()), LAST_SAVE):
            checkpoint.save(self.out / name, config, weights,
                            {self.args.name: norm_stats(self.norm)}, self.tokenizer)

    def resume(self) -> None:
        """
        Go on from state.pt if there is one; raise ConfigError if it is of another shape.

        New shards may have been added since; the normalisation stays that of the first start.
        """
        path = self.out / 'state.pt'
        if not path.is_file():
            return
        state = read_state(path, self.device)
        try:
            for name in MODULES:
                getattr(self, name).load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f'{path} is of another model: give another output directory ({error})') from error
        self.step, self.seconds, self.log = state['step'], state['seconds'], state['log']
        self.init = state.get('init', '')
        self.norm = {name: value.numpy(force=True) for name, value in state['norm'].items()}
        print(f'resuming at step {self.step}')
