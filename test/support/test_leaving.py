# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a process ends: in order, but at once where a thread is left in the middle of its work."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, threading, time
from sqap_vla_ros.support.processes import leave
atexit.register(print, 'in order')
if {is_left_behind}:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print('said')
leave(3)
"""


@pytest.mark.parametrize('is_left_behind, shown', [
    (False, ['said', 'in order']), (True, ['said'])])
def test_a_thread_that_is_left_behind_is_not_unwound(is_left_behind, shown):
    result = subprocess.run(
        [sys.executable, '-c', PROGRAM.format(is_left_behind=is_left_behind)], check=False,
        capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stdout.split('\n')[:-1]) == (3, shown)
