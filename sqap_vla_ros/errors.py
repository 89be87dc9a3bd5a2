# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Errors a user can fix; every message names what was found and what to do."""


class CheckpointError(ValueError):
    """A checkpoint directory is missing, truncated or of another shape than its config says."""


class UnreadableError(CheckpointError):
    """A file of a checkpoint cannot be read now: what was read of it before is good."""


class ConfigError(ValueError):
    """A parameter, option or configuration file holds a value that cannot be used."""


class ObservationError(ValueError):
    """An image, transform, state or instruction cannot be used for inference."""
