# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All variants of a policy, asked about the same frames one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .seen_once import Remembered, seen_once
from ..errors import ConfigError, ObservationError
from ..evaluate.noise import NoisyPolicy
from ..evaluate.plan import BASELINE, Row
from ..evaluate.rollouts import controlled
from ..inference.device import find_device, find_dtype
from ..loading.vision_type import FLOAT32, may_round, Measured
from ..observation import Observation, TokenSelection
from ..options import PolicyOptions
from ..policy import load_policy

REPEAT, BLANK = 'repeat', 'blank-image'
AGAIN = 'fp-repeat'
FULL = Row(BASELINE)


@dataclass(frozen=True, eq=False)
class Answers:
    """
    What a row answered to n frames.

    actions: float32 [n, T, A] in the checkpoint's units.  selections: what was kept in each
    frame, empty where all tokens were.  doubts: of each frame, see ActionChunk.
    """

    row: Row
    actions: np.ndarray
    selections: tuple[TokenSelection, ...]
    doubts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Asked:
    """
    What is asked, of what.

    checkpoint: the original.  quantized: a converted directory of it, for the rows of 4-bit
    weights, or None.  policy: what all rows have in common.
    measured: gives the checkpoint's EncoderError.  remembered: what the encoders made of the
    frames, by their checkpoint and type.
    """

    checkpoint: Path
    rows: tuple[Row, ...]
    policy: PolicyOptions = PolicyOptions()
    quantized: Path | None = None
    measured: Measured = lambda: None
    remembered: dict[tuple[Path, str], Remembered] = field(default_factory=dict)

    def source(self, row: Row) -> Path:
        """Return the directory that a row's weights are of."""
        converted = self.quantized is not None and row.takes_converted
        return self.quantized if converted else self.checkpoint

    def answers(self, observations: Sequence[Observation],
                advance: Callable[[str], None] = lambda name: None) -> Iterator[Answers]:
        """
        Yield full precision's answers, and then those of each row, with the repetitions.

        Rows of the same weights follow each other, whatever the order of `rows`: a policy is
        loaded once, and one is in memory at a time.  advance(name of the row) is called for each
        frame.  Raises ConfigError, with the number of the frame, for one that cannot be answered.
        """
        groups: dict[tuple, list[Row]] = {}
        for row in (FULL, *self.rows):
            groups.setdefault((self.source(row), self.options(row)), []).append(row)
        for (source, options), rows in groups.items():
            loaded = load_policy(source, options)
            for row in rows:
                policy = self._policy(loaded, row)
                known = None if row.variant == AGAIN else self.known(
                    source, loaded.vision_type.name)
                yield answered(row, policy, observations, known, advance)
                if row in _repeated(self.rows):
                    policy.reset()
                    yield answered(replace(row, control=REPEAT), policy, observations, None,
                                   advance)
            policy = None  # only `loaded` holds the weights
            if FULL in rows:
                blank = [controlled(each, BLANK) for each in observations]
                yield answered(Row(BASELINE, control=BLANK), loaded.twin(None), blank, None,
                               advance)
            loaded = None  # before the next is read

    def options(self, row: Row) -> PolicyOptions:
        """Return what a row's weights are loaded with; full precision's encoder is not rounded."""
        common, device = self.policy, find_device(self.policy.device)
        rounds = may_round(common.vision_dtype, device, find_dtype(common.dtype, device),
                           self.measured)
        return replace(common, precision=row.precision, keep=None, vision_dtype=(
            FLOAT32 if row == FULL and rounds else common.vision_dtype))

    def known(self, source: Path, vision_type: str) -> Remembered | None:
        """Return what is remembered of an encoder of a type; None where rows differ in it."""
        if self.policy.int8:
            return None
        return self.remembered.setdefault((source, vision_type), Remembered())

    def _policy(self, loaded, row: Row):
        policy = loaded.twin(row.selection(self.policy))
        noise = row.facts.noise
        return NoisyPolicy(policy, noise, self.policy.seed) if noise else policy

    @property
    def asked(self) -> int:
        """Return how many answers there are to each frame."""
        return len({FULL, *self.rows}) + len(_repeated(self.rows)) + 1


def _repeated(rows) -> tuple[Row, ...]:
    """Return the rows that are asked twice: full precision, and the first other one."""
    return (FULL, *[row for row in rows if row != FULL][:1])


def answered(row: Row, policy, observations: Sequence[Observation],
             remembered: Remembered | None = None,
             advance: Callable[[str], None] = lambda name: None) -> Answers:
    """
    Ask about all frames in their order: noise and random choices depend on it.

    policy: begins anew.  remembered: None computes everything.  For the others see Asked.answers.
    """
    actions, selections, doubts = [], [], []
    with seen_once(policy, remembered):
        for number, observation in enumerate(observations):
            if remembered is not None:
                remembered.frame = number
            try:
                chunk = policy.infer(observation)
            except ObservationError as error:
                raise ConfigError(f'frame {number} (instruction '
                                  f'{observation.instruction!r}): {error}') from error
            actions.append(chunk.actions)
            doubts.append(chunk.doubts)
            if chunk.selection is not None:
                selections.append(chunk.selection)
            advance(row.name)
    return Answers(row, np.array(actions), tuple(selections), tuple(doubts))
