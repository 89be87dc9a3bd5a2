# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How much a policy's answer changes where some of its visual tokens are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from sqap_vla_ros.model.oft import OFTHeadConfig
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
import torch

NOTHING = 'none'  # rows, where none score
ROWS = ('prompt', 'last of the prompt', 'read by the head', 'state and prompt', 'prompt to head')


@dataclass(frozen=True)
class Choice:
    """
    How tokens are dropped.

    rows: a name of `rows_of`, or NOTHING.  keep: the share that stays.  views: see Subject.
    """

    prune_layer: int
    rows: str
    method: str
    budget: str
    keep: float

    def selection(self, total: int) -> SelectionConfig:
        """Return the selection of so many tokens; an eighth of them may be preserved."""
        return SelectionConfig(round(self.keep * total), total // 8, protect=False, ties='even',
                               method=self.method, budget=self.budget)


@dataclass(frozen=True)
class Subject:
    """
    A policy, and what it is shown.

    views, grid: how its visual tokens are chosen from, as images of rows and columns.  inputs:
    decoder inputs [1, S, D], one at a time.
    """

    model: VLA
    views: int
    grid: tuple[int, int]
    inputs: Iterable[torch.Tensor]


def rows_of(config, length: int) -> dict[str, range]:
    """Return by name the rows of a sequence whose attention may score the visual tokens."""
    first = config.prefix + config.num_visual + (config.state_dim > 0)
    head = config.head_rows(length)
    is_oft = isinstance(config.head, OFTHeadConfig)
    end = head.start + 1 if is_oft else head.start  # OFT reads the prompt's last row, too
    return {'prompt': range(first, end), 'last of the prompt': range(end - 1, end),
            'read by the head': head, 'prompt to head': range(first, head.stop),
            'state and prompt': range(first - (config.state_dim > 0), end)}


def choices(layers, keeps, others: bool = True) -> list[Choice]:
    """Return all of them; others: the baselines, too."""
    found = []
    for layer in layers:
        for keep in keeps:
            for budget in ('joint', 'each'):
                found += [Choice(layer, rows, 'sqap', budget, keep)
                          for rows in ROWS]
                found += [Choice(layer, 'prompt', 'attention', budget, keep),
                          Choice(layer, NOTHING, 'random', budget, keep)] if others else []
            if others:
                found.append(Choice(layer, NOTHING, 'uniform', 'joint', keep))
    return found


@torch.inference_mode()
def errors(subject: Subject, asked: list[Choice]) -> Iterator[dict[Choice, float]]:
    """Yield of each input how far the answers are from that with all tokens: mean absolute."""
    model, config = subject.model, subject.model.config
    total = subject.views * subject.grid[0] * subject.grid[1]
    for step, x in enumerate(subject.inputs):
        places = torch.arange(x.shape[1])
        rows, found = rows_of(config, x.shape[1]), {}
        for layer in sorted({choice.prune_layer for choice in asked}):
            model.config = replace(config, prune_layer=layer)
            half, _ = model.llm.run(x, places, 0, layer)
            whole = answer(model, half, None)
            scores = {name: model.llm.run(x, places, 0, layer, part)[1][0][
                config.prefix:config.prefix + total].numpy() for name, part in rows.items()}
            for choice in asked:
                if choice.prune_layer == layer:
                    kept = select_tokens(scores.get(choice.rows), None, subject.grid,
                                         choice.selection(total), step, subject.views).kept
                    pruned = answer(model, half, torch.from_numpy(kept))
                    found[choice] = float((pruned - whole).abs().mean())
        model.config = config
        yield found


def answer(model: VLA, half, kept) -> torch.Tensor:
    """Return the normalised chunk [T, A] for the states in front of the first pruned block."""
    return model.answer(model.prefill_kept(half, kept), half.shape[1])[0]


def table(found: list[dict[Choice, float]]) -> list[dict]:
    """Return rows of plain values: mean error, its standard error, and the number of inputs."""
    result = []
    for choice in found[0]:
        values = np.array([each[choice] for each in found])
        result.append({**vars(choice), 'error': float(values.mean()),
                       'standard_error': float(values.std(ddof=1) / len(values) ** 0.5),
                       'inputs': len(values)})
    return result
