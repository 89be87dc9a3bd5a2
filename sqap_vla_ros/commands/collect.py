# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla collect`."""
from pathlib import Path

from .scene import add_scene_arguments
from ..evaluate.seeds import TRAINING_SEEDS
from ..sim.options import scene_options
from ..support.resources import checkpoint_path
from ..train.collect import collect, CollectConfig


def add_arguments(parser):
    """Add the options of `sqap-vla collect` to an argparse parser."""
    parser.add_argument('--out', type=Path, default=Path('data'), metavar='DIR',
                        help='folder for the shards')
    for name, text in (
            ('episodes', 'episodes in all, over the instructions, at least 1'),
            ('seed', f'of the first episode; from {TRAINING_SEEDS[0]} to {TRAINING_SEEDS[-1]}'),
            ('workers', 'processes, at least 1'),
            ('shard_episodes', 'episodes in one file, at least 1'),
            ('frame_stride', 'control steps (0.05 s) from one frame to the next, at least 1'),
            ('input_size', 'side of the stored frames, px, at least 1')):
        parser.add_argument('--' + name.replace('_', '-'), type=int, help=text, metavar='N',
                            default=getattr(CollectConfig, name))
    parser.add_argument('--instructions', nargs='+', default=(), metavar='TEXT',
                        help='tasks of the suite, all in one scene; default: five of libero_goal')
    parser.add_argument('--policy', default='', metavar='CHECKPOINT',
                        help='a policy that acts in turn with the expert, in full view of its '
                        'mistakes (DAgger): what the expert would do is recorded at each frame, '
                        'and failures are kept; a checkpoint directory or a bundled model')
    parser.add_argument('--expert-share', type=float, default=CollectConfig.expert_share,
                        metavar='0..1', help='share of the turns (1 to 3 s each) in which the '
                        'expert acts beside a policy, from 0 to 1')
    add_scene_arguments(parser)


def run(args):
    """Run `sqap-vla collect`; return the exit status."""
    config = CollectConfig(
        out=args.out, scene=scene_options(args, args.instructions), episodes=args.episodes,
        seed=args.seed, workers=args.workers, shard_episodes=args.shard_episodes,
        frame_stride=args.frame_stride, input_size=args.input_size,
        policy=str(checkpoint_path(args.policy)) if args.policy else '',
        expert_share=args.expert_share)
    episodes, failures, frames = collect(config)
    print(f'added {episodes} episodes with {frames} frames to {config.out}; {failures} more '
          'could not be recorded and were left out')
    return 0
