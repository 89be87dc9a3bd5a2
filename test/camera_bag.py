# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of a camera that looks at a board, written by rosbags."""

from functools import lru_cache

from camera_check_scene import BOARD_AT, CAMERA, info_message, NOW_NS, PLAIN, rendered, TOOL
import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores
from scipy.spatial.transform import Rotation

STORE = get_typestore(Stores.ROS2_JAZZY)
PERIOD_NS = 100_000_000


@lru_cache
def board_picture():
    """Return the picture of the board, rendered once."""
    return rendered()


class BagOfCamera:
    """Writes /cam/image (or its transport compressed), /cam/camera_info, /tf and /tf_static."""

    def __init__(self, path, told=CAMERA, images=5, storage='SQLITE3', compression='',
                 compressed=False, without=(), picture=None,
                 topics='/cam', camera=PLAIN, k=None):
        self._types, self._topics, self._camera, self._k = STORE.types, topics, camera, k
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage])
        if compression:
            self._writer.set_compression(
                CompressionMode[compression], CompressionFormat.ZSTD)
        self._connections, self._without = {}, without
        picture = board_picture() if picture is None else picture
        with self._writer:
            self._write('/tf_static', self._tf(NOW_NS, [
                ('base', 'camera', told), ('base', 'board', BOARD_AT)]), NOW_NS)
            for number in range(images):
                stamp_ns = NOW_NS + number * PERIOD_NS
                self._write(f'{topics}/camera_info', self._info(stamp_ns), stamp_ns)
                self._write(*self._image(picture, stamp_ns, compressed), stamp_ns)
                # what localizes the arm is a little later than the camera
                self._write('/tf', self._tf(stamp_ns, [('base', 'tool', TOOL)]),
                            stamp_ns + PERIOD_NS // 2)

    def _write(self, topic, message, time_ns):
        if topic in self._without:
            return
        kind = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=STORE)
        self._writer.write(self._connections[topic], time_ns, STORE.serialize_cdr(message, kind))

    def _header(self, stamp_ns, frame_id):
        stamp = self._types['builtin_interfaces/msg/Time'](
            sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
        return self._types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def _image(self, picture, stamp_ns, compressed):
        header = self._header(stamp_ns, 'camera')
        if compressed:
            data = cv2.imencode('.png', picture[..., ::-1])[1].ravel()
            kind = self._types['sensor_msgs/msg/CompressedImage']
            return f'{self._topics}/image/compressed', kind(
                header=header, format='rgb8; png compressed bgr8', data=data)
        height, width = picture.shape[:2]
        return f'{self._topics}/image', self._types['sensor_msgs/msg/Image'](
            header=header, height=height, width=width, encoding='rgb8', is_bigendian=0,
            step=3 * width, data=picture.ravel())

    def _info(self, stamp_ns):
        plain, roi = info_message(self._camera), self._types['sensor_msgs/msg/RegionOfInterest']
        return self._types['sensor_msgs/msg/CameraInfo'](
            header=self._header(stamp_ns, 'camera'), height=plain.height, width=plain.width,
            distortion_model=plain.distortion_model, d=np.array(plain.d),
            k=np.array(plain.k if self._k is None else self._k),
            r=np.array(plain.r), p=np.array(plain.p), binning_x=0, binning_y=0,
            roi=roi(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False))

    def _tf(self, stamp_ns, transforms):
        types, made = self._types, []
        for parent, child, pose in transforms:
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
            made.append(types['geometry_msgs/msg/TransformStamped'](
                header=self._header(stamp_ns, parent), child_frame_id=child,
                transform=types['geometry_msgs/msg/Transform'](
                    translation=types['geometry_msgs/msg/Vector3'](*pose[:3, 3]),
                    rotation=types['geometry_msgs/msg/Quaternion'](x=x, y=y, z=z, w=w))))
        return types['tf2_msgs/msg/TFMessage'](transforms=made)
