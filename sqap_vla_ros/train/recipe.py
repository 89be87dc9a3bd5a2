# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Normalisation, learning rate, initial weights and hardware choices of a training run."""

from __future__ import annotations

import math
import time

from ..errors import ConfigError

PATCH_PX, HEAD_WIDTH = 14, 64
PATHS = ('data', 'out', 'init', 'command')


def plain_options(args) -> dict:
    """Return the plain options of a parsed command line, without paths."""
    return {name: value for name, value in vars(args).items()
            if isinstance(value, (int, float, str)) and name not in PATHS}


def network(args, data, tokenizer):
    """Return the CheckpointConfig of the network that options and demonstrations ask for."""
    from ..formats.checkpoint import CheckpointConfig
    from ..model.heads import ChunkHeadConfig
    from ..model.llama import LlamaConfig
    from ..model.vit import ViTConfig
    from ..model.vla import VLAConfig
    width, heads = args.width, args.width // HEAD_WIDTH
    model = VLAConfig(
        vision=ViTConfig(data.frame(0).shape[0], PATCH_PX, width, args.vit_depth, heads,
                         4 * width, args.stem),
        llm=LlamaConfig(tokenizer.get_vocab_size(), width, 2 * width, args.llm_layers, heads,
                        1 if heads % 2 else heads // 2, 1e-5),
        head=ChunkHeadConfig(*data.chunks([0]).shape[1:]),
        text_length=text_length(tokenizer, data.instructions), state_dim=data.state.shape[1])
    return CheckpointConfig(
        model=model, instructions=tuple(data.instructions), unnorm_key=args.name)


def text_length(tokenizer, instructions) -> int:
    """Return the prompt's tokens: the longest instruction and <act>; a multiple of 4 from 12."""
    longest = max(len(tokenizer.encode(text).ids) for text in instructions) + 1
    return max(12, -(-longest // 4) * 4)


def held_out_episodes(data):
    """Return bool [F]: frames of every tenth round of instructions, which take turns by seed."""
    return data.seed // len(data.instructions) % 10 == 0


def split_rows(data) -> tuple:
    """Return the indices of frames to train on, and of those held out; ConfigError for none."""
    import numpy as np
    held = held_out_episodes(data)
    if held.all():
        raise ConfigError(
            f'all {data.episodes} episodes belong to the round of {len(data.instructions)} '
            'instructions in ten that is held out: collect more episodes')
    return np.flatnonzero(~held), np.flatnonzero(held)


def chances(data, rows, weights: str):
    """
    Return float64 [n]: how likely each row is drawn, where folders have weights; None for none.

    weights: numbers with commas between, or empty.  A folder's share of the samples is its
    weight's, however many frames it has.  Raises ConfigError for weights that are not one above
    0 for each folder.
    """
    import numpy as np
    if not weights:
        return None
    numbers, folders = _numbers(weights), data.source.max() + 1
    if len(numbers) != folders or not all(0 < number < math.inf for number in numbers):
        raise ConfigError(f'--weights {weights}: give {folders} numbers above 0, such as 1,3: one '
                          'for each directory of demonstrations')
    source = data.source[rows]
    share = (np.array(numbers) / np.maximum(1, np.bincount(source, minlength=folders)))[source]
    return share / share.sum()


def _numbers(text: str) -> list[float]:
    """Return the numbers in a list, none where it holds something else."""
    try:
        return [float(number) for number in text.split(',')]
    except ValueError:
        return []


def normalisation(data) -> dict:
    """Return mean/std of the state and low/range of the actions, from the data."""
    import numpy as np
    std = np.maximum(data.state.std(0), 1e-2)
    limit = np.maximum(np.abs(data.chunks(np.arange(len(data)))[..., :6]).max((0, 1)), 1e-3)
    low = np.append(-limit, 0).astype(np.float32)
    high = np.append(limit, 1).astype(np.float32)
    return {'state_mean': data.state.mean(0), 'state_std': std,
            'action_low': low, 'action_range': high - low}


def norm_stats(norm: dict) -> dict:
    """Return the norm_stats.json entry of a normalisation."""
    high = norm['action_low'] + norm['action_range']
    return {'action': {'q01': norm['action_low'].tolist(), 'q99': high.tolist(),
                       'mask': [True] * len(high)},
            'state': {'mean': norm['state_mean'].tolist(), 'std': norm['state_std'].tolist()}}


def schedule(step: int, coarse: int, fine: int) -> float:
    """Return a step's learning-rate factor: a warm-up, then a cosine on each of both grids."""
    if step < coarse:
        high, low, done = 1.0, 0.3, step / coarse
    else:
        high, low, done = 0.5, 0.02, (step - coarse) / max(1, fine)
    warm_up = min(300, max(1, (coarse + fine) // 10))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return min(1.0, (step + 1) / warm_up) * (low + (high - low) * cosine)


def initialise(model) -> None:
    """Give linear layers and embeddings the small normal weights that transformers use."""
    from torch import nn
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.5)


def choose_device(name: str) -> str:
    """Return the device; 'auto' takes CUDA where there is one; raise ConfigError for others."""
    import torch
    if name not in ('auto', 'cpu', 'cuda'):
        raise ConfigError(f'--device {name} is not known: give auto, cpu or cuda')
    if name == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    if name == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('torch finds no CUDA device here (nvidia-smi shows the driver): give '
                          '--device cpu')
    return name


def choose_dtype(name: str, device: str):
    """Return the type of matrix products; 'auto' measures one on a CPU."""
    import torch
    if name != 'auto':
        return getattr(torch, name)
    if device == 'cuda':
        return torch.bfloat16
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left, right = torch.randn(512, 256).to(dtype), torch.randn(256, 256).to(dtype)
        left @ right
        began = time.perf_counter()
        for _ in range(10):
            left @ right
        seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=seconds.get)
