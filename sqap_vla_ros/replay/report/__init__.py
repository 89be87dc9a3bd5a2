# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a replay (write.py): one HTML file that needs nothing else."""
