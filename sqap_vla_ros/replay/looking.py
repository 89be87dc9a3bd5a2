# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A recording's images, each looked at as vla_node would have: one Observation an image.

By the same ingest, and with what the node would have heard by then: all that came in up to the
image, and, while something is missing, what came in within tf_timeout after it. What is latched
is there from the beginning, as a late subscriber gets it. Nothing else is taken from the future.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
import time

import numpy as np

from .ahead import unpacked_ahead
from .heard import Ears
from .latched import hear_latched
from .part import window
from ..errors import ConfigError, ObservationError
from ..geometry.transform_buffer import CACHE_TIME_S, TransformLookupError
from ..ingest.observer import at_once, Observer, ObserverOptions
from ..ingest.robot_poses import DENSE_S, pose_at
from ..ingest.stamps import stamp_ns, why_stamp_is_off
from ..ingest.state import joints_of
from ..observation import Observation
from ..recordings.recording import episode_numbers

NAMES_FROM = 20  # messages of joint_states whose names count


@dataclass(frozen=True)
class LookOptions:
    """
    How a recording is looked at.

    observers: ObserverOptions by camera, '' for the only one; main: the camera whose images are
    asked about, the first that the policy sees.  state_names: what the policy needs.
    joint_names: in the results; empty for all that are recorded.  image_timeout: s, see the
    node's parameter.  instruction: in place of the recorded one.  infos: camera_info by camera,
    in place of the recorded ones.  episodes: their places, None for all.  start_s, end_s: from
    the beginning of each episode; stride: of so many images one is looked at.
    seen: all cameras that the policy sees, empty for main alone.
    """

    observers: Mapping[str, ObserverOptions]
    main: str = ''
    state_names: tuple[str, ...] = ()
    joint_names: tuple[str, ...] = ()
    image_timeout: float = 0.5
    instruction: str = ''
    max_instruction_length: int = 256
    infos: Mapping = field(default_factory=dict)
    episodes: tuple[int, ...] | None = None
    start_s: float = 0.0
    end_s: float | None = None
    stride: int = 1
    seen: tuple[str, ...] = ()

    @property
    def shown(self) -> ObserverOptions:
        """Return the options of the camera that the policy sees."""
        return self.observers[self.main]


@dataclass(frozen=True, eq=False)
class Look:
    """
    One image, looked at.

    number, episode, time_ns, stamp_ns, problem, warnings, pose [7], joints [J], instruction: see
    results.Images.  begins: whether the node would have let the policy start over before it.
    observation: None where there is a problem.  observe_ms: what it took.
    """

    number: int
    episode: int
    time_ns: int
    stamp_ns: int
    begins: bool
    observation: Observation | None
    problem: str
    warnings: tuple[str, ...]
    pose: np.ndarray
    joints: np.ndarray
    instruction: str
    observe_ms: float


class Looking:
    """
    Looks at the images of a recording, in their order; iterate over it once.

    joint_names: of Look.joints.  damaged: {topic: messages that could not be read}.
    robot_description: the recorded one, '' for none.
    """

    def __init__(self, recording, topics, options: LookOptions,
                 check: Callable[[str], None] = lambda text: None):
        """
        Begin; nothing is read but the names of joints.

        topics: a TopicMap.  check(text): raises ObservationError for an instruction that the
        policy cannot follow.
        """
        self._recording, self._topics, self._options = recording, topics, options
        self._check, self.robot_description = check, ''
        self.joint_names = options.joint_names or recorded_joints(recording, topics)
        self.damaged, self._number = {}, 0

    def __iter__(self) -> Iterator[Look]:
        """Yield the Looks of all episodes that are asked for."""
        episodes = self._recording.episodes
        for index in range(len(episodes)) if self._options.episodes is None else (
                self._options.episodes):
            run = _Episode(self._recording, self._topics, self._options, self._check,
                           self.joint_names, index, self._number)
            yield from run.looks()
            self._number = run.number
            self.robot_description = self.robot_description or run.ears.robot_description
            for topic, count in run.ears.damaged.items():
                self.damaged[topic] = self.damaged.get(topic, 0) + count


