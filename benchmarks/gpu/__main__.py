# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Check and time everything on this machine's GPU; benchmarks/gpu/run.sh calls it."""

from __future__ import annotations

import argparse
from functools import partial
import os
from pathlib import Path
import platform
import re
import subprocess
import sys
import tempfile
import time

# seconds of each section, which also gets what those before it leave over
SHARE = {'checks': 120, 'golden': 60, 'cogact': 130, 'openvla': 130, 'oft': 130, 'layers': 70}
SECTIONS = tuple(SHARE)
TINY_SECONDS = 400.0  # about 20 on a machine with nothing else to do
ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / 'results'


def parse(arguments=None):
    """Return the options."""
    parser = argparse.ArgumentParser(prog='benchmarks/gpu/run.sh', description=__doc__)
    add = parser.add_argument
    add('--tiny', action='store_true',
        help="tiny networks on the CPU in Triton's interpreter: shows that the program works")
    add('--only', nargs='+', choices=SECTIONS, metavar='SECTION', default=list(SECTIONS),
        help=f'some of {", ".join(SECTIONS)}')
    add('--device', default='cuda', help='cuda or cuda:N')
    add('--seconds', type=float, help='time for all sections together')
    add('--out', type=Path, metavar='FILE.json', help='instead of results/DEVICE-DATE.json')
    return parser.parse_args(arguments)


def machine(device) -> dict:
    """Return the device, versions and the revision of the source."""
    import torch
    import triton

    from sqap_vla_ros.kernels.cuda import capability
    found = {'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'torch': torch.__version__,
             'cuda': torch.version.cuda, 'triton': triton.__version__,
             'python': platform.python_version(), 'revision': revision()}
    if device.type != 'cuda':
        return {**found, 'device': f'{platform.machine()} CPU, interpreted', 'capability': 'none'}
    facts = capability(device)
    return {**found, 'device': facts.name, 'capability': '.'.join(map(str, facts.number)),
            'memory_gib': facts.memory_bytes / 2 ** 30, 'note': facts.note}


def revision() -> str:
    """Return the commit of the source tree, 'unknown' without git."""
    try:
        done = subprocess.run(['git', '-C', str(ROOT), 'describe', '--always', '--dirty'],
                              capture_output=True, text=True)
    except FileNotFoundError:
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def default_file(facts: dict, tiny: bool) -> Path:
    """Return where the results go: a tiny run's, which say nothing of speed, are not kept."""
    if tiny:
        return Path(tempfile.gettempdir()) / 'sqap_gpu_tiny.json'
    slug = re.sub('[^a-z0-9]+', '-', facts['device'].lower())
    return RESULTS / f'{slug}-{facts["date"][:10]}.json'


def measurements(plan, device, dtype) -> dict:
    """Return what measures each section, by name; all take (seconds, keep)."""
    from . import checks, golden, layers, pairs
    networks = {name: partial(pairs.measure, plan, name, device, dtype) for name in plan.models}
    return {'checks': partial(checks.measure, plan, device, dtype),
            'golden': partial(golden.measure, plan, device), **networks,
            'layers': partial(layers.measure, plan, device, dtype)}


def main(arguments=None) -> int:
    """Run the sections; return 1 if one failed or something is wrong."""
    args = parse(arguments)
    if args.tiny:
        os.environ['TRITON_INTERPRET'] = '1'  # before anything imports triton
    import torch

    from sqap_vla_ros.errors import ConfigError
    from sqap_vla_ros.inference.device import find_device, free_memory

    from .render import markdown
    from .results import Results
    from .shapes import FULL, TINY
    plan = TINY if args.tiny else FULL
    try:
        device = find_device('cpu' if args.tiny else args.device)
    except ConfigError as error:
        print(f'{error}; --tiny shows on a CPU that the program works', file=sys.stderr)
        return 2
    if device.type == 'cuda':
        torch.cuda.set_device(device)  # Triton launches on the current one
    facts = machine(device)
    out = args.out or default_file(facts, args.tiny)
    results = Results(out, {'machine': facts, 'tiny': args.tiny})
    end = time.perf_counter() + (
        args.seconds or (TINY_SECONDS if args.tiny else sum(SHARE.values())))
    every = measurements(plan, device, torch.float32 if args.tiny else torch.bfloat16)
    wanted = [name for name in every if name in args.only]
    for place, name in enumerate(wanted):
        left, later = end - time.perf_counter(), sum(map(SHARE.get, wanted[place + 1:]))
        results.run(name, max(left - later, min(left, SHARE[name])), every[name])
        free_memory()
    print(markdown(results.content))
    print(f'{out}: {", ".join(results.failed) or "nothing"} failed')
    return 1 if results.failed else 0


if __name__ == '__main__':
    sys.exit(main())
