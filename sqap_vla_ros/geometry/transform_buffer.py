# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Transforms over time, looked up and interpolated as tf2 does it: lerp + slerp.

One buffer for live topics, bags and the simulator, with or without ROS; tf2's own cannot tell
how far apart the poses are that it interpolates between. Where tf2 believes the last message,
this one does not: a frame has the parent that it had, unless that was not heard for a second.
"""

from dataclasses import dataclass
from math import hypot, isfinite
from threading import Lock

import numpy as np

from .transform_history import composed, inverted, Step, TransformHistory, TransformLookupError

CACHE_TIME_S = 10.0
CONTRADICTED_NS = 10**9  # for how long frames that are contradicted are not told, or believed
MOST_PATHS = 256  # that are remembered
QUATERNION_TOLERANCE = 0.01  # how far from length 1 tf2 lets a quaternion be


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
            edge = self._edges[child] = TransformHistory(parent, static)
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
                numbers, off_ns = composed(inverted(below), numbers), max(off_ns, below_off_ns)
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
            numbers = step if numbers is None else composed(step, numbers)
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
