# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What every program needs and no domain: files, processes, resources, clocks."""