class _Episode:
    """One episode."""

    def __init__(self, recording, topics, options, check, joint_names, index, number):
        self.number, self._options = number, options
        self._coming = number
        self._recording, self._topics = recording, topics
        self._episode = recording.episodes[index]
        self._episode_number = episode_numbers(recording)[index]
        self._begin_ns, self._end_ns = window(
            recording, topics.images[options.main], self._episode, options)
        self._image_topic = topics.images[options.main]
        of_state = joints_of(options.state_names, options.shown.gripper_joint)
        self.ears = Ears(topics, options.observers, options.main, of_state, joint_names, check,
                         options.max_instruction_length, self._episode.shift_ns)
        self._joint_names = joint_names
        self._observer = self._made_observer()
        self._images, self._messages, self._next = deque(), iter(()), None
        self._image, self._begins, self._heard_ns = None, True, None
        self._told, self._asked_ns = '', 0

    def looks(self) -> Iterator[Look]:
        """Yield the Looks."""
        options, ears = self._options, self.ears
        for name, info in options.infos.items():
            ears.cameras[name].tell_info(info)
        hear_latched(self._recording, self._topics, self._episode, ears, self._begin_ns)
        since_ns = max(self._episode.start_ns, self._begin_ns - round(CACHE_TIME_S * 1e9))
        self._messages = unpacked_ahead(self._recording.messages(
            {*ears.topics, self._image_topic}, since_ns, self._end_ns), self._will_be_looked_at)
        self._advance()
        while self._images or self._next is not None:
            if self._images:
                yield self._look(*self._images.popleft())
            else:
                self._hear_next()

    def _made_observer(self) -> Observer:
        options, ears = self._options, self.ears
        return Observer(
            options.shown, ears.cameras[options.main], ears.transforms, options.state_names,
            self._waiting, {
                name: (item, ears.cameras[name]) for name, item in options.observers.items()
                if name != options.main}, options.seen)

    def _advance(self):
        self._next = next(self._messages, None)

    def _hear_next(self) -> bool:
        """Hear the next message; return whether a question may have another answer now."""
        message = self._next
        helps = self.ears.hear(message)
        if message.topic == self._image_topic and message.time_ns >= self._begin_ns:
            if self.number % self._options.stride == 0:
                self._images.append((self.number, message, self._pauses(message),
                                     *self._instruction()))
            else:
                self._begins |= self._pauses(message)
            self.number += 1
        self._advance()
        return helps

    def _will_be_looked_at(self, message) -> bool:
        """Return whether a message that is to come is an image that is looked at."""
        if message.topic != self._image_topic or message.time_ns < self._begin_ns:
            return False
        self._coming += 1
        return (self._coming - 1) % self._options.stride == 0

    def _pauses(self, message) -> bool:
        """Return whether the images were silent for so long that the node started over."""
        before_ns, self._heard_ns = self._heard_ns, message.time_ns
        return before_ns is not None and not (
            0 <= message.time_ns - before_ns <= self._options.image_timeout * 1e9)

    def _waiting(self, timeout_s: float):
        """Return wait(attempt): more is heard until it succeeds, up to so long after the image."""
        last_ns = self._image.time_ns + round(timeout_s * 1e9)

        def wait(attempt):
            while True:
                try:
                    return attempt()
                except ObservationError:
                    if not self._hears_more(last_ns):
                        raise
        return wait

    def _hears_more(self, last_ns) -> bool:
        """Hear what came in up to a time, until it may help; return whether it may."""
        while self._next is not None and self._next.time_ns <= last_ns and not (
                self.ears.jumps_back(self._next)):
            if self._hear_next():
                return True
        return False

    def _look(self, number, message, pauses, text, why_none) -> Look:
        started_s, self._image = time.perf_counter(), message
        stamp, observation, problem, warnings = 0, None, '', []
        try:
            read = message.read()
            stamp = stamp_ns(read)
            self.ears.judge_clock(stamp, message.time_ns)
            if not text:
                raise ObservationError(why_none)
            observation, warnings = self._observer.observe(read, text)
        except (ObservationError, ConfigError) as error:
            problem = str(error)
        observe_ms = (time.perf_counter() - started_s) * 1e3
        warnings = (*warnings, *filter(None, [self._why_late(stamp, message.time_ns)]))
        begins = self._starts_over(text, stamp, pauses)
        self._begins = bool(problem)
        return Look(number, self._episode_number, message.time_ns, stamp, begins, observation,
                    problem, warnings, *self._measured(stamp), text, observe_ms)

    def _starts_over(self, text, stamp, pauses) -> bool:
        """Return whether the policy starts over, as the node lets it."""
        begins = self._begins or pauses or self.ears.has_jumped or text != self._told
        self._told, self.ears.has_jumped = text, False
        if stamp:  # there is none of a damaged image
            begins |= (self._asked_ns - stamp) * 1e-9 > self._options.image_timeout
            self._asked_ns = stamp
        return begins

    def _instruction(self) -> tuple[str, str]:
        """Return (the instruction in force, '' for none, and why there is none)."""
        said = self.ears.instructions
        return self._options.instruction or said.text, said.refused or (
            'no instruction has come in by then: give one by --instruction')

    def _why_late(self, stamp, time_ns) -> str:
        if self.ears.is_other_clock or not stamp:
            return ''
        now_ns = self.ears.now_ns or time_ns - self._episode.shift_ns
        return why_stamp_is_off(stamp, now_ns, self._options.image_timeout, self._image_topic)

    def _measured(self, stamp) -> tuple[np.ndarray, np.ndarray]:
        """Return (pose [7], joints [J]) at a time, NaN where they are not known."""
        options, pose = self._options.shown, np.full(7, np.nan)
        joints = np.full(len(self._joint_names), np.nan)
        try:
            found, _ = pose_at(self.ears.transforms, options, options.end_effector_frames[0],
                               stamp, at_once(0))
            pose[:3], pose[3:] = found.translation, found.quaternion
        except TransformLookupError:
            pass  # it stays unknown, and the image's problem says why
        limit_s = max(options.tf_max_age, DENSE_S)
        for index, name in enumerate(self._joint_names):
            try:
                position, off_s = self.ears.arm.at(name, stamp)
            except ObservationError:
                continue
            joints[index] = position if off_s <= limit_s else np.nan
        return pose, joints


def recorded_joints(recording, topics) -> tuple[str, ...]:
    """Return the names in the first joint_states of a recording, in their order."""
    names: dict[str, None] = {}
    if topics.joint_states:
        messages = recording.messages({topics.joint_states})
        for _, message in zip(range(NAMES_FROM), messages):
            try:
                names.update(dict.fromkeys(message.read().name))
            except ObservationError:
                continue
    return tuple(names)
