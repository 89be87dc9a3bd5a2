# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation runs: the rows of its table, and the episodes of each row."""

from __future__ import annotations

from dataclasses import dataclass

from .rollouts import CONTROLS
from ..errors import ConfigError
from ..support.validation import unknown_names

BASELINE = 'fp'
OTHER_PRECISIONS = ('w4a8', 'w8a8', 'w4a16')
# variant: precision, selection method (None: all tokens)
VARIANTS = {
    'fp': ('fp', None), 'w4a4': ('w4a4', None),
    'prune': ('fp', 'sqap'), 'random-prune': ('fp', 'random'),
    'sqap': ('w4a4', 'sqap'), 'w4a4-random-prune': ('w4a4', 'random'),
    **{name: (name, None) for name in OTHER_PRECISIONS},
    **{f'{name}-prune': (name, 'sqap') for name in OTHER_PRECISIONS},
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a variant of the policy under a control."""

    variant: str
    keep: int | None = None
    control: str = 'none'

    @property
    def name(self) -> str:
        """Return the variant, with the number of kept tokens where it prunes."""
        return self.variant if self.keep is None else f'{self.variant}@{self.keep}'

    @property
    def precision(self) -> str:
        """Return the precision of the variant."""
        return VARIANTS[self.variant][0]

    @property
    def method(self) -> str | None:
        """Return the method of token selection, None for all tokens."""
        return VARIANTS[self.variant][1]


@dataclass(frozen=True)
class Job:
    """One episode of a row."""

    row: Row
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what names the episode in files."""
        return self.row.name, self.row.control, self.seed


def plan_rows(variants, keeps, controls, control_variants) -> list[Row]:
    """
    Return the table's rows: every variant as it is, then the controls.

    variants: names of VARIANTS; each pruning one is run with every number of tokens in keeps.
    controls: names of CONTROLS, run for the variants (or rows, as in 'sqap@154') that
    control_variants names.  Raises ConfigError for names that are unknown or not in the table.
    """
    _check(variants, VARIANTS, '--variants')
    _check(controls, CONTROLS, '--controls')
    plain = [Row(variant, keep) for variant in variants
             for keep in (keeps if VARIANTS[variant][1] else (None,))]
    controls = [control for control in controls if control != 'none']
    if controls:
        known = dict.fromkeys(name for row in plain for name in (row.variant, row.name))
        _check(control_variants, known, '--control-variants')
    return plain + [Row(row.variant, row.keep, control) for control in controls for row in plain
                    if row.variant in control_variants or row.name in control_variants]


def _check(names, known, option: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise ConfigError(f'{option} {",".join(names)}: each of {", ".join(known)} at most once'
                          + (f', not {unknown_names(names, known)}' if unknown else ''))
