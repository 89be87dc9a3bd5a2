# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Random messages of every type that vla_node subscribes to: valid, odd, wrong and torn."""
from array import array

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from .policy import INSTRUCTION, INSTRUCTIONS
from .robot import camera_info, JOINTS, transform

NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, 5e-324, float('nan'), float('inf'), float('-inf'),
           500.0, 319.5, 0.5)
ENCODINGS = ('rgb8', 'bgr8', 'rgba8', 'mono8', 'mono16', '16UC1', '32FC1', 'bayer_rggb8', 'yuv422',
             '', 'x' * 300, '\u00e4\u4e2d', 'RGB8', '8UC3', '64FC4')
FRAMES = ('base', 'end_effector', 'camera', '', '/base', 'other', 'b' * 200, '\u00e9', 'base ')
SIZES = (0, 1, 7, 64, 480, 640, 65535, 2**31, 2**32 - 1)
PIECES = ('put', 'the', 'bowl', 'on', 'stove', '\0', '\x1b[2J', '\n', '\u202e', '\U0001f600', '%s',
          '${HOME}', "'; DROP", 'x' * 2000, ' ')
FORMATS = ('jpeg', 'png', '', 'rgb8; jpeg compressed bgr8', '16UC1; compressedDepth')
MODELS = ('plumb_bob', 'equidistant', 'rational_polynomial', '')
TORN = 0.1  # of all messages: their bytes are cut or changed


class RandomMessages:
    """Makes (name, message or bytes); wrong=True: none that could be taken for a good one."""

    def __init__(self, seed):
        """Begin with a seed."""
        self.random = np.random.default_rng(seed)
        self.makers = {
            'image': self.image, 'info': self.info, 'tf': self.tf, 'tf_static': self.tf,
            'joints': self.joints, 'words': self.words}

    def drawn(self, now_ns, wrong=False):
        """Return the name of a topic and a message for it."""
        name = self.pick(list(self.makers))
        message = self.makers[name](now_ns, wrong)
        return name, self.torn(message) if self.random.random() < TORN else message

    def pick(self, choices):
        """Return one of them."""
        return choices[int(self.random.integers(len(choices)))]

    def numbers(self, count):
        """Return odd numbers."""
        return [float(self.pick(NUMBERS)) for _ in range(count)]

    def stamp(self, message, now_ns):
        """Stamp a message with any time."""
        stamp = message.header.stamp
        ns = self.pick((0, now_ns, now_ns + 5 * 10**9, now_ns - 5 * 10**9, 2**31 * 10**9 - 1, 1))
        stamp.sec, stamp.nanosec = divmod(ns, 10**9)
        if self.random.random() < 0.2:
            stamp.sec, stamp.nanosec = int(self.pick((-2**31, -1, 0))), 2**32 - 1
        message.header.frame_id = self.pick(FRAMES)
        return message

    def image(self, now_ns, wrong):
        """Return an image whose parts hardly fit together."""
        length = int(self.random.integers(0, 30000))
        message = Image(
            height=self.pick(SIZES), width=self.pick(SIZES), encoding=self.pick(ENCODINGS),
            is_bigendian=int(self.random.integers(0, 256)), step=self.pick(SIZES),
            data=array('B', self.random.bytes(length)))
        if not wrong and self.random.random() < 0.3:
            height, width = int(self.random.integers(1, 60)), int(self.random.integers(1, 80))
            message = Image(height=height, width=width, encoding='rgb8', step=3 * width,
                            data=array('B', self.random.bytes(3 * width * height)))
        return self.stamp(message, now_ns)

    def compressed(self, now_ns, wrong):
        """Return bytes that say they are a picture."""
        begin = self.pick((b'', b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'GIF89a'))
        message = CompressedImage(
            format=self.pick(FORMATS),
            data=array('B', begin + self.random.bytes(int(self.random.integers(0, 5000)))))
        return self.stamp(message, now_ns)

    def info(self, now_ns, wrong):
        """Return a calibration of odd numbers."""
        message = camera_info(now_ns)
        message.k, message.p, message.r = self.numbers(9), self.numbers(12), self.numbers(9)
        message.d = self.numbers(self.pick((0, 4, 5, 8, 14, 3)))
        message.width, message.height = self.pick(SIZES), self.pick(SIZES)
        message.distortion_model = self.pick(MODELS)
        message.binning_x = int(self.pick((0, 1, 2, 2**32 - 1)))
        message.roi.width, message.roi.x_offset = self.pick(SIZES), self.pick(SIZES)
        return self.stamp(message, now_ns)

    def tf(self, now_ns, wrong):
        """Return transforms between any frames."""
        message = TFMessage()
        for _ in range(int(self.random.integers(0, 5))):
            one = transform(self.pick(FRAMES), self.pick(FRAMES), self.numbers(3),
                            self.numbers(4), now_ns)
            child = one.child_frame_id
            self.stamp(one, now_ns)
            one.child_frame_id = child
            message.transforms.append(one)
        return message

    def joints(self, now_ns, wrong):
        """Return joint positions that may be missing or many."""
        names = [self.pick((*JOINTS, '', 'other', 'finger'))
                 for _ in range(int(self.random.integers(0, 12)))]
        message = JointState(name=names, position=self.numbers(int(self.random.integers(0, 12))),
                             velocity=self.numbers(int(self.random.integers(0, 3))))
        return self.stamp(message, now_ns)

    def words(self, now_ns, wrong):
        """Return an instruction; a known one now and then."""
        if not wrong and self.random.random() < 0.5:
            return String(data=self.pick(INSTRUCTIONS))
        pieces = [self.pick(PIECES) for _ in range(int(self.random.integers(0, 12)))]
        text = self.pick(('', ' ')).join(pieces)
        return String(data='' if text.split() == INSTRUCTION.split() else text)

    def torn(self, message):
        """Return the bytes of a message, cut or with some of them changed."""
        data = bytearray(serialize_message(message))
        if self.random.random() < 0.5:
            return bytes(data[:4 + int(self.random.integers(0, len(data) - 3))])
        for place in self.random.integers(4, len(data), 1 + len(data) // 50) if len(
                data) > 4 else ():
            data[place] = int(self.random.integers(256))
        return bytes(data)
