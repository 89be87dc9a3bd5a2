# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From actions to one safe command: units, time, blending, limits. Pure."""
