# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether poses and joint positions can be true of the arm that is driven.

TF and joint_states are believed everywhere else; numbers that no arm of this reach and speed can
have are those of another robot, another unit, or of two programs that disagree. Pure functions
for whoever measures, and what an Observer remembers between two images.
"""

import math

import numpy as np
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose

from .stamps import duration_text

CAMERA_REACHES = 4.0  # how many times as far as the arm reaches a camera may stand
JUMP_M, JUMP_RAD = 0.05, 0.35  # less between two messages is noise or a late one
LEVER_M = 0.2  # of a hand that turns: max_end_effector_speed over it is the fastest turn
WATCHED_NS = 10**9  # for how long it is doubted at least after a jump
CLOCK_WAS_SET_NS = 10**9  # by which a stamp is older: less is an image that came late
STOPPING_S = 0.3  # for how long the arm may go on when it is doubted
STILL_M, STILL_RAD = 0.002, 0.005  # of a static camera
ABSURD_POSITION = 1e4  # rad or m of a joint: continuous joints count their turns
FASTEST_JOINT = 50.0  # rad/s or m/s
_ALIKE = math.cos(0.2 * JUMP_RAD)  # of two quaternions that are 0.4 of a jump apart


def check_reach(pose, frame: str, base_frame: str, max_reach: float):
    """
    Raise ObservationError for a frame that is further from the base than an arm reaches.

    pose: of the frame in the base frame (geometry.transform_buffer.Pose), or anything that has its
    translation [3], m.  max_reach: m, 0 for any.
    """
    away_m = float(np.linalg.norm(pose.translation))
    if not math.isfinite(away_m) or max_reach and away_m > max_reach:
        raise ObservationError(
            f'{frame} is {away_m:.3f} m from {base_frame} (limit: max_reach, {max_reach:g} m): is '
            'it of another robot, or base_frame wrong?')


def check_steps(steps, frame: str, max_speed: float):
    """
    Raise ObservationError where a frame jumped, by what was heard of it.

    steps: of TransformBuffer.steps.  max_speed: the arm's, m/s, 0 for any.
    """
    moving = [step for step in steps if not step.is_static and len(step.stamps) > 1
              and not _hardly_moves(step)] if max_speed else []
    if not moving:
        return
    sizes = {len(step.stamps) for step in moving}
    for alike in [moving] if len(sizes) == 1 else [[step] for step in moving]:
        _check_alike(alike, frame, max_speed)


def _hardly_moves(step) -> bool:
    """
    Return whether all poses are so close to the first that no two can be a jump apart.

    Within 0.4 of JUMP_M and JUMP_RAD of it they are within 0.8 of each other.  It is what nearly
    every image finds, and has no NumPy in it.
    """
    first = step.numbers[0]
    x, y, z, a, b, c, d = first
    for numbers in step.numbers:
        if numbers != first:
            p, q, r, e, f, g, h = numbers
            if not (abs(p - x) + abs(q - y) + abs(r - z) < 0.4 * JUMP_M
                    and abs(a * e + b * f + c * g + d * h) > _ALIKE):
                return False
    return True


def _check_alike(steps, frame, max_speed):
    """Look at steps [S] of as many poses [N] each."""
    firsts = np.append(np.arange(len(steps[0].stamps_ns) - 1), 0)  # each to the next, and in all
    lasts = np.append(firsts[:-1] + 1, len(steps[0].stamps_ns) - 1)
    stamps_ns = np.array([step.stamps_ns for step in steps])
    places = np.array([step.translations for step in steps])
    turns = np.array([step.quaternions for step in steps])
    elapsed_s = (stamps_ns[:, lasts] - stamps_ns[:, firsts]) * 1e-9  # [S, N]
    moved_m = np.linalg.norm(places[:, lasts] - places[:, firsts], axis=2)
    cosine = np.abs((turns[:, lasts] * turns[:, firsts]).sum(axis=2))
    turned = 2 * np.arccos(np.minimum(cosine, 1.0))
    jumps = (((moved_m > JUMP_M) & (moved_m > max_speed * elapsed_s))
             | ((turned > JUMP_RAD) & (turned > max_speed / LEVER_M * elapsed_s)))
    if jumps.any():
        at = np.unravel_index(jumps.argmax(), jumps.shape)
        step = steps[at[0]]
        raise ObservationError(
            f'TF of {frame} jumps: {step.parent} -> {step.child} moved by {moved_m[at]:.3f} m '
            f'and {turned[at]:.2f} rad within {duration_text(elapsed_s[at])} (limit: '
            f'max_end_effector_speed, {max_speed:g} m/s): do two programs publish it, or '
            'does what localizes it fail? Once it is where it was it is believed, or call '
            '~/reset')


def fastest(options) -> float:
    """Return how fast the end effector can be, m/s: at least twice what it is commanded to be."""
    limit = options.max_end_effector_speed
    return limit and max(limit, 2 * options.max_linear_speed)


def check_joints(names, positions, before=None, elapsed_s: float = 0.0):
    """
    Raise ObservationError for joint positions [n] (rad or m) that no joint has.

    before: the positions elapsed_s earlier, to see jumps.
    """
    positions = np.asarray(positions, np.float64)
    wrong = ~(np.abs(positions) <= ABSURD_POSITION)  # NaN compares false
    if wrong.any():
        at = int(wrong.argmax())
        raise ObservationError(
            f'joint_states have {names[at]!r} at {positions[at]:g}, expected a finite number '
            f'within {ABSURD_POSITION:g} rad or m')
    if before is None or elapsed_s < 0:
        return
    moved = np.abs(positions - before)
    jumps = (moved > JUMP_RAD) & (moved > FASTEST_JOINT * elapsed_s)
    if jumps.any():
        at = int(jumps.argmax())
        raise ObservationError(
            f'joint_states have {names[at]!r} jump by {moved[at]:.3f} within '
            f'{duration_text(elapsed_s)}: do two programs publish it?')


class Plausibility:
    """
    Judges the poses that an Observer finds; remembers since when, and what is static.

    Of a camera on a moving part, the wrist, what /tf_static says of its mount has to stay.
    """

    def __init__(self):
        """Begin."""
        self.reset()

    def reset(self):
        """Take the camera where it stands next."""
        self._camera = self._info = None
        self._watched, self._mount = {}, {}

    def check_frame(self, pose, frame, transforms, options, stamp_ns):
        """Raise ObservationError for a pose of the arm in the base frame that can't be."""
        check_reach(pose, frame, options.base_frame, options.max_reach)
        self._check_jumps(pose, frame, transforms, options, stamp_ns)

    def check_camera(self, pose, frame, transforms, options, stamp_ns):
        """Raise ObservationError for a pose of the camera in the base frame that can't be."""
        away_m, limit_m = np.linalg.norm(pose.translation), CAMERA_REACHES * options.max_reach
        if limit_m and away_m > limit_m:
            raise ObservationError(
                f'the camera {frame} is {away_m:.3f} m from {options.base_frame} (limit: '
                f'{CAMERA_REACHES:g} times max_reach, {limit_m:g} m): is base_frame the '
                "robot's, and the camera calibrated?")
        steps = self._check_jumps(pose, frame, transforms, options, stamp_ns)
        if not all(step.is_static for step in steps):
            self._camera = None
            self._check_mount(steps, frame)
            return
        if self._camera is None or self._camera[0] != frame:
            self._camera = frame, pose
        _check_stands(self._camera[1], pose, f'the camera {frame}')

    def _check_mount(self, steps, frame):
        for step in steps:
            if step.is_static:
                now = Pose(step.translations[0], step.quaternions[0])
                before = self._mount.setdefault((step.parent, step.child), now)
                _check_stands(before, now, f'{step.child} on {step.parent}, which carries the '
                              f'camera {frame},')

    def check_info(self, info):
        """Raise ObservationError for a camera_info that differs from the first one."""
        facts = _calibration(info)
        if self._info is None:
            self._info = facts
        if facts != self._info:
            changed = next(name for name in facts if facts[name] != self._info[name])
            raise ObservationError(
                f'camera_info changed: {changed} is {facts[changed]} now and was '
                f'{self._info[changed]} before: is it of another camera? Call ~/reset to go on '
                'with it')

    def _check_jumps(self, pose, frame, transforms, options, stamp_ns):
        """Look at what was heard since the last look; what jumped must come back."""
        watched = self._watched.get(frame)
        if watched is None or stamp_ns < watched.checked_ns - CLOCK_WAS_SET_NS:
            watched = self._watched[frame] = _Watched()
        since_ns = max(watched.checked_ns, stamp_ns - WATCHED_NS)
        steps = transforms.steps(options.base_frame, frame, since_ns)
        watched.checked_ns = max(watched.checked_ns, stamp_ns)
        if not options.lockstep:  # there time stands while an episode begins
            watched.look(steps, pose, frame, options, stamp_ns)
        return steps


