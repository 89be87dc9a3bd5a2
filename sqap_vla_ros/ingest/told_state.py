# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A state of the arm that somebody wrote down, believed no more than one that is measured."""

import numpy as np

from ..errors import ObservationError
from ..geometry.transform_buffer import QUATERNION_TOLERANCE
from ..observation import end_effector_state, STATE_NAMES

MAX_REACH_M = 2.5  # as the node's parameter max_reach


def told_state(values, max_reach: float = MAX_REACH_M) -> np.ndarray:
    """
    Return the state float32 [8] that a policy takes, as `end_effector_state` builds it.

    values: numbers in the order of STATE_NAMES: position in the base frame, m; quaternion x y z
    w; opening of the gripper, 0 closed .. 1 open.  max_reach: m.  Raises ObservationError for
    numbers that no arm has.
    """
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ObservationError(f'the state is {values!r}, expected numbers: {error}') from error
    if values.shape != (len(STATE_NAMES),):
        raise ObservationError(f'the state has shape {list(values.shape)}, expected '
                               f'{len(STATE_NAMES)} numbers: {" ".join(STATE_NAMES)}')
    if not np.isfinite(values).all():
        name, value = next(pair for pair in zip(STATE_NAMES, values) if not np.isfinite(pair[1]))
        raise ObservationError(f'the state has {name} {value}, expected a finite number')
    position, quaternion, opening = values[:3], values[3:7], values[7]
    away_m, length = np.linalg.norm(position), np.linalg.norm(quaternion)
    if away_m > max_reach:
        raise ObservationError(f'the state has x y z {away_m:g} m from the base, further than '
                               f'{max_reach:g} m, which is beyond any arm: are they metres?')
    if abs(length - 1) > QUATERNION_TOLERANCE:
        raise ObservationError(f'the state has a quaternion qx qy qz qw of length {length:.3g}, '
                               'expected 1: is the order x y z w?')
    if not 0 <= opening <= 1:
        raise ObservationError(f'the state has gripper {opening:g}, expected 0 (closed) to 1 '
                               '(open): divide its position by that of the open gripper')
    return end_effector_state(position, quaternion, float(opening))
