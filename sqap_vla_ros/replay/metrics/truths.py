# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What answers can be held against: recorded commands of their kind, or what can be made into it.

Commands of the same kind come first. Poses and joints are turned into each other by the robot's
kinematics where robot_description was recorded; and where nothing comparable was commanded,
answers are held against the motion that was measured, and labelled so.
"""

from __future__ import annotations

import numpy as np

from .held import axes_of, Held, is_cartesian, POSE_COLUMNS
from .measured import Measured
from .robot import sliding_joints, with_kinematics
from .times import commands_in_force, MIDDLE, row_times_ns, shares_clock
from .truth_errors import Truth
from ...control.action_space import ABSOLUTE_KINDS, TWIST_NAMES
from ...control.output_modes import CARTESIAN_KINDS
from ...geometry.quaternion_arrays import conjugate, rotated, steps_between

IN_FORCE = "the last command that had come in by the row's middle"
MEASURED = 'measured motion'
BETWEEN = ', from one to the next'  # a truth of its own: velocities, where places are not known


def held_against(results, answers) -> tuple[Held, ...]:
    """Return what answers can be held against, the most direct first; see explained."""
    return explained(results, answers)[0]


def explained(results, answers) -> tuple[tuple[Held, ...], list[str]]:
    """Return what answers of results can be held against, and why other commands cannot."""
    arm = [commands for commands in results.commands if commands.kind != 'gripper']
    notes = [f'{each.source}: no command of it could be read' for each in arm
             if not len(each.times_ns)]
    arm = [commands for commands in arm if len(commands.times_ns)]
    direct, reasons = _direct(results, answers, arm)
    if not direct:
        converted, more = with_kinematics(results, answers, arm)
        for mine, commands in converted:
            held, why = _direct(results, mine, [commands])
            direct += held
            more += why
        reasons = more or reasons
    if direct:
        return tuple(direct), notes
    notes += reasons
    return tuple(measured_motion(results, answers)), notes


def _direct(results, answers, arm) -> tuple[list[Held], list[str]]:
    """Return what needs no kinematics, and why other commands were left."""
    held, notes = [], []
    for kind in _preferred(answers):
        for commands in (each for each in arm if each.kind == kind):
            try_one = _cartesian if answers.kind in CARTESIAN_KINDS else _joints
            found, why = try_one(results, answers, commands)
            held += [found] if found else []
            notes += [why] if why else []
    return held, notes


def _preferred(answers) -> tuple[str, ...]:
    """Return kinds of commands that answers are directly comparable with, the nearest first."""
    if answers.kind in CARTESIAN_KINDS:
        return ('pose', 'twist') if answers.kind in ABSOLUTE_KINDS else ('twist', 'pose')
    if answers.kind in ABSOLUTE_KINDS:
        return ('joints', 'joint_velocity')
    return ('joint_velocity', 'joints')


def _cartesian(results, answers, commands) -> tuple[Held | None, str]:
    if commands.kind == 'twist':
        return _twist(results, answers, commands)
    if commands.frame != 'base':
        return None, (f'{commands.source}: poses in the frame {commands.frame!r} cannot be '
                      'placed: expected base')
    if answers.positions is None:
        return _displacement(results, answers, commands), ''
    return _pose(results, answers, commands), ''


def _twist(results, answers, commands) -> tuple[Held | None, str]:
    """Hold velocities against twists, turned into the answers' frame by the measured pose."""
    columns = [name for name in TWIST_NAMES if name in commands.names]
    if not columns or (commands.frame != answers.frame and len(columns) < 6):
        return None, (f'{commands.source} commands {", ".join(commands.names)} in the frame '
                      f'{commands.frame}: to hold them against answers in the frame '
                      f'{answers.frame} all of {", ".join(TWIST_NAMES)} are needed')
    index = _in_force(results.images, commands, answers)
    values = _finite(commands.values)[:, [commands.names.index(name) for name in columns]]
    turns = commands.frame != answers.frame
    measured = Measured(results.images, results.images.poses, True) if turns else None
    after_ns = _after_ns(answers, MIDDLE)

    def truth(part: slice) -> np.ndarray:
        """Return the twists in force of some images, in the answers' frame."""
        found = _taken(values, index[part])
        if measured is None:
            return found
        quaternion = measured.at(part, np.zeros(1, np.int64))[..., 3:]
        nearer = measured.at(part, after_ns)[..., 3:]
        quaternion = np.where(np.isfinite(nearer), nearer, quaternion)
        if answers.frame == 'end_effector':
            quaternion = conjugate(quaternion)
        return np.concatenate([rotated(quaternion, found[..., :3]),
                               rotated(quaternion, found[..., 3:])], -1)
    said = [answers.names.index(name) for name in columns]
    rule = IN_FORCE + (f', turned into the frame {answers.frame} by the measured pose'
                       if turns else '')
    return _held(commands, answers, 'velocity', answers.frame, rule, tuple(columns),
                 lambda part: answers.velocities[part][..., said], truth), ''


