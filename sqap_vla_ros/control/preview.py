# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What a Commander is going to say, if nothing changes: for those that must be told ahead.

A trajectory that a controller follows by itself has to keep the limits of the safety gate, so it
is not made from the policy's rows but by letting a copy of the Commander go on.
"""

from __future__ import annotations

from copy import deepcopy

from .command import Command, Measured
from .commander import Commander


def preview(commander: Commander, now_ns: int, period_ns: int, horizon_ns: int,
            measured: Measured | None = None, brakes: bool = False) -> list[Command]:
    """
    Return the commands at now_ns + period_ns, and so on, up to horizon_ns or until the arm stands.

    commander: has given the command at now_ns; it is left as it is.  measured: where the arm is,
    which is taken to follow.  brakes: whether it slows down instead of going on.
    """
    copy, commands = deepcopy(commander), []
    for time_ns in range(now_ns + period_ns, now_ns + horizon_ns + 1, period_ns):
        command = copy.brake(time_ns) if brakes else copy.command(time_ns, measured)
        if command is None:
            break
        commands.append(command)
    return commands
