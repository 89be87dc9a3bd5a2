# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag of the LIBERO simulator, made without ROS: what libero_sim_node would send, and commands.

Topics, types, frames and QoS are the node's, so that what replays the bag sees what vla_node
would. Messages come in some milliseconds after the moment that they are stamped with, in the
order in which the node sends them; a command comes behind the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..evaluate.rollouts import Drive
from ..recordings.bag_writer import (
    bag_bytes, BagWriter, check_new_bag, check_writable, Offer, STORAGES, whole_bag)
from ..recordings.made import header_values, serialized, transform_values
from ..sim.options import PLACEMENT_M
from ..sim.robot_description import robot_description
from ..sim.sensors import (
    BASE_FRAME, camera_info_fields, END_EFFECTOR_FRAME, joint_state_fields, pose_of)
from ..sim.topics import (
    CAMERA_INFO, COMPRESSED_IMAGE, GRIPPER, IMAGE, INSTRUCTION, JOINT_STATES, ROBOT_DESCRIPTION,
    SimTopic, TF, TF_STATIC, TWIST)
from ..support.progress import Progress
from ..support.requirements import require

START_NS = 1_700_000_000_000_000_000  # of the first episode: the same command, the same bag
GAP_STEPS = 20  # between episodes
TAIL_STEPS = 10  # after a success
JPEG_QUALITY = 95
CAMERA = 'agentview'
CAMERA_FRAME = f'{CAMERA}_optical_frame'  # as libero_sim_node calls it
IMAGE_FORMATS = ('jpeg', 'png', 'raw')
COMPRESSED_FORMAT = 'rgb8; {} compressed bgr8'  # as image_transport says it
# how long after its stamp a message comes in, ns
ARRIVAL_NS = {
    ROBOT_DESCRIPTION: 100_000, INSTRUCTION: 200_000, TF_STATIC: 300_000, TF: 1_000_000,
    JOINT_STATES: 1_500_000, CAMERA_INFO: 3_000_000, IMAGE: 4_000_000,
    COMPRESSED_IMAGE: 4_000_000, GRIPPER: 9_000_000, TWIST: 9_500_000}
BYTES_A_PIXEL = {'jpeg': 0.5, 'png': 2.0, 'raw': 3.0}  # about, for the room on the disk


