# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What precision 'auto' stands for: of those that are as fast as any here, the one that loses least.

The rule is a function of a Machine and a Checkpoint alone, so that a machine always answers alike
and each case can be tried on any other.  What is known of speed and loss:

- On a CPU the native kernels take 4- and 8-bit activations in the same time, since int8 multiplies
  either: W4A4, W4A4 with 8-bit text rows and W4A8 differ by less than their spread
  (benchmarks/results/precisions_avx2.json).  8-bit weights are as fast where the processor has
  VNNI, and take up to twice the time where not.  Without native kernels nothing is faster than
  full precision.
- Triton has no int4 products: it multiplies int8 on every GPU, also on those of compute
  capability 7.5 to 8.9, which have int4 units.  So W4A4 with 8-bit text rows, which such a kernel
  would make the best choice there, gains nothing.  Nothing has been timed on a GPU yet.
- What decodes its actions token by token reads all weights for each: there 4 bits are half of 8.
- Loss (docs/convert.md): W8A8 next to none, W4A8 less than W4A4 with 8-bit text rows less than
  W4A4; weights that GPTQ rounded on recorded observations less than those rounded to nearest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..numerics.precision import same_weights
from ..support.files import MIB

MOST_OF_MEMORY = 0.5  # of a machine's, that weights may take: other programs run beside a policy
LEAST_LOSS = ('fp', 'w8a8', 'w4a16', 'w4a8', 'w4a4t8', 'w4a4')
_INT4_UNITS = (7, 5), (8, 9)  # compute capabilities that have some
_IN_FLOATS = ('float', 'reference')  # backends
CONVERT = 'sqap-vla convert CHECKPOINT OUT --precision w4a8 --calibration SAMPLES'


@dataclass(frozen=True)
class Machine:
    """
    What decides about a device.

    name: in words.  backend: what serves 4-bit weights: native, triton, torch or another.
    has_fast_8_bit: whether 8-bit weights are served as fast.  number: compute capability, None of
    a CPU.  is_legacy: whether the GPU has faster int8 products than Triton reaches.
    memory_bytes: all that it has, 0 where that is not known.  missing: why the fast kernels,
    native or Triton's, are not there, '' where they are.
    """

    name: str
    backend: str
    has_fast_8_bit: bool = True
    number: tuple[int, int] | None = None
    is_legacy: bool = False
    memory_bytes: int = 0
    missing: str = ''

    @property
    def is_fast(self) -> bool:
        """Return whether 4-bit weights are expected to be faster than full precision."""
        return self.backend in ('native', 'triton') and not self.is_legacy

    @property
    def has_int4_units(self) -> bool:
        """Return whether the GPU could multiply int4, which no kernel here makes it do."""
        return self.number is not None and _INT4_UNITS[0] <= self.number <= _INT4_UNITS[1]


@dataclass(frozen=True)
class Checkpoint:
    """
    What decides about a checkpoint.

    needed_bytes: returns what its weights take on the machine in a precision.  stored: the
    precision that it was converted to, '' for full precision.  is_calibrated: by GPTQ.  per_token:
    whether each token has an activation scale of its own.  decodes: whether it answers token by
    token.
    """

    needed_bytes: Callable[[str], float]
    stored: str = ''
    is_calibrated: bool = False
    per_token: bool = True
    decodes: bool = False


@dataclass(frozen=True)
class Choice:
    """
    A precision, and why, as a sentence without its end.

    doubt: what to warn of where it costs accuracy that nobody asked to give up, or hangs on
    kernels that may be there at the next start, else ''.
    """

    precision: str
    reason: str
    doubt: str = ''

    def __str__(self) -> str:
        """Return both in one line."""
        return f'{self.precision}, chosen by auto: {self.reason}'


