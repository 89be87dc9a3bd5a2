# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""An action space in words, and in numbers whether its units can be right."""

from __future__ import annotations

from itertools import product

import numpy as np

from .action_space import ActionSpace, ASKED, ROTATION_KINDS
from .rotation import rotation_vector_from_rpy
from ..errors import ConfigError

SENSIBLE = {'m/s': 2.0, 'rad/s': 6.0}  # what an arm is hardly ever asked for
SAME_ROTATION_RAD = 0.02  # angles that differ by less may be read either way


def describe(space: ActionSpace) -> str:
    """Return everything that an action space says, in one line."""
    parts = [f'{space.kind} in frame {space.frame}, {" ".join(space.names)}']
    if space.kind in ROTATION_KINDS:
        parts.append(f'rotation {space.rotation or "rotvec"}')
    scales = ' '.join(f'{factor:g}' for factor in space.scale)
    parts += [f'scale {scales if set(space.scale) != {1.0} else 1}',
              f'every {space.dt:.4g} s ({1 / space.dt:.3g} Hz)']
    if space.execute_steps is not None:
        parts.append(f'{space.execute_steps} executed')
    if 'gripper' in space.names:
        threshold = space.gripper_threshold
        parts.append(f'gripper {space.gripper_open:g} open, {space.gripper_closed:g} closed, '
                     + ('continuous' if threshold is None else f'threshold {threshold:g}'))
    return '; '.join(parts)


def si_ranges(space: ActionSpace, stats: dict) -> dict[str, tuple[float, float, str]]:
    """
    Return {name: (low, high, unit)} of q01..q99 in SI units, of all columns but the gripper's.

    stats: low, high, mask [A] of the actions, see formats.norm_stats.statistics; a head gives
    -1..1 where the mask is False.
    """
    linear, angular = {'twist': ('m/s', 'rad/s'), 'delta': ('m/s', 'rad/s'), 'pose': ('m', 'rad'),
                       'joint_position': ('rad', 'rad'),
                       'joint_delta': ('rad/s', 'rad/s')}[space.kind]
    factor = np.array(space.scale) / (space.dt if space.kind.endswith('delta') else 1.0)
    low = np.where(stats['mask'], stats['low'], -1.0) * factor
    high = np.where(stats['mask'], stats['high'], 1.0) * factor
    columns = [space.names.index(name) for name in space.arm_names]
    return {space.names[column]: (float(low[column]), float(high[column]),
                                  linear if place < 3 else angular)
            for place, column in enumerate(columns)}


def doubts(space: ActionSpace, stats: dict, source: str) -> tuple[str, ...]:
    """
    Return what makes the units doubtful: speeds that no arm has.

    source: names the statistics.  Raises ConfigError where a rotation that nobody declared is
    too large to be read either way.
    """
    _check_rotation(space, stats, source)
    fast = [f'{name} {max(-low, high):.3g} {unit}'
            for name, (low, high, unit) in si_ranges(space, stats).items()
            if max(-low, high) > SENSIBLE.get(unit, np.inf)]
    return (f'{source}: q99 would be {", ".join(fast)}: is a scale missing in action_space, or is '
            'dt wrong?',) if fast else ()


def _check_rotation(space: ActionSpace, stats: dict, source: str) -> None:
    """Raise ConfigError if an undeclared rotation differs as rpy and as a rotation vector."""
    if space.kind not in ROTATION_KINDS or space.rotation is not None:
        return
    columns = [space.names.index(name) for name in space.arm_names[3:]]
    ends = np.stack([stats['low'], stats['high']])[:, columns] * np.array(space.scale)[columns]
    corners = np.array(list(product(*ends.T)))
    off = np.linalg.norm(rotation_vector_from_rpy(corners) - corners, axis=1).max()
    if off > SAME_ROTATION_RAD:
        raise ConfigError(
            f'{source}: action_space: rotation is missing: {ASKED["rotation"]}; the two differ by '
            f'{off:.2g} rad at these q01 and q99')
