# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node hears of one camera: its newest image and camera_info.

Callbacks only store, on the executor thread; the inference thread reads. A field that both use is
replaced as a whole and needs no lock.
"""

from dataclasses import dataclass
from threading import Lock
import time

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from sqap_vla_ros.ingest.camera_info import InfoStream
from sqap_vla_ros.ingest.cameras import ImageHistory
from sqap_vla_ros.ingest.delivery import Delivery
from sqap_vla_ros.ingest.frozen_images import FrozenImages
from sqap_vla_ros.ingest.stamps import stamp_ns, why_stamp_is_off

from .deliverers import Deliverers
from .image_topics import image_topic, why_no_image
from .polled import PolledSubscription
from .. import qos
from ..qos_overrides import CAMERA_INFO, changeable, IMAGE


@dataclass(frozen=True)
class Frame:
    """One image as it came in; heard_s: time.perf_counter() at the callback's entry."""

    message: object
    stamp_ns: int
    heard_s: float


class CameraInputs:
    """
    Subscriptions of one camera, and the newest message of each.

    name: '' for the only camera, whose topics are `image` and `camera_info`; those of camera
    wrist are wrist/image and wrist/camera_info.  frame: the newest Frame, or None.  images: the
    last ones.  pictures, delivery: FrozenImages and Delivery of what came in.
    """

    def __init__(self, node, config):
        """config: of this camera, see NodeConfig.for_camera."""
        self._node, self._config = node, config
        self.name = config.camera
        self._base = f'{self.name}/' if self.name else ''
        self._image = self._info = self._latched_info = None
        self._deliverers, self._missing = {}, ''
        self._lock = Lock()
        self.pictures, self.delivery, self.images = FrozenImages(), Delivery(), ImageHistory()
        self.forget()

    def setup(self, on_frame, on_topic_problem):
        """Subscribe; on_frame(frame) is called with each image, on the executor thread."""
        self._on_frame = on_frame
        kind = CompressedImage if self._is_compressed else Image
        self._image = self._node.create_subscription(
            kind, self._topic, self._image_heard,
            event_callbacks=qos.subscription_events(self.expected_topic, on_topic_problem),
            **changeable(qos.SENSOR, IMAGE))
        self._deliverers = {
            topic: Deliverers(self._node, kind, topic)
            for topic, kind in ((self.image_topic, kind), (self.info_topic, CameraInfo))}
        if self._config.needs_localization:
            self._info, self._latched_info = (
                PolledSubscription(
                    self._node, CameraInfo, self._base + 'camera_info', profile, policies)
                for profile, policies in ((qos.SENSOR, CAMERA_INFO), (qos.SENSOR_LATCHED, ())))

    @property
    def _is_compressed(self) -> bool:
        return self._config.image_transport == 'compressed'

    @property
    def _topic(self) -> str:
        return image_topic(self._node, self._is_compressed, self._base + 'image')

    @property
    def expected_topic(self) -> str:
        """Return the resolved name of the image topic, before it is subscribed to, too."""
        return self._node.resolve_topic_name(self._topic)

    def keep(self, frame: Frame):
        """Remember an image that goes with those of another camera."""
        self.images.add(frame.message)

    def use(self, config):
        """Take changed parameters of this camera."""
        self._config = config

    def teardown(self):
        """Unsubscribe and forget all messages."""
        if self._image is not None:
            self._node.destroy_subscription(self._image)
            self._image = None
        with self._lock:
            polled, self._info, self._latched_info = (
                [self._info, self._latched_info], None, None)
            for subscription in filter(None, polled):
                subscription.destroy()
        while self._deliverers:
            self._deliverers.popitem()[1].forget()
        self.forget()

    def forget(self):
        """Forget all messages."""
        self.count = 0
        self.pictures.clear()
        self._newest_info, self._info_stream = None, InfoStream()
        self.delivery.clear()
        self.forget_moving()

    def forget_moving(self):
        """Forget what has a time, after time has jumped back."""
        self.frame = None
        self.images.clear()

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
    def image_topic(self) -> str:
        """Return the resolved name of the image topic."""
        return self._image.topic_name

    @property
    def info_topic(self) -> str:
        """Return the resolved name of the camera_info topic."""
        return self._node.resolve_topic_name(self._base + 'camera_info')

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics that must have one publisher."""
        return (self.image_topic, *([self.info_topic] if self._info is not None else []))

    def only_one(self, topic: str, publishers: int) -> bool:
        """Return whether one of so many publishers alone delivers on one of the topics."""
        return self._deliverers[topic].only_one(publishers)

    def lost_images(self) -> str:
        """Return that images are lost on their way, and what to do; '' if they are not."""
        if self._config.lockstep:  # where no image may come for as long as it likes
            return ''
        self.camera_info  # so that it is counted while no image asks for it
        return self.delivery.problem(self.image_topic, time.monotonic())

    def misfits(self) -> dict:
        """Return what can't be received on the camera_info topic; see PolledSubscription."""
        return self._info.misfits() if self._info is not None else {}

    def look_for_images(self):
        """Look where images are published, while none has come in; call it now and then."""
        self._missing = '' if self.frame is not None else why_no_image(
            self._node, self.image_topic, self._config.image_transport,
            self._config.parameter('image_transport'))

    def why_blind(self) -> str:
        """Return why there is no image at all, '' if there is one."""
        if self.frame is not None:
            return ''
        return self._named(f'no image has come in on {self.image_topic}{self._missing}')

    def why_stale(self, now_ns: int) -> str:
        """
        Return why what the camera shows is not believed to be now, '' if it is, or shows nothing.

        now_ns: the node's clock.
        """
        frame, topic, limit_s = self.frame, self.image_topic, self._config.image_timeout
        if frame is None:
            return ''
        silent_s, age_s = time.perf_counter() - frame.heard_s, (now_ns - frame.stamp_ns) * 1e-9
        if silent_s > limit_s or silent_s > limit_s / 2 and age_s > limit_s:
            lost = self.lost_images()
            return self._named(f'no image on {topic} for more than {limit_s:g} s'
                               + (f'; {lost}' if lost else ''))
        return self._named(
            why_stamp_is_off(frame.stamp_ns, now_ns, limit_s, topic)
            or self.pictures.why_stop(self._config.frozen_image_timeout, topic))

    def _named(self, text: str) -> str:
        return f'camera {self.name}: {text}' if self.name and text else text

    def _image_heard(self, message, info):
        heard_s = time.perf_counter()
        number = info.get('publication_sequence_number')
        age_s = (self._node.get_clock().now().nanoseconds - stamp_ns(message)) * 1e-9
        self.delivery.image(number, time.monotonic(), age_s)
        takes = self._deliverers[self.image_topic].takes(number)
        if not (takes or self._config.lockstep):  # where a tick's only image is waited for
            return
        self.count += 1
        self.pictures.heard(message.data)
        self.frame = Frame(message, stamp_ns(message), heard_s)
        self._on_frame(self.frame)
