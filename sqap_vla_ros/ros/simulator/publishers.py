# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the simulator sends: the sensors of one moment, all with one stamp, and the clock."""
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from sqap_vla_ros.ros import qos
from sqap_vla_ros.ros.messages import rgb_to_message
from sqap_vla_ros.ros.simulator.camera_publishers import CameraPublishers, QUEUE
from sqap_vla_ros.ros.simulator.episodes import EpisodeRecord
from sqap_vla_ros.ros.simulator.faults import Faults
from sqap_vla_ros.ros.simulator.joint_stream import JointStream
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from sqap_vla_ros.sim.robot_description import robot_description
from sqap_vla_ros.sim.sensors import (
    HAND_FRAME, HAND_ON_END_EFFECTOR, joint_state_fields, pose_of, WORLD_FRAME)
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage

NANOSECONDS = 1_000_000_000
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
REPORTS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def transform_message(
    pose: np.ndarray, stamp: Time, parent: str, child: str,
) -> TransformStamped:
    """Return the transform that takes child coordinates to parent ones, from a 4x4 pose (m)."""
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, parent
    translation, rotation = message.transform.translation, message.transform.rotation
    found = pose_of(pose)
    translation.x, translation.y, translation.z = found.translation.tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = found.quaternion.tolist()
    return message


def describe_robot(node: Node, settings: SimSettings) -> Publisher:
    """Latch the arm's URDF on robot_description; whoever needs it may wait already."""
    publisher = node.create_publisher(String, 'robot_description', LATCHED)
    publisher.publish(String(data=robot_description(
        settings.base_frame, settings.end_effector_frame)))
    return publisher


class SimPublishers:
    """
    The simulator's publishers.

    `sense`, `camera` and `clock_tick` make messages, with what `faults` do to them, and `send`
    publishes them as often as needed; so a repeated tick is the same to the bit. The camera of
    the scene does not move: its transform is latched on /tf_static, and so are those of a camera
    on the hand, of the hand as LIBERO's data tell it, and of LIBERO's world.
    """

    def __init__(self, node: Node, env, settings: SimSettings):
        self._env, self._settings = env, settings
        self.faults = Faults(settings.faults)
        size = settings.image_height, settings.image_width
        self._main = CameraPublishers(node, '', settings.camera_frame, env.camera_intrinsics(),
                                      size, self.faults, ('info', 'image'))
        self._wrist = CameraPublishers(
            node, 'wrist/', settings.wrist_frame, env.wrist_intrinsics(), size, self.faults,
            ('', 'wrist')) if settings.wrist_camera else None
        self._final_image = node.create_publisher(Image, '~/final_image', QUEUE)
        self._joint_states = node.create_publisher(JointState, 'joint_states', QUEUE)
        self.joint_stream = JointStream(
            self._joint_states, node.get_clock(), settings.joint_states_rate, settings.faults
        ) if settings.joint_states_rate else None
        self._tf = node.create_publisher(TFMessage, '/tf', qos.TF)
        self._tf_static = node.create_publisher(TFMessage, '/tf_static', qos.TF_STATIC)
        self._instruction = node.create_publisher(String, 'instruction', qos.INSTRUCTION_LATCHED)
        self._episode = node.create_publisher(String, '~/episode', REPORTS)
        self._clock = node.create_publisher(Clock, '/clock', QUEUE)

    @property
    def image(self) -> Publisher:
        """Return the publisher of images to which most listen, the main camera's among equals."""
        images = [camera.image for camera in (self._main, self._wrist) if camera]
        return max(images, key=lambda publisher: publisher.get_subscription_count())

    def send_static(self, stamp: Time) -> None:
        """Latch what does not move in an episode: cameras, the hand, the world."""
        env, settings = self._env, self._settings
        base, hand = settings.base_frame, settings.end_effector_frame
        told = [(env.camera_pose(), base, settings.camera_frame),
                (env.base_in_world(), WORLD_FRAME, base), (HAND_ON_END_EFFECTOR, hand, HAND_FRAME)]
        if self._wrist:
            mount = np.linalg.inv(env.end_effector_pose()) @ env.wrist_pose()
            told.append((mount, hand, settings.wrist_frame))
        self._tf_static.publish(TFMessage(transforms=[
            transform_message(pose, stamp, parent, child) for pose, parent, child in told]))

    def send_instruction(self, text: str) -> None:
        """Latch the instruction, and wait until those who listen have it."""
        self._instruction.publish(String(data=text))
        self._instruction.wait_for_all_acked(Duration(seconds=1))

    def sense(self, stamp: Time) -> list[tuple]:
        """Return (publisher, message) pairs of the robot's state: TF, and joints but streamed."""
        settings = self._settings
        tf = TFMessage(transforms=[transform_message(
            self._env.end_effector_pose(), stamp, settings.base_frame,
            settings.end_effector_frame)])
        joints = JointState(**joint_state_fields(self._env))
        joints.header.stamp = stamp
        pairs = self.faults.overdue() + self.faults.applied('tf', self._tf, tf)
        if self.joint_stream is None:
            pairs += self.faults.applied('joints', self._joint_states, joints)
        return pairs

    def camera(self, stamp: Time, image: np.ndarray, wrist: np.ndarray | None = None
               ) -> list[tuple]:
        """
        Return (publisher, message) pairs for an image uint8 [H, W, 3].

        wrist: that of the camera on the hand, where there is one; it goes first, for the main
        one is what a policy's node is asked about.
        """
        beside = [] if wrist is None else self._wrist.messages(stamp, wrist)
        return beside + self._main.messages(stamp, image)

    def clock_tick(self, stamp: Time) -> tuple:
        """Return the (publisher, message) pair of the simulated clock."""
        return self._clock, Clock(clock=stamp)

    def send(self, messages: list[tuple]) -> None:
        """Publish the pairs in order."""
        for publisher, message in messages:
            publisher.publish(message)

    def send_final_image(self, image: np.ndarray, stamp: Time) -> None:
        """Show how an episode ended (for videos: no policy listens there)."""
        header = Header(stamp=stamp, frame_id=self._settings.camera_frame)
        self._final_image.publish(rgb_to_message(image, header))

    def send_episode(self, record: EpisodeRecord) -> None:
        """Report on an episode."""
        self._episode.publish(String(data=record.to_json()))

    @property
    def reports(self) -> tuple:
        """Return the publishers whose last messages must arrive before the process may end."""
        return self._final_image, self._episode