@dataclass(frozen=True)
class BagOptions:
    """
    What a bag is made of; raises ConfigError for values that make no sense.

    instruction: '' lets the tasks of the scene take turns with the seed.  image_every: control
    steps (0.05 s) from one image to the next.  size: side of the images, px.
    """

    out: Path
    instruction: str = ''
    episodes: int = 1
    seed: int = 0
    max_steps: int = 300
    image_every: int = 1
    size: int = 256
    images: str = 'jpeg'
    storage: str = 'mcap'
    placement_m: float = PLACEMENT_M

    def __post_init__(self):
        """Check the values."""
        for name, low, high in (('episodes', 1, 1000), ('seed', 0, 2**31 - 1),
                                ('max_steps', 1, 100_000), ('image_every', 1, 100),
                                ('size', 16, 2048)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f'--{name.replace("_", "-")} is {getattr(self, name)}, expected '
                                  f'{low} to {high}')
        for name, known in (('images', IMAGE_FORMATS), ('storage', STORAGES)):
            if getattr(self, name) not in known:
                raise ConfigError(f'--{name} is {getattr(self, name)!r}, expected one of '
                                  f'{", ".join(known)}')

    @property
    def needed_bytes(self) -> int:
        """Return about how much room the bag takes at the most."""
        images = self.episodes * -(-self.max_steps // self.image_every)
        return int(images * self.size ** 2 * BYTES_A_PIXEL[self.images])


@dataclass(frozen=True)
class BagResult:
    """What was recorded: episodes, those that succeeded, messages, bytes, seconds of the bag."""

    episodes: int
    successes: int
    messages: int
    size: int
    seconds: float


def record_demo(options: BagOptions, policy=None) -> BagResult:
    """
    Write a bag of episodes that a policy drives, or the scripted expert where it is None.

    Raises ConfigError, before anything is simulated, for what the user can mend.
    """
    require(ConfigError, 'libero', 'mujoco')
    check_writable()
    check_new_bag(options.out, needed_bytes=options.needed_bytes)
    with Progress('loading the LIBERO scene'):
        from ..sim.env import LiberoEnv
        env = LiberoEnv((options.instruction,) if options.instruction else None,
                        placement_m=options.placement_m, camera=CAMERA,
                        image_size=(options.size, options.size))
    try:
        driver = expert_commands if policy is None else partial(policy_commands, policy)
        return write_episodes(env, options, driver)
    finally:
        env.close()


Driver = Callable[[object, str], Iterator[tuple[np.ndarray, float]]]


def expert_commands(env, instruction: str) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the scripted expert's (twist [6] m/s, rad/s, gripper) for the state of each step."""
    from ..sim.expert import Expert
    expert = Expert(env)
    while True:
        yield expert.act()


def policy_commands(policy, env, instruction: str) -> Iterator[tuple[np.ndarray, float]]:
    """Yield what a policy commands in each step, until it must not go on."""
    policy.reset()
    drive = Drive(env, policy)
    for step in count():
        command = drive.command(step, instruction)
        if drive.fault:
            return
        yield command


def write_episodes(env, options: BagOptions, driver: Driver) -> BagResult:
    """Write the bag of episodes in an environment; driver(env, instruction): yields commands."""
    about = {'made_by': 'sqap-vla record-demo'}
    with whole_bag(options.out, options.storage, about=about) as bag:
        recorder = EpisodeRecorder(bag, env, options)
        with Progress('record', unit='step') as progress:
            for number in range(options.episodes):
                seed = options.seed + number
                progress.show(f'episode {number + 1} of {options.episodes}, seed {seed}')
                recorder.run(seed, env.instructions[seed % len(env.instructions)], driver)
        messages = bag.messages
    return BagResult(options.episodes, recorder.successes, messages, bag_bytes(options.out),
                     (recorder.last_ns - START_NS) / 1e9)


class EpisodeRecorder:
    """Writes episodes one after another; successes: how many were; last_ns: of the last step."""

    def __init__(self, bag: BagWriter, env, options: BagOptions):
        """Write into a bag that has no topics yet."""
        self._bag, self._env, self._options = bag, env, options
        self._image = IMAGE if options.images == 'raw' else COMPRESSED_IMAGE
        for topic in ARRIVAL_NS:
            if topic not in (IMAGE, COMPRESSED_IMAGE) or topic == self._image:
                bag.add_topic(_full(topic), topic.kind,
                              [Offer(topic.depth, latched=topic.latched)])
        self._info = camera_info_fields(np.asarray(env.camera_intrinsics()), env.image_size)
        self.successes, self.last_ns, self._step = 0, START_NS, 0

    def run(self, seed: int, instruction: str, driver: Driver) -> None:
        """Write an episode, from placing the objects until a little after the success."""
        self._env.reset(seed, instruction)
        if self._step:
            self._step += GAP_STEPS
        self._begin(self._stamp_ns, instruction)
        succeeded, left = False, self._options.max_steps
        for number, command in enumerate(driver(self._env, instruction)):
            if self._moved(number, *command) and not succeeded:
                succeeded, left = True, TAIL_STEPS + 1
            left -= 1
            if not left:
                break
        self.successes += succeeded

    @property
    def _stamp_ns(self) -> int:
        return START_NS + self._step * round(self._env.dt * 1e9)

    def _begin(self, stamp_ns: int, instruction: str) -> None:
        if stamp_ns == START_NS:
            self._write(ROBOT_DESCRIPTION, stamp_ns, {'data': robot_description()})
        self._write(INSTRUCTION, stamp_ns, {'data': instruction})
        self._write(TF_STATIC, stamp_ns, {'transforms': [transform_values(
            pose_of(self._env.camera_pose()), stamp_ns, BASE_FRAME, CAMERA_FRAME)]})

    def _moved(self, number: int, twist: np.ndarray, gripper: float) -> bool:
        """Write what is seen and commanded in a step, and do it; return whether it succeeded."""
        stamp_ns = self._stamp_ns
        self._write(TF, stamp_ns, {'transforms': [transform_values(
            pose_of(self._env.end_effector_pose()), stamp_ns, BASE_FRAME, END_EFFECTOR_FRAME)]})
        self._write(JOINT_STATES, stamp_ns, {
            'header': header_values(stamp_ns), **joint_state_fields(self._env)})
        if number % self._options.image_every == 0:
            self._see(stamp_ns)
        self._write(GRIPPER, stamp_ns, {'data': float(gripper)})
        self._write(TWIST, stamp_ns, _twist_values(twist, stamp_ns))
        self.last_ns, self._step = stamp_ns, self._step + 1
        return bool(self._env.step(twist, gripper))

    def _see(self, stamp_ns: int) -> None:
        header, image = header_values(stamp_ns, CAMERA_FRAME), self._env.render()
        self._write(CAMERA_INFO, stamp_ns, {'header': header, **self._info})
        self._write(self._image, stamp_ns, {
            'header': header, **_image_values(image, self._options.images)})

    def _write(self, topic: SimTopic, stamp_ns: int, values: dict) -> None:
        self._bag.write(_full(topic), stamp_ns + ARRIVAL_NS[topic],
                        serialized(self._bag.store, topic.kind, values))


def _full(topic: SimTopic) -> str:
    return f'/{topic.name.lstrip("/")}'


def _twist_values(twist: np.ndarray, stamp_ns: int) -> dict:
    linear, angular = (dict(zip('xyz', map(float, half))) for half in (twist[:3], twist[3:]))
    return {'header': header_values(stamp_ns, BASE_FRAME),
            'twist': {'linear': linear, 'angular': angular}}


def _image_values(image: np.ndarray, form: str) -> dict:
    """Return the fields of an Image or CompressedImage, but for the header, of uint8 [H, W, 3]."""
    if form == 'raw':
        height, width = image.shape[:2]
        return {'height': height, 'width': width, 'encoding': 'rgb8', 'step': 3 * width,
                'data': image.ravel()}
    import cv2
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if form == 'jpeg' else []
    data = cv2.imencode(f'.{form}', image[..., ::-1], settings)[1]
    return {'format': COMPRESSED_FORMAT.format(form), 'data': data.ravel()}
