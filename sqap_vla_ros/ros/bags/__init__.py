# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags and a live graph: a small player and a small recorder, for where ros2 bag is not there."""
