# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Open a recording, whatever it is."""

from __future__ import annotations

from .bag import BagRecording
from .lerobot import LeRobotRecording
from .lerobot_info import data_set_root
from .recording import Recording


def open_recording(path) -> Recording:
    """
    Return the recording at a path: a LeRobot data set where there is a meta/info.json, or a bag.

    Raises ConfigError for a path without one, ObservationError for one that cannot be read.
    """
    if data_set_root(path) is not None:
        return LeRobotRecording(path)
    return BagRecording(path)
