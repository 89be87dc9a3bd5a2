# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms over time, looked up and interpolated as tf2 does it: lerp + slerp.

One buffer for live topics, bags and the simulator, with or without ROS; tf2's own cannot tell
how far apart the poses are that it interpolates between. One difference: a frame that changes
its parent forgets its past, where tf2 keeps both.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from .quaternions import conjugate, product, rotated, slerp
from ..errors import ObservationError

CACHE_TIME_S = 10.0
QUATERNION_TOLERANCE = 0.01  # how far from length 1 tf2 lets a quaternion be


class TransformLookupError(ObservationError):
    """There is no transform between two frames at the time asked for."""


@dataclass(frozen=True)
class Pose:
    """
    The pose of a child frame in its parent.

    translation: float64 [3], m.  quaternion: float64 [4], (x, y, z, w), length 1.
    stamp_ns: the time it holds for, 0 if it never changes.
    off_ns: between that time and the nearest one at which it was heard.
    """

    translation: np.ndarray
    quaternion: np.ndarray
    stamp_ns: int = 0
    off_ns: int = 0

    @property
    def vector(self) -> np.ndarray:
        """Return it as float64 [7], x y z qx qy qz qw."""
        return np.concatenate([self.translation, self.quaternion])


IDENTITY = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


class TransformBuffer:
    """A tree of frames with a few seconds of history; safe to use from several threads."""

    def __init__(self, cache_time_s: float = CACHE_TIME_S):
        """Keep cache_time_s seconds of every moving frame."""
        self._cache_ns = round(cache_time_s * 1e9)
        self._lock = Lock()
        self._edges = {}

    def clear(self):
        """Forget all moving frames; static ones stay, for they are published only once."""
        with self._lock:
            self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def insert(self, parent: str, child: str, pose: Pose, static: bool = False):
        """
        Store the pose of a child in its parent.

        Raises TransformLookupError, storing nothing, for numbers that are no pose and for a
        frame that would be its own parent.
        """
        parent, child = parent.lstrip('/'), child.lstrip('/')
        length = np.linalg.norm(pose.quaternion)
        if not (np.isfinite(pose.translation).all() and
                abs(length - 1) <= QUATERNION_TOLERANCE):
            raise TransformLookupError(
                f'transform {parent} -> {child} is ignored: translation {pose.translation}, '
                f'quaternion {pose.quaternion} of length {length:.3g}')
        if not parent or not child or parent == child:
            raise TransformLookupError(f'transform {parent!r} -> {child!r} is ignored')
        with self._lock:
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static)
            edge.insert(Pose(pose.translation, pose.quaternion / length, pose.stamp_ns),
                        self._cache_ns)

    def latest(self, target: str, source: str) -> Pose:
        """Return the pose at the newest time that all frames between the two have."""
        return self.lookup(target, source, None)

    def lookup(self, target: str, source: str, stamp_ns: int | None) -> Pose:
        """
        Return the pose of the source frame in the target frame at a time; None: see latest.

        Raises TransformLookupError naming the frame that is missing, or how far the time lies
        outside what was heard.
        """
        target, source = target.lstrip('/'), source.lstrip('/')
        with self._lock:
            up, down = self._paths(source, target)
            if stamp_ns is None:
                newest = [self._edges[child].newest_ns for child in up + down
                          if not self._edges[child].static]
                stamp_ns = min(newest, default=0)
            pose = self._along(up, stamp_ns)
            if down:
                pose = _compose(_inverse(self._along(down, stamp_ns)), pose, stamp_ns)
            return replace(pose, stamp_ns=stamp_ns)

    def _along(self, children, stamp_ns):
        pose = IDENTITY
        for child in children:
            step = self._edges[child].at(child, stamp_ns)
            pose = step if pose is IDENTITY else _compose(step, pose, stamp_ns)
        return pose

    def _paths(self, source, target):
        """Return the frames to climb from source and from target, up to where they meet."""
        up, down = self._ancestors(source), self._ancestors(target)
        for frame in (source, target):
            if frame not in self._edges and all(edge.parent != frame
                                                for edge in self._edges.values()):
                raise TransformLookupError(
                    f'no transform {target} -> {source}: frame {frame!r} was never heard of')
        if up[-1] != down[-1]:
            raise TransformLookupError(
                f'no transform {target} -> {source}: they are in two unconnected trees')
        common = next(frame for frame in up if frame in down)
        return up[:up.index(common)], down[:down.index(common)]

    def _ancestors(self, frame):
        chain = [frame]
        while chain[-1] in self._edges:
            parent = self._edges[chain[-1]].parent
            if parent in chain:
                raise TransformLookupError(f'the transforms run in a circle: {chain + [parent]}')
            chain.append(parent)
        return chain


class _Edge:
    """The history of one frame in its parent, oldest first."""

    def __init__(self, parent, static):
        self.parent = parent
        self.static = static
        self._stamps = []
        self._poses = {}

    @property
    def newest_ns(self):
        return self._stamps[-1]

    def insert(self, pose, cache_ns):
        """Take a pose, and forget those more than cache_ns older than the newest."""
        if self.static:  # the newest one holds for all times
            self._stamps.clear()
            self._poses.clear()
        if pose.stamp_ns in self._poses and not self.static:
            return  # tf2 too keeps the first of two with one stamp
        insort(self._stamps, pose.stamp_ns)
        self._poses[pose.stamp_ns] = pose
        while self._stamps[0] < self._stamps[-1] - cache_ns:
            del self._poses[self._stamps.pop(0)]

    def at(self, child, stamp_ns):
        """Return the pose at a time, between two if need be; raise TransformLookupError."""
        if self.static:
            return self._poses[self._stamps[0]]
        after = bisect_left(self._stamps, stamp_ns)
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return self._poses[stamp_ns]
        if not 0 < after < len(self._stamps):
            beyond = self._stamps[0] if after == 0 else self._stamps[-1]
            raise TransformLookupError(
                f'no transform {self.parent} -> {child} at the time asked for: it is '
                f'{abs(stamp_ns - beyond) / 1e9:.3f} s '
                f'{"before the oldest" if after == 0 else "after the newest"} one heard')
        before_ns, after_ns = self._stamps[after - 1:after + 1]
        ratio = (stamp_ns - before_ns) / (after_ns - before_ns)
        first, second = self._poses[before_ns], self._poses[after_ns]
        return Pose(first.translation + ratio * (second.translation - first.translation),
                    slerp(first.quaternion, second.quaternion, ratio), stamp_ns,
                    min(stamp_ns - before_ns, after_ns - stamp_ns))


def _compose(outer, inner, stamp_ns):
    translation = outer.translation + rotated(outer.quaternion, inner.translation)
    return Pose(translation, product(outer.quaternion, inner.quaternion), stamp_ns,
                max(outer.off_ns, inner.off_ns))


def _inverse(pose):
    inverse = conjugate(pose.quaternion)
    return Pose(-rotated(inverse, pose.translation), inverse, pose.stamp_ns, pose.off_ns)
