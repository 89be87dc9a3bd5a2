# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What vla_node would hear of the simulator, and the Observer that it would have.

The benchmark has two cameras that public checkpoints were trained on: one in front of the table,
and one on the hand.  Its own frames are upside down; ours are upright.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np

from ..errors import ConfigError
from ..geometry.transform_buffer import TransformBuffer
from ..ingest.joints import JointHistory
from ..ingest.observer import Heard, Observer, ObserverOptions
from ..observation import CameraView, Observation, STATE_NAMES
from ..sim.sensors import (
    BASE_FRAME, camera_info_fields, END_EFFECTOR_FRAME, FINGER_TRAVEL_M, GRIPPER_JOINT, HAND_FRAME,
    HAND_ON_END_EFFECTOR, JOINT_NAMES, joint_state_fields, pose_of, WORLD_FRAME)

CAMERA_FRAME, WRIST_CAMERA_FRAME = 'camera_optical_frame', 'wrist_camera_optical_frame'
# The parameters of vla_node in config/libero_sim.yaml.
OBSERVER = ObserverOptions(
    base_frame=BASE_FRAME, end_effector_frames=(END_EFFECTOR_FRAME,), gripper_joint=GRIPPER_JOINT,
    gripper_open_position=FINGER_TRAVEL_M, gripper_closed_position=0.0, lockstep=True)
WRIST_WORDS = ('wrist', 'hand')  # one of them is in the name of a camera on the hand


def is_wrist(name: str) -> bool:
    """Return whether a camera of this name is the one on the hand."""
    return any(word in name.lower() for word in WRIST_WORDS)


def check_cameras(names) -> None:
    """
    Raise ConfigError unless the simulator has the cameras of a checkpoint.

    names: in its order, empty for any one.
    """
    if len(names) > 1 and sorted(map(is_wrist, names)) != [False, True]:
        raise ConfigError(
            f'the checkpoint takes the images of {len(names)} cameras, {list(names)}, and the '
            'simulator has two: one in front of the table, and one on the hand, for names with '
            f'{" or ".join(WRIST_WORDS)} in them. Name them so by "cameras" in deployment.json, '
            'in the order in which the network takes them')


def parameters_of(names) -> dict[str, float]:
    """
    Return the parameters of vla_node that the camera on the hand needs, of cameras with names.

    It shows the hand itself, without a sensor's noise, and what comes near changes its brightness.
    """
    return {f'{name}.max_image_change': 0.0 for name in names if is_wrist(name)}


def topics_of(names) -> dict[str, str]:
    """
    Return {topic of a camera with a name: the topic on which libero_sim_node has it}.

    names: of cameras, as the checkpoint has them, none for one of any name.  Raises as
    check_cameras does.
    """
    check_cameras(names)
    return {f'{name}/{topic}': f'wrist/{topic}' if is_wrist(name) else topic
            for name in names for topic in ('image', 'camera_info')}


def as_the_benchmark_shows_it(observation: Observation) -> Observation:
    """Return an observation with all images upside down, and what is protected in them."""
    image, protected = _upside_down(observation)
    views = {}
    for name, view in observation.views.items():
        turned, points = _upside_down(view)
        views[name] = replace(view, image=turned, protected=points)
    return replace(observation, image=image, protected=protected, views=views)


def _upside_down(view: CameraView | Observation):
    """Return the image, first row last, and the protected points of a view."""
    pixels = view.protected.pixels * [1, -1] + [0, view.image.shape[0] - 1]
    return np.ascontiguousarray(view.image[::-1]), replace(view.protected, pixels=pixels)


@dataclass(frozen=True)
class _Eye:
    """
    A camera of the simulator.

    frame: its optical one.  render, pose: its frame and where it is, now.  moves: within an
    episode.  info: of its CameraInfo.  heard: what an Observer looks up.
    """

    frame: str
    render: Callable
    pose: Callable
    moves: bool
    info: SimpleNamespace
    heard: Heard = field(default_factory=Heard)

    @property
    def changes(self) -> dict:
        """
        Return how it is looked at otherwise than OBSERVER says.

        From the hand near things fill a picture at once, and without a sensor's noise what is
        flat is of one colour.
        """
        return {'max_image_change': 0.0} if self.moves else {}

    def message(self, header):
        """Return an image message, with the calibration heard beside it."""
        image, self.info.header = self.render(), header
        self.heard.camera_info = self.info
        height, width = image.shape[:2]
        return SimpleNamespace(header=header, height=height, width=width, encoding='rgb8',
                               step=3 * width, data=image.tobytes())


