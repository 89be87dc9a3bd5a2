# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What runs our networks in other libraries, for benchmarks/cpu_peers.py."""
