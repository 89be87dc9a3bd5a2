# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Behaviour cloning of the bundled policy: `sqap-vla train`.

Trains the engine's own model classes.  Starts on a coarse grid (2 x 2 patches averaged, four
times fewer tokens) and goes on with the full one; keeps an exponential moving average of the
weights; resumes from its own state file; keeps the best checkpoint by success on
validation seeds.  No token dropout and no quantization-aware training:
pruning and quantization must work on a model that has never seen them.
"""

from __future__ import annotations

from ..sim.options import add_scene_arguments


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla train`."""
    parser.add_argument('data', help='directory of shards that `sqap-vla collect` wrote')
    parser.add_argument('out', help='directory for the checkpoint, the curves and the state')
    parser.add_argument('--init', metavar='CHECKPOINT', help='begin with the weights of this '
                        'checkpoint directory; its instructions may be others')
    parser.add_argument('--coarse-steps', type=int, default=6000)
    parser.add_argument('--fine-steps', type=int, default=6000)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--learning-rate', type=float, default=8e-4)
    parser.add_argument('--vit-depth', type=int, default=3)
    parser.add_argument('--llm-layers', type=int, default=4)
    parser.add_argument('--width', type=int, default=256)
    parser.add_argument('--stem', choices=('linear', 'conv'), default='conv')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument('--dtype', choices=('auto', 'float32', 'bfloat16'), default='auto',
                        help='auto: bfloat16 where a matrix product is measured to be faster')
    parser.add_argument('--threads', type=int, default=0, help='torch threads, 0: its default')
    parser.add_argument('--max-minutes', type=float, default=150, help='stop and save then')
    parser.add_argument('--name', default='libero_goal', help='unnorm_key of the checkpoint')
    parser.add_argument('--log-every', type=int, default=250,
                        help='steps between held-out figures')
    parser.add_argument('--eval-every', type=int, default=0, metavar='STEPS',
                        help='steps between success rates in the simulator on validation '
                        'seeds, which keep OUT/best; 0: never')
    parser.add_argument('--eval-episodes', type=int, default=4, help='episodes a task of those')
    parser.add_argument('--seed', type=int, default=0)
    add_scene_arguments(parser.add_argument_group('scene of --eval-every'))


def run(args) -> int:
    """Train, or go on with an interrupted training in the same directory; return the status."""
    import torch
    from .trainer import Trainer
    if args.threads:
        torch.set_num_threads(args.threads)
    trainer = Trainer(args)
    trainer.resume()
    return trainer.loop()