class _Watched:
    """What is remembered of a frame: until when it was looked at, where it was, its jump."""

    def __init__(self):
        self.checked_ns, self._jumped_ns, self._jump, self._believed = 0, 0, '', None

    def look(self, steps, pose, frame, options, stamp_ns):
        """Raise ObservationError if it jumped, for a second and until it is where it was."""
        try:
            check_steps(steps, frame, fastest(options))
        except ObservationError as error:
            self._jumped_ns, self._jump = stamp_ns, str(error)
        if self._jump and stamp_ns - self._jumped_ns >= WATCHED_NS and self._is_back(
                pose, options):
            self._jump = ''
        if self._jump:
            raise ObservationError(self._jump)
        self._believed = pose

    def _is_back(self, pose, options):
        """Return whether it is where it was believed to be, but for what it took to stop."""
        before = self._believed
        return before is None or (
            np.linalg.norm(pose.translation - before.translation)
            <= JUMP_M + STOPPING_S * options.max_linear_speed)


def _check_stands(before, now, what):
    moved_m = float(np.linalg.norm(now.translation - before.translation))
    turned = 2 * math.acos(min(1.0, abs(float(now.quaternion @ before.quaternion))))
    if moved_m > STILL_M or turned > STILL_RAD:
        raise ObservationError(
            f'{what} moved by {1e3 * moved_m:.0f} mm and {turned:.3f} rad, though '
            '/tf_static says where it is, for ever: is another calibration published? Call '
            '~/reset to go on with it')


def _calibration(info):
    """Return what a camera_info says by name; but for its stamp nothing may change."""
    roi = info.roi
    return {'width': info.width, 'height': info.height, 'k': [float(x) for x in info.k],
            'd': [float(x) for x in info.d], 'distortion_model': info.distortion_model,
            'p': [float(x) for x in info.p], 'r': [float(x) for x in info.r],
            'binning': (info.binning_x, info.binning_y),
            'roi': (roi.x_offset, roi.y_offset, roi.width, roi.height)}
