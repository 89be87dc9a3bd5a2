# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Does anything unsafe leave the safety gate? Random policies, clocks and arms, and a judge."""
