# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a conversion costs in actions, on observations that it has not learnt from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .conversion import FLOAT_TYPES, Task
from ..formats import open_checkpoint, Source
from ..loading.needs import memory_bytes
from ..loading.network import load_network
from ..loading.units import empty_model
from ..model.prompt import make_prompt
from ..model.vla import VLA
from ..options import PolicyOptions
from ..policy import Policy
from ..quant import packed_state, quantize_model
from ..samples.answers import action_errors, answers, executed_rows, recorded_actions
from ..samples.doubts import unknown_pictures, unseen
from ..samples.sample import chosen, Sample, Samples
from ..support.files import MIB
from ..support.memory import available_bytes
from ..support.progress import Progress

NEAREST, GPTQ = 'rounded to nearest', 'GPTQ'
MOST_OF_MEMORY = 0.7  # that weights may take
BLACK = 16  # samples that are asked about with black images, too


@dataclass(frozen=True)
class Measured:
    """
    Errors against full precision, by what was done to the weights.

    errors: {NEAREST or GPTQ: [n]}, the mean absolute difference of a sample's first `rows` rows
    of actions, in units of -1..1.  unlike: what makes it doubtful that the policy knows what the
    samples show, '' for nothing.  seen: how far full precision's actions are, as errors, from
    those with black images, on average over a few samples; None if not asked.
    """

    samples: Samples
    rows: int
    errors: dict[str, np.ndarray]
    unlike: str = ''
    seen: float | None = None

    def in_words(self) -> str:
        """Return the errors in a line."""
        listed = ', '.join(f'{name} {errors.mean():.4f}' for name, errors in self.errors.items())
        return (f'action error on {len(self.samples.samples)} samples held out, of '
                f'{len(self.samples.episodes)} episodes (first {self.rows} rows, -1 .. 1): '
                f'{listed}')

    def _unseen(self) -> str:
        text = '' if self.seen is None else unseen(self.seen)
        return f'{self.samples.name}: {text}' if text else ''

    def doubts(self) -> list[str]:
        """Return what a person should doubt, in words."""
        found = [text for text in (self.unlike, self._unseen()) if text]
        if len(self.errors) == 2:
            gain = self.errors[NEAREST] - self.errors[GPTQ]
            if gain.mean() <= 0:
                found.append(
                    f'GPTQ is no better here than rounding to nearest (action error '
                    f'{self.errors[GPTQ].mean():.4f} against {self.errors[NEAREST].mean():.4f}): '
                    'calibrate with more frames, of the robot and camera that the policy drives, '
                    'or convert with --rounding nearest')
        return found


def lack_of_memory(task: Task) -> str:
    """Return why the error cannot be measured here, '' if it can."""
    model = task.source.config.model
    needed = sum(memory_bytes(empty_model(model, record))
                 for record in ({}, task.scheme.record(None, False)))
    free = available_bytes()
    if free is None or needed <= MOST_OF_MEMORY * free:
        return ''
    return (f'the action error was not measured: full precision beside it takes about '
            f'{needed / MIB:.0f} MiB, of {free / MIB:.0f} MiB that are free {MOST_OF_MEMORY:.0%} '
            'may be used. Measure it on a larger machine')


def measured(task: Task, out, held_out: Samples) -> Measured:
    """
    Return the errors of a finished conversion, and of rounding to nearest where GPTQ was used.

    out: the converted directory.  Raises ObservationError for samples that cannot be used.
    """
    source, samples = _keyed(task.source), held_out.samples
    name = GPTQ if task.calibration else NEAREST
    networks = {name: lambda: load_network(_keyed(open_checkpoint(out)))}
    if task.calibration:
        networks = {NEAREST: lambda: _rounded(task, source), **networks}
    rows, errors = executed_rows(source.config), {}
    black = _black(samples)
    with Progress('measuring the action error', len(samples) * (1 + len(networks)) + len(black),
                  'inference') as progress:
        exact, blind = _exact(source, samples, black, progress)
        for name, network in networks.items():
            errors[name] = action_errors(
                exact, _answers(source, network(), samples, progress), rows)
    seeing = exact[chosen(len(samples), BLACK)]
    return Measured(held_out, rows, errors, _unlike(held_out, exact, blind, source, rows),
                    float(action_errors(seeing, blind, rows).mean()))


def _keyed(source: Source) -> Source:
    return source.with_key(source.config.unnorm_key or next(iter(source.norm_stats)))


def _black(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return a few of the samples, with black images."""
    return tuple(replace(samples[index], images=tuple(map(np.zeros_like, samples[index].images)))
                 for index in chosen(len(samples), BLACK))


def _exact(source: Source, samples, black, progress) -> tuple[np.ndarray, np.ndarray]:
    """Return full precision's answers to samples, and to those with black images."""
    model = load_network(source, 'fp')
    return (_answers(source, model, samples, progress),
            _answers(source, model, black, progress))


def _answers(source: Source, model: VLA, samples: tuple[Sample, ...], progress) -> np.ndarray:
    config = source.config
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    policy = Policy(model, config, source.statistics(), prompt, PolicyOptions(),
                    torch.device('cpu'), torch.float32)
    return answers(policy, samples, progress.advance)


def _rounded(task: Task, source: Source) -> VLA:
    """Return the network that the same conversion gives without GPTQ."""
    model = load_network(source, 'fp', prepare=False)
    quantize_model(model, task.scheme)
    kept = packed_state(model, FLOAT_TYPES[task.float_type])
    model.load_state_dict({name: tensor.float() if tensor.is_floating_point() else tensor
                           for name, tensor in kept.items()})
    return model


def _unlike(held_out: Samples, exact: np.ndarray, blind: np.ndarray, source: Source,
            rows: int) -> str:
    """
    Return whether the policy's actions are too far from what was recorded.

    Further than a constant action is, or hardly nearer than with black images.
    """
    recorded = recorded_actions(held_out, source.statistics())
    if recorded is None:
        return ''
    own = action_errors(recorded, exact, rows).mean()
    constant = np.abs(recorded - np.median(recorded, axis=0))[:, :rows].mean()
    if own < constant:
        few = chosen(len(exact), BLACK)
        text = unknown_pictures(*(float(action_errors(recorded[few], actions, rows).mean())
                                  for actions in (exact[few], blind)))
        return f'{held_out.name}: {text}' if text else ''
    return (f'{held_out.name}: full precision is {own:.2f} off the recorded actions, and one '
            f'constant action only {constant:.2f}: is it of another robot, camera or scene than '
            'the policy was trained on?')
