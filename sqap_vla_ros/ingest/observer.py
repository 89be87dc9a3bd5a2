# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
From images and what was heard beside them to the Observation that the policy takes.

Messages are whatever has the fields of sensor_msgs: live ones, those of a bag, a simulator's.
Whether to wait for what is still on its way is the caller's business. Whatever is missing in
the end is an ObservationError, and no motion. Each camera is looked at by a CameraObserver.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.observation import Observation

from .camera_observer import CameraObserver
from .cameras import ImageHistory
from .joints import JointHistory
from .stamps import stamp_ns
from .state import check_state, StateObserver
from .twins import Twins


@dataclass(frozen=True)
class ObserverOptions:
    """
    How to look; every name is that of a parameter or property of the node, told there.

    camera: the name of the camera that these are of, '' for the only one.
    """

    camera: str = ''
    base_frame: str = 'base_link'
    end_effector_frames: tuple = ('tool0',)
    state_base_frame: str = ''
    state_end_effector_frame: str = ''
    protected_frames: tuple = ()
    camera_frame: str = ''
    camera_rectified: bool = False
    camera_tolerance: float = 0.1
    rotate_image_180: bool = False
    needs_localization: bool = True
    require_localization: bool = True
    calibration_error_px: float = 0.0
    gripper_joint: str = ''
    gripper_open_position: float = 0.04
    gripper_closed_position: float = 0.0
    max_linear_speed: float = 0.25
    max_angular_speed: float = 1.0
    lockstep: bool = False
    tf_timeout: float = 0.0
    tf_max_age: float = 0.1
    camera_info_max_age: float = 10.0
    min_contrast: float = 3.0
    max_image_change: float = 80.0
    max_reach: float = 2.5
    max_end_effector_speed: float = 1.0

    @classmethod
    def of(cls, config):
        """Return the options out of anything that has attributes of these names."""
        return cls(**{item.name: getattr(config, item.name) for item in fields(cls)})

    @property
    def state_frames(self) -> tuple[str, str]:
        """Return in which frame a data set of others tells a pose, and the frame that it is of."""
        return self.state_base_frame, self.state_end_effector_frame

    def parameter(self, name: str) -> str:
        """Return what a parameter of this camera is called, such as wrist.camera_frame."""
        return f'{self.camera}.{name}' if self.camera else name


@dataclass
class Heard:
    """
    What was heard beside the images of a camera; the node's inputs have the same attributes.

    camera_info: the newest, or None.  info_is_latched: whether it was sent once, for ever, so
    that its age says nothing.  info_topic, image_topic: to name in messages.  images: the last
    ones of a further camera.
    """

    camera_info: object = None
    info_is_latched: bool = False
    info_topic: str = 'camera_info'
    image_topic: str = 'image'
    joints: JointHistory = field(default_factory=JointHistory)
    images: ImageHistory = field(default_factory=ImageHistory)


def at_once(timeout_s: float):
    """Return wait(attempt) of a caller that has heard everything already: one try."""
    return lambda attempt: attempt()


class Observer:
    """Build observations; remembers what the images are like."""

    def __init__(self, options: ObserverOptions, heard, transforms, state_names=(),
                 waiting=at_once, further: Mapping | None = None, shown=()):
        """
        Take where to look things up.

        options, heard: of the camera whose images are asked about; heard: as Heard.
        transforms: see pose_at.  state_names: what the policy needs.  waiting(tf_timeout):
        returns wait(attempt) for one image, see pose_at.  further: (options, heard) of further
        cameras by name.  shown: names of the cameras that a policy of several sees.  Raises
        ConfigError if the policy asks for a state that cannot be built.
        """
        check_state(state_names, options.gripper_joint, options.state_frames)
        self._state = StateObserver(state_names, heard, transforms)
        self._waiting = waiting
        self._main = CameraObserver(options, heard, transforms)
        self._further = {name: CameraObserver(*camera, transforms)
                         for name, camera in (further or {}).items()}
        self._twins = Twins({name: heard for name, (_, heard) in (further or {}).items()}, shown)

    @property
    def options(self) -> ObserverOptions:
        """Return the options of the camera whose images are asked about; they may be set."""
        return self._main.options

    @options.setter
    def options(self, options: ObserverOptions):
        self._main.options = options

    def use(self, options: Mapping):
        """Take changed options of cameras by name."""
        for camera in (self._main, *self._further.values()):
            camera.options = options[camera.options.camera]

    def reset(self):
        """Accept any kind of image next."""
        for camera in (self._main, *self._further.values()):
            camera.reset()
        self._twins.reset()

    def observe(self, message, instruction: str) -> tuple[Observation, list[str]]:
        """
        Return the observation for an image message and an instruction, and what it lacks.

        message: as sensor_msgs/Image or CompressedImage.  Of each further camera the newest
        image counts that was not taken later, by camera_tolerance at most earlier.  Raises
        ObservationError, also for two cameras in one optical frame, or ConfigError for a
        camera_info that makes no sense.
        """
        if not instruction:
            raise ObservationError('no instruction: publish one on the topic `instruction`')
        image, time_ns = self._main.image(message), stamp_ns(message)
        wait = self._waiting(self.options.tf_timeout)
        others = {name: camera.beside(time_ns, wait) for name, camera in self._further.items()}
        self._check_twins({self.options.camera: message, **others})
        seen, warnings = self._main.view(message, image, wait)
        views = {}
        for name, other in others.items():
            camera = self._further[name]
            views[name], more = camera.view(other, camera.image(other), wait)
            warnings = warnings + more
        self._check_frames(seen, views)
        state = self._state.at(time_ns, self.options, self._main.plausibility, wait)
        return (Observation(image, time_ns, instruction, seen.protected, state,
                            self.options.camera, views), warnings)

    def _check_twins(self, messages):
        """Look whether pictures are of one device, of cameras whose pictures are looked at."""
        cameras = {self.options.camera: self._main, **self._further}
        self._twins.check({name: message for name, message in messages.items()
                           if cameras[name].options.min_contrast > 0})

    def _check_frames(self, seen, views):
        """Raise ObservationError for two cameras in one place: of one it is not known."""
        cameras = {}
        for name, view in {self.options.camera: seen, **views}.items():
            other = cameras.setdefault(view.frame_id, name) if view.frame_id else name
            if other != name:
                raise ObservationError(
                    f'cameras {other} and {name} have the same optical frame, '
                    f'{view.frame_id!r}, by their camera_frame or frame_id: of one of them it '
                    f'is not known where it is. Set {other}.camera_frame and '
                    f'{name}.camera_frame to the optical frame of each')
