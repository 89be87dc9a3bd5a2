# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A robot's side of the topics, and policies whose answers tests know beforehand."""

from array import array
import threading
import time
from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped, TwistStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.patches import protected_distances
from sqap_vla_ros.model.prompt import check_known
from sqap_vla_ros.msg import (
    ActionChunk as ActionChunkMessage, TokenSelection as TokenSelectionMessage)
from sqap_vla_ros.observation import ActionChunk, STATE_NAMES
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.vla.node import VlaNode
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
from std_msgs.msg import Float64, String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

INSTRUCTION = 'put the bowl on the stove'
WAIT_S = 120.0
SPEED = 0.1
PARAMETERS = {
    'base_frame': 'base', 'end_effector_frames': ['end_effector'], 'keep_tokens': 8,
    'image_timeout': 0.4, 'tf_timeout': 0.1, 'inference_timeout': 0.5,
    'max_linear_acceleration': 0.0, 'max_angular_acceleration': 0.0,  # SPEED at once
    'require_resume': False}


class KnownPolicy:
    """Answers every image with the same chunk: SPEED m/s along x, gripper half open."""

    def __init__(self, config):
        self.config = SimpleNamespace(action_space=ActionSpace(execute_steps=4))
        self.instructions = (INSTRUCTION,)
        self.precision, self.grid, self.kept_tokens = 'fp', (4, 4), 8
        self.state_names = ()
        self.image_transform = ImageTransform((64, 64))
        self.actions = np.tile(np.float32([SPEED, 0, 0, 0, 0, 0, 0.5]), (8, 1))
        self.selection = SelectionConfig(keep=8, preserve_top_k=2)
        self.delay_s = 0.0
        self.observations, self.made_ready, self.events = [], [], []
        self.ready_gate = threading.Event()
        self.ready_gate.set()
        self.resets = 0
        self.gate = threading.Event()
        self.gate.set()
        self.threads = {threading.get_ident()}

    def reset(self):
        self.resets += 1

    def is_ready(self, instruction, image_size):
        return (instruction, image_size) in self.made_ready

    def make_ready(self, instruction, image_size):
        self.events.append('made ready')
        self.ready_gate.wait(WAIT_S)
        self.made_ready.append((instruction, image_size))

    def check_instruction(self, instruction):
        check_known(instruction, self.instructions)

    def infer(self, observation):
        self.threads.add(threading.get_ident())
        self.observations.append(observation)
        self.events.append('asked')
        self.gate.wait(WAIT_S)
        protected = observation.protected
        distance = protected_distances(
            protected.pixels, protected.radii_px, observation.image.shape[:2],
            self.image_transform, self.grid, 1.0)
        selection = select_tokens(np.arange(16.0), distance, self.grid, self.selection)
        space = self.config.action_space
        return ActionChunk(self.actions.copy(), space.dt, space.names, observation.stamp_ns,
                           {'total': 1.0}, selection)


class StatePolicy(KnownPolicy):
    """Needs the end effector's pose and the gripper."""

    def __init__(self, config):
        super().__init__(config)
        self.state_names = STATE_NAMES


