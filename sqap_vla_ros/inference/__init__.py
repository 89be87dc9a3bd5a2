# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A whole inference on static buffers, replayed in CUDA graphs: `Runner`.

A network of 32 blocks launches some hundred kernels that each take a few microseconds; launched
one by one from Python they would wait for Python.  A captured graph is launched in one call.
Everything here but the capture itself also runs on a CPU, where it is tested.
"""
from .runner import Outcome, Runner

__all__ = ['Outcome', 'Runner']
