# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the arm would have been told: answers, driven as vla_node drives them, in recorded time.

A node asks about some of the images only, is answered after a while, and says a command in each
control period. Here the same Commander is driven by the recording's own times, so the same
answers give the same commands whatever machine they are played on. The recorded arm does not
follow: that is a dry run, and where it was measured is as of the newest image.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

import numpy as np

from .metrics.held import POSE_COLUMNS
from .metrics.times import episode_slices, shares_clock
from ..control.command import Command, Measured
from ..control.commander import Commander
from ..control.drive_choice import make_drive
from ..control.drives import Drive, TwistDrive
from ..control.limits import CommandLimits, JointLimits
from ..control.output_modes import check_output
from ..errors import ConfigError, ObservationError
from ..geometry.transform_buffer import Pose
from ..ingest.stamps import why_stamp_is_off
from ..observation import ActionChunk

NEVER = np.iinfo(np.int64).max
NONE = -1
LONGEST_S = 60.0


@dataclass(frozen=True)
class PlayOptions:
    """
    How a node commands; names, units and defaults are those of its parameters.

    limits: of what the actions are about.  drive: the pure half of its output, which each run
    takes a copy of.  has_workspace: whether a pose has to be known for the limits.
    latency_s: from when an image comes in until its answer is known; None for as measured.
    """

    limits: CommandLimits | JointLimits = CommandLimits(0.25, 1.0)
    drive: Drive = field(default_factory=TwistDrive)
    has_workspace: bool = False
    control_rate: float = 20.0
    lockstep: bool = False
    pipelined: bool = False
    blending: str = 'linear'
    blending_time: float = 0.2
    missed_chunks: int = 10
    speed_scale: float = 1.0
    image_timeout: float = 0.5
    latency_s: float | None = None

    def __post_init__(self):
        """Raise ConfigError for a latency that none can be."""
        check_latency(self.latency_s)

    def period_ns(self, space) -> int:
        """Return the time from one command to the next."""
        return space.dt_ns if self.lockstep else round(1e9 / self.control_rate)

    @classmethod
    def of(cls, config, space, urdf: str | None = None,
           latency_s: float | None = None) -> PlayOptions:
        """
        Return those of a NodeConfig, for an ActionSpace; urdf: its text, for joint outputs.

        Raises ConfigError for an output that the actions cannot drive, and where the URDF does
        not fit, or is missing.
        """
        check_output(space.kind, config.output)
        drive = make_drive(config, space, urdf)
        return cls(
            config.limits if space.is_cartesian else drive.limits, drive,
            config.limits.has_workspace, config.control_rate, config.lockstep, config.pipelined,
            config.blending, config.blending_time, config.missed_chunks, config.speed_scale,
            config.image_timeout, latency_s)


def check_latency(latency_s: float | None) -> None:
    """Raise ConfigError for a latency to play with that none can be."""
    if latency_s is not None and not 0 <= latency_s <= LONGEST_S:
        raise ConfigError(f'the latency to play with (--latency) is {latency_s:g} s, expected '
                          f'0..{LONGEST_S:g} s')


@dataclass(frozen=True, eq=False)
class Played:
    """
    What one row of the table would have had the arm told, K commands and Q questions.

    title: of the Answers.  frame: of twists.  period_s: from one command to the next; the first
    one of an answer comes between.  names: of the columns D of velocities, m/s and rad/s, of
    joints where the output tells joints; zeros where the arm is told to stand.  positions: float64
    [K, n], where it is told to be at the command's end; None for outputs of velocities, NaN while
    it stands.  position_names: of its columns, x y z qx qy qz qw or joints.
    gripper: float64 [K], 0 closed .. 1 open, NaN to leave it.  times_ns: int64 [K], by the
    recorder's clock, in order; stamps_ns: the same by the node's clock, that of the stamps.
    answers: int32 [K], the image whose answer is carried out, -1 while the arm stands.
    asked: int32 [Q], images that were asked about; known_ns: int64 [Q], when their answer was
    there, by the recorder's clock, -1 where it never came; used: bool [Q], whether it was played;
    late: bool [Q], whether the arm stood, or crawled, waiting for it.
    faults: (when by the recorder's clock, why) the arm was stopped until an operator has looked;
    nothing moves from then to the end of the episode.
    """

    title: str
    frame: str
    period_s: float
    names: tuple[str, ...]
    velocities: np.ndarray
    positions: np.ndarray | None
    position_names: tuple[str, ...]
    gripper: np.ndarray
    times_ns: np.ndarray
    stamps_ns: np.ndarray
    answers: np.ndarray
    asked: np.ndarray
    known_ns: np.ndarray
    used: np.ndarray
    late: np.ndarray
    faults: tuple[tuple[int, str], ...] = ()


