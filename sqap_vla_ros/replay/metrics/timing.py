# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How long answers took by stage, how old they and their images were, and which came too late."""

from __future__ import annotations

import numpy as np

from .percentiles import percentiles
from .row_numbers import Timing
from .times import shares_clock


def timing(images, answers) -> Timing:
    """Return the times of one row of the table, of images that were answered."""
    known, latency = answers.answered, answers.latency_ms
    took_ms = latency.get('total', np.full(len(known), np.nan)) + latency.get('observe', 0.0)
    same = shares_clock(images)
    came_ms = np.where(same, (images.arrived_ns - images.stamps_ns) * 1e-6, np.nan)
    age_ms = np.where(known, took_ms + np.where(same, came_ms, 0.0), np.nan)
    deadline_ms = deadline(answers)
    counted = int(np.isfinite(age_ms).sum()) if deadline_ms is not None else 0
    missed = int((age_ms > deadline_ms).sum()) if counted else 0
    return Timing({stage: percentiles(np.where(known, values, np.nan))
                   for stage, values in latency.items()},
                  deadline_ms, missed, counted, percentiles(came_ms) if same.any() else None,
                  percentiles(age_ms))


def deadline(answers) -> float | None:
    """Return ms from an image's stamp until the answer before it has run out, None for never."""
    spare = answers.velocities.shape[1] - answers.execute_steps
    return spare * answers.dt_s * 1e3 if spare > 0 else None
