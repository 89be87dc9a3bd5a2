# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Largest difference of every stage to what the official OpenVLA and CogACT code computes.

    python benchmarks/golden_parity.py [--out benchmarks/results/golden_parity.json]

The tiny checkpoints and the expected outputs are those of test/golden, in the true formats.
"""
import argparse
import json
from pathlib import Path
import sys

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test'))
THINNED = ('dino_features', 'siglip_features', 'projected')


def thinned(name, array):
    """Return an array as the expected outputs keep it: every fourth token, from the last on."""
    if name == 'hidden_states':
        return array[:, ::-1][:, ::4]
    return array[::4] if name in THINNED else array


def stages(head, case):
    """Return {stage: array} of one case."""
    import golden_data
    from sqap_vla_ros.commands.infer import cogact_logits
    from sqap_vla_ros.inference.recording import StageRecorder
    policy = golden_data.loaded(head)
    policy.reset()
    noise = golden_data.expected(f'cogact_case{case}')['noise'] if head == 'cogact' else None
    with StageRecorder(policy) as recorder:
        policy.infer(golden_data.observation(case), noise)
    found = recorder.stages()
    if head == 'cogact':
        found.update(cogact_logits(found['cognition_feature'], golden_data.cogact()))
        found['ddim10_cfg1.5_raw'] = found.pop('ddim_raw')
    return found


def differences(head):
    """Return {stage: {'max_error', 'max_value'}} over all cases."""
    import golden_data
    result = {}
    for case in golden_data.CASES:
        expected = golden_data.expected(f'{head}_case{case}')
        for name, found in stages(head, case).items():
            if name not in expected:
                continue
            exact, found = expected[name], thinned(name, found)
            if exact.shape != found.shape:
                raise SystemExit(f'{head} {name}: {found.shape} instead of {exact.shape}')
            row = result.setdefault(name, {'max_error': 0.0, 'max_value': 0.0})
            error = np.abs(exact.astype(np.float64) - found).max()
            row['max_error'] = max(row['max_error'], float(error))
            row['max_value'] = max(row['max_value'], float(np.abs(exact).max()))
    return result


def main():
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    from sqap_vla_ros.support.machine import machine, versions
    found = {head: differences(head) for head in ('openvla', 'cogact')}
    for head, rows in found.items():
        print(f'{head:24}{"max error":>12}{"largest value":>16}')
        for name, row in rows.items():
            print(f'  {name:22}{row["max_error"]:12.2e}{row["max_value"]:16.4g}')
    if args.out:
        content = {'stages': found, 'machine': machine(), 'versions': versions()}
        args.out.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
