# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The way of one image to its chunk: asked on the executor thread, answered there too.

In between, on the inference thread, the observation is made and the policy is run. Answers to
questions that were asked before a reset, a stop or a deactivation never come back, but the
news that the policy crashed always does.
"""

from collections import deque
from dataclasses import dataclass, field
import time

from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.observation import ActionChunk

from .camera_inputs import Frame


@dataclass(frozen=True)
class Answer:
    """
    What became of one image.

    problem: why there is no chunk, in words; bug: whether that was not the input's fault.
    is_too_old: the policy had to be made ready for such images and instructions first, and has
    not answered: a newer image is to be asked about.  infer_ms: time in the policy.
    waited_ms: time the image waited for the thread, which was busy with an earlier one.
    warnings: what the observation had to do without.
    """

    frame: Frame
    instruction: str
    epoch: int
    observation: object = None
    chunk: object = None
    problem: str = ''
    bug: bool = False
    is_too_old: bool = False
    infer_ms: float = 0.0
    observe_ms: float = 0.0
    waited_ms: float = 0.0
    warnings: list = field(default_factory=list)


class Inference:
    """
    Ask the policy, on its thread.

    is_preparing: whether the policy compiles or captures what it has not met yet.
    """

    def __init__(self, node, worker, policy, observer, results):
        self._node = node
        self._worker = worker
        self._policy = policy
        self._observer = observer
        self._results = results
        self._on_answer = None
        self._answers = deque()
        self._epoch = 0
        self._camera_epoch = 0
        self._policy_epoch = None  # these two belong to the inference thread
        self._observer_epoch = None
        self._choices = deque()  # of tokens, that the policy has not been told yet
        self._free_since = time.perf_counter()
        self._asked_ns = None
        self._guard = None
        self.is_preparing = False

    def setup(self, on_answer):
        """Make the way back: on_answer(answer) is called on the executor thread."""
        self._on_answer = on_answer
        self._guard = self._node.create_guard_condition(self._deliver)

    def teardown(self):
        """Let no answer come back any more, and let go of the policy."""
        self.reset()
        self._node.destroy_guard_condition(self._guard)
        self._policy = None

    @property
    def is_pending(self) -> bool:
        """Whether an image waits for the thread to become free."""
        return self._worker.has_waiting_job

    @property
    def is_busy(self) -> bool:
        """Whether an image has been asked about and not been answered."""
        return self._asked_ns is not None

    @property
    def busy_s(self) -> float:
        """How long the image in hand has taken so far, in seconds."""
        return self._worker.busy_s

    def check_instruction(self, text: str):
        """Raise ObservationError or ConfigError for what the policy can't follow."""
        self._policy.check_instruction(text)

    def ask(self, frame: Frame, instruction: str):
        """Infer on a frame, instead of any that still waits."""
        epochs = self._epoch, self._camera_epoch
        self._asked_ns = frame.stamp_ns
        self._worker.offer(lambda: self._infer(frame, instruction, *epochs))

    def choose(self, selection):
        """Have tokens chosen otherwise from the next image on, see SelectionConfig."""
        self._choices.append(selection)

    def reset(self, forget_image_size: bool = False):
        """Drop what is asked; the policy, and the image's size if asked to, start over."""
        self._epoch += 1
        self._camera_epoch += forget_image_size
        self._asked_ns = None
        self._worker.withdraw()

    def crashed(self, text: str):
        """Take the traceback of a bug, on the inference thread."""
        self._answers.append(Answer(None, '', self._epoch, problem=text, bug=True))
        self._guard.trigger()

    def _infer(self, frame, instruction, epoch, camera_epoch):
        policy, started_s = self._policy, time.perf_counter()
        waited_ms = max(0.0, self._free_since - frame.heard_s) * 1e3
        if policy is None:
            return
        if epoch != self._policy_epoch:
            self._policy_epoch = epoch
            policy.reset()
        if camera_epoch != self._observer_epoch:
            self._observer_epoch = camera_epoch
            self._observer.reset()
        while self._choices:
            policy.selection = self._choices.popleft()
        answer = self._answer(policy, frame, instruction, epoch, started_s, waited_ms)
        if self._policy is None:  # the node was taken apart meanwhile: nobody listens
            return
        self._answers.append(answer)
        self._guard.trigger()
        if answer.chunk is not None:  # commands do not wait for it
            self._results.publish_seen(policy, answer.observation, answer.chunk.selection,
                                       answer.frame.message.header)
        self._free_since = time.perf_counter()

    def _answer(self, policy, frame, instruction, epoch, started_s, waited_ms) -> Answer:
        try:
            policy.check_instruction(instruction)
            observation, warnings = self._observer.observe(frame.message, instruction)
            if self._had_to_prepare(policy, observation):
                return Answer(frame, instruction, epoch, is_too_old=True)
            observed_s = time.perf_counter()
            chunk = policy.infer(observation)
            if not isinstance(chunk, ActionChunk):
                raise TypeError(f'the policy answered {chunk!r:.80}, expected an ActionChunk')
        except (ObservationError, ConfigError) as error:
            return Answer(frame, instruction, epoch, problem=str(error))
        return Answer(
            frame, instruction, epoch, observation, chunk,
            infer_ms=(time.perf_counter() - observed_s) * 1e3,
            observe_ms=(observed_s - started_s) * 1e3, waited_ms=waited_ms,
            warnings=warnings)

    def _had_to_prepare(self, policy, observation) -> bool:
        """Make the policy ready for such images and instructions; False if it was, or can't be."""
        kind = observation.instruction, observation.image.shape[:2]
        if policy.is_ready(*kind):
            return False
        self.is_preparing = True
        try:
            policy.make_ready(*kind)
        finally:
            self.is_preparing = False
        return policy.is_ready(*kind)

    def _deliver(self):
        while self._answers:
            answer = self._answers.popleft()
            is_current = answer.epoch == self._epoch
            if is_current and (answer.bug or answer.frame.stamp_ns == self._asked_ns):
                self._asked_ns = None
            if is_current or answer.bug:
                self._on_answer(answer)
