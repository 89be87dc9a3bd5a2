# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Largest difference of every stage to what the official OpenVLA and CogACT code computes.

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
sys.path[:0] = [str(TEST), str(TEST / 'model')]


def differences(head, found):
    """Return {stage: {'max_error', 'max_value'}} over all cases of what found(case) gives."""
    import golden_data
    result = {}
    for case in golden_data.CASES:
        stages, expected = found(case), golden_data.expected(f'{head}_case{case}')
        if head == 'cogact':
            stages['ddim10_cfg1.5_raw'] = stages['ddim_raw']
        for name in (name for name in stages if name in expected):
            row = result.setdefault(name, {'max_error': 0.0, 'max_value': 0.0})
            error = np.abs(expected[name].astype(np.float64) - stages[name]).max()
            row['max_error'] = max(row['max_error'], float(error))
            row['max_value'] = max(row['max_value'], float(np.abs(expected[name]).max()))
    return result


def main():
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    with Progress('computing'):
        import test_golden_cogact
        import test_golden_openvla
        found = {'openvla': differences('openvla', test_golden_openvla.found),
                 'cogact': differences('cogact', test_golden_cogact.found)}
    for head, rows in found.items():
        print(f'{head:24}{"max error":>12}{"largest value":>16}')
        for name, row in rows.items():
            print(f'  {name:22}{row["max_error"]:12.2e}{row["max_value"]:16.4g}')
    if args.out:
        content = {'stages': found, 'machine': machine(), 'versions': versions()}
        args.out.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
