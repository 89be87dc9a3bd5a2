# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node hears: the newest image, camera_info, instruction and joint positions.

Callbacks only store: the executor thread is to be free for commands. What is looked up once an
image (camera_info, joint_states) needs no callback at all, see polled.py; the inference thread
reads it. A field that both threads use is replaced as a whole and needs no lock.
"""

from dataclasses import dataclass
from threading import Lock
import time

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.camera_info import InfoStream
from sqap_vla_ros.ingest.delivery import Delivery
from sqap_vla_ros.ingest.frozen_images import FrozenImages
from sqap_vla_ros.ingest.joints import JointHistory
from sqap_vla_ros.ingest.stamps import stamp_ns
from std_msgs.msg import String

from .deliverers import Deliverers
from .joint_states import JointStates
from .polled import PolledSubscription
from .. import qos

POLL_S = 0.002


@dataclass(frozen=True)
class Frame:
    """One image as it came in; heard_s: time.perf_counter() at the callback's entry."""

    message: object
    stamp_ns: int
    heard_s: float


class Inputs:
    """
    Subscriptions of vla_node and the newest message of each.

    joints: a JointHistory.  pictures, delivery: FrozenImages and Delivery of what came in.
    """

    def __init__(self, node, config, joint_names=(), future_s=None):
        self._node = node
        self._config = config
        self._listener = None
        self._subscriptions, self._polled, self._deliverers = [], [], {}
        self._info = self._latched_info = None
        self._lock = Lock()
        self._joint_states = JointStates(node, joint_names, future_s)
        self.pictures, self.delivery = FrozenImages(), Delivery()
        self._forget()

    def setup(self, listener):
        """
        Subscribe to everything that is needed.

        listener: has on_frame(frame), on_instruction(text, heard_ns or None) and
        on_topic_problem(topic, message or None), all of which are called on the executor thread.
        """
        self._listener = listener
        compressed = self._config.image_transport == 'compressed'
        kind = CompressedImage if compressed else Image
        self._image = self._subscribe(
            kind, image_topic(self._node, compressed), self._image_heard, qos.SENSOR)
        self._deliverers = {
            topic: Deliverers(self._node, kind, topic)
            for topic, kind in ((self.image_topic, kind), (self.info_topic, CameraInfo))}
        self._text = self._subscribe(String, 'instruction', self._instruction_heard,
                                     qos.INSTRUCTION)
        # A publisher that latches reaches a late subscriber only through this one, and one
        # that does not never matches it: hence both, and no report about the mismatch.
        self._subscriptions.append(self._node.create_subscription(
            String, 'instruction', self._latched_heard, qos.INSTRUCTION_LATCHED,
            event_callbacks=qos.SILENT_SUBSCRIPTION))
        if self._config.needs_localization:
            self._info = self._poll(CameraInfo, 'camera_info', qos.SENSOR)
            self._latched_info = self._poll(CameraInfo, 'camera_info', qos.SENSOR_LATCHED)
        self._joint_states.setup()

    def use(self, config):
        """Take changed parameters."""
        self._config = config

    def teardown(self):
        """Unsubscribe and forget all messages."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        with self._lock:
            self._info = self._latched_info = None
            while self._polled:
                self._polled.pop().destroy()
        self._joint_states.teardown()
        while self._deliverers:
            self._deliverers.popitem()[1].forget()
        self._forget()

    def forget_moving(self):
        """Forget what has a time, after time has jumped back; what is still queued, too."""
        self.frame = None
        self._joint_states.forget()

    @property
    def camera_info(self):
        """Return the newest camera_info, None before the first."""
        with self._lock:
            if self._info is not None:
                for message in (*self._latched_info.take(), *self._info.take()):
                    self._newest_info = message
                    self._info_stream.heard(message)
                    self.delivery.info(time.monotonic())
            return self._newest_info

    @property
    def info_is_latched(self) -> bool:
        """Return whether camera_info was sent once, for good, so that its age says nothing."""
        return not self._info_stream.is_live(self._config.camera_info_max_age)

    @property
    def joints(self) -> JointHistory:
        """Return the history of the joints that are needed."""
        return self._joint_states.history

    @property
    def image_topic(self) -> str:
        """Return the resolved name of the image topic."""
        return self._image.topic_name

    @property
    def info_topic(self) -> str:
        """Return the resolved name of the camera_info topic."""
        return self._node.resolve_topic_name('camera_info')

    @property
    def instruction_topic(self) -> str:
        """Return the resolved name of the instruction topic."""
        return self._text.topic_name

    def lost_images(self) -> str:
        """Return that images are lost on their way, and what to do; '' if they are not."""
        if self._config.lockstep:  # where no image may come for as long as it likes
            return ''
        self.camera_info  # so that it is counted while no image asks for it
        return self.delivery.problem(self.image_topic, time.monotonic())

    def doubled_topics(self, others) -> dict:
        """
        Return {topic: publishers' names} for inputs and others that must have one publisher.

        Of a camera, those that deliver nothing do not count; call it regularly.
        """
        doubled = {}
        info = [self.info_topic] if self._info is not None else []
        for topic in (self.image_topic, *info, self.instruction_topic, *others):
            publishers = self._node.count_publishers(topic)
            deliverers = self._deliverers.get(topic)
            if deliverers is not None and deliverers.only_one(publishers):
                continue
            if publishers > 1:
                infos = self._node.get_publishers_info_by_topic(topic)
                doubled[topic] = sorted(info.node_name for info in infos)
        return doubled

    def is_camera_topic(self, topic: str) -> bool:
        """Return whether it is the image or camera_info topic."""
        return topic in (self.image_topic, self.info_topic)

    def _forget(self):
        self.images = 0
        self.pictures.clear()
        self._newest_info, self._info_stream = None, InfoStream()
        self.delivery.clear()
        self.forget_moving()

    def _subscribe(self, kind, topic, callback, profile):
        name = self._node.resolve_topic_name(topic)
        subscription = self._node.create_subscription(
            kind, topic, callback, profile,
            event_callbacks=qos.subscription_events(name, self._listener.on_topic_problem))
        self._subscriptions.append(subscription)
        return subscription

    def _poll(self, kind, topic, profile):
        subscription = PolledSubscription(self._node, kind, topic, profile)
        self._polled.append(subscription)
        return subscription

    def _image_heard(self, message, info):
        heard_s = time.perf_counter()
        number = info.get('publication_sequence_number')
        self.delivery.image(number, time.monotonic())
        takes = self._deliverers[self.image_topic].takes(number)
        if not (takes or self._config.lockstep):  # where a tick's only image is waited for
            return
        self.images += 1
        self.pictures.heard(message.data)
        self.frame = Frame(message, stamp_ns(message), heard_s)
        self._listener.on_frame(self.frame)

    def _instruction_heard(self, message, info):
        heard_ns = info.get('received_timestamp') or time.time_ns()
        self._listener.on_topic_problem(self._text.topic_name, None)
        self._listener.on_instruction(message.data, heard_ns)

    def _latched_heard(self, message):
        """Take what only a late subscriber gets; what is new comes the other way, too."""
        self._listener.on_topic_problem(self._text.topic_name, None)
        self._listener.on_instruction(message.data, None)


def image_topic(node, compressed: bool) -> str:
    """
    Return the name to subscribe to for images, before remapping: `image`, or its transport.

    As image_transport has it, remapping `image` moves image/compressed with it, but for a
    remapping of image/compressed itself.
    """
    base = node.resolve_topic_name('image')
    if not compressed or base.endswith('/compressed'):
        return 'image'
    is_remapped = (node.resolve_topic_name('image/compressed')
                   != node.resolve_topic_name('image/compressed', only_expand=True))
    return 'image/compressed' if is_remapped else base + '/compressed'


def polling(timeout_s: float):
    """Return wait(attempt): call it until it raises no ObservationError, timeout_s in all."""
    deadline = time.monotonic() + timeout_s

    def wait(attempt):
        while True:
            try:
                return attempt()
            except ObservationError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(POLL_S)
    return wait
