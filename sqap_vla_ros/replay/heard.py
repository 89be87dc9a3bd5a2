# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What vla_node would have heard by a moment of a recording, through the ingest that it uses.

Messages are told one by one, in the order in which they came in; the node's clock is that of the
recording computer, or /clock where that was recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from ..control.instructions import Instructions
from ..errors import ObservationError
from ..geometry.transform_buffer import Pose, TransformLookupError
from ..ingest.camera_info import InfoStream
from ..ingest.cameras import ImageHistory
from ..ingest.joints import JointHistory
from ..ingest.plausibility import CLOCK_WAS_SET_NS
from ..ingest.stamps import future_s, OTHER_CLOCK_S, stamp_ns
from ..ingest.transform_intake import TransformIntake
from ..ingest.wire import JointReader, read_transforms, wire_transform


MOST_ANSWERS = 64  # remembered, several times what is asked about one image


class HeardTransforms:
    """
    Transforms as an Observer asks for them; `now_s` explains what was refused lately.

    What is asked again before more is heard, as by who measures after an Observer, is remembered.
    """

    def __init__(self, ahead_s: float | None):
        """ahead_s: how far a stamp may be ahead of the clock, None for any."""
        self.intake, self.now_s = TransformIntake(ahead_s), 0.0
        self._answers = {}

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Return the pose of source in target at a time; raises TransformLookupError."""
        return self._ask(self.intake.buffer.lookup, target, source, stamp_ns)

    def latest(self, target: str, source: str) -> Pose:
        """Return the newest pose of source in target; raises TransformLookupError."""
        return self._ask(self.intake.buffer.latest, target, source)

    def steps(self, target: str, source: str, since_ns: int) -> list:
        """Return what was heard of the frames between two; see TransformBuffer.steps."""
        return self._ask(self.intake.buffer.steps, target, source, since_ns)

    def span(self, target: str, source: str) -> tuple[int, int] | None:
        """Return since and until when what moves between two is known; see TransformBuffer."""
        return self._ask(self.intake.buffer.span, target, source)

    @property
    def filled_buffer(self):
        """Return what answers without a word on what was refused."""
        return self.intake.buffer

    def take_moving(self, transforms: Iterable, now_ns: int, time_s: float) -> None:
        """Take WireTransforms that move; see TransformIntake."""
        self._answers.clear()
        self.intake.take_moving(transforms, now_ns, time_s)

    def take_static(self, transforms: Iterable, time_s: float) -> None:
        """Take WireTransforms that hold for ever."""
        self._answers.clear()
        for transform in transforms:
            self.intake.take(transform, None, time_s)

    def forget_moving(self) -> None:
        """Forget what moves; see TransformBuffer.clear."""
        self._answers.clear()
        self.intake.buffer.clear()

    def _ask(self, question, *about):
        """Return an answer; what is not found may have been refused."""
        key = question.__name__, *about
        found = self._answers.get(key)
        if found is None:
            try:
                found = question(*about), None
            except TransformLookupError as error:
                found = None, (str(error), error.reason)
            if len(self._answers) >= MOST_ANSWERS:  # nothing moves, as in a bag without /tf
                self._answers.clear()
            self._answers[key] = found
        answer, missing = found
        if missing is not None:
            raise self.intake.explained(TransformLookupError(*missing), self.now_s) from None
        return answer


class HeardCamera:
    """What is heard beside the images of a camera; see ingest.observer.Heard."""

    def __init__(self, options, joints: JointHistory, image_topic: str, info_topic: str):
        """options: ObserverOptions of the camera."""
        self.joints, self.images = joints, ImageHistory()
        self.image_topic, self.info_topic = image_topic, info_topic
        self.camera_info, self._stream = None, InfoStream()
        self._max_age_s, self.is_told = options.camera_info_max_age, False

    @property
    def info_is_latched(self) -> bool:
        """Return whether camera_info was sent once, for good, so that its age says nothing."""
        return self.is_told or not self._stream.is_live(self._max_age_s)

    def hear_info(self, info) -> None:
        """Take a camera_info, unless one was told instead of the recorded ones."""
        if not self.is_told:
            self.camera_info = info
            self._stream.heard(info)

    def tell_info(self, info) -> None:
        """Use a camera_info for all images, whatever is recorded."""
        self.camera_info, self.is_told = info, True


class Ears:
    """
    Hears the messages of one episode.

    transforms, cameras, instructions: what was heard.  joints: of those that the node needs;
    arm: of all that are to be in the results.  robot_description: URDF text, '' for none.
    damaged: {topic: how many messages could not be read}.
    """

    def __init__(self, topics, options: Mapping, main: str, joint_names=(), arm_names=(),
                 check: Callable[[str], None] = lambda text: None, max_length: int = 256,
                 shift_ns: int = 0):
        """
        Hear nothing yet.

        topics: a TopicMap.  options: ObserverOptions by camera.  main: the camera whose images
        are asked about.  check: see Instructions.  shift_ns: see recording.Episode.
        """
        self.main, self._topics, self._shift_ns = main, topics, shift_ns
        simulated = bool(topics.clock)
        self._ahead_s = future_s(options[main].lockstep, simulated)
        self.transforms = HeardTransforms(self._ahead_s)
        self.joints, self.arm = JointHistory(joint_names), JointHistory(arm_names)
        self.cameras = {name: HeardCamera(item, self.joints, topics.images.get(name, ''),
                                          topics.infos.get(name, '') or 'camera_info')
                        for name, item in options.items()}
        self.instructions = Instructions(check, max_length, start_on_activate=True)
        self.instructions.activate()
        self.robot_description, self.damaged = '', Counter()
        self.now_ns, self.has_jumped, self._is_other = 0, False, None
        self._reader, self._takers = JointReader(), self._made_takers()

    @property
    def topics(self) -> set[str]:
        """Return the topics that are heard, but for the main camera's images."""
        return set(self._takers)

    @property
    def is_other_clock(self) -> bool:
        """Return whether stamps are of another clock than the times of messages."""
        return bool(self._is_other)

    def hear(self, message) -> bool:
        """Take a message; return whether a question that had no answer may have one now."""
        self._set_clock(message)
        heard = False
        for take in self._takers.get(message.topic, ()):
            try:
                heard = take(message) or heard
            except ObservationError:
                self.damaged[message.topic] += 1
        return heard

    def jumps_back(self, message) -> bool:
        """Return whether with a message the node's clock goes back, so that all is forgotten."""
        if not self._topics.clock:
            return self._is_set_back(message)
        if message.topic != self._topics.clock:
            return False
        try:
            return clock_ns(message.read()) < self.now_ns
        except ObservationError:
            return False  # it is counted when it is heard

    def judge_clock(self, stamp: int, time_ns: int) -> None:
        """Find out by a first stamp whether stamps are of the clock that messages came in by."""
        if self._is_other is None and stamp:
            self._is_other = abs(time_ns - self._shift_ns - stamp) * 1e-9 > OTHER_CLOCK_S
            if self._is_other and not self._topics.clock:
                self.transforms.intake.future_s = None

    def _made_takers(self) -> dict[str, list]:
        takers: dict[str, list] = {}
        named = [(self._topics.tf, self._moving), (self._topics.tf_static, self._static),
                 (self._topics.joint_states, self._joint_state),
                 (self._topics.instruction, self._instruction), (self._topics.clock, self._clock),
                 (self._topics.robot_description, self._description)]
        named += [(self._topics.infos.get(name, ''), self._info_of(camera))
                  for name, camera in self.cameras.items()]
        named += [(self._topics.images.get(name, ''), self._image_of(camera))
                  for name, camera in self.cameras.items() if name != self.main]
        for topic, take in named:
            if topic:
                takers.setdefault(topic, []).append(take)
        return takers

    def _set_clock(self, message):
        self.transforms.now_s = message.time_ns * 1e-9
        if not self._topics.clock:
            if self._is_set_back(message):
                self.forget_moving()
            self.now_ns = message.time_ns - self._shift_ns

    def _is_set_back(self, message) -> bool:
        return self.now_ns + self._shift_ns - message.time_ns > CLOCK_WAS_SET_NS

    def _clock(self, message):
        now_ns = clock_ns(message.read())
        if now_ns < self.now_ns:
            self.forget_moving()
        self.now_ns = now_ns

    def forget_moving(self) -> None:
        """Forget what has a time, after time has jumped back."""
        self.has_jumped = True
        self.transforms.forget_moving()
        self.joints.clear()
        self.arm.clear()
        for camera in self.cameras.values():
            camera.images.clear()

    def _moving(self, message) -> bool:
        transforms = list(self.transforms_of(message))
        for transform in transforms if self._is_other is None else ():
            self.judge_clock(transform.stamp_ns, message.time_ns)
        self.transforms.take_moving(transforms, self.now_ns, message.time_ns * 1e-9)
        return True

    def _static(self, message) -> bool:
        self.take_static(self.transforms_of(message), message.time_ns)
        return True

    def take_static(self, transforms: Iterable, time_ns: int) -> None:
        """Take WireTransforms that hold for ever."""
        self.transforms.take_static(transforms, time_ns * 1e-9)

    def transforms_of(self, message) -> Iterable:
        """Return the WireTransforms of a message; raise ObservationError for a damaged one."""
        found = None if message.data is None else read_transforms(bytes(message.data))
        if found is None:
            return map(wire_transform, message.read().transforms)
        return found

    def _joint_state(self, message) -> bool:
        found = None if message.data is None else self._reader.read(bytes(message.data))
        if found is None:
            read = message.read()
            found = stamp_ns(read), tuple(read.name), read.position
        latest_ns = self.now_ns and self._ahead_s and not self.is_other_clock and (
            self.now_ns + round(self._ahead_s * 1e9))
        for joints in (self.joints, self.arm):
            joints.take(*found, latest_ns or 0)
        return True

    def _instruction(self, message) -> bool:
        self.instructions.hear(message.read().data)
        return False

    def _description(self, message) -> bool:
        self.robot_description = self.robot_description or message.read().data
        return False

    def _info_of(self, camera):
        def take(message) -> bool:
            camera.hear_info(message.read())
            return True
        return take

    def _image_of(self, camera):
        def take(message) -> bool:
            camera.images.add(message.read())
            return True
        return take


def clock_ns(message) -> int:
    """Return the time of a rosgraph_msgs/Clock in nanoseconds."""
    return message.clock.sec * 10**9 + message.clock.nanosec
