# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded observations, whatever they lie in: GPTQ learns from them, errors are of them."""
