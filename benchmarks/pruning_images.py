# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How visual tokens of several images are best chosen: by whose attention, where, with which budget.

    python benchmarks/pruning_images.py [--only oft_tiny|halves|drawn] [--weights FILE] \
        [--out benchmarks/results/pruning_images.json]

Each row is how far an answer is from that with all tokens, in normalised units.  No trained
OpenVLA-OFT was at hand: see pruning/subjects.py for what stands in for one.  --weights keeps those
of the policy that is trained on drawn scenes, which takes some minutes.
"""
import argparse
import json
from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pruning import measure, subjects, training  # noqa: E402
from sqap_vla_ros.support.machine import machine, versions  # noqa: E402
from sqap_vla_ros.support.progress import Progress  # noqa: E402
import torch  # noqa: E402

SUBJECTS = ('oft_tiny', 'halves', 'drawn')
KEEPS = (0.6, 0.4, 0.25)
SEEDS, SCENES, STRIDE = 5, 200, {'oft_tiny': 12, 'halves': 1}


def compared(subject, layers, title: str) -> list[dict]:
    """Return the answers' errors of all choices, one dictionary an input."""
    with Progress(title, total=len(subject.inputs), unit='input') as progress:
        found = []
        for each in measure.errors(subject, measure.choices(layers, KEEPS)):
            found.append(each)
            progress.advance()
    return found


def oft_tiny() -> dict:
    """Return the table over weights of several seeds."""
    seen, found = subjects.observations(STRIDE['oft_tiny']), []
    for seed in range(SEEDS):
        found += compared(subjects.oft_tiny(seed, seen), (2, 3), f'random weights {seed + 1}')
    return {'what': f'golden oft_tiny with weights of {SEEDS} seeds, not trained; images of '
            f'test/data/libero_bag, every {STRIDE["oft_tiny"]}th, the second camera\'s a later '
            'one', 'rows': measure.table(found)}


def halves() -> dict:
    """Return the table of the bundled policy."""
    seen = subjects.observations(STRIDE['halves'])
    return {'what': 'bundled policy libero_goal, trained; the halves of its image stand for two',
            'rows': measure.table(compared(subjects.halves(seen), (2, 3), 'halves of an image'))}


def drawn(weights: Path | None) -> dict:
    """Return the table of the policy that is trained on drawn scenes, and how good it is."""
    model = training.trained(weights)
    return {'what': 'OpenVLA-OFT network of 5 blocks of width 64, trained on drawn scenes with '
            'two cameras', 'test_error': training.test_error(model),
            'rows': measure.table(compared(subjects.drawn(model, SCENES), (2, 3, 4), 'drawn'))}


def show(name: str, found: dict) -> None:
    """Print a table for people: one line a choice, one column a share that is kept."""
    print(f'\n{name}: {found["what"]}')
    lines = {}
    for row in found['rows']:
        key = row['prune_layer'], row['method'], row['rows'], row['budget']
        cell = f'{row["error"]:.4f} +-{row["standard_error"]:.4f}'
        lines.setdefault(key, {})[row['keep']] = cell
    print(f'{"layer, method, scored by, budget":52}' + ''.join(f'{keep:>18.0%}' for keep in KEEPS))
    for (layer, method, rows, budget), cells in lines.items():
        print(f'{f"{layer}  {method}, {rows}, {budget}":52}'
              + ''.join(f'{cells[keep]:>18}' for keep in KEEPS))


def main():
    """Measure, print the tables, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--only', choices=SUBJECTS)
    parser.add_argument('--weights', type=Path)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    content = {}
    if args.out and args.out.is_file():
        content = json.loads(args.out.read_text())['subjects']
    for name in (args.only,) if args.only else SUBJECTS:
        content[name] = drawn(args.weights) if name == 'drawn' else {
            'oft_tiny': oft_tiny, 'halves': halves}[name]()
        content[name].update(machine=machine(), versions=versions())
        show(name, content[name])
        if args.out:
            args.out.write_text(json.dumps({'subjects': content}, indent=1) + '\n')


if __name__ == '__main__':
    main()
