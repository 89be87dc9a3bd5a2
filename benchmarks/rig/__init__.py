# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A rig outside vla_node that breaks what it hears and measures what the arm would have done."""
