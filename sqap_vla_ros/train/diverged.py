# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A training whose loss is not a number any more."""

from ..errors import ConfigError


class Diverged(ConfigError):
    """Too many steps in a row had a loss or gradients that are not finite."""
