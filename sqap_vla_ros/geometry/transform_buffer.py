# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms over time, looked up and interpolated as tf2 does it: lerp + slerp.

One buffer for live topics, bags and the simulator, with or without ROS; tf2's own cannot tell
how far apart the poses are that it interpolates between. Where tf2 believes the last message,
this one does not: a frame has the parent that it had, unless that was not heard for a second.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from math import hypot, isfinite
from threading import Lock
from typing import NamedTuple

import numpy as np

from .quaternions import rotated_of, slerp_of
from ..errors import ObservationError

CACHE_TIME_S = 10.0
CONTRADICTED_NS = 10**9  # for how long frames that are contradicted are not told, or believed
LATE_IN_A_ROW = 3  # messages older than all that is kept: then what is newer was a stray
MOST_PATHS = 256  # that are remembered
QUATERNION_TOLERANCE = 0.01  # how far from length 1 tf2 lets a quaternion be


class TransformLookupError(ObservationError):
    """
    There is no transform between two frames at the time asked for.

    reason: unknown_frame, unconnected, before_oldest, after_newest, contradicted, or refused, of
    a transform that is not taken.
    """

    def __init__(self, text: str, reason: str = 'refused'):
        """Say it in words, and in one word to count by."""
        super().__init__(text)
        self.reason = reason


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


class Step(NamedTuple):
    """
    What is known of one frame on the way between two.

    stamps: [N], ns, numbers: [N][7], x, y, z and the quaternion, in the parent; of a static one
    the pose that holds.  The same as arrays are made for who asks for them.
    """

    parent: str
    child: str
    is_static: bool
    stamps: list[int]
    numbers: list[tuple[float, ...]]

    @property
    def stamps_ns(self) -> np.ndarray:
        """Return int64 [N]."""
        return np.array(self.stamps, np.int64)

    @property
    def translations(self) -> np.ndarray:
        """Return float64 [N, 3], m."""
        return self._poses[:, :3]

    @property
    def quaternions(self) -> np.ndarray:
        """Return float64 [N, 4]."""
        return self._poses[:, 3:]

    @property
    def _poses(self):
        return np.array(self.numbers).reshape(-1, 7)


STAYS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


