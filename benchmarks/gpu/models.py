# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Networks with random weights, made and quantized on the device, one decoder block at a time."""

from __future__ import annotations

import copy
import dataclasses
import gc

from sqap_vla_ros.bench.sizes import sequence_length
from sqap_vla_ros.model.vla import VLA, VLAConfig
from sqap_vla_ros.quant import packed_state, prepare_kernels, quantize_model
import torch

from .clock import synchronize
from .shapes import SQAP, Variant

GIB = 2 ** 30


@torch.inference_mode(False)
@torch.no_grad()
def random_model(config: VLAConfig, precision: str, vision: str, device: torch.device,
                 dtype: torch.dtype) -> tuple[VLA, dict]:
    """
    Return a network whose floats are of `dtype`, and its quantization record.

    precision, vision: see shapes.Variant.

    One block is made in float32, rotated and quantized as a checkpoint is, and packed; the others
    are copies of it with memory of their own, since only shapes matter for speed.  So the whole
    decoder is never in memory in more than its own precision.  Two networks of one configuration
    have the same weights.
    """
    torch.manual_seed(0)
    one = dataclasses.replace(
        config, prune_layer=1, llm=dataclasses.replace(config.llm, num_layers=1))
    with torch.device(device):
        model = VLA(one).eval().requires_grad_(False)
    overrides, record = {'vision': vision} if vision != 'fp' else {}, {}
    if precision != 'fp' or overrides:
        record = quantize_model(model, precision, overrides=overrides)
    model.load_state_dict(packed_state(model, dtype), assign=True)
    model.llm.layers.extend(
        copy.deepcopy(model.llm.layers[0]) for _ in range(config.llm.num_layers - 1))
    model.config, model.llm.config = config, config.llm
    return model.requires_grad_(False), record


def release(device: torch.device) -> None:
    """Give back the memory of networks and graphs that nobody holds any more."""
    gc.collect()  # graphs and their stages hold each other
    synchronize(device)
    if device.type == 'cuda':
        torch.cuda.empty_cache()


class Memory:
    """What the allocator of a CUDA device has given since the start; zeros elsewhere."""

    def __init__(self, device: torch.device):
        """Start now, with what is cached and not used given back."""
        self._device = device if device.type == 'cuda' else None
        self._before = 0
        if self._device is not None:
            release(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
            self._reserved_before = torch.cuda.memory_reserved(device)

    def forget_peak(self) -> None:
        """Let the peak begin anew, behind what happens only once, such as tuning."""
        if self._device is not None:
            release(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)

    def gib(self) -> dict[str, float]:
        """
        Return GiB that are allocated, that were at most, and that are reserved, more than then.

        The peak is that since the start, or since forget_peak.  It is what torch's allocator
        gave: weights, static buffers, activations, caches, graphs' memory and the workspaces of
        products, which each stream has its own of.  CUDA's context and the kernels' code are not.
        """
        if self._device is None:
            return {'allocated': 0.0, 'peak': 0.0, 'reserved': 0.0}
        read = torch.cuda
        return {
            'allocated': (read.memory_allocated(self._device) - self._before) / GIB,
            'peak': (read.max_memory_allocated(self._device) - self._before) / GIB,
            'reserved': (read.memory_reserved(self._device) - self._reserved_before) / GIB}


def ready_model(config: VLAConfig, variant: Variant, device: torch.device,
                dtype: torch.dtype) -> VLA:
    """
    Return a variant's network with its kernels, as load_policy prepares one.

    On a CPU only SQAP's kernels are the GPU's, interpreted, which takes a thousand times as long.
    """
    from sqap_vla_ros.model.fused_blocks import fuse_blocks
    model, _ = random_model(config, variant.precision, variant.vision, device, dtype)
    interpreted = device.type == 'cpu' and variant.name == SQAP
    prepare_kernels(model, sequence_length(config), release=True,
                    backend='triton' if interpreted else None)
    if variant.fused and (interpreted or device.type == 'cuda'):
        fuse_blocks(model)
    synchronize(device)  # a Runner has a stream of its own
    return model