def play(images, answers, space, options: PlayOptions) -> Played:
    """
    Return what Answers would have had the arm told.

    space: the ActionSpace that they are in, with execute_steps settled.  Images are asked about
    out of those that were looked at: of a replay with a stride, a node asks at other times.
    """
    told = _Told()
    kind = _Lockstep if options.lockstep else _RealTime
    shared = shares_clock(images)
    for part in episode_slices(images):
        run = kind(images, answers, space, options, part, bool(shared[part.start]), told)
        run.play()
        told.place(run)
    return told.played(answers, options.period_ns(space) * 1e-9)


class _Told:
    """Collects what is told."""

    def __init__(self):
        self.commands, self.questions, self.faults = [], [], []
        self.joints = self.names = ()
        self._begun = 0, 0, 0
        self._times_ns, self._known_ns, self._faults = [], [], []

    def place(self, run) -> None:
        """Note when all of a run was, by the recorder's clock."""
        commands, questions, faults = self._begun
        self._times_ns.append(run.recorded_ns([each[0] for each in self.commands[commands:]]))
        self._known_ns.append(run.recorded_ns([
            question.known_ns for question in self.questions[questions:]]))
        times_ns = run.recorded_ns([time_ns for time_ns, _ in self.faults[faults:]])
        self._faults += [(int(time_ns), text) for time_ns, (_, text) in zip(
            times_ns, self.faults[faults:])]
        self._begun = len(self.commands), len(self.questions), len(self.faults)
        self.joints, self.names = run.commanded_joints, run.commanded_names

    def played(self, answers, period_s: float) -> Played:
        """Return all of it."""
        names = self.names or answers.names
        stamps_ns, velocities, positions, gripper, index = (
            zip(*self.commands) if self.commands else ((),) * 5)
        known = next((each for each in positions if each is not None), None)
        if known is not None:
            nothing = np.full(len(known), np.nan)
            positions = np.array([nothing if each is None else each for each in positions])
        asked = self.questions
        return Played(
            answers.title, answers.frame, period_s, names,
            np.array(velocities, np.float64).reshape(-1, len(names)),
            None if known is None else positions, self.joints or POSE_COLUMNS,
            np.array(gripper, np.float64),
            _joined(self._times_ns), np.array(stamps_ns, np.int64), np.array(index, np.int32),
            np.array([each.image for each in asked], np.int32),
            np.where([each.known_ns >= 0 for each in asked], _joined(self._known_ns), NONE)
            if asked else np.zeros(0, np.int64),
            np.array([each.used for each in asked], bool),
            np.array([each.late for each in asked], bool), tuple(self._faults))


def _joined(parts) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


class _Question:
    """An image that is asked about; epoch: of the node, answers of an earlier one are void."""

    def __init__(self, image: int, epoch: int):
        self.image, self.epoch = image, epoch
        self.known_ns, self.used, self.late = NONE, False, False


