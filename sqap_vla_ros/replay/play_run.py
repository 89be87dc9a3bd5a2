# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One episode of answers, driven by the Commander of a node; when what comes is play_times.py."""

from __future__ import annotations

from copy import copy

import numpy as np

from .metrics.times import known_stamps_ns, SILENCE_S
from .play_options import PlayOptions
from ..control.command import Command, Measured
from ..control.commander import Commander
from ..errors import ObservationError
from ..geometry.transform_buffer import Pose
from ..observation import ActionChunk

NEVER = np.iinfo(np.int64).max
NONE = -1


class Question:
    """An image that is asked about; epoch: of the node, answers of an earlier one are void."""

    def __init__(self, image: int, epoch: int):
        """Ask; nothing is known yet."""
        self.image, self.epoch = image, epoch
        self.known_ns, self.used, self.late = NONE, False, False


class Run:
    """One episode; times are those of the node's clock."""

    def __init__(self, images, answers, space, options: PlayOptions, part: slice, shared: bool,
                 told):
        """
        Begin an episode, the part of the images; told: collects commands, questions and faults.

        shared: whether the recorder's clock is that of the stamps.
        """
        self._images, self._answers, self._options = images, answers, options
        self._space, self._part, self._told = space, part, told
        self._commander = _commander(space, options)
        self._player, self._gate = self._commander.player, self._commander.gate
        self._arrived_ns = (images.arrived_ns if shared else known_stamps_ns(images))[part]
        self._recorded_ns, self._shared = images.times_ns[part], shared
        self._shift_ns = int((images.times_ns - images.arrived_ns)[part.start])
        self._next_ns = (int(images.times_ns[part.stop]) - 1 if part.stop < len(images)
                         else NEVER)  # where another episode begins
        self._needs = self._commander.needs | (
            {'pose'} if options.has_workspace else frozenset())
        names = answers.names if not space.is_cartesian else self._commander.drive.joint_names
        self._joints = None if not set(names) <= set(images.joint_names) else [
            images.joint_names.index(name) for name in names]
        self._silence_ns = round(1e9 * (  # after which the arm stands
            SILENCE_S + options.image_timeout + answers.velocities.shape[1] * answers.dt_s))
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
            return times_ns + self._shift_ns
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

    def _take(self, question: Question, now_ns: int) -> None:
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


def _commander(space, options: PlayOptions) -> Commander:
    """Return what the node makes of its parameters, in a dry run."""
    commander = Commander(
        space, options.limits, options.lockstep, options.pipelined,
        options.period_ns(space), copy(options.drive), options.missed_chunks, options.blending,
        options.blending_time)
    commander.gate.speed_scale = options.speed_scale
    commander.is_carried_out = False
    return commander
