# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From a command line and a robot's YAML to how a recording is looked at, as the node would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from .replay_episodes import chosen_episodes
from ..control.action_space import ActionSpace
from ..control.instructions import why_unusable
from ..errors import ConfigError, ObservationError
from ..formats.checkpoint import CheckpointConfig
from ..geometry.transform_buffer import TransformBuffer
from ..ingest.cameras import cameras_seen
from ..ingest.info_file import read_camera_info
from ..ingest.observer import Heard, Observer, ObserverOptions
from ..ingest.state import state_of
from ..replay.dataset_robot import as_robot
from ..replay.looking import LookOptions
from ..replay.part import first_image_ns, told_beginning
from ..replay.recorded_commands import CommandSettings
from ..replay.topics import told_topics, topic_map, TopicMap
from ..support.validation import unknown_names

LATEST_S = 1e9  # no recording is that long


class Asker(Protocol):
    """
    Who is to be shown a recording.

    config: of its checkpoint.  space: of its actions, None where that need not be known.
    protects: whether tokens round the robot's frames are kept.  check_instruction(text): raises
    ObservationError for one that it cannot follow.
    """

    config: CheckpointConfig
    space: ActionSpace | None
    protects: bool
    check_instruction: Callable[[str], None]


@dataclass(frozen=True)
class Seen:
    """
    How a recording is looked at.

    recording: with the topics of a robot.  settings: of recorded commands.  joints: the robot's
    names of those that the policy tells, () for none.  notes: what was guessed or is missing.
    """

    recording: object
    topics: TopicMap
    looking: LookOptions
    settings: CommandSettings
    joints: tuple[str, ...]
    notes: tuple[str, ...]


def seen_of(args, config, recording, asker: Asker) -> Seen:
    """
    Return how a recording is looked at for an Asker.

    args: those of recording_options.add_part_arguments, and perhaps stride.  config: a
    NodeConfig.  Raises ConfigError for options that do not fit the recording or the policy.
    """
    model = asker.config.model
    shown = cameras_seen(config.cameras, asker.config.cameras, model.images)
    joints = _joints(config, asker.space)
    settings = CommandSettings.of(config, joints)
    recording, guessed = as_robot(recording, args.dataset, settings, asker.space)
    topics = topic_map(recording.topics, told_topics(args.topics), {
        name: config.for_camera(name).image_transport for name in config.cameras or ('',)},
        asker.protects)
    infos = _infos(args.camera_info, config)
    looking, notes = _looking(args, config, asker, topics, infos, shown, recording)
    notes += _check_part(looking, recording, topics.images[looking.main])
    _check_inputs(looking, topics, asker, recording)
    return Seen(recording, topics, looking, settings, joints,
                (*guessed, *topics.notes, *notes))


def check_text(option: str, text: str, config) -> None:
    """Raise ConfigError for an instruction, of an option, that a node would not take."""
    why = why_unusable(text.strip(), config.max_instruction_length) if text.strip() else ''
    if why:
        raise ConfigError(f'{option}: {why}')


def _joints(config, space) -> tuple[str, ...]:
    """Return the names of the joints that a policy commands, the robot's; () for none."""
    if space is None or space.is_cartesian:
        return ()
    joints = tuple(config.arm_joints or space.arm_names)
    if joints and len(joints) != len(space.arm_names):
        raise ConfigError(f'parameter arm_joints names {len(joints)} joints, the policy tells '
                          f'{len(space.arm_names)}: {", ".join(space.arm_names)}')
    return joints


def _infos(texts, config) -> dict:
    """Return {camera: camera_info} of the files that are told."""
    infos = {}
    for text in texts:
        camera, equals, path = text.partition('=')
        if not equals:
            camera, path = '', text
        known = config.cameras or ('',)
        if camera not in known:
            raise ConfigError(f'--camera-info {text}: ' + (
                f'{unknown_names([camera], known)} is none of the cameras {list(known)}: give '
                'CAMERA=FILE.yaml' if config.cameras else
                f'there is no camera {camera!r} in the parameter cameras: give FILE.yaml'))
        infos[camera] = read_camera_info(path, config.for_camera(camera).camera_rectified)
    return infos


