# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line options of a policy, made of the one list in sqap_vla_ros/options.py."""

from __future__ import annotations

import argparse

from ..options import (
    description, flag_name, known, OPTIONS, plain_default, PolicyOptions)

CHECKPOINT = ('checkpoint directory of OpenVLA, CogACT (or its .pt) or this package, or the name '
              'of a bundled model')


def add_policy_arguments(parser: argparse.ArgumentParser, *names: str, **defaults) -> None:
    """
    Add the options of these fields of PolicyOptions; they are parsed into those names.

    defaults: other ones than PolicyOptions has, by name; such fields are added too.
    """
    for item in OPTIONS:
        if item.name not in (*names, *defaults):
            continue
        kind = type(plain_default(item))
        form = {tuple: {'nargs': '+'}, bool: {'action': argparse.BooleanOptionalAction}}
        parser.add_argument(
            flag_name(item), dest=item.name, help=_help(item), metavar=_metavar(item, kind),
            default=defaults.get(item.name, plain_default(item)),
            **form.get(kind, {'type': kind}))


def _help(item) -> str:
    """Return what an option is, with its range."""
    facts, text = known(item), description(item)
    return text if facts.low is None else f'{text} From {facts.low:g} to {facts.high:g}.'


def _metavar(item, kind: type) -> str | None:
    """Return what stands for a value; None for the flags of a BooleanOptionalAction."""
    names = {int: 'N', float: 'X', bool: None, tuple: 'NAME'}
    return names.get(kind, 'NAME' if known(item).choices else 'TEXT')


def policy_options(args: argparse.Namespace, **changes) -> PolicyOptions:
    """Return the options that were parsed, with changes; raise ConfigError as PolicyOptions do."""
    given = {item.name: getattr(args, item.name) for item in OPTIONS if hasattr(args, item.name)}
    return PolicyOptions(**{**given, **changes})
