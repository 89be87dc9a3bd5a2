# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far a variant's actions are from full precision's on recorded observations: `error`."""
