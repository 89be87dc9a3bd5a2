# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What an evaluation, a replay or a table of errors runs: the variants of a policy, as rows.

A variant is a precision and what becomes of visual tokens, such as w4a8 (all are kept),
w4a8-prune, w4a8-random-prune and w4a8-follow; full precision's are fp, prune, random-prune and
follow, and sqap is the paper's: w4a4-prune.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .rollouts import CONTROLS
from ..errors import ConfigError
from ..numerics.precision import AUTO, PRECISIONS, same_weights
from ..options import PolicyOptions
from ..support.validation import unknown_names
from ..tokens.choice import SelectionConfig

BASELINE = 'fp'
NEAREST = '-nearest'
NOISE = 0.001  # of fp-noise, in normalised actions


@dataclass(frozen=True)
class Variant:
    """
    What a variant's name stands for.

    precision: or auto.  method: of token selection, None for all tokens.  dropped: what becomes
    of the others, '' for what all rows have in common.  is_nearest: whether 4-bit weights are
    rounded to nearest, even where a converted checkpoint is named beside.  noise: standard
    deviation of what is added to the normalised actions.
    """

    precision: str
    method: str | None = None
    dropped: str = ''
    is_nearest: bool = False
    noise: float = 0.0


_ENDS = {'': {}, '-prune': {'method': 'sqap'}, '-random-prune': {'method': 'random'},
         '-follow': {'method': 'sqap', 'dropped': 'follow'}}


def _variants() -> dict[str, Variant]:
    """Return every variant by its name."""
    found = {}
    for precision in (BASELINE, AUTO, *PRECISIONS[1:]):
        for end, facts in _ENDS.items():
            name = end[1:] if end and precision == BASELINE else precision + end
            found[name] = Variant(precision, **facts)
            if precision in same_weights('w4a4'):
                found[precision + NEAREST + end] = replace(found[name], is_nearest=True)
    found['sqap'] = found['w4a4-prune']
    found['fp-repeat'], found['fp-noise'] = Variant(BASELINE), Variant(BASELINE, noise=NOISE)
    return found


VARIANTS = _variants()
VARIANT_NAMES = (  # for help and messages
    f'one of {AUTO}, {", ".join(PRECISIONS)}, which keep all tokens; the same with -prune, '
    '-random-prune or -follow behind it (of fp: prune, random-prune, follow); sqap is w4a4-prune; '
    f'{NEAREST} behind {", ".join(same_weights("w4a4"))} rounds weights to nearest '
    f'(w4a4-nearest-prune); fp-repeat, fp once more; fp-noise, fp with noise of {NOISE:g} on the '
    'normalised actions')


@dataclass(frozen=True)
class Row:
    """
    One line of the table: a variant of the policy under a control.

    auto: the precision that auto stands for, where the variant names it.
    """

    variant: str
    keep: int | None = None
    control: str = 'none'
    auto: str = ''

    @property
    def name(self) -> str:
        """Return the variant, with the number of kept tokens where it prunes."""
        return self.variant if self.keep is None else f'{self.variant}@{self.keep}'

    @property
    def facts(self) -> Variant:
        """Return what the variant stands for."""
        return VARIANTS[self.variant]

    @property
    def precision(self) -> str:
        """Return the precision of the variant."""
        return self.auto or self.facts.precision

    @property
    def method(self) -> str | None:
        """Return the method of token selection, None for all tokens."""
        return self.facts.method

    @property
    def takes_converted(self) -> bool:
        """Return whether weights that were converted to 4 bits can serve the row."""
        return self.precision in same_weights('w4a4') and not self.facts.is_nearest

    def selection(self, common: PolicyOptions, seed: int | None = None) -> SelectionConfig | None:
        """
        Return how the row chooses tokens, None where it keeps them all.

        common: of all rows.  seed: of a random choice, None for theirs.
        """
        if self.method is None:
            return None
        return replace(
            common, keep=self.keep, selection_method=self.method,
            selection_seed=common.selection_seed if seed is None or self.method != 'random' else (
                seed),
            dropped=self.facts.dropped or common.dropped).selection


@dataclass(frozen=True)
class Job:
    """One episode of a row."""

    row: Row
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what names the episode in files."""
        return self.row.name, self.row.control, self.seed


def plan_rows(variants, keeps, controls, control_variants, auto: str = '') -> list[Row]:
    """
    Return the table's rows: every variant as it is, then the controls.

    variants: names of VARIANTS; each pruning one is run with every number of tokens in keeps.
    controls: names of CONTROLS, run for the variants (or rows, as in 'sqap@154') that
    control_variants names.  auto: what auto stands for, see names_auto.  Raises ConfigError for
    names that are unknown or not in the table.
    """
    _check(variants, VARIANTS, '--variants', VARIANT_NAMES)
    _check(controls, CONTROLS, '--controls', f'each of {", ".join(CONTROLS)}')
    if names_auto(variants) and not auto:
        raise ConfigError(f'--variants {",".join(variants)}: what auto stands for is not asked '
                          f'here, name a precision: {", ".join(PRECISIONS)}')
    plain = [Row(variant, keep, auto=auto if names_auto([variant]) else '')
             for variant in variants for keep in (keeps if VARIANTS[variant].method else (None,))]
    controls = [control for control in controls if control != 'none']
    if controls:
        known = dict.fromkeys(name for row in plain for name in (row.variant, row.name))
        _check(control_variants, known, '--control-variants', f'each of {", ".join(known)}')
    return plain + [replace(row, control=control) for control in controls for row in plain
                    if row.variant in control_variants or row.name in control_variants]


def names_auto(variants) -> bool:
    """Return whether one of the variants has the precision auto."""
    return any(name in VARIANTS and VARIANTS[name].precision == AUTO for name in variants)


def _check(names, known, option: str, expected: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise ConfigError(f'{option} {",".join(names)}: {expected}, at most once'
                          + (f', not {unknown_names(names, known)}' if unknown else ''))
