# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that was freed goes back to the system, also from between what is still held."""
import ctypes

import numpy as np
import pytest
from sqap_vla_ros.support.memory import give_back, status_bytes

MIB = 2**20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'malloc_trim') or not status_bytes('RssAnon'),
                    reason='not glibc on Linux')
def test_what_is_freed_between_what_is_held_goes_back():
    held = [np.ones(8000) for _ in range(2000)]  # 122 MiB, in pieces that are not mapped singly
    full = status_bytes('RssAnon')
    held = held[::50]
    give_back()
    assert status_bytes('RssAnon') < full - 90 * MIB and len(held) == 40
