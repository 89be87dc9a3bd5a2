# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""All topics of vla_node by their full names, and what users may change of their QoS."""

from sqap_vla_ros.errors import ConfigError

from .image_topics import image_topic
from .overrides import overrides
from .planned import POSES, TOPIC as PLANNED
from .results import TOPICS as RESULTS
from ..qos_overrides import (
    CAMERA_INFO, IMAGE, Overridable, problems, RESULT, STREAM, STREAM_DEPTH, TF_STATIC)

COMMANDS = ('delta_twist_cmds', 'target_pose', 'joint_trajectory', 'joint_commands',
            'gripper_command')
OF_COMMANDS = ('commands are reliable, of depth 1, with a deadline: one that is lost or late '
               'would leave the arm moving')
OF_STOPS = 'a message that stops the arm must not be lost'
EARLY = 'its publisher is there before parameters are read'


def topics(node, config, cameras: tuple[str, ...] = ()) -> list[Overridable]:
    """
    Return all topics that a node with this NodeConfig has, or might have.

    cameras: those that the policy sees, of which the first has ~/overlay; () while that is not
    known.
    """
    def have(kind, name, *rest, **options):
        full = node.resolve_topic_name(name)
        unmapped = node.resolve_topic_name(name, only_expand=True)
        return Overridable(kind, full, *rest, unmapped=unmapped if unmapped != full else '',
                           **options)

    main = cameras[0] if cameras else config.cameras[0] if len(config.cameras) == 1 else ''
    others = [name for name in config.cameras if name != main]
    further = [f'~/{name}/overlay' for name in others]
    further += [f'~/{name}/token_selection' for name in others if not cameras or name in cameras]
    heard = [('joint_states', STREAM, STREAM_DEPTH), ('/tf', STREAM, STREAM_DEPTH),
             ('/tf_static', TF_STATIC, 1)]
    for name in config.cameras or ('',):
        image, info = _of_camera(node, config, name)
        heard += [(image, IMAGE, 1), (info, CAMERA_INFO, 1)]
    stops = ['instruction', *filter(None, [config.estop_topic])]
    return [
        *(have('subscription', *item) for item in heard),
        *(have('publisher', name, RESULT) for name in (*RESULTS, *further, PLANNED, POSES)),
        *(have('publisher', name, why_not=OF_COMMANDS) for name in COMMANDS),
        *(have('subscription', name, why_not=OF_STOPS) for name in stops),
        have('publisher', '/diagnostics', why_not=EARLY)]


def _of_camera(node, config, camera):
    """Return the names of a camera's image and camera_info topics, before remapping."""
    compressed = config.for_camera(camera).image_transport == 'compressed'
    prefix = f'{camera}/' if camera else ''
    return image_topic(node, compressed, f'{prefix}image'), f'{prefix}camera_info'


def check_cameras(node, config):
    """Raise ConfigError for two cameras that would hear the same images or camera_info."""
    heard = {}
    for camera in config.cameras:
        image, info = map(node.resolve_topic_name, _of_camera(node, config, camera))
        for topic, what in ((image, 'image'), (info, 'camera_info')):
            other = heard.setdefault(topic, camera)
            if other != camera and (what == 'image' or config.needs_localization):
                raise ConfigError(
                    f'cameras {other} and {camera} are both on the topic {topic}: remap '
                    f'{other}/{what} and {camera}/{what} to topics of their own')


def check_quality(node, config, cameras: tuple[str, ...] = ()):
    """
    Raise ConfigError for qos_overrides that reach nothing of a node, or may not be.

    cameras: see topics; what can be told without it is worth telling before a policy is loaded.
    """
    found = problems(overrides(node), topics(node, config, cameras))
    if found:
        raise ConfigError('. '.join(found))
