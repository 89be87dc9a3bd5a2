# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Check and time the package on a GPU at the size of OpenVLA-7B and CogACT: `benchmarks/gpu/run.sh`.

docs/performance.md tells the method.  shapes.py has the networks and how much is measured;
floors.py counts operations and bytes.  Most other modules measure one section of the result file:
checks.py with check_*.py and compare.py, golden.py with closeness.py, pairs.py with agreement.py,
libraries.py with rivals.py.
"""
