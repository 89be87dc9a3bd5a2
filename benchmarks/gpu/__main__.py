# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Check and time everything on this machine's GPU; benchmarks/gpu/run.sh calls it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

SECTIONS = ('ceilings', 'precompile', 'checks', 'golden', 'cogact', 'openvla', 'loading',
            'libraries', 'layers', 'growth', 'options')
# seconds: of all together, and of each, which also gets what those before it leave over.  With
# --only, sections have more time: the checks of all configurations may need it
SECONDS = 510.0
SHARE = {'ceilings': 10, 'precompile': 95, 'checks': 55, 'golden': 45, 'cogact': 75,
         'openvla': 75, 'loading': 40, 'libraries': 20, 'layers': 30, 'growth': 40,
         'options': 25}
TINY_SECONDS = 150.0  # about 30 on a machine with nothing else to do
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
    add('--within', action='store_true', help=argparse.SUPPRESS)  # a part of another run
    return parser.parse_args(arguments)


def machine(device) -> dict:
    """Return the device, versions and the revision of the source."""
    import torch

    from sqap_vla_ros.kernels.cuda.capability import capability
    from sqap_vla_ros.kernels.cuda.choices import identity, triton_version
    found = {'date': time.strftime('%Y-%m-%dT%H:%M:%S%z'), 'torch': torch.__version__,
             'cuda': torch.version.cuda, 'triton': triton_version(),
             'python': platform.python_version(), 'cores': os.cpu_count(),
             'revision': revision()}
    if device.type != 'cuda':
        return {**found, 'device': f'{platform.machine()} CPU, interpreted', 'capability': 'none',
                'driver': 'none'}
    facts = capability(device)
    return {**found, **identity(), 'device': facts.name,
            'memory_gib': facts.memory_bytes / 2 ** 30, 'warning': facts.warning}


def revision() -> str:
    """Return the commit of the source tree, 'unknown' without git."""
    if not (ROOT / '.git').exists() or not shutil.which('git'):
        return 'unknown'
    done = subprocess.run(['git', '-C', str(ROOT), 'describe', '--always', '--dirty'],
                          capture_output=True, text=True)
    return done.stdout.strip() or 'unknown'


def default_file(facts: dict, tiny: bool) -> Path:
    """Return where the results go: a tiny run's, which say nothing of speed, are not kept."""
    if tiny:
        return Path(tempfile.gettempdir()) / 'sqap_gpu_tiny.json'
    slug = re.sub('[^a-z0-9]+', '-', facts['device'].lower())
    return RESULTS / f'{slug}-{facts["date"][:10]}.json'


def measurements(plan, device, dtype, results, tiny: bool, within: bool = False) -> dict:
    """Return what measures each section, by name; all take (seconds, keep)."""
    from . import ceilings, checks, golden, growth, layers, libraries, loading, pairs, precompile
    from .apart import apart
    from .shapes import BASELINE, options, Variant, variants

    def card():
        found = results.get('ceilings')
        return ceilings.card(found, 'this card')

    def paired(name, sides):
        return lambda seconds, keep: pairs.measure(
            plan.models[name], sides, plan, card(), device, dtype, seconds, keep)
    found = {
        'ceilings': lambda seconds, keep: ceilings.measure(plan, device, seconds),
        'precompile': lambda seconds, keep: precompile.measure(device, seconds),
        'checks': lambda seconds, keep: checks.measure(
            plan, device, dtype, seconds, keep),
        'golden': lambda seconds, keep: golden.measure(
            device, plan.keep, tiny, seconds, keep),
        'cogact': paired('cogact', variants(plan.keep)),
        'openvla': paired('openvla', variants(plan.keep)),
        'loading': lambda seconds, keep: loading.measure(
            plan, device, dtype, seconds, keep),
        'libraries': lambda seconds, keep: libraries.measure(plan, device, dtype, seconds, keep),
        'layers': lambda seconds, keep: layers.measure(plan, card(), device, dtype, seconds),
        'growth': lambda seconds, keep: growth.measure(
            plan.models['cogact'], plan, device, dtype, seconds, keep),
        'options': paired('cogact', [Variant(BASELINE), *options(plan.keep)])}
    if device.type == 'cuda' and not within:
        found.update({name: apart(name, str(device)) for name in ('checks', 'golden')})
    return found


def main(arguments=None) -> int:
    """Run the sections; return 1 if one failed or something is wrong."""
    args = parse(arguments)
    if args.tiny:
        os.environ['TRITON_INTERPRET'] = '1'  # before anything imports triton
    import torch

    from sqap_vla_ros.errors import ConfigError
    from sqap_vla_ros.inference.device import find_device

    from .budget import Budget, Results
    from .models import release
    from .render import markdown, picture
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
    results = Results(out, {'machine': facts, 'networks': list(plan.models),
                            'tiny': args.tiny})
    budget = Budget(args.seconds or (TINY_SECONDS if args.tiny else SECONDS))
    dtype = torch.float32 if args.tiny else torch.bfloat16
    every = measurements(plan, device, dtype, results, args.tiny, args.within)
    wanted = [name for name in SECTIONS
              if name in args.only or (name == 'ceilings' and not args.within)]
    for place, name in enumerate(wanted):
        later = sum(SHARE[other] for other in wanted[place + 1:])
        budget.run(results, name, SHARE[name], every[name], later)
        try:
            release(device)
        except RuntimeError as error:  # such as an illegal memory access: it stays for good
            print(f'{name} has left the device unusable: {error}', file=sys.stderr)
            results.put(name, {**results.get(name), 'ok': False, 'error': str(error)})
            break
    if args.within:
        return 1 if results.failed else 0
    print(markdown(results.content))
    try:
        picture(results.content, out.with_suffix('.png'))
    except ImportError:
        print('no picture: matplotlib is not installed', file=sys.stderr)
    print(f'{out}: {", ".join(results.failed) or "nothing"} failed')
    return 1 if results.failed else 0


if __name__ == '__main__':
    sys.exit(main())
