# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Roll, pitch and yaw as a rotation vector, for which a twist's angular half stands."""

from __future__ import annotations

import numpy as np


def rotation_vector_from_rpy(angles: np.ndarray) -> np.ndarray:
    """
    Return rotation vectors float64 [..., 3] of roll, pitch and yaw [..., 3], in rad.

    About fixed axes, roll (x) first: R = Rz(yaw) Ry(pitch) Rx(roll).  That is 'sxyz', which
    transforms3d's euler2axangle takes unless told otherwise, and so CogACT's client and SIMPLER;
    SciPy calls it 'xyz'.  A vector's length is the angle, 0..pi.  What is not finite comes out
    as NaN.
    """
    with np.errstate(invalid='ignore'):
        half = np.asarray(angles, np.float64) / 2.0
        (cr, cp, cy), (sr, sp, sy) = (np.moveaxis(f(half), -1, 0) for f in (np.cos, np.sin))
    real = cr * cp * cy + sr * sp * sy
    vector = np.stack([sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy,
                       cr * cp * sy - sr * sp * cy], -1)
    vector = np.where(real[..., None] < 0, -vector, vector)  # the shorter way round
    length = np.linalg.norm(vector, axis=-1)
    angle = 2.0 * np.arctan2(length, np.abs(real))
    ratio = np.divide(angle, length, out=np.full_like(length, 2.0), where=length != 0)
    return vector * ratio[..., None]
