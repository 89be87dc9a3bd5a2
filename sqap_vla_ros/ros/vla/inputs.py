# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node hears: the newest image, camera_info, instruction and joint positions.

Callbacks only store and notify; nothing is converted here, so that the executor thread is
free for commands. The inference thread reads the fields: each is replaced as a whole, so it
needs no lock, only `arrived` to wait for what is still on its way.
"""

from dataclasses import dataclass
import threading
import time

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from sqap_vla_ros.ingest.observer import stamp_ns
from std_msgs.msg import String

from .. import qos

JOINT_HISTORY = 64
COMMAND_TOPICS = ('delta_twist_cmds', 'gripper_command')


@dataclass(frozen=True)
class Frame:
    """One image as it came in; heard_s: time.perf_counter() at the callback's entry."""

    message: object
    stamp_ns: int
    heard_s: float


class Inputs:
    """Subscriptions of vla_node and the newest message of each."""

    def __init__(self, node, config):
        """Keep what setup() needs."""
        self._node = node
        self._config = config
        self._listener = None
        self._subscriptions = []
        self.arrived = threading.Condition()
        self._forget()

    def setup(self, listener):
        """
        Subscribe to everything.

        listener: has on_frame(frame), on_instruction() and on_topic_problem(topic, message or
        None), all of which are called on the executor thread.
        """
        self._listener = listener
        compressed = self._config.image_transport == 'compressed'
        image_topic = 'image/compressed' if compressed else 'image'
        self._image = self._subscribe(CompressedImage if compressed else Image, image_topic,
                                      self._image_heard, qos.SENSOR)
        self._info = self._subscribe(CameraInfo, 'camera_info', self._info_heard, qos.SENSOR)
        self._text = self._subscribe(String, 'instruction', self._instruction_heard,
                                     qos.INSTRUCTION)
        # A publisher that latches reaches a late subscriber only through this one, and one
        # that does not never matches it: hence both, and no report about the mismatch.
        self._subscriptions.append(self._node.create_subscription(
            String, 'instruction', self._instruction_heard, qos.INSTRUCTION_LATCHED,
            event_callbacks=qos.SILENT_SUBSCRIPTION))
        self._subscribe(JointState, 'joint_states', self._joints_heard, qos.JOINT_STATES)

    def teardown(self):
        """Unsubscribe and forget all messages."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        self._forget()

    def forget_moving(self):
        """Forget what has a time, after time has jumped back."""
        self.frame = None
        self.joints = ()  # (stamp_ns, {joint: position}), oldest first

    @property
    def image_topic(self) -> str:
        """Return the resolved name of the image topic."""
        return self._image.topic_name

    @property
    def info_topic(self) -> str:
        """Return the resolved name of the camera_info topic."""
        return self._info.topic_name

    @property
    def instruction_topic(self) -> str:
        """Return the resolved name of the instruction topic."""
        return self._text.topic_name

    def doubled_topics(self) -> dict:
        """Return {topic: publishers' names} for topics that must have one publisher only."""
        doubled = {}
        inputs = [subscription.topic_name
                  for subscription in (self._image, self._info, self._text)]
        for topic in (*inputs, *self._command_topics()):
            if self._node.count_publishers(topic) > 1:
                infos = self._node.get_publishers_info_by_topic(topic)
                doubled[topic] = sorted(info.node_name for info in infos)
        return doubled

    def is_camera_topic(self, topic: str) -> bool:
        """Return whether it is the image or camera_info topic."""
        return topic in (self._image.topic_name, self._info.topic_name)

    def is_command_topic(self, topic: str) -> bool:
        """Return whether it is one on which this node commands the arm."""
        return topic in self._command_topics()

    def _command_topics(self):
        return [self._node.resolve_topic_name(topic) for topic in COMMAND_TOPICS]

    def _forget(self):
        self.images = 0
        self.camera_info = None
        self.instruction = None
        self.forget_moving()

    def _subscribe(self, kind, topic, callback, profile):
        name = self._node.resolve_topic_name(topic)
        subscription = self._node.create_subscription(
            kind, topic, callback, profile,
            event_callbacks=qos.subscription_events(name, self._listener.on_topic_problem))
        self._subscriptions.append(subscription)
        return subscription

    def _image_heard(self, message):
        heard_s = time.perf_counter()
        self.images += 1
        self.frame = Frame(message, stamp_ns(message), heard_s)
        self._listener.on_frame(self.frame)

    def _info_heard(self, message):
        self.camera_info = message
        self._notify()

    def _instruction_heard(self, message):
        self._listener.on_topic_problem(self._text.topic_name, None)
        text = message.data.strip()
        if text != self.instruction:
            self.instruction = text
            self._listener.on_instruction()

    def _joints_heard(self, message):
        positions = dict(zip(message.name, message.position))
        self.joints = (*self.joints[1 - JOINT_HISTORY:], (stamp_ns(message), positions))
        self._notify()

    def _notify(self):
        with self.arrived:
            self.arrived.notify_all()
