# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A robot outside vla_node: camera, TF, joints and instruction, and an arm that goes as it is told.

What it sends is chosen by plain attributes, so that a fault is one assignment; `hooks` change
messages before they leave. It spins on a thread of its own.
"""
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TransformStamped, TwistStamped
import numpy as np
import rclpy
from rclpy.clock import Clock as RclpyClock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.qos import SILENT_PUBLISHER, SubscriptionEventCallbacks
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from .measure import CommandLog
from .pictures import as_data, encoded, HEIGHT, Pictures, WIDTH

SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STATE_HZ = 60.0  # of TF and joint_states; a picture goes with every second one
COMMAND_PERIOD_S = 0.05
DEADLINE_S, LEASE_S = 0.2, 1.0  # what the node offers at 20 Hz
CAMERA_DOWN = (1.0, 0.0, 0.0, 0.0)  # qx qy qz qw: looks along -z of the base
CAMERA_AT = np.array([0.5, 0.0, 1.2])
HOME = np.array([0.5, 0.0, 0.3])
FOCAL_PX = 500.0
JOINTS = {'panda_joint1': 0.0, 'panda_joint2': -0.785, 'panda_joint3': 0.0, 'panda_joint4': -2.356,
          'panda_joint5': 0.0, 'panda_joint6': 1.571, 'panda_joint7': 0.785, 'finger': 0.03}


def transform(parent, child, position, quaternion, stamp_ns):
    """Return a TransformStamped; quaternion: x y z w."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, time_message(stamp_ns)
    part = message.transform
    part.translation.x, part.translation.y, part.translation.z = map(float, position)
    part.rotation.x, part.rotation.y, part.rotation.z, part.rotation.w = map(float, quaternion)
    return message