class _Run:
    """One episode; times are those of the node's clock."""

    def __init__(self, images, answers, space, options: PlayOptions, part: slice, shared: bool,
                 told: _Told):
        self._images, self._answers, self._options = images, answers, options
        self._space, self._part, self._told = space, part, told
        self._commander = _commander(space, options)
        self._player, self._gate = self._commander.player, self._commander.gate
        self._arrived_ns = (images.times_ns if shared else images.stamps_ns)[part]
        self._recorded_ns, self._shared = images.times_ns[part], shared
        self._next_ns = (int(images.times_ns[part.stop]) - 1 if part.stop < len(images)
                         else NEVER)  # where another episode begins
        self._needs = self._commander.needs | (
            {'pose'} if options.has_workspace else frozenset())
        names = answers.names if not space.is_cartesian else self._commander.drive.joint_names
        self._joints = None if not set(names) <= set(images.joint_names) else [
            images.joint_names.index(name) for name in names]
        self._playing, self._epoch, self._fault = NONE, 0, None

    @property
    def commanded_joints(self) -> tuple[str, ...]:
        """Return the joints that an output tells positions of, () for poses and velocities."""
        return getattr(self._commander.drive, 'names', ())

    @property
    def commanded_names(self) -> tuple[str, ...]:
        """Return what velocities are of: of the answers, or of the joints that they become."""
        return (self._space.is_cartesian and self.commanded_joints) or self._answers.names

    def recorded_ns(self, times_ns) -> np.ndarray:
        """Return int64: times of the node's clock by the recorder's."""
        times_ns = np.asarray(times_ns, np.int64)
        if self._shared or not len(times_ns):
            return times_ns
        place = np.clip(np.searchsorted(self._arrived_ns, times_ns, side='right') - 1, 0, None)
        nth = np.minimum(place + 1, len(self._arrived_ns) - 1)
        passed, step = times_ns - self._arrived_ns[place], (
            self._arrived_ns[nth] - self._arrived_ns[place])
        took = self._recorded_ns[nth] - self._recorded_ns[place]
        pace = np.divide(took, step, out=np.ones(len(step)), where=step > 0)
        found_ns = self._recorded_ns[place] + np.round(passed * pace).astype(np.int64)
        return np.minimum(found_ns, self._next_ns)

    def _stamp_ns(self, image: int) -> int:
        return int(self._images.stamps_ns[image])

    def _measured(self, image: int) -> Measured:
        """Return where the arm was at an image's stamp, as far as that is needed and known."""
        pose = joints = None
        found = self._images.poses[image]
        if 'pose' in self._needs and np.isfinite(found).all():
            pose = Pose(found[:3], found[3:], self._stamp_ns(image))
        if 'joints' in self._needs and self._joints is not None:
            joints = self._images.joints[image][self._joints]
            joints = joints if np.isfinite(joints).all() else None
        return Measured(pose, joints)

    def _start_over(self, now_ns: int) -> None:
        """Drop chunk and question, as the node does."""
        (self._commander.stop if self._options.lockstep else self._commander.drop)(now_ns)
        self._epoch += 1

    def _take(self, question: _Question, now_ns: int) -> None:
        """Play an answer, or start over where there is none or it cannot be played."""
        image, answers = question.image, self._answers
        question.known_ns = now_ns
        if self._images.problems[image] or not np.isfinite(answers.velocities[image]).all():
            self._start_over(now_ns)
            return
        question.late = self._commander.is_late(now_ns)
        chunk = ActionChunk(answers.actions[image], answers.dt_s, self._space.names,
                            self._stamp_ns(image), {})
        try:
            question.used = self._commander.take(chunk, now_ns, self._measured(image))
        except ObservationError:  # where the arm was is not known
            question.used = False
        if question.used and not self._gate.fault:
            self._playing = image
        elif not question.used:
            self._start_over(now_ns)

    def _tell(self, now_ns: int, newest: int) -> None:
        """Say the command for now; newest: the image that tells where the arm is."""
        self._player.settle(now_ns)
        try:
            command = self._commander.command(now_ns, self._measured(newest))
        except ObservationError:
            command = None
            self._start_over(now_ns)
        if self._gate.hold or self._commander.drive.lost:
            self._start_over(now_ns)
        if self._gate.fault and self._gate.fault != self._fault:
            self._told.faults.append((now_ns, self._gate.fault))
        self._fault = self._gate.fault
        self._keep(now_ns, None if self._fault else command)

    def _keep(self, now_ns: int, command: Command | None) -> None:
        if command is None:
            self._playing = self._playing if self._player.stamp_ns is not None else NONE
            command = Command(np.zeros(len(self.commanded_names)))
            index = NONE
        else:
            index = self._playing
        self._told.commands.append((
            now_ns, command.velocity, command.position,
            np.nan if command.gripper is None else command.gripper, index))


