# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The command line options of a policy, made of the one list in sqap_vla_ros/options.py."""

from __future__ import annotations

import argparse

from ..options import description, flag_name, OPTIONS, plain_default, PolicyOptions


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
            flag_name(item), dest=item.name, help=description(item),
            default=defaults.get(item.name, plain_default(item)),
            **form.get(kind, {'type': kind}))


def policy_options(args: argparse.Namespace, **changes) -> PolicyOptions:
    """Return the options that were parsed, with changes; raise ConfigError as PolicyOptions do."""
    given = {item.name: getattr(args, item.name) for item in OPTIONS if hasattr(args, item.name)}
    return PolicyOptions(**{**given, **changes})