class Robot:
    """
    The robot; close() ends it.

    sends: out of 'image', 'info', 'tf', 'tf_static', 'joints'.  offsets_s: by the same names,
    added to stamps.  hooks: by the same names, functions that change the message or return None
    to hold it back.  picture_kind: see Pictures.drawn; 'frozen' repeats the last one.
    restamped: False sends the frozen picture's stamp again, too.
    """

    def __init__(self, name='rig_robot', simulated_time=False):
        """Create the topics and begin to send."""
        self.node = node = rclpy.create_node(name, start_parameter_services=False)
        self.sends = {'image', 'info', 'tf', 'tf_static', 'joints'}
        self.picture_kind, self.restamped, self.encoding, self.scale = 'real', True, 'rgb8', 1
        self.offsets_s, self.hooks, self.divide = {}, {}, 1
        self.position, self.camera_at = HOME.copy(), CAMERA_AT.copy()
        self.pictures, self._picture, self._target = Pictures(), None, None
        self.log, self.others = CommandLog(), CommandLog()
        self.diagnostics, self.values, self.receiver = [], {}, []
        self.clock_rate, self._clock_ns = 1.0, 1_000_000 * 10**9 if simulated_time else None
        self._last_tick_s, self._count = time.monotonic(), 0
        self._publishers()
        node.create_subscription(TwistStamped, 'delta_twist_cmds', self._twist, RELIABLE)
        self._receive_with_a_deadline()
        node.create_subscription(PoseStamped, 'target_pose', self._pose, RELIABLE)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnosed, RELIABLE)
        node.create_timer(1 / STATE_HZ, self._tick, clock=RclpyClock(
            clock_type=ClockType.STEADY_TIME))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _publishers(self):
        self.image = self.publisher(Image, 'image', SENSOR)
        self.info = self.publisher(CameraInfo, 'camera_info', SENSOR)
        self.tf = self.publisher(TFMessage, '/tf', RELIABLE)
        self.tf_static = self.publisher(TFMessage, '/tf_static', LATCHED)
        self.joints = self.publisher(JointState, 'joint_states', RELIABLE)
        self.words = self.publisher(String, 'instruction', RELIABLE)
        self.clock = None if self._clock_ns is None else self.publisher(Clock, '/clock', SENSOR)

    def publisher(self, kind, topic, profile=RELIABLE):
        """Return a publisher that says nothing of subscribers it does not fit."""
        return self.node.create_publisher(kind, topic, profile,
                                          event_callbacks=SILENT_PUBLISHER)

    def _receive_with_a_deadline(self):
        """Hear of commands that cease, as a controller may that asks for it."""
        profile = QoSProfile(depth=1, deadline=Duration(seconds=DEADLINE_S),
                             liveliness_lease_duration=Duration(seconds=LEASE_S))
        self.node.create_subscription(
            TwistStamped, 'delta_twist_cmds', lambda message: None, profile,
            event_callbacks=SubscriptionEventCallbacks(
                deadline=lambda event: self.receiver.append((time.monotonic(), 'deadline')),
                liveliness=self._lives, use_default_callbacks=False))

    def _lives(self, event):
        if event.alive_count == 0:
            self.receiver.append((time.monotonic(), 'gone'))

    def close(self):
        """End the thread and leave the topics."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(2.0)
        self.node.destroy_node()

    def say(self, text):
        """Publish an instruction."""
        self.words.publish(String(data=text))

    def look_down(self, quaternion=CAMERA_DOWN):
        """Publish the camera's place, once and for all."""
        self.tf_static.publish(TFMessage(transforms=[
            transform('base', 'camera', self.camera_at, quaternion, self.now_ns())]))

    def now_ns(self):
        """Return the robot's time."""
        return self._clock_ns if self.clock else time.time_ns()

    def jump(self, seconds):
        """Let the simulated time jump."""
        self._clock_ns += round(seconds * 1e9)

    def stamp_ns(self, name):
        """Return the stamp for a kind of message."""
        return self.now_ns() + round(self.offsets_s.get(name, 0.0) * 1e9)

    def _spin(self):
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _twist(self, message):
        linear, angular = message.twist.linear, message.twist.angular
        log = self.others if message.header.frame_id == 'other' else self.log
        log.add(time.monotonic(), (
            linear.x, linear.y, linear.z, angular.x, angular.y, angular.z))

    def _pose(self, message):
        """Go there at once, and note how fast that was, by the node's usual rate."""
        place, now_s = message.pose.position, time.monotonic()
        place = np.array([place.x, place.y, place.z])
        known = self._target is not None and now_s - self.log.times[-1] < 0.5
        way = place - self._target if known else np.zeros(3)
        self.log.add(now_s, np.concatenate([way / COMMAND_PERIOD_S, np.zeros(3)]))
        self._target = place
        if np.isfinite(place).all():
            self.position = HOME + np.clip(place - HOME, -0.25, 0.25)

    def _diagnosed(self, message):
        now_s = time.monotonic()
        for status in message.status:
            if 'vla_node' in status.name:
                self.values.update({value.key: value.value for value in status.values})
                self.diagnostics.append((
                    now_s, status.name.partition(': ')[2], int.from_bytes(status.level, 'big'),
                    status.message))

    def _tick(self):
        now_s = time.monotonic()
        passed_s, self._last_tick_s = now_s - self._last_tick_s, now_s
        self._go(passed_s)
        if self.clock:
            self._clock_ns += round(passed_s * self.clock_rate * 1e9)
            self.clock.publish(Clock(clock=time_message(self._clock_ns)))
        self._send('tf', self.tf, TFMessage(transforms=[transform(
            'base', 'end_effector', self.position, CAMERA_DOWN, self.stamp_ns('tf'))]))
        self._send_joints()
        self._count += 1
        if self._count % (2 * self.divide) == 0:
            self._look()
        if self._count % 60 == 1 and 'tf_static' in self.sends:
            self.look_down()

    def _go(self, passed_s):
        """Go on as the last command says; a real one would have stopped at its limits."""
        fresh = self.log.times and time.monotonic() - self.log.times[-1] < 0.3
        if self._target is None and fresh:
            velocity = np.nan_to_num(self.log.twists[-1][:3], posinf=0.0, neginf=0.0)
            self.position += np.clip(velocity, -0.5, 0.5) * min(passed_s, 0.1)
            self.position = HOME + np.clip(self.position - HOME, -0.25, 0.25)

    def _send(self, name, publisher, message):
        if name not in self.sends:
            return
        hook = self.hooks.get(name)
        message = hook(message) if hook else message
        if message is not None:
            publisher.publish(message)

    def _send_joints(self):
        message = JointState(name=list(JOINTS), position=list(JOINTS.values()),
                             velocity=[0.0] * len(JOINTS))
        message.header.stamp = time_message(self.stamp_ns('joints'))
        self._send('joints', self.joints, message)

    def _look(self):
        frozen = self.picture_kind == 'frozen' and self._picture is not None
        if not frozen:
            self._picture = self._drawn(self.stamp_ns('image'))
        elif self.restamped:
            self._picture.header.stamp = time_message(self.stamp_ns('image'))
        info = camera_info(self.stamp_ns('info'))
        self._send('info', self.info, info)
        self._send('image', self.image, self._picture)

    def _drawn(self, stamp_ns):
        kind = self.picture_kind
        picture = self.pictures.taken() if kind == 'real' else self.pictures.drawn(kind)
        picture = picture[::self.scale, ::self.scale]
        width, data = encoded(picture, self.encoding) if self.encoding != 'rgb8' else (
            3, as_data(picture))
        message = Image(height=picture.shape[0], width=picture.shape[1], encoding=self.encoding,
                        step=width * picture.shape[1], data=data)
        message.header.frame_id, message.header.stamp = 'camera', time_message(stamp_ns)
        return message


def camera_info(stamp_ns):
    """Return the calibration of the camera."""
    u, v = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    message = CameraInfo(
        height=HEIGHT, width=WIDTH, distortion_model='plumb_bob', d=[0.0] * 5,
        k=[FOCAL_PX, 0.0, u, 0.0, FOCAL_PX, v, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[FOCAL_PX, 0.0, u, 0.0, 0.0, FOCAL_PX, v, 0.0, 0.0, 0.0, 1.0, 0.0])
    message.header.frame_id, message.header.stamp = 'camera', time_message(stamp_ns)
    return message
