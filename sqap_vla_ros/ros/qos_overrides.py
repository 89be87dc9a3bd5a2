# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Quality of service that users may change, by ROS's own parameters, and what they may not.

    qos_overrides: {/image: {subscription: {reliability: reliable}}}

rclpy passes over such a parameter if no topic has its name, and raises out of the middle of
configure for a value that is none; so all of them are looked at before anything is loaded.
Commands, instructions and the emergency stop are what safety rests on: theirs cannot be changed.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
import re

from rclpy.qos import QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

PREFIX = 'qos_overrides.'
NAME = re.compile(r'qos_overrides\.(/\S*)\.(subscription|publisher)(_[^\s.]+)?\.([a-z_]+)')
FORM = 'qos_overrides./TOPIC.subscription.reliability (or publisher; or another policy)'
VALUES = {'reliability': ('reliable', 'best_effort'),
          'durability': ('volatile', 'transient_local')}
IMAGE = CAMERA_INFO = ('reliability',)  # depth 1 is what makes it the newest
STREAM = ('reliability', 'depth')
TF_STATIC = ('reliability', 'durability')
RESULT = ('reliability', 'durability', 'depth')
STREAM_DEPTH = 100  # least that can be kept between two looks
DEEPEST = 10000
ALIKE = 0.85


@dataclass(frozen=True)
class Overridable:
    """
    What may be changed of one topic of a node.

    kind: subscription or publisher.  topic: its full name, after remapping.  policies: their
    names.  least_depth: messages.  why_not: why nothing may be changed, '' where something may.
    unmapped: its full name before remapping, '' if that is the same.
    """

    kind: str
    topic: str
    policies: tuple[str, ...] = ()
    least_depth: int = 1
    why_not: str = ''
    unmapped: str = ''


def changeable(profile: QoSProfile, policies: tuple[str, ...]) -> dict:
    """
    Return what create_subscription and create_publisher take of a profile that may be changed.

    It is a copy: rclpy writes what users ask for into the profile that it is given.
    """
    return {'qos_profile': copy(profile), 'qos_overriding_options': QoSOverridingOptions(
        [QoSPolicyKind[policy.upper()] for policy in policies])}


def problems(given: Mapping, topics: list[Overridable]) -> list[str]:
    """
    Return what to say of qos_overrides that reach nothing, or may not be.

    given: parameters by name.  topics: all of the node.  What is for a topic that this node does
    not have, nor one of nearly its name, is for another node; and so is what is for the other end
    of a topic, or for an end that has an ID, for none here has one.
    """
    found = [_problem(name, parameter.value, topics) for name, parameter in given.items()
             if name.startswith(PREFIX)]
    return [problem for problem in found if problem]


def _problem(name, value, topics) -> str:
    parts = NAME.fullmatch(name)
    if parts is None:
        return f'parameter {name} names no policy of a topic: the form is {FORM}'
    topic, kind, identity, policy = parts.groups()
    if identity:
        return ''
    same = [item for item in topics if item.topic == topic]
    if not same:
        return _no_topic(name, topic, kind, topics)
    item = next((item for item in same if item.kind == kind), None)
    return _why_not(item, name, policy, value) if item else ''


def _no_topic(name, topic, kind, topics) -> str:
    """Return what to say of an override for a topic that the node does not have, '' if nothing."""
    mapped = next((item.topic for item in topics
                   if item.unmapped == topic and item.kind == kind), None)
    if mapped:
        return (f'parameter {name} reaches nothing: {topic} is remapped to {mapped}: write that '
                'in its place')
    known = [item.topic for item in topics if _may_be_meant(topic, item.topic)]
    nearest = get_close_matches(topic, known, 1, ALIKE)
    return f'parameter {name} is for no topic of this node: did you mean {nearest[0]}?' \
        if nearest else ''


def _may_be_meant(topic, known) -> bool:
    """Return whether one may be the other misspelt, and not that of another robot or camera."""
    (first, *rest), (known_first, *known_rest) = (
        name.strip('/').split('/') for name in (topic, known))
    same_place = first == known_first or not rest and not known_rest
    return same_place and re.findall(r'\d+', topic) == re.findall(r'\d+', known)


def _why_not(item, name, policy, value) -> str:
    if item.why_not:
        return f'parameter {name} cannot be changed: {item.why_not}'
    if policy not in item.policies:
        return (f'parameter {name} cannot be changed: of {item.topic} it is '
                f'{", ".join(item.policies)}')
    if policy in VALUES:
        return '' if value in VALUES[policy] else (
            f'parameter {name} is {value!r}, expected one of {", ".join(VALUES[policy])}')
    is_depth = isinstance(value, int) and not isinstance(value, bool)
    return '' if is_depth and item.least_depth <= value <= DEEPEST else (
        f'parameter {name} is {value!r}, expected {item.least_depth} to {DEEPEST} messages')