def _pose(results, answers, commands) -> Held:
    """Hold positions at the ends of rows against poses that were asked for."""
    values, columns = _poses(commands)
    index = _in_force(results.images, commands, answers)
    width = len(columns)
    return _held(commands, answers, 'position', 'base',
                 IN_FORCE + ', as where the row is to end', columns,
                 lambda part: answers.positions[part][..., :width],
                 lambda part: _taken(values, index[part]), _first_turn(values))


def _displacement(results, answers, commands) -> Held:
    """Hold velocities against the way from pose to pose, for no pose of the arm was known."""
    values, columns = _poses(commands)
    now, before = (_in_force(results.images, commands, answers, place)
                   for place in (MIDDLE, MIDDLE - 1))

    def truth(part: slice) -> np.ndarray:
        starts, ends = _taken(values, before[part]), _taken(values, now[part])
        if len(columns) == 3:
            return (ends - starts) / answers.dt_s
        return steps_between(starts, ends, answers.frame) / answers.dt_s
    names = TWIST_NAMES[:3 if len(columns) == 3 else 6]
    return _held(commands, answers, 'velocity', answers.frame,
                 'the way between the poses in force one dt apart, for no measured pose is known',
                 names, lambda part: answers.velocities[part][..., :len(names)], truth,
                 title=f'{commands.source}{BETWEEN}')


def _joints(results, answers, commands) -> tuple[Held | None, str]:
    names = tuple(name for name in answers.names if name in commands.names)
    if not names:
        return None, (f'{commands.source} commands the joints {", ".join(commands.names)}, none '
                      f'of which the policy knows: it has {", ".join(answers.names)}')
    theirs = [commands.names.index(name) for name in names]
    mine = [answers.names.index(name) for name in names]
    values = _finite(commands.values[:, theirs])
    index = _in_force(results.images, commands, answers)
    slides = sliding_joints(results)
    left = len(answers.names) - len(names)
    more = f'; {left} of {len(answers.names)} joints are not in it' if left else ''
    if commands.kind == 'joint_velocity':
        return _held(commands, answers, 'velocity', '', IN_FORCE + more, names,
                     lambda part: answers.velocities[part][..., mine],
                     lambda part: _taken(values, index[part]), slides=slides), ''
    if answers.positions is not None:
        return _held(commands, answers, 'position', '', IN_FORCE + more, names,
                     lambda part: answers.positions[part][..., mine],
                     lambda part: _taken(values, index[part]), slides=slides), ''
    before = _in_force(results.images, commands, answers, MIDDLE - 1)
    return _held(commands, answers, 'velocity', '', 'the way between the commands in force one '
                 'dt apart, for no measured joints are known' + more, names,
                 lambda part: answers.velocities[part][..., mine],
                 lambda part: (_taken(values, index[part]) - _taken(values, before[part]))
                 / answers.dt_s, slides=slides,
                 title=f'{commands.source}{BETWEEN}'), ''


def measured_motion(results, answers) -> list[Held]:
    """Return the measured motion; as velocities first, where these are what is answered."""
    cartesian = answers.kind in CARTESIAN_KINDS
    images = results.images
    if cartesian:
        names, values = POSE_COLUMNS, images.poses
    else:
        names = tuple(name for name in answers.names if name in images.joint_names)
        values = images.joints[:, [images.joint_names.index(name) for name in names]]
    measured = Measured(images, values, cartesian) if names else ()
    if len(measured) < 2:
        return []
    ways = [_motion_velocity] if answers.kind not in ABSOLUTE_KINDS else []
    ways += [_motion_position] if answers.positions is not None else []
    return [way(results, answers, measured, names) for way in ways or [_motion_velocity]]


def _motion_velocity(results, answers, measured: Measured, names) -> Held:
    begins_ns, ends_ns = _after_ns(answers, 0.0), _after_ns(answers, 1.0)
    mine = (slice(0, 6) if names == POSE_COLUMNS
            else [answers.names.index(name) for name in names])

    def truth(part: slice) -> np.ndarray:
        starts, ends = measured.at(part, begins_ns), measured.at(part, ends_ns)
        if names == POSE_COLUMNS:
            return steps_between(starts, ends, answers.frame) / answers.dt_s
        return (ends - starts) / answers.dt_s
    return _held(None, answers, 'velocity', answers.frame,
                 "from where the arm was at the row's beginning to where it was at its end",
                 TWIST_NAMES if names == POSE_COLUMNS else names,
                 lambda part: answers.velocities[part][..., mine], truth,
                 slides=sliding_joints(results))


