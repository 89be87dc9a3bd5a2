# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From a command line, a robot's YAML and a recording to the replay that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from .replay_config import numbers, policy_values, seen_values
from .replay_episodes import chosen_episodes
from ..control.instructions import why_unusable
from ..errors import ConfigError, ObservationError
from ..evaluate.checkpoint_files import digest
from ..geometry.transform_buffer import TransformBuffer
from ..ingest.cameras import cameras_seen
from ..ingest.info_file import read_camera_info
from ..ingest.observer import Heard, Observer, ObserverOptions
from ..ingest.state import state_of
from ..replay.dataset_robot import as_robot
from ..replay.looking import LookOptions
from ..replay.part import first_image_ns, told_beginning
from ..replay.play_options import check_latency
from ..replay.recorded_commands import CommandSettings
from ..replay.run import Replay
from ..replay.topics import told_topics, topic_map, TopicMap
from ..replay.variants import VariantOptions, Variants
from ..ros.vla.config import NodeConfig
from ..support.progress import Progress
from ..support.validation import unknown_names

LATEST_S = 1e9  # no recording is that long


@dataclass(frozen=True)
class Plan:
    """
    A replay, and what goes with its results.

    settings: of recorded commands.  facts: of results.Results.  notes: what to tell at once.
    config: of the node that would have driven the arm; latency_s: of its answers, None for as
    measured.
    """

    replay: Replay
    settings: CommandSettings
    facts: dict
    notes: tuple[str, ...]
    config: NodeConfig
    latency_s: float | None = None


def planned(args, config, recording) -> Plan:
    """Return what the command line asks for; raise the errors that a user can mend."""
    for option, text in (('--instruction', args.instruction),
                         ('--other-instruction', args.other_instruction)):
        why = why_unusable(text.strip(), config.max_instruction_length) if text.strip() else ''
        if why:
            raise ConfigError(f'{option}: {why}')
    variants = Variants(VariantOptions(
        config.checkpoint_directory, config.policy, _names(args.variants),
        numbers(args.keep, '--keep'), _names(args.controls), _names(args.control_variants),
        args.other_instruction))
    check_latency(args.latency)
    shown = cameras_seen(config.cameras, variants.config.cameras, variants.config.model.images)
    joints = _joints(config, variants.space)
    settings = CommandSettings.of(config, joints)
    recording, guessed = as_robot(recording, args.dataset, settings, variants.space)
    topics = topic_map(recording.topics, told_topics(args.topics), {
        name: config.for_camera(name).image_transport for name in config.cameras or ('',)},
        variants.protects)
    infos = _infos(args.camera_info, config)
    looking, notes = _looking(args, config, variants, topics, infos, shown, recording)
    notes += _check_part(looking, recording, topics.images[looking.main])
    _check_inputs(args, looking, topics, variants, recording)
    facts = _facts(args, recording, topics, config, variants)
    with Progress('reading the weights, to know them again'):
        decides = {**_decides(recording, looking, topics, config, variants),
                   'checkpoint_sha256': digest(config.checkpoint_directory),
                   'dataset': args.dataset and Path(args.dataset).read_text()}
    replay_ = Replay(recording, topics, looking, variants, joints, decides, args.out)
    return Plan(replay_, settings, {**facts, 'decides': decides},
                (*guessed, *topics.notes, *notes), config, args.latency)


def _joints(config, space) -> tuple[str, ...]:
    """Return the names of the joints that a policy commands, the robot's; () for none."""
    joints = () if space.is_cartesian else tuple(config.arm_joints or space.arm_names)
    if joints and len(joints) != len(space.arm_names):
        raise ConfigError(f'parameter arm_joints names {len(joints)} joints, the policy tells '
                          f'{len(space.arm_names)}: {", ".join(space.arm_names)}')
    return joints


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.replace(' ', '').split(',')))


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


def _looking(args, config, variants, topics, infos, shown,
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
                   and variants.protects and name in shown else ''))
        observers[name] = replace(
            options, needs_localization=not missing, require_localization=bool(
                options.require_localization and variants.protects))
    return LookOptions(
        observers, shown[0], state_of(variants.config), (), config.image_timeout,
        args.instruction.strip(), config.max_instruction_length, infos,
        chosen_episodes(args.episodes, recording, topics.images[shown[0]]), args.start, args.end,
        args.stride, shown), notes


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
    if looking.stride < 1 or not 0 <= looking.start_s or (
            looking.end_s is not None and not looking.start_s < looking.end_s <= LATEST_S):
        raise ConfigError(f'--start is {looking.start_s:g}, --end {looking.end_s} and --stride '
                          f'{looking.stride}: expected 0 <= start < end <= {LATEST_S:g}, and a '
                          'stride of at least 1')
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


def _check_inputs(args, looking: LookOptions, topics, variants, recording) -> None:
    """Raise for what the policy needs and the recording cannot have."""
    known = variants.config.instructions
    if looking.instruction:
        try:
            variants.check_instruction(looking.instruction)
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


def _decides(recording, looking, topics, config, variants) -> dict:
    """Return all that decides the answers, JSON values."""
    return {
        'source': recording.name, 'form': recording.form,
        'recorded': {topic.name: topic.count for topic in recording.topics},
        'times': [[each.start_ns, each.end_ns] for each in recording.episodes],
        'checkpoint': config.checkpoint_directory.name, 'policy': policy_values(config.policy),
        'rows': [[row.name, row.control] for row in variants.rows],
        'other_instruction': variants.options.other, 'instruction': looking.instruction,
        'topics': _topics_of(topics), 'camera_info': {
            name: [info.width, info.height, info.k, info.d, info.p]
            for name, info in looking.infos.items()},
        'episodes': looking.episodes, 'start_s': looking.start_s, 'end_s': looking.end_s,
        'stride': looking.stride, 'parameters': seen_values(config),
        'meaning': getattr(recording, 'meaning', '')}


def _topics_of(topics: TopicMap) -> dict:
    cameras = {**{f'{name}/image' if name else 'image': topic
                  for name, topic in topics.images.items()},
               **{f'{name}/camera_info' if name else 'camera_info': topic
                  for name, topic in topics.infos.items()}}
    single = {name: getattr(topics, name) for name in (
        'tf', 'tf_static', 'joint_states', 'instruction', 'robot_description', 'clock')}
    commands = {name: topic.name for name, topic in topics.commands.items()}
    return {name: topic for name, topic in {**cameras, **single, **commands}.items() if topic}


def _facts(args, recording, topics, config, variants) -> dict:
    """Return what the results are of, JSON values."""
    from datetime import datetime, timezone

    from ..support.machine import machine, versions
    return {
        'source': recording.name, 'form': recording.form,
        'seconds': sum(each.end_ns - each.start_ns for each in recording.episodes) * 1e-9,
        'episodes': [each.name for each in recording.episodes], 'topics': _topics_of(topics),
        'checkpoint': config.checkpoint_directory.name, 'instruction': args.instruction,
        'variants': [row.title if hasattr(row, 'title') else row.name for row in variants.rows],
        'cameras': list(config.cameras), 'frames': list(
            config.protected_frames or config.end_effector_frames),
        'notes': [], 'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'machine': machine(), 'versions': versions()}
