# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a policy answers to one look, whichever patches are dropped and whatever becomes of them.

TREATMENTS: 'gone', 'follow' (see model/followers.py); 'log-size', where the logit of each kept
patch is raised by the log of the number of patches that are nearest to it; and 'merged', where it
becomes their mean.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from sqap_vla_ros.model import llama
from sqap_vla_ros.model.followers import nearness
from sqap_vla_ros.samples.answers import action_errors, executed_rows
import torch
from torch.nn import functional as F

from .measure import answer, rows_of

TREATMENTS = ('gone', 'follow', 'log-size', 'merged')


@dataclass
class Reply:
    """
    One look as the decoder has it.

    halves: by block, the states [1, S, D] in front of it; attention: by block, the mean over heads
    of what each row pays to the patches [S, N]; whole [T, A]: the answer with all tokens.
    """

    model: object
    config: object
    executed: int
    halves: dict[int, torch.Tensor]
    attention: dict[int, np.ndarray]
    whole: np.ndarray

    def scores(self, rows: str, block: int | None = None) -> np.ndarray:
        """Return the attention [N] of the rows of a name, in the last block that sees all."""
        block = self.config.prune_layer - 1 if block is None else block
        part = rows_of(self.config, self.halves[0].shape[1])[rows]
        return self.attention[block][part.start:part.stop].mean(axis=0)

    def answers(self, kept, treatment: str = 'gone', layer: int | None = None) -> np.ndarray:
        """Return the chunk [T, A] with these patches; layer: the first that is pruned."""
        model, kept = self.model, torch.from_numpy(np.asarray(kept))
        layer = layer or self.config.prune_layer
        model.config = replace(self.config, prune_layer=layer)
        half = self.halves[layer]
        try:
            if treatment == 'follow':
                hidden = model.prefill_kept(half, kept, follow=True)
                return model.answer(hidden, half.shape[1])[0].numpy()
            if treatment == 'log-size':
                with _raised(model.llm, self._sizes(kept).log(), self.config.prefix):
                    return answer(model, half, kept).numpy()
            return answer(model, self._merged(half, kept) if treatment == 'merged' else half,
                          kept).numpy()
        finally:
            model.config = self.config

    def error(self, kept, treatment: str = 'gone', layer: int | None = None) -> float:
        """Return how far the rows that are executed are from those with all tokens."""
        found = self.answers(kept, treatment, layer)
        return float(action_errors(self.whole[None], found[None], self.executed)[0])

    def _nearest(self, kept):
        """Return int64 [N]: of each patch the place of the nearest kept one."""
        return nearness(*self.config.vision.grid, self.config.images,
                        kept.device).index_select(1, kept).argmin(1)

    def _sizes(self, kept):
        return torch.bincount(self._nearest(kept), minlength=len(kept)).float()

    def _merged(self, half, kept):
        """Return states in which each kept patch is the mean of those that are nearest to it."""
        first, count = self.config.prefix, self.config.num_visual
        patches = half[0, first:first + count]
        sums = torch.zeros(len(kept), half.shape[2]).index_add(0, self._nearest(kept), patches)
        merged = half.clone()
        merged[0, first + kept] = sums / self._sizes(kept)[:, None]
        return merged


@torch.inference_mode()
def reply(policy, look) -> Reply:
    """Run a policy on a look with all tokens, and keep what lies between its blocks."""
    model, inputs, config = policy.model, policy.inputs, policy.model.config
    x = model.embed(model.encode_image(inputs.pixels(look.image)),
                    inputs.token_ids(look.instruction), inputs.state(look.state))
    length, halves, attention = x.shape[1], {}, {}
    patches = slice(config.prefix, config.prefix + config.num_visual)
    rotary = tuple(table[:length] for table in model.llm.rotary(length, x))
    for block in range(config.llm.num_layers):
        halves[block] = x
        attention[block] = _attention(model.llm.layers[block], x, rotary)[:, patches].numpy()
        x, _ = model.llm.run(x, rotary, block, block + 1)
    halves[config.llm.num_layers] = x
    rows = config.head_rows(length)
    whole = model.answer(model.llm.norm(x[:, rows.start:rows.stop]), length)[0]
    return Reply(model, config, executed_rows(policy.config), halves, attention, whole.numpy())


def _attention(layer, x, rotary):
    """Return the mean over heads of a block's attention [S, S]."""
    attention, width = layer.self_attn, layer.self_attn.config.head_dim
    groups = attention.config.num_heads // attention.config.num_kv_heads
    y = layer.input_layernorm(x)
    q, k = (llama.apply_rotary(part(y).unflatten(-1, (-1, width)).transpose(1, 2), *rotary)[0]
            for part in (attention.q_proj, attention.k_proj))
    logits = q @ k.repeat_interleave(groups, 0).transpose(1, 2) / width ** 0.5
    later = torch.ones(logits.shape[1:], dtype=torch.bool).triu(1)
    return logits.masked_fill(later, float('-inf')).softmax(-1).mean(0)


@contextmanager
def _raised(llm, logits, first: int):
    """Have a decoder's attention raise the logits of the keys from `first` on by these [K]."""
    usual, natives = llama.attend, [layer.native for layer in llm.layers]

    def attend(q, k, v, *_):
        queries, keys = q.shape[2], k.shape[2]  # the queries are the last of the rows
        mask = torch.zeros(queries, keys).masked_fill(
            torch.ones(queries, keys, dtype=torch.bool).triu(keys - queries + 1), float('-inf'))
        mask[:, first:first + len(logits)] += logits
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    llama.attend = attend
    try:
        for layer in llm.layers:
            layer.native = None  # a block in one call attends by itself
        yield
    finally:
        llama.attend = usual
        for layer, native in zip(llm.layers, natives):
            layer.native = native
