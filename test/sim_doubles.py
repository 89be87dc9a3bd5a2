# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the simulator's two sides: an environment without MuJoCo, a scripted policy."""
import threading
import time

from geometry_msgs.msg import TwistStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from sqap_vla_ros.ros import qos
from std_msgs.msg import Float64, String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage


class PointEnv:
    """
    A point that moves as it is told; the instruction is fulfilled at x >= 0.1 m.

    With twists its first joint tells how many control steps have passed.
    """

    dt = 0.05
    substep_s = 0.002

    def __init__(self, settings):
        self.size = (settings.image_height, settings.image_width)
        self.position, self.opening = np.zeros(3), 1.0
        self.executed, self.followed = [], []
        self.joints = np.arange(9.0)
        self.goal = None
        self.closed = False
        self.watch = lambda time_s: None

    def reset(self, seed, instruction):
        self.position = np.random.default_rng(seed).uniform(-0.05, 0.05, 3)
        self.goal = instruction
        self.opening = 1.0

    def step(self, twist, gripper_open):
        self.executed.append((np.array(twist), gripper_open))
        for number in range(1, 1 + round(self.dt / self.substep_s)):
            self.joints[0] = len(self.executed) - 1 + number * self.substep_s / self.dt
            self.watch(number * self.substep_s)
        self.position = self.position + self.dt * np.asarray(twist[:3])
        self.opening = gripper_open
        return bool(self.position[0] >= 0.1)

    def follow(self, reference, gripper_open, duration_s=0.05):
        """Be where the reference ends; `followed` keeps (setpoints at the end, gripper)."""
        setpoint = reference(duration_s)
        self.followed.append((setpoint, gripper_open))
        if hasattr(setpoint, 'pose'):
            self.position = setpoint.pose[:3, 3].copy()
        else:
            self.joints[:7] = setpoint.positions
        self.opening = gripper_open
        return bool(self.position[0] >= 0.1)

    def render(self):
        image = np.full((*self.size, 3), 90, np.uint8)
        image[0, :3] = np.clip(128 + 1000 * self.position[:, None], 0, 255)
        return image

    def camera_intrinsics(self):
        return np.array([[300.0, 0, 111.5], [0, 310.0, 111.0], [0, 0, 1]])

    def camera_pose(self):
        pose = np.eye(4)
        pose[:3, :3] = [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
        pose[:3, 3] = [1.0, 0.1, 0.5]
        return pose

    def render_wrist(self):
        image = 40 + np.arange(3 * np.prod(self.size)).reshape(*self.size, 3) % 97
        return (image + round(1000 * self.position[0]) % 50).astype(np.uint8)

    def wrist_intrinsics(self):
        return np.array([[100.0, 0, 15.5], [0, 100.0, 15.5], [0, 0, 1]])

    def wrist_pose(self):
        pose = self.end_effector_pose()
        return pose @ np.array([[1.0, 0, 0, 0.01], [0, 1, 0, 0], [0, 0, 1, -0.1], [0, 0, 0, 1]])

    def base_in_world(self):
        pose = np.eye(4)
        pose[:3, 3] = [-0.66, 0.0, 0.912]
        return pose

    def end_effector_pose(self):
        pose = np.eye(4)
        pose[:3, :3] = np.diag([1, -1, -1])
        pose[:3, 3] = self.position
        return pose

    def joint_state(self):
        names = [f'joint{i}' for i in range(7)] + ['finger1', 'finger2']
        return names, self.joints.copy(), np.zeros(9)

    def gripper_open(self):
        return self.opening

    def close(self):
        self.closed = True


SPEED = 0.2  # m/s
IMAGE_PERIOD_NS = 200_000_000


class ScriptedPolicy:
    """
    A node named vla_node that answers each tick of /clock with answer(stamp, count, image).

    At a tick that carries an image it waits for that image, as vla_node does: topics have no
    order among each other. answer returns a message of `kind` to send on `topic`, or None for
    silence. All runs
    on a thread of its own until `close`; `messages` keeps what arrived by topic, in order;
    hooks: topic -> function of each message there.
    """

    def __init__(self, answer, gripper=lambda count: 1.0, kind=TwistStamped,
                 topic='delta_twist_cmds'):
        self._answer, self._gripper_value = answer, gripper
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node('vla_node', context=self._context)
        self.twists = self.node.create_publisher(kind, topic, 1)
        self.gripper = self.node.create_publisher(Float64, 'gripper_command', 1)
        self.node.create_service(Trigger, '~/reset', self._on_reset)
        self.messages, self.hooks, self.resets, self.ticks = {}, {}, 0, 0
        self._tick = None
        for kind, topic, profile in (
                (Image, 'image', 10), (CameraInfo, 'camera_info', 10),
                (JointState, 'joint_states', 10), (TFMessage, '/tf', 10),
                (TFMessage, '/tf_static', qos.TF_STATIC),
                (String, 'instruction', qos.INSTRUCTION_LATCHED),
                (String, 'robot_description', qos.TF_STATIC),
                (String, '/libero_sim/episode', 100), (Image, '/libero_sim/final_image', 10),
                (Clock, '/clock', 10)):
            self.node.create_subscription(kind, topic, self._keeper(topic), profile)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    def wait_for(self, topic, count=1, timeout_s=60.0):
        """Return the messages of a topic once there are at least `count`."""
        give_up_at = time.monotonic() + timeout_s
        while len(self.messages[topic]) < count and time.monotonic() < give_up_at:
            time.sleep(0.005)
        assert len(self.messages[topic]) >= count, topic
        return self.messages[topic]

    def close(self):
        """End the thread and the node."""
        self._executor.shutdown()
        self._thread.join(10)
        self.node.destroy_node()
        self._context.try_shutdown()

    def _on_reset(self, request, response):
        self.resets += 1
        response.success = True
        return response

    def _keeper(self, topic):
        self.messages[topic] = []

        def keep(message):
            self.messages[topic].append(message)
            if topic == '/clock':
                self._tick = message.clock
            if topic in ('/clock', 'image') and self._is_complete():
                tick, self._tick = self._tick, None
                self._on_tick(tick)
            self.hooks.get(topic, bool)(message)
        return keep

    def _is_complete(self):
        """Return whether there is a tick to answer, with its image if it has one."""
        if self._tick is None:
            return False
        images = self.messages['image']
        has_image = (self._tick.sec * 10**9 + self._tick.nanosec) % IMAGE_PERIOD_NS == 0
        return not has_image or bool(images and images[-1].header.stamp == self._tick)

    def _on_tick(self, stamp):
        count, self.ticks = self.ticks, self.ticks + 1
        twist = self._answer(stamp, count, self.messages['image'][-1])
        if twist is not None:
            self.gripper.publish(Float64(data=self._gripper_value(count)))
            self.twists.publish(twist)


def twist_message(stamp, linear=(0.0, 0.0, 0.0), frame_id='base'):
    """Return a TwistStamped."""
    message = TwistStamped()
    message.header.stamp, message.header.frame_id = stamp, frame_id
    vector = message.twist.linear
    vector.x, vector.y, vector.z = map(float, linear)
    return message


def right(stamp, count, image):
    """Return a twist to the right, towards the goal of a PointEnv."""
    return twist_message(stamp, (SPEED, 0, 0))
