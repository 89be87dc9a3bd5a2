# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a command whose output nobody reads any more, as behind `| head`."""

from __future__ import annotations

import os
import select
import signal
import sys

UNREAD = 128 + signal.SIGPIPE  # what a shell says of other tools


def unread_streams() -> list:
    """Return those of stdout and stderr whose reader has gone."""
    return [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]


def silence(streams) -> None:
    """Send what is still to be written nowhere, so that the interpreter ends quietly."""
    for stream in streams:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_unread(stream) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors are always told
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):  # no file behind it, or closed
        return False