def _looking(args, config, asker: Asker, topics, infos, shown,
             recording) -> tuple[LookOptions, list[str]]:
    """Return how the recording is looked at, and notes on what it cannot tell."""
    notes, observers = [], {}
    for name in config.cameras or ('',):
        options = ObserverOptions.of(config.for_camera(name))
        missing = _not_localized(name, topics, infos)
        if missing:
            notes.append(
                f'{missing}: frames of the robot cannot be found in the image'
                f'{" of camera " + name if name else ""}, so no tokens are protected'
                + ('; a running node would not move' if options.require_localization
                   and asker.protects and name in shown else ''))
        observers[name] = replace(
            options, needs_localization=not missing, require_localization=bool(
                options.require_localization and asker.protects))
    return LookOptions(
        observers, shown[0], state_of(asker.config), (), config.image_timeout,
        args.instruction.strip(), config.max_instruction_length, infos,
        chosen_episodes(args.episodes, recording, topics.images[shown[0]]), args.start, args.end,
        getattr(args, 'stride', 1), shown), notes


def _not_localized(camera, topics: TopicMap, infos) -> str:
    """Return what a recording lacks to find frames in images, '' for nothing."""
    lacks = []
    if not (topics.tf or topics.tf_static):
        lacks.append('TF')
    if not (topics.infos.get(camera) or camera in infos):
        lacks.append('camera_info (--camera-info FILE.yaml gives one)')
    return f'the recording has no {" and no ".join(lacks)}' if lacks else ''


def _check_part(looking: LookOptions, recording, image_topic) -> list[str]:
    """Raise ConfigError for a part that no recording, or this one, has; note where it begins."""
    if looking.stride < 1:
        raise ConfigError(f'--stride is {looking.stride}, expected a stride of at least 1')
    if not 0 <= looking.start_s or (
            looking.end_s is not None and not looking.start_s < looking.end_s <= LATEST_S):
        raise ConfigError(f'--start is {looking.start_s:g} and --end {looking.end_s}: expected '
                          f'0 <= start < end <= {LATEST_S:g}')
    if not looking.start_s and looking.end_s is None:
        return []
    episodes = [each for index, each in enumerate(recording.episodes)
                if looking.episodes is None or index in looking.episodes]
    longest_s = max((each.end_ns - first_image_ns(recording, image_topic, each)) * 1e-9
                    for each in episodes)
    if looking.start_s > longest_s:
        raise ConfigError(f'--start is {looking.start_s:g} s, but what is replayed of '
                          f'{recording.name} lasts {longest_s:.1f} s from its first image')
    return [told_beginning(recording, image_topic, episodes[0])]


def _check_inputs(looking: LookOptions, topics, asker: Asker, recording) -> None:
    """Raise for what the policy needs and the recording cannot have."""
    known = asker.config.instructions
    if looking.instruction:
        try:
            asker.check_instruction(looking.instruction)
        except ObservationError as error:
            raise ConfigError(f'--instruction: {error}') from error
    elif not topics.instruction:
        raise ConfigError(
            f'{recording.name} has no topic of instructions: give --instruction TEXT'
            + (f', one of {"; ".join(known)}' if known else '')
            + ', or name the topic by --topics instruction=TOPIC')
    lacks = [what for what, topic in (
        ('TF', topics.tf or topics.tf_static), ('joint_states', topics.joint_states)) if not topic]
    if looking.state_names and lacks:
        raise ConfigError(
            f'the policy takes the state of the arm ({" ".join(looking.state_names)}), and '
            f'{recording.name} has no {" and no ".join(lacks)} to tell it: ' + (
                'say by --dataset FILE.yaml which of its columns do'
                if hasattr(recording, 'meaning') else
                'record them, name their topics by --topics')
            + ', or use a checkpoint that takes images alone')
    Observer(looking.shown, Heard(), TransformBuffer(), looking.state_names)
