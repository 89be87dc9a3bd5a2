# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A policy over a recording: what it would have done, beside what was done."""
