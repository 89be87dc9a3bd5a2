# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks that every network configuration makes of its own numbers, whoever wrote them."""

from __future__ import annotations

from difflib import get_close_matches
import math
from numbers import Integral, Real

from ..errors import ConfigError


def is_count(value) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Return whether a value is a finite number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < math.inf


def check_counts(config, *names: str, least: int = 1) -> None:
    """Raise ConfigError unless these attributes are whole numbers >= least."""
    for name in names:
        value = getattr(config, name)
        if not is_count(value) or value < least:
            raise ConfigError(f'{name} is {value!r}, expected a whole number >= {least}')


def check_positive(config, *names: str) -> None:
    """Raise ConfigError unless these attributes are numbers above 0."""
    for name in names:
        value = getattr(config, name)
        if not is_number(value) or value <= 0:
            raise ConfigError(f'{name} is {value!r}, expected a number above 0')


def nearest_name(name, known) -> str | None:
    """Return the known name that is nearest to a misspelt one, whatever its case; None if none."""
    plain = {str(each).lower(): str(each) for each in known}
    found = get_close_matches(str(name).lower(), plain, 1)
    return plain[found[0]] if found else None


def nearest(name, known) -> str:
    """Return " (did you mean 'x'?)" for the known name that is nearest, '' for none near it."""
    found = nearest_name(name, known)
    return f' (did you mean {found!r}?)' if found else ''


def unknown_names(found, known) -> str:
    """Return the names that are not known, each with the nearest known one; '' if all are."""
    return ', '.join(f'{name!r}{nearest(name, known)}'
                     for name in sorted(set(map(str, found)) - set(map(str, known))))
