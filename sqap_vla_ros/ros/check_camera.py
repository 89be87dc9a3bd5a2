# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Samples of live topics, heard as vla_node hears them: its subscriptions, its transforms.

A node of its own (`check_camera`) that publishes nothing; vla_node may run beside it.
"""

import threading
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from sqap_vla_ros.errors import ObservationError

from .vla.inputs import Inputs, polling
from .vla.transforms import Transforms
from ..calibration.names import those_there, with_frames
from ..calibration.sample import Looker
from ..ingest.observer import ObserverOptions

NAME = 'check_camera'
APART_S = 0.1  # between two samples, so that they are not of one moment
POLL_S = 0.01
DISCOVERY_S = 5.0  # after which what is there has been heard of
IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
INFOS = ('sensor_msgs/msg/CameraInfo',)


def samples_live(config, remappings, frames, count, seconds, progress):
    """
    Return (up to count samples, topics of image and camera_info) within a time.

    config: NodeConfig, as of the node.  remappings: {name: topic} of `image` and `camera_info`.
    frames: to look at besides the end effector's.  progress(text) is told how far it is.  Raises
    ObservationError, with the topics that are there, if nothing that can be used comes in.
    """
    context = rclpy.Context()
    rclpy.init(context=context)
    rules = [word for rule in remappings.items() for word in ('-r', ':='.join(rule))]
    node = rclpy.create_node(NAME, context=context, cli_args=['--ros-args', *rules] if rules
                             else None)
    live = _Live(node, config, frames)
    try:
        return live.samples(count, seconds, progress), live.topics
    finally:
        live.close()
        node.destroy_node()
        rclpy.shutdown(context=context)


class _Live:
    """The node's ears, and a thread that serves them."""

    def __init__(self, node, config, frames):
        self._node, self._config = node, config
        self._problems, self._why = {}, ''
        self._inputs, self._transforms = Inputs(node, config), Transforms(node)
        self._inputs.setup(self)
        self._transforms.setup(self)
        self._looker = Looker(ObserverOptions.of(config), self._inputs, self._transforms,
                              polling, frames)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    @property
    def topics(self) -> tuple[str, str]:
        """Return the resolved names of the image's and camera_info's topics."""
        return self._inputs.image_topic, self._inputs.info_topic

    def on_frame(self, frame):
        """Take an image: it is looked up in Inputs."""

    def on_instruction(self, text, heard_ns):
        """Take an instruction: nothing is done with it."""

    def on_topic_problem(self, topic, message):
        """Remember a publisher whose messages cannot be received."""
        self._problems[topic] = message

    def close(self):
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._inputs.teardown()
        self._transforms.teardown()

    def samples(self, count, seconds, progress):
        """Return the samples; raise ObservationError if there are none after the time."""
        found, seen, due_s = [], None, 0.0
        end_s = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < end_s:
            frame, now_s = self._inputs.frame, time.monotonic()
            if frame is None or frame is seen or now_s < due_s:
                time.sleep(POLL_S)
            else:
                seen, due_s = frame, now_s + APART_S
                self._look(frame, found)
            progress(self._waiting_for(seen) or f'{len(found)} of {count} images')
        if not found:
            raise ObservationError(self._why_none(seconds))
        return found

    def _look(self, frame, found):
        try:
            found.append(self._looker.look(frame.message))
        except ObservationError as error:
            self._why = str(error)

    def _waiting_for(self, seen) -> str:
        return f'waiting for images on {self.topics[0]}' if seen is None else self._why

    def _why_none(self, seconds) -> str:
        """Say what is missing, and what is there instead."""
        image, info = self.topics
        if self._inputs.frame is None:
            return self._why_no_image(image, seconds)
        if 'no camera_info has come in' in self._why:
            return f'no camera_info on {info} within {seconds:g} s; ' + self._there(
                info, INFOS, '--camera-info')
        return with_frames(self._why, self._transforms.frames())

    def _why_no_image(self, image, seconds) -> str:
        told = f'no image on {image} within {seconds:g} s'
        if self._problems.get(image):
            return f'{told}: {self._problems[image]}'
        if self._node.count_publishers(image):
            return (f'{told}, though {image} has a publisher: does it run with our Fast DDS '
                    'profile (docs/troubleshooting.md), and is simulated time going on?')
        return f'{told}, and nobody publishes it; ' + self._there(image, IMAGES, '--image')

    def _there(self, wanted, kinds, flag) -> str:
        end_s, names = time.monotonic() + DISCOVERY_S, []
        while not names and time.monotonic() < end_s:
            names = [name for name, types in self._node.get_topic_names_and_types()
                     if set(types) & set(kinds) and self._node.count_publishers(name)]
            time.sleep(POLL_S)
        if wanted in names:
            return f'{wanted} was found only just now: give it more --seconds'
        text = those_there(wanted, names, 'topics of that kind')
        compressed = f'{wanted}/compressed'
        if compressed in names:
            return f'{text}. Set image_transport: compressed for {compressed}'
        return text + (f'. Name one by {flag}' if names else
                       ': is the camera driver running, and ROS_DOMAIN_ID the same?')
