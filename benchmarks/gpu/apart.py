# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A section in a process of its own: what it does to the device ends with it.

An illegal memory access makes a process's device unusable for good.  The checks run every
configuration of every kernel, also those that nobody chooses; the timings must outlive them.
"""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys
import tempfile


def apart(name: str, device: str, command: tuple[str, ...] = (sys.executable, '-m', 'gpu')
          ) -> Callable:
    """
    Return what measures a section in another process: (seconds, keep) -> its content.

    Raises RuntimeError if that process leaves nothing about the section.
    """
    def measure(seconds: float, keep) -> dict:
        with tempfile.TemporaryDirectory(prefix='sqap_gpu_') as directory:
            out = Path(directory) / 'part.json'
            process = subprocess.Popen([
                *command, '--only', name, '--within', '--device', device, '--seconds',
                f'{seconds:.1f}', '--out', str(out)])
            try:
                process.wait()
            finally:  # also when this one's time is over
                process.kill()
                process.wait()
            content = json.loads(out.read_text())['sections'] if out.is_file() else {}
        found = content.get(name)
        if found is None:
            raise RuntimeError(f'its process ended with status {process.returncode} and left '
                               'nothing: its messages are above')
        found.pop('seconds', None)
        keep(found)
        return found
    return measure
