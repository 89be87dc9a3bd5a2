# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What to quantize and how finely: precisions by name, and the scheme of a whole model.

    QuantScheme('w4a4', overrides=parse_overrides('o_proj,down_proj: w8a8; vision: w8a8'))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .powers_of_two import is_power_of_two, largest_power_of_two
from ..errors import ConfigError
from ..support.validation import nearest

_BITS = (4, 8, 16)
_SMALLEST_GROUP = 16
BACKBONE = 'llm.layers'


@dataclass(frozen=True)
class Precision:
    """
    Bits of weights and activations; 16 bits means floats that are left alone.

    text_bits: of the activations of tokens that are not visual; 0 for the same as act_bits.
    """

    name: str
    weight_bits: int
    act_bits: int
    text_bits: int = 0

    def __post_init__(self):
        """Raise ConfigError for bits that are not available."""
        if self.weight_bits not in _BITS or self.act_bits not in _BITS:
            raise ConfigError(f'precision {self.name!r}: {self.weight_bits} and {self.act_bits} '
                              f'bits, expected each to be one of {_BITS}')
        if self.text_bits and (self.act_bits == 16 or self.text_bits not in _BITS[:-1]):
            raise ConfigError(f'precision {self.name!r}: {self.text_bits} bits for text beside '
                              f'{self.act_bits}, expected 4 or 8 beside 4 or 8')


_TABLE = {p.name: p for p in (
    Precision('fp', 16, 16), Precision('w4a16', 4, 16), Precision('w8a8', 8, 8),
    Precision('w4a8', 4, 8), Precision('w4a4', 4, 4), Precision('w4a4t8', 4, 4, 8))}
PRECISIONS = tuple(_TABLE)
AUTO = 'auto'  # stands for one of them, see loading/auto_precision.py
OWN = 'own'  # stands for what a checkpoint is stored in, where a word is needed
PARTS = ('vision', 'projector', 'head')  # of a model, outside the decoder's blocks


def parse_precision(name: str) -> Precision:
    """Return the precision of that name; raise ConfigError listing the known ones."""
    if name not in _TABLE:
        raise ConfigError(f'precision {name!r} is unknown{nearest(name, PRECISIONS)}: use one of '
                          f'{PRECISIONS}')
    return _TABLE[name]


def same_weights(name: str, per_token: bool = True) -> tuple[str, ...]:
    """
    Return the precisions that differ from a named one in activations alone, itself included.

    4-bit weights have a scale a channel where activations are integers, and one a group where
    they are floats, which are other weights.  per_token: False where all tokens share one
    activation scale, which leaves no room for bits by kind of token.
    """
    own = parse_precision(name)
    return tuple(p.name for p in _TABLE.values() if p.weight_bits == own.weight_bits
                 and (p.act_bits == 16) == (own.act_bits == 16)
                 and (per_token or not p.text_bits))


def fits(name: str, pattern: str) -> bool:
    """
    Return whether a layer's dotted name contains the pattern, which may hold wildcards.

    Whole components have to fit: 'down_proj', 'vision', 'layers.0' and '*_proj' do.
    """
    return fnmatchcase(f'.{name}.', f'*.{pattern}.*')


def parse_overrides(text: str) -> dict[str, str]:
    """
    Return {pattern: precision} of a text such as 'o_proj,down_proj: w8a8; vision: w8a8'.

    Raises ConfigError for anything else.
    """
    overrides = {}
    for part in filter(str.strip, text.split(';')):
        patterns, colon, precision = part.partition(':')
        names = [name.strip() for name in patterns.split(',')]
        if not colon or not all(names):
            raise ConfigError(f'override {part.strip()!r} is not of the form '
                              "'LAYER[,LAYER...]: PRECISION', such as 'o_proj,down_proj: w8a8'")
        overrides.update(dict.fromkeys(names, parse_precision(precision.strip()).name))
    return overrides


@dataclass(frozen=True)
class QuantScheme:
    """
    How a model is quantized.

    precision: of the decoder blocks' linear layers.  rotate: fold rotations in and use online
    Hadamards (with 'fp' it only rotates).  overrides: {pattern: precision}; the first that
    fits a layer wins (see `fits`), and it may name layers outside the decoder blocks.
    qk_bits: 16, 8 or 4 bits for Q and K after the rotary embedding.  per_token: activation
    scales a token, or one for the whole tensor.  group_size: input channels that share a
    weight scale where activations stay in 16 bits, 0 for all of them; a width that it does
    not divide takes its largest power of two.  seed: of the residual rotation.
    """

    precision: str = 'fp'
    rotate: bool = True
    overrides: Mapping[str, str] = field(default_factory=dict)
    qk_bits: int = 16
    per_token: bool = True
    group_size: int = 128
    seed: int = 0

    def __post_init__(self):
        """Raise ConfigError for unknown precisions or numbers that are not available."""
        object.__setattr__(self, 'overrides', dict(self.overrides))
        for name in (self.precision, *self.overrides.values()):
            if parse_precision(name).text_bits and not self.per_token:
                raise ConfigError(f'{name} has activation scales by kind of token, and per_token '
                                  'False asks for one scale of all tokens: leave per_token True '
                                  '(--per-tensor away), or take w4a4 or w4a8')
        if self.qk_bits not in _BITS:
            raise ConfigError(f'qk_bits {self.qk_bits} is not one of {_BITS}')
        size = self.group_size
        if size and (size < _SMALLEST_GROUP or not is_power_of_two(size)):
            raise ConfigError(f'group_size {size} must be 0 (one scale an output channel) or a '
                              f'power of two from {_SMALLEST_GROUP} on')

    def precision_of(self, name: str) -> str:
        """Return the precision of the linear layer of that name."""
        for pattern, wanted in self.overrides.items():
            if fits(name, pattern):
                return wanted
        return self.precision if name.startswith(f'{BACKBONE}.') else 'fp'

    def group_of(self, width: int, precision: str) -> int:
        """Return the group size of a layer with `width` inputs; 0 for a scale a channel."""
        if parse_precision(precision).act_bits != 16 or not self.group_size:
            return 0
        size = min(self.group_size, largest_power_of_two(width))
        return size if size >= _SMALLEST_GROUP else 0

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ConfigError for overrides that fit none of these layers, or one that may not."""
        names = list(names)
        for name in names:
            precision = self.precision_of(name)
            if parse_precision(precision).text_bits and not name.startswith(f'{BACKBONE}.'):
                raise ConfigError(f'{name} is to be {precision}, which tells visual tokens from '
                                  f'others, and only the layers of {BACKBONE} see both: override '
                                  'it with w4a8, w8a8 or fp')
        for pattern in self.overrides:
            if not any(fits(name, pattern) for name in names):
                raise ConfigError(f'override {pattern!r} fits none of the linear layers, such '
                                  f'as {names[:3]}')

    def record(self, rotation: dict | None, gptq: bool) -> dict:
        """Return what config.json keeps; rotation is what rotate_model returned."""
        content = dataclasses.asdict(self)
        del content['rotate'], content['seed']
        return {**content, 'rotation': rotation, 'gptq': gptq}

    @classmethod
    def from_record(cls, record: Mapping) -> QuantScheme:
        """Return the scheme that made a record; raise ConfigError for a damaged one."""
        names = {field.name for field in dataclasses.fields(cls)} - {'rotate', 'seed'}
        missing = (names | {'rotation'}) - record.keys()
        if missing:
            raise ConfigError(
                f'the quantization record lacks {sorted(missing)}: convert the original again')
        return cls(rotate=record['rotation'] is not None,
                   **{name: record[name] for name in names})
