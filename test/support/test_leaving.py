# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a node's process ends: at once, with its status and what was printed."""

import os
import subprocess
import sys

PROGRAM = """
import atexit, ctypes, threading, time
from sqap_vla_ros.support.processes import leave
atexit.register(time.sleep, 60)
threading.Thread(target=time.sleep, args=(60,)).start()
print('said by Python')
ctypes.CDLL(None).puts(b'said by C')
leave(3)
"""


def test_nothing_that_is_left_behind_is_waited_for():
    result = subprocess.run([sys.executable, '-c', PROGRAM], check=False, capture_output=True,
                            text=True, timeout=300, env={**os.environ, 'PYTHONUNBUFFERED': ''})
    assert result.returncode == 3
    assert sorted(result.stdout.splitlines()) == ['said by C', 'said by Python']
