# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Which topic of a recording is what: told, by its name, or as the only one that it can be.

Commands are never guessed by their type alone: a twist or pose may as well have been measured.
What was guessed is told in notes, and how to say it otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from .camera_topics import camera_topics, FLAG
from .topic_roles import COMMANDS, found, OTHERS, ROLES
from ..errors import ConfigError
from ..recordings.recording import Topic
from ..support.validation import nearest

LOCALIZING = ('tf', 'tf_static')


@dataclass(frozen=True)
class TopicMap:
    """
    Names of topics as they stand in the recording, '' where there is none.

    images, infos: of each camera by its name, '' for the only one; camera_info may be missing.
    commands: recorded ones, {'twist', 'pose', 'joints' or 'gripper': Topic}.  notes: what was
    guessed or is missing, in words.
    """

    images: Mapping[str, str]
    infos: Mapping[str, str]
    tf: str = ''
    tf_static: str = ''
    joint_states: str = ''
    instruction: str = ''
    robot_description: str = ''
    clock: str = ''
    commands: Mapping[str, Topic] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def heard(self) -> frozenset[str]:
        """Return the topics that a live node would hear."""
        single = (getattr(self, role) for role in OTHERS)
        return frozenset(filter(None, (*self.images.values(), *self.infos.values(), *single)))


def told_topics(texts: Iterable[str]) -> dict[str, str]:
    """
    Return {what: topic} of texts such as image=/camera/color or wrist/image=/wrist.

    An empty topic says that there is none of it.  Raises ConfigError for any other text.
    """
    told = {}
    for text in texts:
        what, separator, topic = text.partition('=')
        if not separator or not what:
            raise ConfigError(f'{FLAG} {text}: expected WHAT=TOPIC, such as image=/camera/color; '
                              f'what: {", ".join(("image", "camera_info", *ROLES))}, or '
                              'wrist/image and wrist/camera_info of a camera named wrist')
        if told.get(what, topic) != topic:
            raise ConfigError(f'{FLAG} names {what} twice: {told[what]} and {topic}')
        told[what] = topic
    return told


def topic_map(topics: Collection[Topic], told: Mapping[str, str] | None = None,
              cameras: Mapping[str, str] | None = None, localized: bool = True) -> TopicMap:
    """
    Return which topic is what.

    topics: those of the recording.  told: as told_topics has it, what the user says.  cameras:
    {name: image_transport, 'raw' or 'compressed'} of the parameter cameras, {'': 'raw'} for the
    only one.  localized: whether TF is asked for, and missed where there is none.
    Raises ConfigError for a told topic that is not there or of another type, and where images
    are missing or it is not clear which are meant; it lists those that there are.
    """
    told, cameras, notes = dict(told or {}), dict(cameras or {'': 'raw'}), []
    _check_told(told, cameras)
    images, infos = camera_topics(topics, told, cameras, notes)
    missed = LOCALIZING[:1] if localized else ()
    single = {role: found(role, topics, told, notes, role in missed) for role in OTHERS}
    commands = {role: found(role, topics, told, notes) for role in COMMANDS}
    return TopicMap(
        images, infos, **{role: topic.name if topic else '' for role, topic in single.items()},
        commands={role: topic for role, topic in commands.items() if topic},
        notes=tuple(dict.fromkeys(notes)))


def _check_told(told, cameras) -> None:
    """Raise ConfigError for what is told of no camera and no role."""
    known = [f'{camera}/{what}' if camera else what
             for camera in cameras for what in ('image', 'camera_info')] + list(ROLES)
    for what in told:
        if what not in known:
            raise ConfigError(f'{FLAG} {what}={told[what]}: {what!r} is unknown'
                              f'{nearest(what, known)}; expected one of {", ".join(known)}')
