# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: arguments, parameter files, and what they start.

All that can be refused is refused before a process starts, with the nearest name. nodes.py alone
imports launch; the rest is tried where launch is not installed, too.
"""
