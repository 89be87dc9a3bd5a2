# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A ChArUco board before a camera: rendered by its true camera, described by whatever TF tells."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from sqap_vla_ros.calibration.boards import Board
from sqap_vla_ros.calibration.sample import Looker
from sqap_vla_ros.geometry.camera import CameraModel
from sqap_vla_ros.geometry.poses import invert_pose
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformBuffer
from sqap_vla_ros.ingest.observer import at_once, Heard, ObserverOptions

SECOND = 10**9
NOW_NS = 1_795_000_000 * SECOND
SIZE = 640, 480
K = np.array([[520.0, 0, 312.0], [0, 524.0, 247.0], [0, 0, 1]])
D = (-0.22, 0.07, 0.001, -0.0015, 0.0)
PLAIN = CameraModel(*SIZE, K)
LENS = CameraModel(*SIZE, K, 'plumb_bob', D)
BOARD = Board('charuco', '4X4_50', marker_m=0.03, squares=(5, 7), square_m=0.04)
OPTIONS = ObserverOptions(base_frame='base', end_effector_frames=('tool',))


def pose(xyz, euler_deg=(0, 0, 0)):
    """Return [4, 4] of a translation, m, and intrinsic x y z angles."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('XYZ', euler_deg, degrees=True).as_matrix()
    matrix[:3, 3] = xyz
    return matrix


# The camera looks from the front, a little down, at the arm; the board lies aslant beside it.
CAMERA = pose((1.2, 0.1, 0.6), (-90, 0, 0)) @ pose((0, 0, 0), (0, -90, 0)) @ pose(
    (0, 0, 0), (-25, 4, 3))
TOOL = pose((0.45, 0.12, 0.3), (180, 0, 20))
BOARD_AT = CAMERA @ pose((-0.13, -0.13, 0.44), (20, -15, 5))


def rays_of(camera):
    """Return the rays [H, W, 3] of a camera's pixels, by OpenCV where the lens bends them."""
    pixels = np.stack(np.meshgrid(*map(np.arange, (camera.width, camera.height))), -1)
    flat = (pixels - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]]
    if camera.D:
        flat = cv2.undistortPoints(pixels.reshape(-1, 1, 2).astype(np.float64), camera.K,
                                   np.array(camera.D)).reshape(flat.shape)
    return np.dstack([flat, np.ones(flat.shape[:2])])


def rendered(camera_pose=CAMERA, camera=PLAIN, board_pose=BOARD_AT, board=BOARD):
    """Return uint8 [H, W, 3] of the board, as a camera at a pose in the base sees it."""
    fine = camera.for_image(2 * camera.width, 2 * camera.height)
    paper, per_m, margin = print_of(board)
    in_board = invert_pose(board_pose) @ camera_pose
    rays = rays_of(fine) @ in_board[:3, :3].T
    with np.errstate(divide='ignore', invalid='ignore'):
        length = -in_board[2, 3] / rays[..., 2]
    place = (in_board[:3, 3] + length[..., None] * rays)[..., :2] * per_m + margin - 0.5
    place[~(length > 0)] = -1e4
    grey = cv2.remap(paper, place.astype(np.float32), None, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_CONSTANT, borderValue=120)
    small = cv2.resize(grey, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], 3, axis=2)


def print_of(board):
    """Return (paper uint8, its pixels a metre, the white margin in pixels)."""
    per_m, margin = 4000, 80
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    size = tuple(round(count * board.square_m * per_m) + 2 * margin for count in board.squares)
    made = cv2.aruco.CharucoBoard(board.squares, board.square_m, board.marker_m, dictionary)
    return made.generateImage(size, None, margin), per_m, margin


def header(stamp_ns, frame_id):
    """Return a std_msgs/Header."""
    return SimpleNamespace(frame_id=frame_id, stamp=SimpleNamespace(
        sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND))


def image_message(pixels, stamp_ns=NOW_NS, frame_id='camera'):
    """Return a sensor_msgs/Image."""
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), height=height, width=width, encoding='rgb8',
        step=3 * width, data=array('B', pixels.tobytes()))


def info_message(camera=PLAIN, stamp_ns=NOW_NS, frame_id='camera', **changes):
    """Return a sensor_msgs/CameraInfo of a camera, whose rectified image has the same K."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    fields = {
        'header': header(stamp_ns, frame_id), 'height': camera.height, 'width': camera.width,
        'distortion_model': 'plumb_bob', 'k': list(map(float, camera.K.ravel())),
        'd': list(camera.D or (0.0,) * 5), 'r': list(np.eye(3).ravel()), 'roi': roi,
        'p': list(map(float, np.column_stack([camera.K, np.zeros(3)]).ravel())),
        'binning_x': 0, 'binning_y': 0}
    return SimpleNamespace(**{**fields, **changes})


def as_pose(matrix, stamp_ns=NOW_NS):
    """Return [4, 4] as TF has it."""
    return Pose(matrix[:3, 3].copy(), Rotation.from_matrix(matrix[:3, :3]).as_quat(), stamp_ns)


def buffer_of(links, stamp_ns=NOW_NS):
    """Return a TransformBuffer of (parent, child, [4, 4], is static) links."""
    buffer = TransformBuffer()
    for parent, child, matrix, static in links:
        buffer.insert(parent, child, as_pose(matrix, stamp_ns), static)
    return buffer


def sample(told=CAMERA, image=None, info=None, links=None, frames=('board',), **options):
    """Return the Sample of an image, for a camera that TF tells to be at a pose in the base."""
    links = links or [('base', 'camera', told, True)]
    buffer = buffer_of([*links, ('base', 'tool', TOOL, False), ('base', 'board', BOARD_AT, True)])
    heard = Heard(info or info_message())
    looker = Looker(replace(OPTIONS, **options), heard, buffer, at_once, frames)
    return looker.look(image_message(rendered() if image is None else image))
