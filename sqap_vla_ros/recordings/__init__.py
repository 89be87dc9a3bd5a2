# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of robots, bags and data sets, as messages in the order in which they came in."""
