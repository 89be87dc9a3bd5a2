# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""From a command line, a robot's YAML and a recording to the replay that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .replay_config import numbers, seen_values
from .replay_looking import check_text, seen_of
from ..evaluate.encoder_type import rounded_vision, unusual
from ..replay.play_options import check_latency
from ..replay.recorded_commands import CommandSettings
from ..replay.run import Replay
from ..replay.topics import TopicMap
from ..replay.variants import VariantOptions, Variants
from ..ros.vla.config import NodeConfig
from ..support.checkpoint_files import digest
from ..support.progress import Progress


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
    check_text('--instruction', args.instruction, config)
    check_text('--other-instruction', args.other_instruction, config)
    variants = Variants(VariantOptions(
        config.checkpoint_directory, config.policy, _names(args.variants),
        numbers(args.keep, '--keep'), _names(args.controls), _names(args.control_variants),
        args.other_instruction))
    check_latency(args.latency)
    seen = seen_of(args, config, recording, variants)
    recording, topics, looking = seen.recording, seen.topics, seen.looking
    stands_for = {**_auto(variants), **rounded_vision(config.checkpoint_directory, config.policy)}
    facts = {**_facts(args, recording, topics, config, variants), **stands_for}
    with Progress('reading the weights, to know them again'):
        decides = {**_decides(recording, looking, topics, config, variants), **stands_for,
                   'checkpoint_sha256': digest(config.checkpoint_directory),
                   'dataset': args.dataset and Path(args.dataset).read_text()}
    replay_ = Replay(recording, topics, looking, variants, seen.joints, decides, args.out)
    return Plan(replay_, seen.settings, {**facts, 'decides': decides},
                seen.notes, config, args.latency)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.replace(' ', '').split(',')))


def _decides(recording, looking, topics, config, variants) -> dict:
    """Return all that decides the answers, JSON values."""
    return {
        'source': recording.name, 'form': recording.form,
        'recorded': {topic.name: topic.count for topic in recording.topics},
        'times': [[each.start_ns, each.end_ns] for each in recording.episodes],
        'checkpoint': config.checkpoint_directory.name, 'policy': unusual(config.policy),
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


def _auto(variants) -> dict:
    """Return what precision auto stands for, nothing where no row asks for it."""
    return {'auto': row.auto for row in variants.rows if row.auto}


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