class _RealTime(_Run):
    """The robot does not wait: rows are played while the next image is asked about."""

    def play(self) -> None:
        """Go through the episode by what comes next: an image, an answer or a tick."""
        self._busy = self._pending = None
        self._done_ns, self._newest, self._text = NEVER, self._part.start, None
        period_ns = self._options.period_ns(self._space)
        self._tick_ns = int(self._arrived_ns[0])
        rest_ns = round(min(self._answers.execute_steps * self._answers.dt_s,
                            self._options.image_timeout) * 1e9)
        self._ends_ns, index = int(self._arrived_ns[-1]) + rest_ns, 0
        if self._shared:
            self._ends_ns = min(self._ends_ns, self._next_ns)
        while True:
            heard_ns = int(self._arrived_ns[index]) if index < len(self._arrived_ns) else NEVER
            now_ns = min(heard_ns, self._done_ns, self._tick_ns)
            if now_ns > self._ends_ns:
                return
            if heard_ns == now_ns:
                self._hear(self._part.start + index, now_ns)
                index += 1
            elif self._done_ns == now_ns:
                self._answered(now_ns)
            else:
                self._tick(now_ns)
            while self._tick_ns <= now_ns and heard_ns != now_ns:
                self._tick_ns += period_ns

    def _hear(self, image: int, now_ns: int) -> None:
        """Ask about an image if it is due, or newer than one that still waits."""
        self._newest, text = image, self._images.instructions[image]
        if self._text not in (None, text):
            self._start_over(now_ns)
            self._tick(now_ns)
        self._text = text
        if self._gate.fault or self._is_stale(now_ns):
            return
        stamp_ns, asked_ns = self._stamp_ns(image), self._player.asked_ns
        waits = self._pending is not None and asked_ns is not None and stamp_ns > asked_ns
        if self._player.wants_image(stamp_ns) or waits:
            self._player.ask(stamp_ns)
            self._pending = _Question(image, self._epoch)
            if self._busy is None:
                self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        """Let the policy look at the image that waits."""
        self._busy, self._pending = self._pending, None
        self._told.questions.append(self._busy)
        self._done_ns = now_ns + self._took_ns(self._busy.image)

    def _took_ns(self, image: int) -> int:
        if self._options.latency_s is not None:
            return round(self._options.latency_s * 1e9)
        stages = self._answers.latency_ms
        took_ms = [stages[name][image] for name in ('observe', 'total') if name in stages]
        return round(float(np.nansum(took_ms)) * 1e6)

    def _answered(self, now_ns: int) -> None:
        """Take the answer that is there now; its first command goes out at once."""
        question, self._busy, self._done_ns = self._busy, None, NEVER
        if self._pending is not None:
            self._begin(now_ns)
        if question.epoch != self._epoch or self._gate.fault:
            return
        self._take(question, now_ns)
        self._tick(now_ns)

    def _start_over(self, now_ns: int) -> None:
        super()._start_over(now_ns)
        self._pending = None

    def _tick(self, now_ns: int) -> None:
        if self._player.is_engaged and (self._gate.fault or self._is_stale(now_ns)):
            self._start_over(now_ns)
        if self._gate.fault:
            self._commander.stop(now_ns)
        self._tell(now_ns, self._newest)

    def _is_stale(self, now_ns: int) -> bool:
        """Return whether the newest image says too little of now."""
        return bool(why_stamp_is_off(self._stamp_ns(self._newest), now_ns,
                                     self._options.image_timeout, ''))


class _Lockstep(_Run):
    """Time stands still until an image is answered; there is a tick a row."""

    def play(self) -> None:
        """Answer all ticks, those of images and those between them."""
        stamps_ns, dt_ns = self._images.stamps_ns[self._part], self._space.dt_ns
        self._arrived_ns, text = stamps_ns, None
        for index, stamp_ns in enumerate(map(int, stamps_ns)):
            image = self._part.start + index
            told, text = text, self._images.instructions[image]
            if told not in (None, text):
                self._start_over(stamp_ns)
            self._look(image, stamp_ns)
            next_ns = int(stamps_ns[index + 1]) if index + 1 < len(stamps_ns) else stamp_ns + 1
            for tick_ns in range(stamp_ns, max(next_ns - dt_ns // 2, stamp_ns + 1), dt_ns):
                self._tell(tick_ns, image)

    def _look(self, image: int, stamp_ns: int) -> None:
        if not self._gate.fault and self._player.wants_image(stamp_ns):
            self._player.ask(stamp_ns)
            question = _Question(image, self._epoch)
            self._told.questions.append(question)
            self._take(question, stamp_ns)

    def _keep(self, now_ns: int, command: Command | None) -> None:
        if self._gate.fault and self._player.is_engaged:
            self._start_over(now_ns)
        super()._keep(now_ns, command)


def _commander(space, options: PlayOptions) -> Commander:
    """Return what the node makes of its parameters, in a dry run."""
    commander = Commander(
        space, options.limits, options.lockstep, options.pipelined,
        options.period_ns(space), copy(options.drive), options.missed_chunks, options.blending,
        options.blending_time)
    commander.gate.speed_scale = options.speed_scale
    commander.is_carried_out = False
    return commander