def _motion_position(results, answers, measured: Measured, names) -> Held:
    ends_ns = _after_ns(answers, 1.0)
    mine = (slice(0, 7) if names == POSE_COLUMNS
            else [answers.names.index(name) for name in names])
    turn = _first_turn(results.images.poses) if names == POSE_COLUMNS else None
    return _held(None, answers, 'position', 'base', "where the arm was at the row's end", names,
                 lambda part: answers.positions[part][..., mine],
                 lambda part: measured.at(part, ends_ns), turn, sliding_joints(results))


def _held(commands, answers, compared_as, frame, rule, columns, said, truth, turn=None,
          slides=(), title: str = '') -> Held:
    """Return what is held, with the facts that the summary tells; commands: None for motion."""
    cartesian = is_cartesian(columns)
    frame = frame if cartesian else ''
    if commands is None:
        facts = Truth(f'{MEASURED}, {compared_as}', 'tf' if cartesian else 'joint_states', True,
                      'pose' if cartesian else 'joints', compared_as, frame, rule, 0)
    else:
        facts = Truth(title or commands.source, commands.source, False, commands.kind,
                      compared_as, frame, rule, len(commands.times_ns))
    return Held(facts, *axes_of(columns, compared_as, slides), said, truth, turn)


def gripper_truths(results, answers) -> tuple[tuple[str, np.ndarray], ...]:
    """Return (source, float64 [N, T]) of each gripper recorded: 0 closed .. 1 open, or NaN."""
    return tuple(
        (commands.source, _taken(_finite(commands.values[:, :1]), _in_force(
            results.images, commands, answers))[..., 0])
        for commands in results.commands
        if commands.kind == 'gripper' and len(commands.times_ns))


def gripper_truth(results, answers) -> np.ndarray:
    """Return float64 [N, T] of the first gripper recorded, NaN where there is none."""
    found = gripper_truths(results, answers)
    return found[0][1] if found else np.full(answers.gripper.shape, np.nan)


def clock_note(images) -> str:
    """Return what is to be known where cameras have another clock, else ''."""
    other = ~shares_clock(images)
    if not other.any():
        return ''
    off_s = float(np.median((images.arrived_ns - images.stamps_ns)[other].astype(float))) * 1e-9
    return (f'stamps of {int(other.sum())} of {len(other)} images and the times at which they '
            f'came in are {off_s:.1f} s apart, so they are of two clocks, such as a simulation '
            'has: their rows are placed by when they came in')


def _in_force(images, commands, answers, place: float = MIDDLE) -> np.ndarray:
    rows = answers.velocities.shape[1]
    return commands_in_force(images, commands, row_times_ns(images, rows, answers.dt_s, place))


def _taken(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return float64 [n, T, D] of values [M, D] by index, NaN for -1."""
    return np.where(index[..., None] >= 0, values[np.maximum(index, 0)], np.nan)


def _finite(values: np.ndarray) -> np.ndarray:
    """Return values [M, D] with NaN in rows in which something is not finite."""
    return np.where(np.isfinite(values).all(1, keepdims=True), values, np.nan)


def _poses(commands) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return values and columns of poses; places alone where there are no rotations."""
    has_turns = all(name in commands.names for name in POSE_COLUMNS)
    columns = POSE_COLUMNS if has_turns else POSE_COLUMNS[:3]
    values = _finite(commands.values[:, [commands.names.index(name) for name in columns]])
    if has_turns:
        norms = np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
        with np.errstate(invalid='ignore', divide='ignore'):
            values = np.concatenate([values[:, :3], values[:, 3:] / norms], 1)
    return _finite(values), columns


def _first_turn(values: np.ndarray) -> np.ndarray | None:
    """Return the first known quaternion of poses [M, 7]; None of places [M, 3]."""
    if values.shape[1] == 3:
        return None
    known = values[np.isfinite(values).all(1)]
    return known[0, 3:] if len(known) else np.array([0.0, 0.0, 0.0, 1.0])


def _after_ns(answers, place: float) -> np.ndarray:
    """Return int64 [T]: from an image's stamp to a place in each row."""
    rows = np.arange(answers.velocities.shape[1])
    return np.round((rows + place) * answers.dt_s * 1e9).astype(np.int64)