class Robot(Node):
    """
    Camera, transforms and controller of a robot that stands still.

    place: of its end effector in base.  positions: of its joints, by name.
    """

    def __init__(self, context, **options):
        super().__init__('robot', context=context, **options)
        self.twists, self.grippers, self.chunks, self.selections = [], [], [], []
        self.diagnostics = {}
        self.history = []
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        reliable = QoSProfile(depth=10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.image = self.create_publisher(Image, 'image', best_effort)
        self.info = self.create_publisher(CameraInfo, 'camera_info', best_effort)
        self.tf = self.create_publisher(TFMessage, '/tf', reliable)
        self.tf_static = self.create_publisher(TFMessage, '/tf_static', latched)
        self.joints = self.create_publisher(JointState, 'joint_states', reliable)
        self.clock_publisher = self.create_publisher(Clock, '/clock', best_effort)
        self.instruction = self.create_publisher(String, 'instruction', reliable)
        self.controller = self.create_subscription(
            TwistStamped, 'delta_twist_cmds', self.twists.append, reliable)
        self.create_subscription(Float64, 'gripper_command', self.grippers.append, reliable)
        self.create_subscription(
            ActionChunkMessage, 'vla_node/action_chunk', self.chunks.append, reliable)
        self.create_subscription(
            TokenSelectionMessage, 'vla_node/token_selection', self.selections.append, reliable)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, reliable)
        self.size, self.encoding, self.frame_id = (48, 64), 'rgb8', 'camera'
        self.pictures = 0
        self.publishes = {'image', 'info', 'tf'}
        self.other_images = []  # publishers of another camera on the same topic
        self.place, self.positions = (0.1, 0.0, 1.0), {'finger': 0.03}

    def say(self, text=INSTRUCTION):
        """Publish an instruction."""
        self.instruction.publish(String(data=text))

    def look(self, stamp_ns=None):
        """Publish what `publishes` lists, the image last, with one stamp."""
        stamp_ns = self.now_ns() if stamp_ns is None else stamp_ns
        if 'tf' in self.publishes:
            self.tf.publish(TFMessage(transforms=[
                transform('base', 'end_effector', self.place, stamp_ns),
                transform('base', 'camera', (0.0, 0.0, 0.0), stamp_ns)]))
        if 'joints' in self.publishes:
            self.joints.publish(self.joint_state(stamp_ns))
        if 'info' in self.publishes:
            self.info.publish(self.camera_info(stamp_ns))
        for image in (self.image, *self.other_images) if 'image' in self.publishes else ():
            image.publish(self.picture(stamp_ns))

    def now_ns(self):
        """Return the time."""
        return self.get_clock().now().nanoseconds

    def picture(self, stamp_ns):
        """Return grey stripes, somewhere else in each picture, as those of a live camera are."""
        height, width = self.size
        self.pictures += 1
        stripe = bytes(level for column in range(width)
                       for level in [96 + (8 * column + self.pictures) % 64] * 3)
        message = Image(height=height, width=width, encoding=self.encoding, step=3 * width,
                        data=array('B', stripe * height))
        message.header.frame_id, message.header.stamp = self.frame_id, time_message(stamp_ns)
        return message

    def joint_state(self, stamp_ns):
        """Return where the joints are."""
        message = JointState(name=list(self.positions), position=list(self.positions.values()))
        message.header.stamp = time_message(stamp_ns)
        return message

    def camera_info(self, stamp_ns):
        """Return the calibration of a plain pinhole."""
        height, width = 48, 64
        message = CameraInfo(
            height=height, width=width, distortion_model='plumb_bob', d=[0.0] * 5,
            k=[60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0],
            p=[60.0, 0.0, 31.5, 0.0, 0.0, 60.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0])
        message.header.frame_id, message.header.stamp = self.frame_id, time_message(stamp_ns)
        return message

    def tick(self, stamp_ns):
        """Publish /clock."""
        self.clock_publisher.publish(Clock(clock=time_message(stamp_ns)))

    def said(self, name):
        """Return (level, message) of a status of vla_node."""
        status = self.diagnostics.get(f'vla_node: {name}')
        return (None, '') if status is None else (status.level, status.message)

    def _diagnosed(self, message):
        for status in message.status:
            self.diagnostics[status.name] = status
            self.history.append((status.name, status.message))


