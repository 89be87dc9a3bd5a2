# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a replay found, in files that other programs read: tables, and a bag side by side."""
