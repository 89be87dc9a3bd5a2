# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording are the images and the camera_info of each camera."""

from __future__ import annotations

import re

from .topic_roles import FLAG, HOLDS_NONE, told_topic
from ..calibration.names import sibling_info, those_there
from ..errors import ConfigError

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'
SUFFIX = '/compressed'
UNREAD = re.compile('(?i)compressedvideo|ffmpegpacket|compressedimage|theora|image|h26[45]')
_NO_PICTURE = re.compile('depth|disparity|overlay|confidence|segmentation|mask')
_PARTS = re.compile('[/.]')


def camera_topics(topics, told, cameras, notes) -> tuple[dict[str, str], dict[str, str]]:
    """
    Return ({camera: topic of its images}, {camera: topic of its camera_info, where known}).

    See topics.topic_map for the arguments; what is guessed is added to notes.  Raises
    ConfigError.
    """
    pictures = _pictures(topics)
    images, infos = {}, {}
    for camera, transport in cameras.items():
        images[camera] = _image(topics, pictures, told, camera, transport, notes)
        infos[camera] = _info(topics, told, camera, images[camera], notes)
    _check_apart(images)
    return images, {camera: name for camera, name in infos.items() if name}


def _pictures(topics) -> dict:
    """Return {name without /compressed: {'raw' or 'compressed': topic}} of colour images."""
    found = {}
    for topic in topics:
        if topic.kind in (IMAGE, COMPRESSED) and not _NO_PICTURE.search(topic.name.lower()):
            base = topic.name.removesuffix(SUFFIX) if topic.kind == COMPRESSED else topic.name
            found.setdefault(base, {})['raw' if topic.kind == IMAGE else 'compressed'] = topic
    return found


def _image(topics, pictures, told, camera, transport, notes) -> str:
    what = f'{camera}/image' if camera else 'image'
    if what in told:
        return _told(what, told[what], topics, transport)
    filled = _pictures([topic for topic in topics if topic.count])
    topic, is_sure = _picture(filled, camera, transport, what)
    named, is_named = _picture(pictures, camera, transport, what)
    if topic is None:  # nobody has counted, or all are empty
        topic, is_sure = named, is_named
    if topic is None:
        raise ConfigError(_no_images(topics, pictures, what))
    if is_named and named != topic:
        notes.append(HOLDS_NONE.format(what, named.name))
    if not is_sure:
        notes.append(f'{what} is taken from {topic.name}, the only one that it can be: '
                     f'{FLAG} {what}=TOPIC names another')
    return topic.name


def _picture(pictures, camera, transport, what):
    """Return (the topic of a camera's images or None, whether it is sure)."""
    base, is_sure = _base(pictures, camera, what)
    kinds = pictures.get(base, {})
    return kinds.get(transport) or next(iter(kinds.values()), None), is_sure


def _told(what, name, topics, transport) -> str:
    """Return the told topic; its transport counts where it has the very name of no topic."""
    if not name:
        raise ConfigError(f'{FLAG} {what}= is empty, but a policy sees images: name their topic')
    there = {topic.name.strip('/') for topic in topics}
    sister = name.strip('/') + SUFFIX
    if sister in there and (transport == 'compressed' or name.strip('/') not in there):
        name = sister
    return told_topic(what, name, topics, (IMAGE, COMPRESSED)).name


def _base(pictures, camera, what):
    """Return (the name of the camera's images without transport or None, whether it is sure)."""
    named = [base for base in pictures if base.strip('/') == what]
    if named:
        return named[0], True
    for fits in ((lambda base: camera in _PARTS.split(base)),
                 (lambda base: camera.lower() in base.lower())) if camera else (bool,):
        bases = [base for base in pictures if fits(base)]
        if len(bases) == 1:
            return bases[0], False
    return None, False


def _no_images(topics, pictures, what) -> str:
    if pictures:
        return (f'it is not clear which images of the recording are {what}: '
                + those_there(what, pictures, 'topics of images')
                + f'. Name one by {FLAG} {what}=TOPIC')
    odd = [f'{topic.name} ({topic.kind})' for topic in topics
           if topic.kind in (IMAGE, COMPRESSED) or UNREAD.search(topic.kind.rpartition('/')[2])]
    text = ('the recording has no colour images, which a policy needs: expected a topic of type '
            f'{IMAGE} or {COMPRESSED}')
    if odd:
        return f'{text}; {those_there(what, odd, "topics of other pictures")}'
    return (f'{text}; ' + those_there(what, [f'{topic.name} ({topic.kind})' for topic in topics],
                                      'topics')
            + '. Record the camera, too: docs/bags.md has the topics')


def _info(topics, told, camera, image, notes) -> str:
    what = f'{camera}/camera_info' if camera else 'camera_info'
    if what in told:
        return told_topic(what, told[what], topics, (INFO,)).name if told[what] else ''
    infos = [topic for topic in topics if topic.kind == INFO]
    there = [topic.name for topic in infos]
    exact = [topic for wanted in (what, sibling_info(image)) for topic in infos
             if topic.name.strip('/') == wanted.strip('/')]
    if exact:  # without messages if all are empty, or nobody has counted
        return next((topic for topic in exact if topic.count), exact[0]).name
    mine = [name for name in there if not camera or camera.lower() in name.lower()]
    if len(mine) == 1 and 'depth' not in mine[0].lower():
        notes.append(f'{what} is taken from {mine[0]}, the only one that it can be: '
                     f'{FLAG} {what}=TOPIC names another')
        return mine[0]
    if there:
        notes.append(f'no {what} is taken: none is called {sibling_info(image)}; '
                     + those_there(what, there, 'topics of camera_info')
                     + f'. Name one by {FLAG} {what}=TOPIC')
    return ''


def _check_apart(images) -> None:
    """Raise ConfigError for two cameras on the same images."""
    seen = {}
    for camera, topic in images.items():
        other = seen.setdefault(topic, camera)
        if other != camera:
            raise ConfigError(f'cameras {other} and {camera} are both on {topic}: name the topic '
                              f'of each by {FLAG} {other}/image=TOPIC {camera}/image=TOPIC')