def transform(parent, child, translation, stamp_ns):
    """Return a TransformStamped without rotation."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, time_message(stamp_ns)
    t = message.transform.translation
    t.x, t.y, t.z = translation
    message.transform.rotation.w = 1.0
    return message


def spinner(node, context):
    """Return an executor with one node."""
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    return executor


class World:
    """
    A robot and a vla_node, each on an executor of its own, which take turns.

    Nothing that the robot hears makes the node wait, and tests need no threads and no sleeps.
    Without a policy_factory there is only the robot, and the node in another process.
    """

    def __init__(self, policy_factory=KnownPolicy, parameters=(), node_options=None,
                 robot_options=None):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.robot = Robot(self.context, **(robot_options or {}))
        self.policy = self.node = None

        def factory(config):
            self.policy = policy_factory(config)
            return self.policy

        if policy_factory is not None:
            overrides = {**PARAMETERS, **dict(parameters)}
            self.node = VlaNode(
                factory, context=self.context,
                parameter_overrides=[Parameter(name, value=value)
                                     for name, value in overrides.items()],
                **(node_options or {}))
        self.nodes = [node for node in (self.node, self.robot) if node is not None]
        self.executors = [spinner(node, self.context) for node in self.nodes]

    def close(self):
        """Stop everything."""
        if self.policy is not None and hasattr(self.policy, 'gate'):
            self.policy.gate.set()
        if self.node is not None:
            self.node.take_apart()
            for _ in range(3):  # the result of a goal goes out
                self.executors[0].spin_once(timeout_sec=0)
        for executor in self.executors:
            executor.shutdown()
        for node in self.nodes:
            node.destroy_node()
        rclpy.shutdown(context=self.context)

    def until(self, condition, timeout_s=WAIT_S, meanwhile=None, period_s=0.02):
        """Spin until a condition holds, doing something every period; fail after a time."""
        end, due = time.monotonic() + timeout_s, 0.0
        while not condition():
            assert time.monotonic() < end, (
                f'waited {timeout_s} s in vain; diagnostics: '
                f'{[(name, s.message) for name, s in self.robot.diagnostics.items()]}')
            if meanwhile is not None and time.monotonic() >= due:
                meanwhile()
                due = time.monotonic() + period_s
            for executor in self.executors:
                executor.spin_once(timeout_sec=0.005)

    def spin(self, seconds, meanwhile=None):
        """Spin for a time, to see that something does not happen."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, seconds + WAIT_S, meanwhile)

    def start(self):
        """Configure and activate, and wait until the topics have found each other."""
        assert self.node.start(), self.node.problem
        robot = self.robot
        self.until(lambda: all(
            publisher.get_subscription_count() >= count for publisher, count in
            ((robot.image, 1), (robot.info, 1), (robot.tf, 1), (robot.instruction, 1)))
            and self.node.count_subscribers('delta_twist_cmds') and robot.diagnostics)

    def move(self):
        """Say an instruction and show images until the arm moves."""
        self.robot.say()
        self.until(self.is_moving, meanwhile=self.robot.look, period_s=0.03)

    def is_moving(self):
        """Return whether the last command is other than zero."""
        return bool(self.robot.twists) and speed(self.robot.twists[-1]) > 0

    def stands_still(self):
        """Return whether the last command is zero."""
        return bool(self.robot.twists) and speed(self.robot.twists[-1]) == 0

    def stays_still(self, seconds=0.3, meanwhile=None):
        """Wait until no motion is commanded; assert that none is in the time after that."""
        self.until(lambda: not self.is_moving(), meanwhile=meanwhile)
        self.robot.twists.clear()
        self.spin(seconds, meanwhile)
        speeds = [speed(twist) for twist in self.robot.twists]
        assert not any(speeds), f'commands in {seconds} s: {speeds}'

    def says(self, name, text):
        """Return whether a status contains a text."""
        return text in self.robot.said(name)[1]

    def call(self, service):
        """Call one of the node's Trigger services; returns the response."""
        client = self.robot.create_client(Trigger, f'vla_node/{service}')
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        self.robot.destroy_client(client)
        return future.result()


def speed(twist):
    """Return the largest number in a TwistStamped; NaN is counted as infinite."""
    linear, angular = twist.twist.linear, twist.twist.angular
    numbers = np.abs([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
    return float(np.nan_to_num(numbers, nan=np.inf).max())
