# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The last positions of the joints asked for, from sensor_msgs/JointState.

The history is a time, not a number of messages: an arm may publish at 1 kHz and its gripper at
10 Hz, on one topic.
"""

from bisect import bisect_left, bisect_right
from collections import deque
import math
from operator import itemgetter, sub
from threading import Lock

from .plausibility import ABSURD_POSITION, check_joints, JUMP_RAD
from .stamps import duration_text, stamp_ns
from ..errors import ObservationError

SPAN_S = 2.0
MOST_ROWS = 512  # messages that are kept as they came, for who asks about the last ones
LATEST = 64  # samples, of up to thousands, are gone through: an image is hardly older
DOUBTED_NS = 10**9  # for how long joints that jumped are not told
STARTED_NS = 10 * 10**9  # before, a simulator's clock may stand at 0
OPENINGS = -1.0, 2.0  # 0 closed .. 1 open; what is far outside is of another joint or unit


class _Samples(deque):
    """
    (stamp, position) of one joint as they were heard.

    back: at how many of them the stamps do not go on; without any they are searched by halves.
    """

    back = 0

    def remember(self, time_ns, position, span_ns):
        """Take one, and forget those that are further from it than span_ns."""
        # By the newcomer, not by the newest: one stamp far in the future must not outlive it.
        while self and abs(self[0][0] - time_ns) > span_ns:
            oldest_ns, _ = self.popleft()
            if self and self[0][0] <= oldest_ns:
                self.back -= 1
        if self and time_ns <= self[-1][0]:
            self.back += 1
        self.append((time_ns, position))

    def remember_row(self, times_ns, positions, span_ns):
        """Take some whose stamps go on, behind all that are here, which do so, too."""
        self.extend(zip(times_ns, positions))
        while times_ns[-1] - self[0][0] > span_ns:
            self.popleft()

    def forget(self):
        """Forget all."""
        self.clear()
        self.back = 0

    def around(self, time_ns: int | None) -> tuple:
        """Return all, or of those in order the ones beside a time."""
        if self.back or time_ns is None:
            return tuple(self)
        if len(self) > LATEST and self[-LATEST][0] > time_ns:
            samples = tuple(self)
            after = bisect_left(samples, time_ns, key=itemgetter(0))
            return samples[max(0, after - 1):after + 1]
        later = ()
        for sample in reversed(self):
            if sample[0] < time_ns:
                return sample, *later
            later = sample,
        return later


class JointHistory:
    """Positions of some joints over the last two seconds."""

    def __init__(self, names=(), span_s: float = SPAN_S):
        """Remember the joints of these names and no others."""
        self._span_ns, self._lock = round(span_s * 1e9), Lock()
        self._rows, self._settled = [], 0  # (stamp, positions of ours) of the last messages, as
        # long as they go on; how many of them each joint has got among its own samples
        self._samples = {name: _Samples() for name in names}
        self._learn(())
        self.clear()

    @property
    def names(self) -> tuple:
        """Return the names of the joints."""
        return tuple(self._samples)

    def add(self, message, latest_ns: int = 0):
        """
        Take the positions [m or rad] of a JointState; joints without one are passed over.

        latest_ns: the latest that a stamp can be, 0 for any.  A message that makes no sense is
        not taken; it explains what is missing then.
        """
        self.take(stamp_ns(message), tuple(message.name), message.position, latest_ns)

    def take(self, time_ns: int, names: tuple, positions, latest_ns: int = 0):
        """Take what a JointState has, as add does."""
        with self._lock:
            if names is not self._names and names != self._names:
                self._forget_rows()
                self._learn(names)
            if not self._ours:
                self._others = names
                return
            if not len(positions):
                return
            self._refused = self._why_not(names, positions, time_ns, latest_ns)
            if not self._refused:
                self._remember(time_ns, tuple([positions[at] for at, _, _ in self._ours]))

    def _remember(self, time_ns, positions):
        """Take positions of our joints behind those that they go on from, else one by one."""
        rows = self._rows
        if rows and time_ns > rows[-1][0] and _is_near(positions, rows[-1][1]) or (
                not rows and self._begins(time_ns, positions)):
            rows.append((time_ns, positions))
            if len(rows) >= MOST_ROWS:
                self._settle()
                del rows[:-MOST_ROWS // 2]
                self._settled = len(rows)
            return
        self._forget_rows()
        self._take_one(time_ns, positions)

    def _begins(self, time_ns, positions) -> bool:
        """Return whether positions simply continue what was heard of each joint."""
        return all(not samples or not samples.back and time_ns > samples[-1][0] and _is_near(
            (position,), (samples[-1][1],)) for (_, _, samples), position in zip(
                self._ours, positions))

    def _settle(self):
        """Give each joint those of the rows that it has not got yet."""
        rows = self._rows[self._settled:]
        if rows:
            self._settled = len(self._rows)
            times_ns, positions = zip(*rows)
            for (_, _, samples), column in zip(self._ours, zip(*positions)):
                samples.remember_row(times_ns, column, self._span_ns)

    def _forget_rows(self):
        """Begin anew with rows; each joint has got its own."""
        self._settle()
        self._rows.clear()
        self._settled = 0

    def _in_rows(self, name, time_ns) -> tuple:
        """Return the samples of a joint beside a time if rows have them, () if they may not."""
        rows, place = self._rows, self._places.get(name)
        if not rows or place is None:
            return ()
        after = len(rows) if time_ns is None else bisect_left(rows, (time_ns,))
        if not after or rows[-1][0] - rows[after - 1][0] > self._span_ns:
            return ()
        return tuple([(stamp_ns, positions[place])
                      for stamp_ns, positions in rows[after - 1:after + 1]])

    def _take_one(self, time_ns, positions):
        for (_, name, samples), position in zip(self._ours, positions):
            if samples and abs(position - samples[-1][1]) > JUMP_RAD:
                self._note_jump(name, time_ns, position)
            samples.remember(time_ns, position, self._span_ns)

    def _learn(self, names):
        """Note which of the names are ours, and where: they hardly ever change."""
        self._names = names
        self._ours = [(at, name, self._samples[name]) for at, name in enumerate(names)
                      if name in self._samples]
        self._places = {name: place for place, (_, name, _) in enumerate(self._ours)}
        self._doubled = next((name for name in self._samples if names.count(name) > 1), None)

    def _why_not(self, names, positions, time_ns, latest_ns) -> str:
        """Return what is wrong with a message, '' if nothing is."""
        if len(names) != len(positions):
            return f'joint_states have {len(names)} names and {len(positions)} positions'
        if self._doubled is not None:
            return f'joint_states name {self._doubled!r} {names.count(self._doubled)} times'
        if not time_ns and latest_ns > STARTED_NS:
            return 'joint_states have no stamp: let their driver fill header.stamp'
        if latest_ns and time_ns > latest_ns:
            return (f'joint_states are stamped {duration_text((time_ns - latest_ns) * 1e-9)} '
                    "further in the future than is believed: synchronize the robot's clock")
        if sum(map(abs, positions)) <= ABSURD_POSITION:  # then each is, and none is NaN
            return ''
        for at, name, _ in self._ours:
            if not abs(positions[at]) <= ABSURD_POSITION:
                return _told(check_joints, [name], [positions[at]])
        return ''

    def _note_jump(self, name, time_ns, position):
        """Note a position that is far from the one before, if no joint is as fast."""
        before_ns, before = self._samples[name][-1]
        text = _told(check_joints, [name], [position], [before], (time_ns - before_ns) * 1e-9)
        if text:
            self._jumped_ns, self._jump = time_ns, text

    def nearest(self, name: str, time_ns: int) -> tuple[float, float]:
        """
        Return (position, seconds between its stamp and the time), of the sample next to a time.

        Raises ObservationError when nothing is known of the joint, or joints have just jumped.
        """
        samples = self._known(name, time_ns)
        found_ns, position = min(samples, key=lambda sample: abs(sample[0] - time_ns))
        return position, abs(found_ns - time_ns) * 1e-9

    def at(self, name: str, time_ns: int) -> tuple[float, float]:
        """
        Return (position, seconds to the nearest stamp) at a time, between two samples if need be.

        Raises ObservationError when nothing is known of the joint, or joints have just jumped.
        """
        samples = self._known(name, time_ns)
        if len(samples) == 1:  # as for most images, which are newer
            (only_ns, position), = samples
            return position + 0.0, abs(time_ns - only_ns) * 1e-9
        samples = sorted(samples)  # which they are, as good as always
        until = bisect_right(samples, (time_ns, math.inf))
        since = bisect_left(samples, (time_ns, -math.inf))
        before = samples[until - 1] if until else None
        after = samples[since] if since < len(samples) else None
        (first_ns, first), (last_ns, last) = before or after, after or before
        off_s = min(abs(time_ns - first_ns), abs(last_ns - time_ns)) * 1e-9
        ratio = (time_ns - first_ns) / (last_ns - first_ns) if last_ns > first_ns else 0.0
        return first + ratio * (last - first), off_s

    def newest(self, name: str) -> tuple[int, float]:
        """
        Return (stamp in ns, position) of what was heard of a joint last.

        Raises ObservationError when nothing is known of it, or joints have just jumped.
        """
        return self._known(name)[-1]

    def _known(self, name, time_ns=None) -> tuple:
        """Return the samples of a joint beside a time; None: some, the newest last."""
        with self._lock:
            samples = self._in_rows(name, time_ns)
            if not samples:
                self._settle()
                samples = self._samples.get(name, _Samples()).around(time_ns)
        if not samples:
            others = f': they tell {", ".join(self._others)}' if self._others else ''
            raise ObservationError(
                self._refused or f'joint_states has not told the position of {name!r}{others}')
        time_ns = samples[-1][0] if time_ns is None else time_ns
        if self._jump and abs(time_ns - self._jumped_ns) < DOUBTED_NS:
            raise ObservationError(self._jump)
        return samples

    @property
    def refused(self) -> str:
        """Return why the last message was not taken, '' if it was."""
        return self._refused

    def clear(self):
        """Forget all positions."""
        with self._lock:
            self._refused, self._jump, self._jumped_ns = '', '', 0
            self._others = ()  # names in the newest message that is about none of ours
            self._rows, self._settled = [], 0
            for samples in self._samples.values():
                samples.forget()


def _is_near(positions, before) -> bool:
    """Return whether no joint is so far from where it was that it can have jumped."""
    return max(map(abs, map(sub, positions, before))) <= JUMP_RAD


def _told(check, *arguments) -> str:
    """Return what a check raises, '' for nothing."""
    try:
        check(*arguments)
    except ObservationError as error:
        return str(error)
    return ''


def position_near(joints, name: str, options, time_ns: int) -> float:
    """
    Return the position of a joint at a time, m or rad.

    Raises ObservationError when it was not heard near that time.
    """
    position, off_s = joints.nearest(name, time_ns)
    limit_s = 0.0 if options.lockstep else options.tf_max_age
    if off_s > limit_s:
        raise ObservationError(
            joints.refused or
            f'joint_states of {name!r} are {duration_text(off_s)} off the image '
            f'(limit: {"lockstep" if options.lockstep else "tf_max_age"}, {limit_s:g} s)')
    return position


def gripper_opening(joints, options, time_ns: int) -> float:
    """
    Return how far the gripper is open at a time, 0 closed .. 1 open, or a little beyond.

    Raises ObservationError when its joint was not heard near that time, or is far beyond.
    """
    position, closed = gripper_position(joints, options, time_ns), options.gripper_closed_position
    return (position - closed) / (options.gripper_open_position - closed)


def gripper_position(joints, options, time_ns: int) -> float:
    """Return the position of the gripper's joint, m or rad; raise as gripper_opening does."""
    position = position_near(joints, options.gripper_joint, options, time_ns)
    closed = options.gripper_closed_position
    opening = (position - closed) / (options.gripper_open_position - closed)
    if not OPENINGS[0] - 0.01 <= opening <= OPENINGS[1] + 0.01:
        raise ObservationError(
            f'joint_states have the gripper joint {options.gripper_joint!r} at {position:g}, '
            f'far outside {closed:g} (closed) to {options.gripper_open_position:g} (open): are '
            'gripper_joint, gripper_open_position and gripper_closed_position right?')
    return position
