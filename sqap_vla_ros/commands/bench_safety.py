# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Does anything unsafe pass the safety gate? `sqap-vla bench safety`, status 1 if it does."""

from __future__ import annotations

import json
import os
import time

from ..errors import ConfigError
from ..support.files import write_whole


def run_safety(args) -> int:
    """Try the gate, print what came of it, and write what was asked for."""
    from tqdm import tqdm

    from ..bench.safety.report import described, shares_png
    from ..bench.safety.trials import TRIALS, try_many
    from ..support.machine import machine, versions
    if args.inputs < 1 or args.processes < 0:
        raise ConfigError(f'--inputs is {args.inputs} and --processes {args.processes}: expected '
                          'at least 1, and 0 or more')
    processes = args.processes or len(os.sched_getaffinity(0))
    begun, results = time.perf_counter(), {}
    for name, (trial, inputs_each, share) in TRIALS.items():
        count = -(-round(args.inputs * share) // inputs_each)
        with tqdm(total=count * inputs_each, unit='input', unit_scale=True, desc=name) as bar:
            results[name] = try_many(trial, args.seed, count, processes,
                                     lambda done: bar.update(done * inputs_each))
    seconds = time.perf_counter() - begun
    print(described(results, seconds))
    if args.out:
        content = {'machine': machine(), 'versions': versions(),
                   'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'seconds': round(seconds, 1),
                   'seed': args.seed, 'processes': processes,
                   **{name: tally.as_dict() for name, tally in results.items()}}
        write_whole(args.out, (json.dumps(content, indent=1) + '\n').encode())
    if args.png:
        write_whole(args.png, shares_png(results))
    return int(any(tally.counts['unsafe'] + tally.counts['needless stops']
                   for tally in results.values()))
