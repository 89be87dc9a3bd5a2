# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO as an environment: simulator, camera, widened placements, scripted expert.

Importing this package is cheap; `sim.env` imports MuJoCo and the benchmark. The rendering
backend is chosen here, because MuJoCo reads it once, when it is first imported: software
(OSMesa) unless a GPU is there or the environment already says otherwise.  And triton, which torch
may import at any time, is imported here if it is installed (0.3 s): it and Mesa both bring an
LLVM, and with Mesa's loaded first the process crashes.
"""
import contextlib
import os

_GPU_DEVICE = '/dev/nvidiactl'


def choose_rendering_backend():
    """Set MUJOCO_GL and PYOPENGL_PLATFORM where the environment leaves them open."""
    backend = 'egl' if os.path.exists(_GPU_DEVICE) else 'osmesa'
    backend = os.environ.setdefault('MUJOCO_GL', backend)
    if backend in ('egl', 'osmesa'):
        os.environ.setdefault('PYOPENGL_PLATFORM', backend)


choose_rendering_backend()
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
