# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what is on the disk was made with the same options, said in words."""

from __future__ import annotations


def differences(found: dict, wanted: dict) -> str:
    """Return which values differ between what was found and what is wanted; '' for none."""
    return '; '.join(f'{name} was {found.get(name)!r} and is {wanted.get(name)!r}'
                     for name in sorted(found.keys() | wanted.keys())
                     if found.get(name) != wanted.get(name))
