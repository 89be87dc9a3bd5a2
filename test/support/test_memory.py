# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Memory that was freed goes back to the system, also from between what is still held."""
import ctypes
import os

import numpy as np
import pytest
from sqap_vla_ros.support.memory import give_back, status_bytes, total_bytes

MIB = 2**20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'malloc_trim') or not status_bytes('RssAnon'),
                    reason='not glibc on Linux')
def test_what_is_freed_between_what_is_held_goes_back():
    held = [np.ones(8000) for _ in range(2000)]  # 122 MiB, in pieces that are not mapped singly
    full = status_bytes('RssAnon')
    held = held[::50]
    give_back()
    assert status_bytes('RssAnon') < full - 90 * MIB and len(held) == 40


@pytest.mark.parametrize('groups, limits, expected', [
    ('0::/', {'memory.max': '400000000'}, 400_000_000),  # of a container, which sees its own
    ('0::/a/b', {'a/b/memory.max': 'max', 'a/memory.max': '300', 'memory.max': 'max'}, 300),
    ('0::/a/b', {'a/b/memory.max': '200', 'a/memory.max': '300'}, 200),
    ('0::/', {'memory.max': 'max'}, None), ('0::/', {}, None), ('', {}, None), (None, {}, None),
    ('4:cpu:/\n3:hugetlb,memory:/docker/id', {'memory/memory.limit_in_bytes': '500'}, 500),
    ('3:memory:/docker/id\n0::/', {'memory/docker/id/memory.limit_in_bytes': '500'}, 500),
    ('3:memory:/', {'memory/memory.limit_in_bytes': str(2**63 - 4096)}, None),  # without a limit
    ('3:pids:/', {'memory/memory.limit_in_bytes': '500', 'memory.max': '500'}, None)])
def test_a_containers_limit_is_all_the_memory_that_there_is(tmp_path, groups, limits, expected):
    if groups is not None:
        (tmp_path / 'groups').write_text(groups + '\n')
    for name, text in limits.items():
        path = tmp_path / 'mount' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + '\n')
    physical = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    assert total_bytes(tmp_path / 'groups', tmp_path / 'mount') == (expected or physical)