class SimulatedRobot:
    """The cameras and the arm of an environment, in one episode."""

    def __init__(self, env, state_names=(), needs_localization: bool = True, cameras=(),
                 upside_down: bool = False):
        """
        Look at an environment; its main camera stands still until the next episode.

        state_names, cameras: what the policy takes, in its order; cameras may be empty for the
        main one.  upside_down: whether it takes the benchmark's own frames.  Raises ConfigError
        for cameras that there are not.
        """
        check_cameras(cameras)
        names = tuple(cameras) if len(cameras) > 1 else ('',)
        sides = map(is_wrist, cameras or names)
        self._env, self._transforms, self._upside_down = env, TransformBuffer(), upside_down
        self._eyes = {name: _eye(env, on_hand) for name, on_hand in zip(names, sides)}
        self._main, *further = names
        self._heard = self._eyes[self._main].heard
        self._heard.joints = JointHistory(JOINT_NAMES)
        options = replace(OBSERVER, needs_localization=needs_localization,
                          **_state_frames(state_names))
        by_name = {name: replace(options, camera=name, **eye.changes)
                   for name, eye in self._eyes.items()}
        self._observer = Observer(
            by_name[self._main], self._heard, self._transforms, state_names,
            further={name: (by_name[name], self._eyes[name].heard) for name in further})
        self._place_what_stands()

    def observe(self, time_ns: int, instruction: str) -> Observation:
        """Return what is seen and measured now; raises as Observer.observe does."""
        header = self._header(time_ns)
        self._transforms.insert(BASE_FRAME, END_EFFECTOR_FRAME,
                                pose_of(self._env.end_effector_pose(), time_ns))
        joints = SimpleNamespace(header=header, **joint_state_fields(self._env))
        self._heard.joints.add(joints)
        messages = {}
        for name, eye in self._eyes.items():
            if eye.moves:
                self._transforms.insert(BASE_FRAME, eye.frame, pose_of(eye.pose(), time_ns))
            messages[name] = eye.message(self._header(time_ns, eye.frame))
            eye.heard.images.add(messages[name])
        seen, _ = self._observer.observe(messages[self._main], instruction)
        return as_the_benchmark_shows_it(seen) if self._upside_down else seen

    def _place_what_stands(self):
        """Tell where the camera is, the base in the world, and the hand on the end effector."""
        fixed = [(BASE_FRAME, eye.frame, eye.pose()) for eye in self._eyes.values()
                 if not eye.moves]
        fixed += [(WORLD_FRAME, BASE_FRAME, self._env.base_in_world()),
                  (END_EFFECTOR_FRAME, HAND_FRAME, HAND_ON_END_EFFECTOR)]
        for parent, child, pose in fixed:
            self._transforms.insert(parent, child, pose_of(pose), static=True)

    @staticmethod
    def _header(time_ns: int, frame: str = CAMERA_FRAME) -> SimpleNamespace:
        return SimpleNamespace(frame_id=frame, stamp=SimpleNamespace(
            sec=time_ns // 10**9, nanosec=time_ns % 10**9))


def _state_frames(state_names) -> dict[str, str]:
    """Return the frames of a state: our own policies' are the base's, all others LIBERO's."""
    if not state_names or tuple(state_names) == STATE_NAMES:
        return {}
    return {'state_base_frame': WORLD_FRAME, 'state_end_effector_frame': HAND_FRAME}


def _eye(env, on_hand: bool) -> _Eye:
    intrinsics = env.wrist_intrinsics() if on_hand else env.camera_intrinsics()
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    info = SimpleNamespace(binning_x=0, binning_y=0, roi=roi,
                           **camera_info_fields(intrinsics, env.image_size))
    if on_hand:
        return _Eye(WRIST_CAMERA_FRAME, env.render_wrist, env.wrist_pose, True, info)
    return _Eye(CAMERA_FRAME, env.render, env.camera_pose, False, info)
