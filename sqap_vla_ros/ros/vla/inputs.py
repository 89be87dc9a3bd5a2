# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node hears: the newest images, camera_info, instruction and joint positions.

Callbacks only store: the executor thread is to be free for commands. What is looked up once an
image (camera_info, joint_states) needs no callback at all, see polled.py; the inference thread
reads it. A field that both threads use is replaced as a whole and needs no lock.
"""

import time

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.ingest.joints import JointHistory
from std_msgs.msg import String

from .camera_inputs import CameraInputs, Frame
from .joint_states import JointStates
from .. import qos

POLL_S = 0.002


class Inputs:
    """
    Subscriptions of vla_node and the newest message of each.

    joints: a JointHistory.  cameras: the CameraInputs by name, '' for one without.  main: that of
    the camera whose images are asked about; frame, camera_info and so on are its own.
    """

    def __init__(self, node, config, joint_names=(), future_s=None, camera=''):
        """config: a NodeConfig.  camera: the name of the main one, '' for the first."""
        self._node = node
        self._listener = None
        self._subscriptions = []
        self._joint_states = JointStates(node, joint_names, future_s)
        self.cameras = {name: CameraInputs(node, config.for_camera(name))
                        for name in config.cameras or ('',)}
        self.main = self.cameras[camera] if camera else next(iter(self.cameras.values()))

    def setup(self, listener):
        """
        Subscribe to everything that is needed; topics.check_cameras has judged the topics.

        listener: has on_frame(frame), on_instruction(text, heard_ns or None) and
        on_topic_problem(topic, message or None), all of which are called on the executor thread.
        """
        self._listener = listener
        for camera in self.cameras.values():
            camera.setup(self._on_frame if camera is self.main else camera.keep,
                         listener.on_topic_problem)
        self._text = self._subscribe(String, 'instruction', self._instruction_heard,
                                     qos.INSTRUCTION)
        # A publisher that latches reaches a late subscriber only through this one, and one
        # that does not never matches it: hence both, and no report about the mismatch.
        self._subscriptions.append(self._node.create_subscription(
            String, 'instruction', self._latched_heard, qos.INSTRUCTION_LATCHED,
            event_callbacks=qos.SILENT_SUBSCRIPTION))
        self._joint_states.setup()

    def use(self, config):
        """Take changed parameters."""
        for name, camera in self.cameras.items():
            camera.use(config.for_camera(name))

    def teardown(self):
        """Unsubscribe and forget all messages."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())
        for camera in self.cameras.values():
            camera.teardown()
        self._joint_states.teardown()

    def forget_moving(self):
        """Forget what has a time, after time has jumped back; what is still queued, too."""
        for camera in self.cameras.values():
            camera.forget_moving()
        self._joint_states.forget()

    def forget_pictures(self):
        """Take the next pictures of all cameras as new ones."""
        for camera in self.cameras.values():
            camera.pictures.clear()

    def commanded(self, velocity, now_s: float):
        """Take what the arm is told from now on; see FrozenImages.commanded."""
        for camera in self.cameras.values():
            camera.pictures.commanded(velocity, now_s)

    @property
    def frame(self) -> Frame | None:
        """Return the newest image that may be asked about, None before the first."""
        return self.main.frame

    @property
    def images(self) -> int:
        """Return how many images have come in of the main camera."""
        return self.main.count

    @property
    def camera_info(self):
        """Return the newest camera_info of the main camera, None before the first."""
        return self.main.camera_info

    @property
    def info_is_latched(self) -> bool:
        """Return whether that was sent once, for good, so that its age says nothing."""
        return self.main.info_is_latched

    @property
    def joints(self) -> JointHistory:
        """Return the history of the joints that are needed."""
        return self._joint_states.history

    @property
    def joint_stream(self) -> JointStates:
        """Return what reads joint_states, for its rate and cost."""
        return self._joint_states

    @property
    def image_topic(self) -> str:
        """Return the resolved name of the main image topic."""
        return self.main.image_topic

    @property
    def info_topic(self) -> str:
        """Return the resolved name of the main camera_info topic."""
        return self.main.info_topic

    @property
    def instruction_topic(self) -> str:
        """Return the resolved name of the instruction topic."""
        return self._text.topic_name

    def lost_images(self) -> str:
        """Return that images are lost on their way, and what to do; '' if they are not."""
        return '; '.join(filter(None, (
            camera.lost_images() for camera in self.cameras.values())))

    def doubled_topics(self, others) -> dict:
        """
        Return {topic: publishers' names} for inputs and others that must have one publisher.

        Of a camera, those that deliver nothing do not count; call it regularly.
        """
        doubled = {}
        of_cameras = {topic: camera for camera in self.cameras.values()
                      for topic in camera.topics}
        for topic in (*of_cameras, self.instruction_topic, *others):
            publishers = self._node.count_publishers(topic)
            if topic in of_cameras and of_cameras[topic].only_one(topic, publishers):
                continue
            if publishers > 1:
                infos = self._node.get_publishers_info_by_topic(topic)
                doubled[topic] = sorted(info.node_name for info in infos)
        return doubled

    def is_camera_topic(self, topic: str) -> bool:
        """Return whether it is the image or camera_info topic of a camera."""
        return any(topic in (camera.image_topic, camera.info_topic)
                   for camera in self.cameras.values())

    def look_for_images(self):
        """Look where images are published, of cameras of which none has come in."""
        for camera in self.cameras.values():
            camera.look_for_images()

    def misfits(self) -> dict:
        """Return what can't be received on topics that are polled; see PolledSubscription."""
        found = self._joint_states.misfits()
        for camera in self.cameras.values():
            found.update(camera.misfits())
        return found

    def why_blind(self) -> str:
        """Return which camera has sent nothing yet, and on which topic; '' if all have."""
        return next(filter(None, (camera.why_blind() for camera in self.cameras.values())), '')

    def why_stale(self, now_ns: int) -> str:
        """Return which camera is silent, late or repeats its pictures; '' if none is."""
        return next(filter(None, (
            camera.why_stale(now_ns) for camera in self.cameras.values())), '')

    def _subscribe(self, kind, topic, callback, profile):
        name = self._node.resolve_topic_name(topic)
        subscription = self._node.create_subscription(
            kind, topic, callback, profile,
            event_callbacks=qos.subscription_events(name, self._listener.on_topic_problem))
        self._subscriptions.append(subscription)
        return subscription

    def _on_frame(self, frame):
        self._listener.on_frame(frame)

    def _instruction_heard(self, message, info):
        heard_ns = info.get('received_timestamp') or time.time_ns()
        self._listener.on_topic_problem(self._text.topic_name, None)
        self._listener.on_instruction(message.data, heard_ns)

    def _latched_heard(self, message):
        """Take what only a late subscriber gets; what is new comes the other way, too."""
        self._listener.on_topic_problem(self._text.topic_name, None)
        self._listener.on_instruction(message.data, None)


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
