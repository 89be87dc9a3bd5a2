# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One training run: data, steps, figures, measurements, and what it leaves on the disk."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
import json
from pathlib import Path
import signal
import time

from .diverged import Diverged
from .loss_curves import curves_png, finite, line_of
from .recipe import (
    chances, choose_device, choose_dtype, initialise, network, norm_stats, normalisation,
    plain_options, split_rows)
from .saving import LAST_SAVE, read_state, stop_signals, write_state
from .shards import describe, differences, folders_of, load_shards
from .success import best_of, last_measured, SuccessMeter
from ..errors import ConfigError
from ..sim.options import scene_options
from ..sim.placements import NoRoomError
from ..support.files import check_directory, make_directory, saving_to, write_whole
from ..support.progress import Progress
from ..support.requirements import require

HELD_OUT_BATCHES, HELD_OUT_SIZE = 6, 64
SAVE_EVERY_S = 300


class Trainer:
    """Everything that lives as long as one training run."""

    def __init__(self, args):
        """Load the data and make the network; raise ConfigError for data that does not do."""
        import torch
        from ..model.prompt import Prompt, word_tokenizer
        torch.manual_seed(args.seed)
        self.args, self.out = args, Path(args.out)
        self.device = choose_device(args.device)
        with Progress('reading the demonstrations'):
            self.data = load_shards(*args.data)
        print(describe(self.data))
        self.rows, self.held_rows = split_rows(self.data)
        self.chances = chances(self.data, self.rows, args.weights)
        self.folders = folders_of(args.data, args.weights)
        if not len(self.held_rows):
            print('no episode is held out: the curves are of training batches only')
        make_directory(self.out)
        check_directory(self.out, 'OUT')
        self.norm = self._normalisation()
        self.tokenizer = word_tokenizer(self.data.instructions)
        self.config = network(args, self.data, self.tokenizer)
        prompt = Prompt(self.tokenizer, self.config.model.text_length)
        self.token_ids = torch.tensor(
            [[prompt.bos_id, *prompt.encode(text)] for text in self.data.instructions]).numpy()
        self.learner, self.init = self._learner()
        self.step, self.samples, self.seconds, self.log = 0, 0, 0.0, []
        self.meter = self._success_meter()
        self.held_batches: list[dict] = []
        self._saved, self._failed_at = time.monotonic(), None

    @property
    def total_steps(self) -> int:
        """Coarse and fine steps together."""
        return self.args.coarse_steps + self.args.fine_steps

    def _learner(self) -> tuple:
        """Return the Learner, and the name of the --init it took weights of, '' for none."""
        from .learner import Learner
        from ..model.vla import VLA
        dtype = choose_dtype(self.args.dtype, self.device)
        model = VLA(self.config.model).to(self.device)
        initialise(model)
        init = self._warm_start(model)
        points = len(self.data.point_names)
        return Learner(model, points, self.args, self.device, dtype), init

    def _warm_start(self, model) -> str:
        """Take over the weights of --init; return its name, or '' where it takes no part."""
        from .warm_start import warm_start
        path = self.args.init
        if path is None:
            return ''
        if (self.out / 'state.pt').is_file():
            print(f'--init is ignored: {self.out} holds a training that goes on')
            return ''
        print(warm_start(model, self.tokenizer, path))
        return Path(path).resolve().name

    def _normalisation(self) -> dict:
        """Return that of --init, where it is kept, else that of the data."""
        if not self.args.keep_norm:
            return normalisation(self.data)
        from .warm_start import normalisation_of
        if self.args.init is None:
            raise ConfigError('--keep-norm keeps the normalisation of --init: give a checkpoint')
        return normalisation_of(self.args.init)

    def _success_meter(self):
        """Return what measures success in the simulator, or None without --eval-every."""
        args = self.args
        if not args.eval_every:
            return None
        require(ConfigError, 'libero', 'mujoco')
        with Progress('building the simulator'):
            return SuccessMeter(
                self.out / 'checkpoint', scene_options(args, self.data.instructions),
                args.eval_episodes)

    def _batches(self, rows, size, seed, **options):
        from .batches import Batches
        return Batches(self.data, rows, self.token_ids, self.norm, size, seed, **options)

    def loop(self) -> int:
        """
        Run to the last step, the time limit or a signal; return 0 or 128 + its number.

        Raises Diverged, with all saved, where the loss is not finite any more.
        """
        batches = self._batches(
            self.rows, self.args.batch_size, self.args.seed + self.step, chances=self.chances)
        if len(self.held_rows):
            held_out = self._batches(self.held_rows, HELD_OUT_SIZE, 1, augment=False)
            self.held_batches = [held_out.make(held_out.draw()) for _ in range(HELD_OUT_BATCHES)]
        deadline = time.monotonic() + self.args.max_minutes * 60
        with stop_signals() as stop, Progress('train', total=self.total_steps, done=self.step,
                                              unit='step') as bar:
            try:
                while not stop and time.monotonic() < deadline:
                    if self._measurement_is_due():
                        self._measure(stop, deadline, bar)
                    elif self.step < self.total_steps:
                        self._advance(batches, bar)
                    else:
                        break
            except Diverged:
                self.save()  # what was learnt until then
                raise
            self.save()
        print(self._outcome(stop))
        return 128 + stop[0] if stop else 0

    def _measurement_is_due(self) -> bool:
        if not self.meter or self.step in (0, last_measured(self.log), self._failed_at):
            return False
        return self.step % self.args.eval_every == 0 or self.step == self.total_steps

    def _advance(self, batches, bar) -> None:
        began = time.monotonic()
        figures = self.learner.train_step(batches.take(), self.step)
        self.step += 1
        self.samples += self.args.batch_size
        bar.advance()
        if self.step % self.args.log_every == 0 or self._measurement_is_due():
            self._record(bar, train=figures)
        if began - self._saved > SAVE_EVERY_S:
            self.save()
        self.seconds += time.monotonic() - began

    def _record(self, bar, **figures) -> None:
        """Add a row of figures to the log: those given, and those on held-out episodes."""
        row = {'step': self.step, 'samples': self.samples,
               'minutes': round(self.seconds / 60, 2), **figures}
        if self.held_batches:
            row['held_out'] = self.learner.figures(self.held_batches, self.step)
            row['blank'] = self.learner.figures(self.held_batches, self.step, blank=True)
        self.log.append(row)
        bar.write(line_of(row))

    def _measure(self, stop: list, deadline: float, bar) -> None:
        """Log the success in the simulator, and keep the checkpoint if it is the best."""
        if not self.log or self.log[-1]['step'] != self.step:
            self._record(bar)
        self.save()
        bar.show('measuring success in the simulator')
        try:
            found = self.meter.measure(stop, deadline)
        except (NoRoomError, RuntimeError) as error:  # a seed's start, or a process that died
            self._failed_at = self.step
            bar.write(f'step {self.step}: success was not measured, training goes on: {error}')
            return
        bar.show('')
        if found is None:
            return
        found['step'] = self.step
        self.log[-1]['success'] = found
        best = best_of(self.log) is found
        if best:
            self._save_checkpoint('best', validation=found)
        low, high = found['wilson95']
        bar.write(f'step {self.step}: {found["successes"]} of {found["episodes"]} validation '
                  f'episodes ({low:.0%} .. {high:.0%})' + (', the best so far' if best else ''))
        self.save()

    def _outcome(self, stop: list) -> str:
        text = f'step {self.step} of {self.total_steps}'
        if self.learner.skipped_in_all:
            text += (f', {self.learner.skipped_in_all} of them left out, whose loss or gradients '
                     'were not finite')
        if self.step < self.total_steps or self._measurement_is_due():
            cause = f'stopped by {signal.Signals(stop[0]).name}' if stop else 'time is up'
            text += f', {cause}: the same command goes on'
        best = best_of(self.log)
        if best is None:
            return f'{text}. The checkpoint is {self.out / "checkpoint"}'
        low, high = best['wilson95']
        return (f'{text}. The best of what was tried is {self.out / "best"}, of step '
                f'{best["step"]}: {best["successes"]} of {best["episodes"]} validation episodes '
                f'({low:.0%} .. {high:.0%}); measure it on test seeds with `sqap-vla eval`')

    def save(self) -> None:
        """Write the resumable state, the checkpoint and the curves, each whole or not at all."""
        import torch
        write_state(self.out / 'state.pt', {
            **self.learner.state(), **self._identity(), 'step': self.step,
            'samples': self.samples, 'seconds': self.seconds, 'log': self.log,
            'init': self.init, 'dtype': self._dtype_name(), 'folders': self.folders,
            'norm': {name: torch.as_tensor(value) for name, value in self.norm.items()}})
        self._save_checkpoint('checkpoint')
        with saving_to(self.out, 0, LAST_SAVE):
            write_whole(self.out / 'curves.json', json.dumps(finite(self.log), indent=1).encode())
            if self.log and find_spec('matplotlib'):
                write_whole(self.out / 'curves.png', curves_png(self.log))
        self._saved = time.monotonic()

    def _identity(self) -> dict:
        return {'instructions': list(self.data.instructions),
                'point_names': list(self.data.point_names)}

    def _dtype_name(self) -> str:
        return str(self.learner.dtype).removeprefix('torch.')

    def _save_checkpoint(self, name: str, **training) -> None:
        import torch
        from ..formats import checkpoint
        config = dataclasses.replace(self.config, training={
            'step': self.step, 'samples': self.samples,
            'minutes': round(self.seconds / 60, 1), 'arguments': plain_options(self.args),
            'dtype': self._dtype_name(), 'episodes': self.data.episodes,
            'frames': len(self.data), 'skipped_shards': len(self.data.skipped),
            'init': self.init, 'folders': self.folders, **training})
        weights = {name: tensor.detach().to('cpu', torch.float16)
                   for name, tensor in self.learner.average.state_dict().items()}
        with saving_to(self.out, sum(tensor.nbytes for tensor in weights.values()), LAST_SAVE):
            checkpoint.save(self.out / name, config, weights,
                            {self.args.name: norm_stats(self.norm)}, self.tokenizer)

    def resume(self) -> None:
        """Go on from state.pt, if there is one, with its norm; ConfigError if it does not fit."""
        path = self.out / 'state.pt'
        if not path.is_file():
            return
        with Progress('reading the state to go on with'):
            state = read_state(path, self.device)
        wanted = self._identity()
        changed = differences({**wanted, **{name: state[name] for name in wanted.keys() & state}},
                              wanted)
        if changed:
            raise ConfigError(f'{path} is of other demonstrations: {changed}. Give another output '
                              f'directory, with --init {self.out / "checkpoint"} to begin with '
                              'its weights')
        try:
            self.learner.load_state(state)
            self.step, self.seconds, self.log = state['step'], state['seconds'], state['log']
            self.norm = {name: value.numpy(force=True) for name, value in state['norm'].items()}
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f'{path} is of another model: give another output directory ({error})') from error
        self.init = state.get('init', '')
        self._compare_folders(state.get('folders', self.folders))
        self.samples = state.get('samples', self._samples_of_old())
        if self.args.dtype == 'auto':
            self.learner.dtype = choose_dtype(state.get('dtype', 'auto'), self.device)
        print(f'resuming at step {self.step}')

    def _compare_folders(self, before: list) -> None:
        """Say where a training goes on with other folders, or other weights of them."""
        changed = differences({'folders': before}, {'folders': self.folders})
        if changed:
            print(f'WARNING: {self.out} was learnt from other demonstrations, and goes on with '
                  f'these: {changed}')

    def _samples_of_old(self) -> int:
        """Return the samples of a state that does not say them: by the batch size of its log."""
        if not self.log:
            return self.step * self.args.batch_size
        return self.step * self.log[-1]['samples'] // self.log[-1]['step']
