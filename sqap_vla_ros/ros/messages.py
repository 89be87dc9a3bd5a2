# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Our records as ROS messages."""

from array import array

from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from sensor_msgs.msg import Image
from sqap_vla_ros.msg import ActionChunk, TokenSelection
from sqap_vla_ros.tokens.overlay import draw_overlay
from sqap_vla_ros.tokens.view_overlay import draw_view
from std_msgs.msg import Float64MultiArray, Header, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_JOINTS = 'joints'


def time_message(time_ns: int) -> Time:
    """Return nanoseconds as a builtin_interfaces/Time."""
    return Time(sec=time_ns // 10**9, nanosec=time_ns % 10**9)


def nanoseconds_of(stamp: Time) -> int:
    """Return a builtin_interfaces/Time as nanoseconds."""
    return stamp.sec * 10**9 + stamp.nanosec


def twist_message(command, time_ns: int, frame_id: str, units=(1.0, 1.0)) -> TwistStamped:
    """Return a Command's twist in frame_id; units: what 1 of each half is, m/s and rad/s."""
    message = TwistStamped(header=Header(stamp=time_message(time_ns), frame_id=frame_id))
    linear, angular = message.twist.linear, message.twist.angular
    values = command.velocity / np.repeat(units, 3)
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = map(float, values)
    return message


def pose_message(position, time_ns: int, frame_id: str) -> PoseStamped:
    """Return a pose [7] (x y z in m, qx qy qz qw) in frame_id."""
    message = PoseStamped(header=Header(stamp=time_message(time_ns), frame_id=frame_id))
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w = map(float, position)
    return message


def positions_message(positions, tick_ns: int | None = None) -> Float64MultiArray:
    """
    Return joint positions [n] (rad, or m).

    tick_ns: the tick of a lockstep simulation that they answer.  The message has no header, so
    that goes into the label of its only dimension, which controllers do not read.
    """
    label = _JOINTS if tick_ns is None else f'{_JOINTS}@{tick_ns}'
    count = len(positions)
    layout = MultiArrayLayout(
        dim=[MultiArrayDimension(label=label, size=count, stride=count)])
    return Float64MultiArray(layout=layout, data=_array('d', positions, np.float64))


def tick_of(message: Float64MultiArray) -> int | None:
    """Return the tick that a positions_message answers, None if it names none."""
    label = message.layout.dim[0].label if message.layout.dim else ''
    name, _, tick = label.partition('@')
    return int(tick) if name == _JOINTS and tick.isdecimal() else None


def trajectory_message(names, times_ns, positions, stamp_ns: int | None = None,
                       velocities=None) -> JointTrajectory:
    """
    Return a trajectory of joints by name.

    times_ns: [M] from its start.  positions: float64 [M, n] rad, or m.  velocities: alike, or
    None.  stamp_ns: when it starts, None (a stamp of 0) for as soon as it comes.
    """
    message = JointTrajectory(joint_names=list(names), points=[
        JointTrajectoryPoint(
            positions=_array('d', row, np.float64),
            time_from_start=Duration(sec=int(time_ns) // 10**9, nanosec=int(time_ns) % 10**9))
        for time_ns, row in zip(times_ns, positions)])
    for point, row in zip(message.points, () if velocities is None else velocities):
        point.velocities = _array('d', row, np.float64)
    if stamp_ns is not None:
        message.header.stamp = time_message(stamp_ns)
    return message


def chunk_message(chunk, space, header, instruction: str, stages_ms: dict) -> ActionChunk:
    """Return an ActionChunk; stages_ms: times by stage, whose `total` becomes latency_ms."""
    return ActionChunk(
        header=header, instruction=instruction, kind=space.kind, names=list(chunk.names),
        horizon=chunk.actions.shape[0], dim=chunk.actions.shape[1], dt=float(chunk.dt),
        data=_array('f', chunk.actions, np.float32), latency_ms=float(stages_ms.get('total', 0)),
        stage_names=list(stages_ms), stage_ms=array('f', stages_ms.values()))


def selection_message(selection, view, header) -> TokenSelection:
    """Return what was kept of one image; view: its CameraView, or its Observation."""
    rows, cols = selection.grid
    protected = view.protected
    return TokenSelection(
        header=header, image_width=view.image.shape[1], image_height=view.image.shape[0],
        rows=int(rows), cols=int(cols),
        kept=_array('i', selection.kept, np.int32), reason=_array('B', selection.reason, np.uint8),
        frames=list(protected.names), protected_u=_array('f', protected.pixels[:, 0], np.float32),
        protected_v=_array('f', protected.pixels[:, 1], np.float32),
        protected_radius_px=_array('f', protected.radii_px, np.float32))


def overlay_message(view, selection, transform, header):
    """Return a picture of what was kept of one image, stamped as that; view: as above."""
    picture = draw_overlay(view.image, selection, transform, view.protected)
    return rgb_to_message(picture, header)


def view_header(view) -> Header:
    """Return the header of a CameraView's image."""
    return Header(stamp=time_message(view.stamp_ns), frame_id=view.frame_id)


def view_message(view):
    """Return a picture of what is protected in a CameraView of which nothing was dropped."""
    return rgb_to_message(draw_view(view.image, view.protected), view_header(view))


def _array(code, values, dtype):
    """Return numbers as the type that messages take without looking at each of them."""
    result = array(code)
    result.frombytes(np.ascontiguousarray(values, dtype=dtype).tobytes())
    return result


def rgb_to_message(pixels: np.ndarray, header) -> Image:
    """Return uint8 [H, W, 3] RGB as a sensor_msgs/Image with this header."""
    height, width = pixels.shape[:2]
    return Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width,
                 data=_array('B', pixels, np.uint8))
