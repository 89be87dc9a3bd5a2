# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Check and time the package on a GPU at the size of a 7B model: `benchmarks/gpu/run.sh`.

docs/performance.md tells the method.  checks.py compares every kernel with its reference,
golden.py whole networks; pairs.py times networks in turn, layers.py single layers beside
libraries; shapes.py says how much of all that, floors.py counts operations and bytes.
"""
