# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Compile the kernels for cards that are not there, and report what the compiler made of them.

    python -m sqap_vla_ros.kernels.cuda.ahead --cards 80 90 --only int_gemm --ptx DIR

prints registers, bytes of local memory a thread (spills), shared memory and the matrix
instructions of each kernel; it exits with 1 if one does not compile, spills, or needs more shared
memory than the card has, and if there was nothing to compile for a card.  Without --cards it is
done for all of capability.py's table that have kernels.  Every module beside this one that has a
function

    ahead_of_time() -> list of (name, jit function, signature, constexprs, options)

takes part.  signature: argument to type, such as '*bf16:16', with ':16' for multiples of 16.
options: num_warps, num_stages and perhaps `cards`, the only ones that a configuration is for.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import pkgutil
import re
import subprocess
import sys
import tempfile
import time

from .capability import GENERATIONS
from .trial import short

_SHARED_BYTES = {known.card: known.shared_kib * 1024 for known in GENERATIONS if known.int8}
CARDS = tuple(_SHARED_BYTES)
_MATRIX = re.compile(r'(?:wgmma\.mma_async|mma\.sync|tcgen05\.mma)\.[a-z0-9_.:]+')
_RESOURCES = re.compile(r'REG:(\d+) STACK:(\d+).*? LOCAL:(\d+)')


@dataclass(frozen=True)
class Report:
    """What became of one kernel on one card; sizes in bytes, local memory a thread."""

    name: str
    card: int
    registers: int
    local: int
    shared: int
    matrix: str
    seconds: float
    error: str = ''

    @property
    def problem(self) -> str:
        """Return what is wrong with it, '' if nothing."""
        if self.error:
            return f'is not compiled: {self.error}'
        if self.local:
            return f'{self.local} bytes of local memory a thread'
        if self.shared > _SHARED_BYTES[self.card]:
            return f'{self.shared} bytes of shared memory, the card has {_SHARED_BYTES[self.card]}'
        return ''

    def __str__(self) -> str:
        """Return a line for a table."""
        matrix = self.matrix or 'no matrix products'
        return (f'sm_{self.card:<4}{self.name:34} {self.registers:4} registers '
                f'{self.local:5} local {self.shared:7} shared  {matrix:44} '
                f'{self.seconds:5.1f} s  {self.problem}')


def kernels(card: int) -> Iterator[list]:
    """Yield what each module of this package registers for a card."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name != 'ahead':
            found = getattr(import_module(f'{__package__}.{module.name}'), 'ahead_of_time', list)()
            yield [entry for entry in found if card in entry[-1].get('cards', (card,))]


def compile_kernel(function, signature: dict, constexprs: dict, options: dict, card: int):
    """Return Triton's compiled kernel."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    types = {name: signature.get(name, 'constexpr').split(':')[0] for name in function.arg_names}
    divisible = {(index,): [['tt.divisibility', 16]]
                 for index, name in enumerate(function.arg_names)
                 if signature.get(name, '').endswith(':16')}
    source = ASTSource(function, types, constexprs, divisible)
    return triton.compile(source, target=GPUTarget('cuda', card, 32), options=options)


def examine(name: str, compiled, card: int, seconds: float) -> Report:
    """Read registers and spills from the machine code, instructions from the PTX."""
    registers, stack, local = _resources(compiled.asm['cubin'])
    found = sorted(set(_MATRIX.findall(compiled.asm['ptx'])))
    short = [text.replace('.sync.aligned', '').replace('.satfinite', '').replace('.row.col', '')
             for text in found]
    return Report(name, card, registers, stack + local, compiled.metadata.shared,
                  ' '.join(short), seconds)


def _resources(cubin: bytes) -> tuple[int, int, int]:
    """Return registers, stack and local bytes a thread by cuobjdump, which comes with Triton."""
    tool = Path(find_spec('triton').origin).parent / 'backends/nvidia/bin/cuobjdump'
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([tool, '--dump-resource-usage', file.name], check=True,
                              capture_output=True, text=True).stdout
    return tuple(map(int, _RESOURCES.search(text).groups()))


def reports(card: int, only: str = '', first: bool = False,
            ptx: Path | None = None) -> Iterator[Report]:
    """Compile the kernels whose name contains `only` for a card such as 90."""
    from .probe import FAILURES
    for entries in kernels(card):
        for name, function, signature, constexprs, options in entries[:1] if first else entries:
            if only not in name:
                continue
            options = {key: value for key, value in options.items() if key != 'cards'}
            start = time.perf_counter()
            try:
                compiled = compile_kernel(function, signature, constexprs, options, card)
            except FAILURES as error:
                yield Report(name, card, 0, 0, 0, '', time.perf_counter() - start, short(error))
                continue
            if ptx is not None:
                _write(compiled, ptx / f'{name}_{card}'.replace(' ', '_'))
            yield examine(name, compiled, card, time.perf_counter() - start)


def _write(compiled, path: Path) -> None:
    for kind in ('ttgir', 'ptx'):
        Path(f'{path}.{kind}').write_text(compiled.asm[kind])


def main(arguments=None) -> int:
    """Print a line a kernel and card; return 1 if any has a problem."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--cards', type=int, nargs='+', choices=CARDS, default=list(CARDS))
    parser.add_argument('--only', default='', help='kernels whose name contains this')
    parser.add_argument('--first', action='store_true', help='one kernel of each module')
    parser.add_argument('--ptx', type=Path, help='write PTX and TritonGPU IR to this directory')
    options = parser.parse_args(arguments)
    bad = False
    for card in options.cards:
        found = 0
        for found, report in enumerate(
                reports(card, options.only, options.first, options.ptx), start=1):
            print(report, flush=True)
            bad |= bool(report.problem)
        if not found:
            print(f'sm_{card} has no kernel whose name contains {options.only!r}: nothing was '
                  'compiled for it')
            bad = True
    return int(bad)


if __name__ == '__main__':
    sys.exit(main())
