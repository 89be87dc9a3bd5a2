# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How far what a policy answered is from what was done, and from other answers; pure numpy."""