class TransformBuffer:
    """A tree of frames with a few seconds of history; safe to use from several threads."""

    def __init__(self, cache_time_s: float = CACHE_TIME_S):
        """Keep cache_time_s seconds of every moving frame."""
        self._cache_ns = round(cache_time_s * 1e9)
        self._lock = Lock()
        self._edges = {}
        self._contradictions = {}  # child: (time, text)
        self._found_paths = {}  # of (source, target), until a frame is new or has gone

    def clear(self):
        """Forget all moving frames; static ones stay, for they are published only once."""
        with self._lock:
            self._contradictions.clear()
            self._found_paths.clear()
            self._edges = {child: edge for child, edge in self._edges.items() if edge.static}

    def insert(self, parent: str, child: str, pose: Pose, static: bool = False):
        """
        Store the pose of a child in its parent.

        Raises TransformLookupError, storing nothing, for numbers that are no pose, for a frame
        that would be its own parent, and for one that contradicts what is heard of others.
        """
        self.insert_numbers(parent, child, pose.stamp_ns, (*map(float, pose.translation),
                                                           *map(float, pose.quaternion)), static)

    def insert_numbers(self, parent: str, child: str, stamp_ns: int, numbers,
                       static: bool = False):
        """
        Store the pose of a child in its parent, as insert does.

        numbers: [7], x, y, z and the quaternion x, y, z, w.  It has no NumPy in it: of hundreds
        of poses a second most are never looked at.
        """
        parent, child = parent.lstrip('/'), child.lstrip('/')
        x, y, z, *quaternion = numbers
        a, b, c, d = quaternion
        length = hypot(a, b, c, d)
        if not (isfinite(x) and isfinite(y) and isfinite(z)
                and abs(length - 1) <= QUATERNION_TOLERANCE):
            raise TransformLookupError(
                f'transform {parent} -> {child} is ignored: translation {[x, y, z]}, '
                f'quaternion {quaternion} of length {length:.3g}')
        if not parent or not child or parent == child:
            raise TransformLookupError(f'transform {parent!r} -> {child!r} is ignored')
        with self._lock:
            edge = self._edge(parent, child, stamp_ns, static)
            edge.insert(stamp_ns, (x, y, z, a / length, b / length, c / length, d / length),
                        self._cache_ns)

    def append(self, transforms, latest_ns: float) -> int:
        """
        Store moving poses as insert_numbers does as long as they simply go on; return how many.

        transforms: [(parent, child, stamp_ns, numbers)].  One does not that is later than
        latest_ns, not the latest of its frame, of another parent than that had, or no pose.  It
        is a third of the work, and nearly all go on.
        """
        count, cache_ns = 0, self._cache_ns
        with self._lock:
            for parent, child, stamp_ns, (x, y, z, a, b, c, d) in transforms:
                edge, length = self._edges.get(child), hypot(a, b, c, d)
                if edge is None or edge.parent != parent or edge.static or not (
                        isfinite(x + y + z) and abs(length - 1) <= QUATERNION_TOLERANCE
                        and edge.newest_ns < stamp_ns <= latest_ns):
                    break
                edge.append(stamp_ns, (x, y, z, a / length, b / length, c / length, d / length),
                            cache_ns)
                count += 1
        return count

    def _edge(self, parent, child, stamp_ns, static):
        """Return the edge of a child, a new one unless that contradicts what is known."""
        edge = self._edges.get(child)
        if edge is None or (edge.parent, edge.static) != (parent, static):
            self._found_paths.clear()
            if edge is not None and edge.parent != parent and not (edge.static and static):
                self._give_way([child], f'{edge.parent} -> {child}', parent, child, stamp_ns)
            chain = self._ancestors(parent)
            if child in chain:
                self._give_way(chain[:chain.index(child)], f'the circle {[child, *chain]}',
                               parent, child, stamp_ns)
            edge = self._edges[child] = _Edge(parent, static)
        return edge

    def _give_way(self, children, what, parent, child, stamp_ns):
        """Forget the one of some edges that was not heard for longest; raise if all were."""
        newest_ns, oldest = min(
            (stamp_ns if self._edges[name].static else self._edges[name].newest_ns, name)
            for name in children)
        if stamp_ns - newest_ns > CONTRADICTED_NS:
            del self._edges[oldest]
            return
        text = (f'transform {parent} -> {child} contradicts {what}, which is still heard: do two '
                'programs publish it?')
        for name in (child, *children):
            self._contradictions[name] = (newest_ns, text)
        raise TransformLookupError(text + ' It is ignored')

    def frames(self) -> set[str]:
        """Return the names of all frames that were heard of."""
        with self._lock:
            return {name for child, edge in self._edges.items() for name in (child, edge.parent)}

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
            self._check_contradictions(up + down, stamp_ns)
            numbers, off_ns = self._along(up, stamp_ns)
            if down:
                below, below_off_ns = self._along(down, stamp_ns)
                numbers, off_ns = _composed(_inverted(below), numbers), max(off_ns, below_off_ns)
            return Pose(np.array(numbers[:3]), np.array(numbers[3:]), stamp_ns, off_ns)

    def steps(self, target: str, source: str, since_ns: int) -> list[Step]:
        """
        Return what was heard of the frames between two since a time, and the last before it.

        Raises TransformLookupError as lookup does.
        """
        with self._lock:
            up, down = self._paths(source.lstrip('/'), target.lstrip('/'))
            return [self._edges[child].step(child, since_ns) for child in up + down]

    def span(self, target: str, source: str) -> tuple[int, int] | None:
        """
        Return the first and last time at which all that moves between two frames is known.

        None where nothing does.  Raises TransformLookupError as lookup does.
        """
        with self._lock:
            up, down = self._paths(source.lstrip('/'), target.lstrip('/'))
            moving = [self._edges[child] for child in up + down if not self._edges[child].static]
            return (max(edge.oldest_ns for edge in moving),
                    min(edge.newest_ns for edge in moving)) if moving else None

    def _check_contradictions(self, children, stamp_ns):
        for child in children if self._contradictions else ():
            when_ns, text = self._contradictions.get(child, (None, ''))
            if when_ns is not None and abs(stamp_ns - when_ns) < CONTRADICTED_NS:
                raise TransformLookupError(text, 'contradicted')

    def _along(self, children, stamp_ns):
        """Return ([7] numbers, off_ns) from the first child to the parent of the last."""
        numbers, off_ns = None, 0
        for child in children:
            step, step_off_ns = self._edges[child].at(child, stamp_ns)
            numbers = step if numbers is None else _composed(step, numbers)
            off_ns = max(off_ns, step_off_ns)
        return numbers or STAYS, off_ns

    def _paths(self, source, target):
        """Return the frames to climb from source and from target, up to where they meet."""
        found = self._found_paths.get((source, target))
        if found is None:
            found = self._paths_of_edges(source, target)
            if len(self._found_paths) >= MOST_PATHS:
                self._found_paths.clear()
            self._found_paths[source, target] = found
        return found

    def _paths_of_edges(self, source, target):
        up, down = self._ancestors(source), self._ancestors(target)
        for frame in (source, target):
            if frame not in self._edges and all(edge.parent != frame
                                                for edge in self._edges.values()):
                raise TransformLookupError(
                    f'no transform {target} -> {source}: frame {frame!r} was never heard of',
                    'unknown_frame')
        if up[-1] != down[-1]:
            raise TransformLookupError(
                f'no transform {target} -> {source}: they are in two unconnected trees',
                'unconnected')
        common = next(frame for frame in up if frame in down)
        return up[:up.index(common)], down[:down.index(common)]

    def _ancestors(self, frame):
        chain = [frame]
        while chain[-1] in self._edges:
            chain.append(self._edges[chain[-1]].parent)
        return chain


