# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where a frame was when the image was taken, or a little before, and how sure that is."""

from .stamps import duration_text
from ..geometry.transform_buffer import TransformLookupError

# Poses between two that were heard are taken if the nearer is no further than this, or than
# tf_max_age: TF of 5 Hz still serves, two poses many seconds apart tell nothing.
DENSE_S = 0.1


class SparseTransformsError(TransformLookupError):
    """The poses before and after a time are too far from it to tell one in between."""


def pose_at(transforms, options, frame: str, stamp_ns: int, wait, target: str = ''):
    """
    Return (Pose of a frame in the target frame, seconds to the nearest pose that was heard).

    target: '' for the base frame.

    transforms: has lookup(target, source, stamp_ns) and latest(target, source), as
    TransformBuffer.  wait(attempt): returns attempt(), tried again as long as the caller wants
    to wait for it.  Raises TransformLookupError when nothing was heard near the image's time.
    """
    target = target or options.base_frame
    try:
        pose = wait(lambda: _dense(
            transforms.lookup(target, frame, stamp_ns), options, f'{target} -> {frame}'))
        return pose, pose.off_ns * 1e-9
    except SparseTransformsError:
        raise  # there is a later one, hence none that is only a little too old
    except TransformLookupError as missing:
        # An error in a name that outlives this would hold, by its traceback, all callers' images.
        pose = _newest(transforms, options, frame, target)
        if pose is None:
            raise
        age_s = (stamp_ns - pose.stamp_ns) * 1e-9
        if options.lockstep or not 0 <= age_s <= options.tf_max_age:
            raise TransformLookupError(
                f'no transform {target} -> {frame} at the time of the image: '
                + _why_not(age_s, options)) from missing
        return pose, age_s + pose.off_ns * 1e-9


def _newest(transforms, options, frame, target):
    """Return the newest pose, None where there is none, or none between two that are near."""
    try:
        return _dense(transforms.latest(target, frame), options, f'{target} -> {frame}')
    except TransformLookupError:
        return None


def _dense(pose, options, what):
    """Return a pose unless it lies between two that are too far from it in time."""
    limit_s = max(options.tf_max_age, DENSE_S)
    if pose.off_ns * 1e-9 > limit_s:
        raise SparseTransformsError(
            f'no transform {what} near the time of the image: the '
            f'nearest ones are {duration_text(pose.off_ns * 1e-9)} or more before and after it '
            f'(limit: {limit_s:g} s): publish TF faster, and synchronize the clocks')
    return pose


def _why_not(age_s, options) -> str:
    told = duration_text(age_s)
    if age_s < 0:
        return (f'the newest is stamped {told} after the image and none near it was heard: is '
                "the robot's clock ahead of the camera's? Synchronize them")
    if options.lockstep:
        return f"the newest is {told} older, and lockstep takes none but the image's"
    if not options.tf_timeout:
        return f'the newest is {told} older (limit: tf_max_age, {options.tf_max_age:g} s)'
    late_s = age_s + options.tf_timeout
    return (f'after waiting {options.tf_timeout:g} s (tf_timeout) the newest is still {told} '
            f'older (limit: tf_max_age, {options.tf_max_age:g} s), so TF comes '
            f'{duration_text(late_s)} late: set tf_timeout above that, or find out what delays it')
