# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint directory holds: `sqap-vla info`."""

from __future__ import annotations

from pathlib import Path


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla info`."""
    parser.add_argument('checkpoint', help='checkpoint directory')


def run(args) -> int:
    """Print architecture, sizes by part, precision, action space and instructions."""
    from .model import checkpoint
    config = checkpoint.read_config(args.checkpoint)
    stats = checkpoint.read_norm_stats(args.checkpoint, config.unnorm_key, config.model)
    weights = checkpoint.read_weights(args.checkpoint)
    model, space = config.model, config.action_space
    rows, cols = model.vision.grid
    size = (Path(args.checkpoint) / 'model.safetensors').stat().st_size
    print(f'{args.checkpoint}: {size / 2**20:.1f} MiB on disk')
    print(f'image          {model.vision.image_size} x {model.vision.image_size} px -> {rows} x '
          f'{cols} = {model.num_visual} visual tokens ({model.vision.stem} stem)')
    print(f'vision         {model.vision.depth} blocks of width {model.vision.width}')
    print(f'decoder        {model.llm.num_layers} blocks of width {model.llm.hidden_size}, '
          f'{model.llm.num_heads} heads, {model.llm.num_kv_heads} for keys and values; '
          f'pruning before block {model.prune_layer}')
    for part, (count, size) in part_sizes(weights).items():
        print(f'  {part:12} {count / 1e6:7.2f} M values {size / 2**20:8.2f} MiB')
    print(f'precision      {config.quantization.get("precision", "fp")}')
    print(f'actions        {space.kind} in frame {space.frame}, {space.names}, every '
          f'{space.dt} s; chunk of {model.head.chunk_length}, {space.execute_steps} executed')
    print(f'unnorm_key     {config.unnorm_key}')
    for name, low, high in zip(space.names, stats['low'], stats['high']):
        print(f'  {name:12} {low:8.3f} .. {high:.3f}')
    print('instructions   ' + '\n               '.join(config.instructions or ('any',)))
    return 0


def part_sizes(weights: dict) -> dict[str, tuple[int, int]]:
    """Return {part: (values, bytes)} by the first component of the tensors' names."""
    sizes: dict[str, tuple[int, int]] = {}
    for name, tensor in weights.items():
        part = name.split('.')[0]
        count, size = sizes.get(part, (0, 0))
        sizes[part] = (count + tensor.numel(), size + tensor.numel() * tensor.element_size())
    return sizes
