# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Does anything unsafe pass the safety gate? `sqap-vla bench safety`, status 1 if it does."""

from __future__ import annotations

import json
import os
import time

from ..errors import ConfigError
from ..support.files import check_output, save_file
from ..support.progress import Progress
from ..support.requirements import require


def check_outputs(args) -> None:
    """Raise ConfigError, before any work, for --out or --png that could not be written."""
    for path, option in ((args.out, '--out'), (args.png, '--png')):
        if path:
            check_output(path, option)
    if args.png:
        require(ConfigError, 'matplotlib')


def run_safety(args) -> int:
    """Try the gate, print what came of it, and write what was asked for."""
    from ..bench.safety.report import described, shares_png
    from ..bench.safety.trials import TRIALS, try_many
    from ..support.machine import machine, versions
    if args.inputs < 1 or args.processes < 0:
        raise ConfigError(f'--inputs is {args.inputs} and --processes {args.processes}: expected '
                          'at least 1, and 0 or more')
    check_outputs(args)
    processes = args.processes or len(os.sched_getaffinity(0))
    begun, results = time.perf_counter(), {}
    for name, (trial, inputs_each, share) in TRIALS.items():
        count = -(-round(args.inputs * share) // inputs_each)
        with Progress(name, total=count * inputs_each, unit='input', scaled=True) as progress:
            results[name] = try_many(trial, args.seed, count, processes,
                                     lambda done: progress.advance(done * inputs_each))
    seconds = time.perf_counter() - begun
    print(described(results, seconds))
    if args.out:
        content = {'machine': machine(), 'versions': versions(),
                   'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'seconds': round(seconds, 1),
                   'seed': args.seed, 'processes': processes,
                   **{name: tally.as_dict() for name, tally in results.items()}}
        save_file(args.out, (json.dumps(content, indent=1) + '\n').encode(), '--out')
    if args.png:
        save_file(args.png, shares_png(results), '--png')
    return int(any(tally.counts['unsafe'] + tally.counts['needless stops']
                   for tally in results.values()))
