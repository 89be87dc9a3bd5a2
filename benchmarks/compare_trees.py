# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How long parts of a network take with the kernels of two source trees, in turn.

    git worktree add ../before HEAD~1
    python benchmarks/compare_trees.py ../before . --parts bundled:vision bundled:decoder
    python benchmarks/compare_trees.py ../before . --parts smollm2-360m:decoder --level avx2

Each tree has a process of its own, with the same random weights and inputs, and compiles its own
native library.  Every round runs the part twice in each, the second time timed, and begins with
another tree each time.  A ratio is the time before divided by the time after, its median over
rounds with the bootstrap's 95 % interval.  Told, too: how far the answers of both are apart.
Parts: vision (encoder and projector), stem (with positions), vision-block, decoder (one block,
all rows of a prefill), token (the same for one token behind a cache).
"""
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

PARTS = 'vision', 'stem', 'vision-block', 'decoder', 'token'
CLOCKS = {'wall': time.perf_counter, 'cpu': time.thread_time}


def part(name: str, precision: str, vision: str):
    """Return a function that runs a part, 'size:part', and gives its answer."""
    from sqap_vla_ros.bench import sides, sizes
    from sqap_vla_ros.model.llama import LayerCache
    import torch
    size, what = name.split(':')
    config = sizes.size_config(size)
    config = dataclasses.replace(config, prune_layer=1, llm=dataclasses.replace(
        config.llm, num_layers=2))
    torch.manual_seed(0)
    model = sides.quantized_model(
        config, precision, 'fp' if what in ('decoder', 'token') else vision)
    torch.manual_seed(1)
    rows, encoder = sizes.sequence_length(config), model.vision
    side_px, channels = config.vision.image_size, config.images * config.vision.channels
    pixels = torch.randn(1, channels, side_px, side_px)
    patches = torch.randn(1, config.num_visual, config.vision.width)
    x = torch.randn(1, rows, config.llm.hidden_size)
    layer = model.llm.layers[0]
    cos, sin = (table[:rows] for table in model.llm.rotary(rows, x))
    cache = LayerCache(1)
    if what == 'token':
        layer(x[:, :-1], cos[:-1], sin[:-1], cache=cache)

    def token():
        cache.length = rows - 1
        return layer(x[:, -1:], cos[-1:], sin[-1:], cache=cache)

    def stem():
        embed, positions = encoder.patch_embed, encoder.pos_embed
        if hasattr(embed, 'placed'):
            return embed.placed(pixels, positions)
        return embed(pixels).flatten(2).transpose(1, 2) + positions
    return {'vision': lambda: model.encode_image(pixels), 'stem': stem,
            'vision-block': lambda: encoder.blocks[0](patches),
            'decoder': lambda: layer(x, cos, sin), 'token': token}[what]


def work(args) -> None:
    """Make a part, save its answer, and tell the milliseconds of a call for each line."""
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what libraries print is for people
    import numpy as np
    import sqap_vla_ros.bench
    from sqap_vla_ros.kernels import native_reason
    from sqap_vla_ros.kernels.native import instruction_set
    from sqap_vla_ros.support.machine import has_fast_bfloat16
    import torch
    torch.set_num_threads(args.threads)
    vision = args.vision or (
        'bfloat16' if has_fast_bfloat16() and args.level in (None, 'amx') else 'fp')
    clock = CLOCKS[args.clock]
    with torch.inference_mode():
        run = part(args.work, args.precision, vision)
        for _ in range(3):
            answer = run()
        answer = answer[0] if isinstance(answer, tuple) else answer
        np.save(args.answer, answer.float().numpy())
        print(json.dumps({
            'package': str(Path(sqap_vla_ros.bench.__file__).resolve().parents[2]),
            'native_kernels': native_reason() or instruction_set(), 'vision': vision}),
            file=answers)
        for _ in sys.stdin:
            run()
            start = clock()
            run()
            print((clock() - start) * 1e3, file=answers)


class Tree:
    """A process that runs a part with the package of a source tree."""

    def __init__(self, name: str, tree: Path, what: str, args, answer: Path):
        """Start it; raise SystemExit if it cannot be made there."""
        self.name, self._tree, self._what = name, tree.resolve(), what
        paths = [str(self._tree), os.environ.get('PYTHONPATH', '')]
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths)),
                       'OMP_NUM_THREADS': str(args.threads)}
        environment.setdefault('GOMP_SPINCOUNT', '100')  # the other's threads shall not wait awake
        options = ['--clock', args.clock, '--precision', args.precision, '--threads',
                   str(args.threads)]
        if args.vision:
            options += ['--vision', args.vision]
        if args.level:
            options += ['--level', args.level]
            environment['SQAP_VLA_CPU_LEVEL'] = args.level
        self._process = subprocess.Popen(
            [sys.executable, __file__, '--work', what, '--answer', str(answer), *options],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = json.loads(self._told())
        if Path(self.facts.pop('package')) != self._tree:
            raise SystemExit(f'{self._tree}: another package than its own was imported there')

    def lap(self) -> float:
        """Return the milliseconds of a call; raise SystemExit if the process has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write('\n')
            self._process.stdin.flush()
        return float(self._told())

    def end(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def facts_of_tree(self) -> dict:
        """Return which commit it is, and what its process said of itself."""
        found = subprocess.run(
            ['git', '-C', str(self._tree), 'describe', '--always', '--dirty'],
            capture_output=True, text=True, check=False)
        return {'commit': found.stdout.strip() or None, **self.facts}

    def _told(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f'{self._what} of {self._tree} ended with exit status '
                             f'{self._process.wait()}: see above')
        return line


def compare(what: str, args, directory: Path) -> dict:
    """Return p50 of both trees, their ratio, and how far their answers are apart."""
    import numpy as np
    from sqap_vla_ros.bench.timing import in_turn, paired_ratio
    with contextlib.ExitStack() as stack:
        trees = []
        for name, tree in zip(('before', 'after'), args.trees):
            trees.append(Tree(name, tree, what, args, directory / f'{name}.npy'))
            stack.callback(trees[-1].end)
        laps = in_turn(trees, args.rounds, args.seconds, Tree.lap)
    before, after = (np.array(laps[tree.name]) for tree in trees)
    first, second = (np.load(directory / f'{tree.name}.npy') for tree in trees)
    if first.shape != second.shape:
        raise SystemExit(f'{what} answers {list(first.shape)} before and {list(second.shape)} '
                         'after: it is not the same part')
    return {'part': what, 'rounds': len(before), 'before_p50_ms': float(np.median(before)),
            'after_p50_ms': float(np.median(after)), **paired_ratio(before, after),
            'answers_apart': float(np.linalg.norm(first - second) / np.linalg.norm(first)),
            'trees': {tree.name: tree.facts_of_tree() for tree in trees}}


def parsed() -> argparse.Namespace:
    """Return the arguments; end with an error for those that cannot be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('trees', nargs='*', type=Path, help='the source tree before, and the one after')
    add('--parts', nargs='+', default=['bundled:vision', 'bundled:decoder', 'bundled:token'],
        help=f'SIZE:PART; sizes of sqap-vla bench; parts: {", ".join(PARTS)}')
    add('--precision', default='w4a8', help='of the decoder')
    add('--vision', help='precision of the encoder, bfloat16 or int8; without: bfloat16 where it '
        'is fast, else fp')
    add('--level', help='instructions that both are held to, see SQAP_VLA_CPU_LEVEL')
    add('--clock', choices=list(CLOCKS), default='cpu')
    add('--threads', type=int, default=1)
    add('--rounds', type=int, default=200)
    add('--seconds', type=float, default=30.0, help='for each part at most')
    add('--out', type=Path, help='JSON file for the results')
    add('--work', help=argparse.SUPPRESS)
    add('--answer', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        return args
    wrong = [what for what in args.parts if what.partition(':')[2] not in PARTS]
    if wrong or len(args.trees) != 2:
        parser.error(f'{wrong[0]!r} is not SIZE:PART, with one of the parts {", ".join(PARTS)}'
                     if wrong else f'two source trees are compared, found {len(args.trees)}')
    for tree in args.trees:
        if not (tree / 'sqap_vla_ros' / 'bench').is_dir():
            parser.error(f'{tree} is no source tree of this package')
    if args.clock == 'cpu' and args.threads != 1:
        parser.error('--clock cpu sees one thread only: use --clock wall with more')
    if min(args.rounds, args.threads) < 1:
        parser.error('--rounds and --threads are whole numbers from 1')
    return args


def main() -> None:
    """Run it; what is measured is written part by part."""
    args = parsed()
    if args.work:
        work(args)
        return
    from sqap_vla_ros.support.machine import machine, versions
    names = 'precision', 'vision', 'level', 'clock', 'threads'
    found = {'conditions': {**machine(), **versions(), 'date': time.strftime('%Y-%m-%d')},
             'options': {name: getattr(args, name) for name in names}, 'parts': []}
    with tempfile.TemporaryDirectory() as directory:
        for what in args.parts:
            if sys.stderr.isatty():
                print(f'{what}: both trees are timed', end='\r', file=sys.stderr, flush=True)
            found['parts'].append(compare(what, args, Path(directory)))
            print('{part}: {before_p50_ms:.3f} ms before, {after_p50_ms:.3f} after, '
                  '{ratio:.2f}x as fast ({low:.2f} .. {high:.2f}), {rounds} rounds; answers '
                  '{answers_apart:.1e} of their size apart'.format(**found['parts'][-1]),
                  flush=True)
            if args.out:
                args.out.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()