def choose_precision(machine: Machine, checkpoint: Checkpoint) -> Choice:
    """Return the precision that costs least accuracy for its speed, in memory that is there."""
    if checkpoint.stored:
        return _of_converted(machine, checkpoint)
    wanted = _wanted(machine, checkpoint.decodes)
    needs = {name: checkpoint.needed_bytes(name) for name in wanted}
    room = MOST_OF_MEMORY * machine.memory_bytes
    fitting = [name for name in wanted if not room or needs[name] <= room]
    chosen = fitting[0] if fitting else min(wanted, key=needs.get)
    passed = wanted[:wanted.index(chosen)] if fitting else wanted
    reasons = [_reason(machine, chosen, checkpoint.decodes)]
    if passed:
        sizes = ', '.join(f'{name} {needs[name] / MIB:.0f} MiB' for name in passed)
        reasons.append(f'{sizes}: more than half of the {machine.memory_bytes / MIB:.0f} MiB '
                       'there' + ('' if fitting else ', and nothing takes less'))
    doubts = [f'precision auto is {chosen} here since the fast kernels are missing '
              f'({machine.missing}); where they are there it may stand for another, whose answers '
              'differ: on a robot, name the precision'] if machine.missing else []
    if chosen != 'w4a8':
        return Choice(chosen, '; '.join(reasons), ''.join(doubts))
    reasons.append('weights that are rounded to nearest, as now, cost accuracy, and a checkpoint '
                   f'made by `{CONVERT}` loses less at the same speed')
    doubts.append(
        'precision auto rounds these weights of full precision to 4 bits while they load, each '
        f'to nearest, which costs accuracy: `{CONVERT}` loses less at the same speed, and '
        'precision fp leaves them alone')
    return Choice(chosen, '; '.join(reasons), '; '.join(doubts))


def _of_converted(machine: Machine, checkpoint: Checkpoint) -> Choice:
    """Return the choice among the precisions that converted weights can be loaded at."""
    stored = checkpoint.stored
    alike = [name for name in LEAST_LOSS if name in same_weights(stored, checkpoint.per_token)]
    if len(alike) == 1:
        return Choice(stored, f'the checkpoint was converted to {stored}, and its weights serve '
                      'no other precision')
    rounding = 'GPTQ rounded them' if checkpoint.is_calibrated else (
        'they were rounded to nearest, and a checkpoint made of the original by '
        f'`{CONVERT}` loses less')
    return Choice(alike[0], f'{_alike(machine)}; its 4-bit weights serve {", ".join(alike)}, and '
                  f'{rounding}')


def _wanted(machine: Machine, decodes: bool) -> tuple[str, ...]:
    """Return precisions of full-precision weights: what loses least of the fastest comes first."""
    quantized = ('w8a8', 'w4a8') if machine.has_fast_8_bit else ('w4a8',)
    if not machine.is_fast:
        return 'fp', *quantized
    return ('w4a8',) if decodes else quantized


def _reason(machine: Machine, chosen: str, decodes: bool) -> str:
    """Return why a precision is chosen where it fits."""
    if chosen == 'fp':
        why = ("it has faster int8 products than Triton's" if machine.is_legacy else
               f'quantized layers run on backend {machine.backend}')
        return (f'nothing is known to be faster than full precision on {machine.name}, where '
                f'{why}')
    if chosen == 'w8a8':
        fast = ('multiplies 8-bit weights as fast as those of 4 bits' if machine.is_fast else
                'has room for 8 bits')
        return f'{machine.name} {fast}{_untimed(machine)}, which lose next to nothing'
    if not machine.is_fast:
        return f'4-bit weights take the least memory; {_alike(machine)}'
    if decodes:
        return ('a policy that decodes its actions token by token reads all weights for each, '
                f'and 4 bits are read fastest; {_alike(machine)}')
    slow = '' if machine.has_fast_8_bit else '; 8-bit weights take longer there'
    return _alike(machine) + slow


def _alike(machine: Machine) -> str:
    """Return why activations have 8 bits beside 4-bit weights."""
    kind = 'floats' if machine.backend in _IN_FLOATS else 'int8'
    units = ' (no kernel here uses its int4 units yet)' if machine.has_int4_units else ''
    return (f'{machine.name} multiplies 4- and 8-bit activations alike, in {kind}{units}, so '
            f'that 8 bits cost no time{_untimed(machine)}')


def _untimed(machine: Machine) -> str:
    return '' if machine.number is None else ' (by its kernels: no GPU has been timed)'
