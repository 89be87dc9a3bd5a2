# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Largest difference of every stage to what the official code of three families computes.

OpenVLA, CogACT and OpenVLA-OFT, the last with a regressing head, with FiLM, and diffusing.

    python benchmarks/golden_parity.py [--out benchmarks/results/golden_parity.json]

The tiny checkpoints and the expected outputs are those of test/golden, in the true formats; the
stages are those that test/model/test_golden_*.py compare.
"""
import argparse
import json
from pathlib import Path
import sys

import numpy as np
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.progress import Progress

TEST = Path(__file__).resolve().parent.parent / 'test'
HEADS = ('openvla', 'cogact', 'oft_tiny', 'oft_tiny_aloha', 'oft_tiny_diffusion')
sys.path[:0] = [str(TEST), str(TEST / 'model')]


def differences(pairs):
    """Return {stage: {'max_error', 'max_value'}} over cases, of pairs of found and expected."""
    result = {}
    for stages, expected in pairs:
        for name in (name for name in stages if name in expected):
            row = result.setdefault(name, {'max_error': 0.0, 'max_value': 0.0})
            error = np.abs(expected[name].astype(np.float64) - stages[name]).max()
            row['max_error'] = max(row['max_error'], float(error))
            row['max_value'] = max(row['max_value'], float(np.abs(expected[name]).max()))
    return result


def found_and_expected(head):
    """Yield what is found of a checkpoint in each case, and what is expected."""
    import golden_data
    import golden_oft
    import test_golden_cogact
    import test_golden_oft
    import test_golden_openvla
    if head.startswith('oft'):
        for _, case in (pair for pair in golden_oft.CASES if pair[0] == head):
            yield test_golden_oft.found(head, case), golden_oft.expected(head, case)
        return
    found = {'openvla': test_golden_openvla, 'cogact': test_golden_cogact}[head].found
    for case in golden_data.CASES:
        stages = dict(found(case))
        if head == 'cogact':
            stages['ddim10_cfg1.5_raw'] = stages['ddim_raw']
        yield stages, golden_data.expected(f'{head}_case{case}')


def main():
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    found = {}
    for head in HEADS:
        with Progress(f'computing {head}'):
            found[head] = differences(found_and_expected(head))
    for head, rows in found.items():
        print(f'{head:32}{"max error":>12}{"largest value":>16}')
        for name, row in rows.items():
            print(f'  {name:30}{row["max_error"]:12.2e}{row["max_value"]:16.4g}')
    if args.out:
        content = {'stages': found, 'machine': machine(), 'versions': versions()}
        args.out.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
