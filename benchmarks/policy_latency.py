# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How long one inference takes, by stage: variants in turn, in one run.

    python benchmarks/policy_latency.py [--checkpoint DIR] [--rounds 60] [--threads 1]

Variants: full precision and W4A4, each with all tokens and with the pruned number.
"""
import argparse
import json
from pathlib import Path

import numpy as np
from sqap_vla_ros.demo.report import machine, versions
from sqap_vla_ros.observation import end_effector_state, Observation
from sqap_vla_ros.policy import load_policy, STAGES
from sqap_vla_ros.resources import model_directory

RESULTS = Path(__file__).resolve().parent / 'results' / 'policy_latency.json'


def main():
    """Time the variants in turn and print p50 and p95 of every stage."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('--checkpoint', default=str(model_directory()))
    parser.add_argument('--keep', type=int, default=154)
    parser.add_argument('--rounds', type=int, default=60)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', default=str(RESULTS))
    args = parser.parse_args()
    variants = {f'{precision}, {keep or "all"} tokens': load_policy(
        args.checkpoint, precision, keep=keep, threads=args.threads)
        for precision in ('fp', 'w4a4') for keep in (None, args.keep)}
    rng = np.random.default_rng(0)
    state = end_effector_state([0.5, 0.0, 0.2], [0.7, 0.7, 0.0, 0.0], 1.0)
    laps = {name: [] for name in variants}
    for policy in variants.values():
        policy.warm_up(5)
    for _ in range(args.rounds):
        image = rng.integers(0, 255, (256, 256, 3), np.uint8)
        for name, policy in variants.items():
            observation = Observation(image, 0.0, policy.instructions[0], state=state)
            laps[name].append(policy.infer(observation).timings)
    table = {name: {stage: {f'p{p}': float(np.percentile([lap[stage] for lap in rows], p))
                            for p in (50, 95)} for stage in STAGES}
             for name, rows in laps.items()}
    print(f'{args.rounds} rounds, {args.threads} thread(s), {machine()}, {versions()}')
    print('p50 / p95 in ms        ' + ''.join(f'{stage:>15}' for stage in STAGES))
    for name, stages in table.items():
        print(f'{name:23}' + ''.join(
            f'{stages[s]["p50"]:8.2f}/{stages[s]["p95"]:6.2f}' for s in STAGES))
    Path(args.out).write_text(json.dumps(
        {'rounds': args.rounds, 'threads': args.threads, 'keep': args.keep,
         'machine': machine(), 'versions': versions(), 'latency_ms': table}, indent=1) + '\n')


if __name__ == '__main__':
    main()
