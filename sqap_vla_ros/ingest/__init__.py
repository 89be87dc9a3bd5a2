# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From messages, live or recorded, to observations. Imports no ROS."""