class _Edge:
    """The history of one frame in its parent, oldest first."""

    def __init__(self, parent, static):
        self.parent = parent
        self.static = static
        self._stamps = []
        self._numbers = {}  # [7] by stamp
        self._late = 0

    @property
    def newest_ns(self):
        return self._stamps[-1]

    @property
    def oldest_ns(self):
        return self._stamps[0]

    def insert(self, stamp_ns, numbers, cache_ns):
        """Take a pose, and forget those more than cache_ns older than the newest."""
        is_late = self._stamps and stamp_ns < self._stamps[-1] - cache_ns
        self._late = self._late + 1 if is_late else 0
        if self.static or self._late >= LATE_IN_A_ROW:  # of static ones the newest always holds
            self._stamps.clear()
            self._numbers.clear()
        if stamp_ns in self._numbers and not self.static:
            return  # tf2 too keeps the first of two with one stamp
        insort(self._stamps, stamp_ns)
        self._numbers[stamp_ns] = numbers
        while self._stamps[0] < self._stamps[-1] - cache_ns:
            del self._numbers[self._stamps.pop(0)]

    def append(self, stamp_ns, numbers, cache_ns):
        """Take a pose that is later than all others."""
        stamps = self._stamps
        self._late = 0
        stamps.append(stamp_ns)
        self._numbers[stamp_ns] = numbers
        while stamps[0] < stamp_ns - cache_ns:
            del self._numbers[stamps.pop(0)]

    def step(self, child, since_ns):
        """Return what was heard since a time, and the last before."""
        first = 0 if self.static else max(0, bisect_left(self._stamps, since_ns) - 1)
        stamps = self._stamps[first:]
        return Step(self.parent, child, self.static, stamps,
                    [self._numbers[stamp] for stamp in stamps])

    def at(self, child, stamp_ns):
        """
        Return ([7] numbers, off_ns) at a time, between two poses if need be.

        Raises TransformLookupError.  There is no NumPy in it: an image asks for dozens.
        """
        numbers = self._numbers.get(self._stamps[0] if self.static else stamp_ns)
        if numbers is not None:
            return numbers, 0
        after = bisect_left(self._stamps, stamp_ns)
        if not 0 < after < len(self._stamps):
            beyond = self._stamps[0] if after == 0 else self._stamps[-1]
            raise TransformLookupError(
                f'no transform {self.parent} -> {child} at the time asked for: it is '
                f'{abs(stamp_ns - beyond) / 1e9:.3f} s '
                f'{"before the oldest" if after == 0 else "after the newest"} one heard',
                'before_oldest' if after == 0 else 'after_newest')
        before_ns, after_ns = self._stamps[after - 1:after + 1]
        ratio = (stamp_ns - before_ns) / (after_ns - before_ns)
        first, second = self._numbers[before_ns], self._numbers[after_ns]
        translation = [a + ratio * (b - a) for a, b in zip(first[:3], second[:3])]
        return ((*translation, *slerp_of(first[3:], second[3:], ratio)),
                min(stamp_ns - before_ns, after_ns - stamp_ns))


def _composed(outer, inner):
    """
    Return the [7] numbers of the pose of a pose, both in such numbers.

    It is product_of and rotated_of in one: an image asks for dozens of them.
    """
    px, py, pz, x, y, z, w = outer
    a, b, c, x2, y2, z2, w2 = inner
    p, q, r = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return (px + (a + w * p + y * r - z * q), py + (b + w * q + z * p - x * r),
            pz + (c + w * r + x * q - y * p),
            w * x2 + x * w2 + y * z2 - z * y2, w * y2 - x * z2 + y * w2 + z * x2,
            w * z2 + x * y2 - y * x2 + z * w2, w * w2 - x * x2 - y * y2 - z * z2)


def _inverted(numbers):
    x, y, z, w = numbers[3:]
    inverse = -x, -y, -z, w
    a, b, c = rotated_of(inverse, numbers[:3])
    return (-a, -b, -c, *inverse)
