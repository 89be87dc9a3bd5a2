# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The robot's URDF: from a file, or from robot_description, on which it is published once."""

from pathlib import Path
import time

from sqap_vla_ros.control.output_modes import needs_kinematics
from sqap_vla_ros.errors import ConfigError
from std_msgs.msg import String

from .polled import PolledSubscription
from .. import qos

TOPIC = 'robot_description'
POLL_S = 0.02
BRIEF_S = 1.0  # for one that is published already, and not needed


def urdf_for(node, config, kind: str) -> str | None:
    """
    Return the URDF's text for a joint output and a policy's action kind; None where none came.

    A policy that tells joints needs none where max_joint_speeds has their speeds, and does not
    wait for one for long: it then goes without the URDF's position limits, and a warning tells.
    Raises ConfigError where it is needed.
    """
    has_speeds = min(config.max_joint_speeds) > 0 and not needs_kinematics(kind, config.output)
    timeout_s = config.robot_description_timeout
    text, why_not = read_urdf(node, config, min(timeout_s, BRIEF_S) if has_speeds else timeout_s)
    if text is None and needs_kinematics(kind, config.output):
        raise ConfigError(why_not)
    if text is None and has_speeds:
        node.get_logger().warning(f'{why_not}. Joints keep to joint_lower_limits and '
                                  'joint_upper_limits alone')
    return text


def read_urdf(node, config, timeout_s: float) -> tuple[str | None, str]:
    """
    Return the URDF as text, that of urdf_file or what robot_description tells, and why not.

    Waits for the topic up to timeout_s or until node.interrupted is set; called
    while the executor is busy with the transition, so the topic is polled. Without one the text
    is None, and beside it stands what to do. Raises ConfigError for a urdf_file that can't be
    read.
    """
    if config.urdf_file:
        return _read_file(Path(config.urdf_file)), ''
    topics = [PolledSubscription(node, String, TOPIC, profile)
              for profile in (qos.DESCRIPTION, qos.DESCRIPTION_VOLATILE)]
    try:
        text = _wait(node, topics, timeout_s)
        why_not = _why_not(node, topics[0].topic_name, config, timeout_s) if text is None else ''
    finally:
        for topic in topics:
            topic.destroy()
    return text, why_not


def _read_file(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'parameter urdf_file is {str(path)!r}, which cannot be read: {error}. '
                          'It names a URDF (of xacro: the result), or is empty for the topic '
                          f'{TOPIC}') from error


def _wait(node, topics, timeout_s: float) -> str | None:
    """Return the newest description, as soon as there is one; None after a time."""
    end_s = time.monotonic() + timeout_s
    while not node.interrupted.is_set():
        for topic in topics:
            for message in reversed(topic.take()):
                return message.data
        if time.monotonic() >= end_s:
            return None
        time.sleep(POLL_S)
    raise ConfigError(f'interrupted while waiting for {topics[0].topic_name}')


def _why_not(node, topic: str, config, timeout_s: float) -> str:
    """Return what to say of a topic on which nothing came."""
    waited = (f'no URDF came on {topic} within {timeout_s:g} s, for output '
              f'{config.output}: ')
    infos = node.get_publishers_info_by_topic(topic)
    if not infos:
        return waited + ('nobody publishes it. Start robot_state_publisher, remap '
                         f'{TOPIC}, or set urdf_file')
    offers = ', '.join(
        f'{info.node_name} ({info.qos_profile.reliability.name.lower()}, '
        f'{info.qos_profile.durability.name.lower()})' for info in infos)
    return waited + (f'{offers} publishes it, but a description that is published once reaches '
                     'a late subscriber only as reliable, transient_local. Change its QoS, or set '
                     'urdf_file')
