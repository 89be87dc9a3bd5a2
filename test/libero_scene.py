# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The one LIBERO environment that all simulator tests of a run share (6 s to build)."""
from functools import lru_cache

import pytest

SEED = 3


@lru_cache(maxsize=1)
def libero_env():
    """Return the shared LiberoEnv; skip the test where the benchmark is not installed."""
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    from sqap_vla_ros.sim.env import LiberoEnv
    return LiberoEnv()
