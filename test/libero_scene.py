# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The LIBERO environments that the simulator tests of a run share (6 s each to build)."""
from functools import lru_cache
from importlib.util import find_spec

import cv2
import numpy as np
import pytest

SEED = 3
WITHOUT_LIBERO = 'needs the LIBERO benchmark: pip install .[sim]'
NEEDS_LIBERO = pytest.mark.skipif(find_spec('libero') is None, reason=WITHOUT_LIBERO)
BUTTER = 'pick up the butter and place it in the basket'
KETCHUP = 'pick up the ketchup and place it in the basket'


def libero_env():
    """Return the shared LiberoEnv, its twists in SI; skip where the benchmark is missing."""
    need_libero()
    from sqap_vla_ros.sim.units import SPEEDS
    env = _libero_env()
    env.command_scale = SPEEDS  # an evaluation sets it to the units of its policy
    return env


@lru_cache(maxsize=1)
def _libero_env():
    from sqap_vla_ros.sim.env import LiberoEnv
    return LiberoEnv()


@lru_cache(maxsize=1)
def official_env():
    """Return a LiberoEnv of two libero_object tasks with the official initial states."""
    need_libero()
    from sqap_vla_ros.sim.env import LiberoEnv
    return LiberoEnv((BUTTER, KETCHUP), 'libero_object', initial_states=True)


@lru_cache(maxsize=1)
def varied_env():
    """Return a LiberoEnv with everything that a Variation has, but for yaw."""
    need_libero()
    from sqap_vla_ros.sim.env import LiberoEnv
    from sqap_vla_ros.sim.variation import Variation
    return LiberoEnv(variation=Variation(
        distractors=2, camera_jitter_m=0.05, camera_jitter_rad=0.05, light_jitter=0.5))


def need_libero():
    """Skip the test where the benchmark is not installed."""
    pytest.importorskip('libero', reason=WITHOUT_LIBERO)


def pixel_of(env, point):
    """Return the pixel (u, v) of a point in the base frame, as OpenCV projects it."""
    inverse = np.linalg.inv(env.camera_pose())
    turn, _ = cv2.Rodrigues(inverse[:3, :3])
    pixels, _ = cv2.projectPoints(
        np.array([point]), turn, inverse[:3, 3], env.camera_intrinsics(), None)
    return pixels[0, 0]
