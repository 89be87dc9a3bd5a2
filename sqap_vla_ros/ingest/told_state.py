# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A state of the arm that somebody wrote down, believed no more than one that is measured."""

from collections.abc import Sequence

import numpy as np

from ..errors import ObservationError
from ..geometry.transform_buffer import QUATERNION_TOLERANCE
from ..observation import end_effector_state, STATE_NAMES

MAX_REACH_M = 2.5  # as the node's parameter max_reach


def told_state(values, names: Sequence[str] = STATE_NAMES,
               max_reach: float = MAX_REACH_M) -> np.ndarray:
    """
    Return the state that a policy takes: float32 [8] of STATE_NAMES, else float64 [S] as told.

    values: numbers in the order of the names.  Of STATE_NAMES they are position in the base frame,
    m; quaternion x y z w; opening of the gripper, 0 closed .. 1 open; others are raw, in the
    frames and units of a data set, and have to be finite alone.  max_reach: m.  Raises
    ObservationError for another number of them, and for numbers that no arm has.
    """
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ObservationError(f'the state is {values!r}, expected numbers: {error}') from error
    if values.shape != (len(names),):
        raise ObservationError(f'the state has shape {list(values.shape)}, expected '
                               f'{len(names)} numbers: {" ".join(names)}')
    if not np.isfinite(values).all():
        name, value = next(pair for pair in zip(names, values) if not np.isfinite(pair[1]))
        raise ObservationError(f'the state has {name} {value}, expected a finite number')
    return _checked(values, max_reach) if tuple(names) == STATE_NAMES else values


def _checked(values, max_reach) -> np.ndarray:
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
