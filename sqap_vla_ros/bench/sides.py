# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The two sides of every ratio: plain float32 at its fastest, and SQAP.

Both are the same network and the same code around it; they differ in the precision of the
decoder's linear layers and in the number of visual tokens kept.  bfloat16 is a third side where
it is asked for.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from functools import lru_cache
import time

import numpy as np
import torch
from torch.nn import functional as F

from .sizes import sequence_length
from ..inference.inputs import noise_shape
from ..inference.plan import Plan
from ..kernels.base import Unavailable
from ..kernels.cpu import onednn_linear
from ..kernels.float_layers import use_fastest_linears
from ..model.bfloat16_vision import use_bfloat16_vision
from ..model.int8_vision import use_int8_vision
from ..model.llama import Llama, LlamaConfig
from ..model.native_blocks import use_native_blocks
from ..model.native_vision import use_native_vision
from ..model.vla import VLA, VLAConfig
from ..quant import packed_state, prepare_kernels, quantize_model
from ..support.timing import best_seconds
from ..tokens.choice import SelectionConfig

STAGES = ('vision', 'prefill_1', 'selection', 'prefill_2', 'head')  # of inference.plan.Plan
BFLOAT16, INT8 = 'bfloat16', 'int8'
ENCODERS = {BFLOAT16: use_bfloat16_vision, INT8: use_int8_vision}  # of all but linear layers, too
BACKBONE = ('prefill_1', 'prefill_2')


@torch.inference_mode()
def random_model(config: VLAConfig, precision: str = 'fp', overrides=None,
                 dtype: torch.dtype | None = None) -> VLA:
    """
    Return a model with random weights, quantized as a checkpoint would be.

    Only one block is made and quantized; the others are copies, each with memory of its own.
    dtype: of all floats but those of quantized layers, None leaves float32.
    """
    one = dataclasses.replace(
        config, prune_layer=1, llm=dataclasses.replace(config.llm, num_layers=1))
    with torch.inference_mode(False):
        model = VLA(one).eval().requires_grad_(False)
        if precision != 'fp':
            quantize_model(model, precision, overrides=overrides or {})
        if dtype is not None:
            model.load_state_dict(packed_state(model, dtype), assign=True)
            model.requires_grad_(False)
        block = model.llm.layers[0]
        model.llm.layers.extend(
            copy.deepcopy(block) for _ in range(config.llm.num_layers - 1))
    model.config, model.llm.config = config, config.llm
    return model


@lru_cache(maxsize=None)
@torch.inference_mode()
def onednn_wins(outputs: int, inputs: int, rows: int, threads: int) -> bool:
    """Return whether oneDNN's product is faster than torch's for a shape, timed once."""
    weight, x = torch.ones(outputs, inputs), torch.ones(rows, inputs)
    try:
        packed = best_seconds(onednn_linear(weight, rows), x)
    except Unavailable:
        return False
    return packed < best_seconds(lambda x: F.linear(x, weight), x)


def fastest_product(weight: torch.Tensor, rows: int):
    """Return the faster function x [M, K] -> x @ weight^T for this very shape, weight [N, K]."""
    if onednn_wins(*weight.shape, rows, torch.get_num_threads()):
        return onednn_linear(weight, rows)
    return lambda x: F.linear(x, weight)


@lru_cache(maxsize=None)
@torch.inference_mode()
def native_block_wins(llm: LlamaConfig, rows: int, threads: int) -> bool:
    """Return whether a float32 block is faster in one native call than at its fastest else."""
    one = Llama(dataclasses.replace(llm, num_layers=1, vocab_size=1)).eval()
    native, inputs = copy.deepcopy(one), (torch.ones(1, rows, llm.hidden_size), torch.arange(rows))
    if not use_native_blocks(native):
        return False
    use_fastest_linears(one, rows, fastest_product)
    return best_seconds(native, *inputs) < best_seconds(one, *inputs)


def float32_model(config: VLAConfig) -> VLA:
    """Return a plain model whose every block and linear layer runs at its fastest."""
    model, rows = random_model(config), sequence_length(config)
    use_native_vision(model)
    if native_block_wins(config.llm, rows, torch.get_num_threads()):
        use_native_blocks(model.llm)
    use_fastest_linears(model, rows, fastest_product)
    return model


def quantized_model(config: VLAConfig, precision: str, vision: str = 'fp') -> VLA:
    """
    Return a quantized model with its kernels ready.

    vision: precision of the encoder's blocks, or bfloat16 or int8, which its stem and the
    projector have then, too.  What stays in float32 runs at its fastest as well.
    """
    of_blocks = {} if vision in ('fp', *ENCODERS) else {'vision': vision}
    model = random_model(config, precision, of_blocks)
    rows = sequence_length(config)
    prepare_kernels(model, rows=rows, release=True)
    ENCODERS.get(vision, use_native_vision)(model)
    use_native_blocks(model.llm)
    use_fastest_linears(model, rows, fastest_product)
    return model


@dataclass(frozen=True)
class Inputs:
    """Images and a prompt with everything random in them."""

    pixels: torch.Tensor
    token_ids: torch.Tensor
    state: torch.Tensor | None
    noise: torch.Tensor | None

    @classmethod
    def random(cls, config: VLAConfig) -> Inputs:
        """Return float32 inputs for a model of this configuration."""
        size, shape = config.vision.image_size, noise_shape(config.head)
        noise = None if shape is None else torch.randn(1, *shape)
        return cls(
            torch.randn(1, config.images * config.vision.channels, size, size),
            torch.randint(config.llm.vocab_size, (1, 1 + config.text_length)),
            torch.randn(1, config.state_dim) if config.state_dim else None, noise)

    def to(self, dtype: torch.dtype) -> Inputs:
        """Return the same inputs with pixels of another type, as a policy has them."""
        return dataclasses.replace(self, pixels=self.pixels.to(dtype))


@dataclass(frozen=True)
class Side:
    """
    A model, its inputs, and how it selects visual tokens (None keeps them all).

    all_rows: see Plan.
    """

    name: str
    model: VLA
    inputs: Inputs
    selection: SelectionConfig | None = None
    all_rows: bool = False

    @torch.inference_mode()
    def infer(self, clock=time.perf_counter) -> dict[str, float]:
        """Run one inference and return the milliseconds of every stage."""
        inputs = self.inputs
        config = self.model.config
        size = config.vision.image_size
        plan = Plan(self.model, lambda image: inputs.pixels, inputs.pixels.device,
                    inputs.token_ids.shape[1], self.selection, all_rows=self.all_rows)
        plan.fill(np.zeros((config.images, size, size, 3), np.uint8), inputs.token_ids,
                  inputs.state, inputs.noise)
        plan.inputs.upload()
        marks = [clock()]
        for stage in plan.stages.values():
            stage()
            marks.append(clock())
        return {stage: (end - start) * 1e3
                for stage, start, end in zip(STAGES, marks, marks[1:])}
