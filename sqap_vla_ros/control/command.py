# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One command to the arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Command:
    """
    One command to the arm.

    twist: float64 [6], linear m/s then angular rad/s, in the action space's frame.
    gripper: 0 closed .. 1 open, or None to leave the gripper as it is.
    """

    twist: np.ndarray
    gripper: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether no number in it is NaN or infinite."""
        gripper = 0.0 if self.gripper is None else self.gripper
        return bool(np.isfinite(self.twist).all() and np.isfinite(gripper))


STOP = Command(np.zeros(6))
