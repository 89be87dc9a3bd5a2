# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""QoS of topics: what a player offers, what a recorder asks for, and what it writes down."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import (
    Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime)

from ...recordings.playlist import is_latched, LATCHED, TF
from ...recordings.recording import Topic

LEAST_DEPTH = 10
LATCHED_TF = 100  # /tf_static: what several publishers latched comes from one here
QUEUE = 500  # of a recorder: messages that may wait while a disk is slow
DEEPEST = 10_000


def offered(topic: Topic) -> QoSProfile:
    """
    Return what a player offers on a topic: what its publishers did when it was recorded.

    What is latched is reliable, too: nobody who asks for the one asks for less of the other.
    """
    latched = is_latched(topic)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=min(told_depth(topic), DEEPEST),
        reliability=(ReliabilityPolicy.RELIABLE if topic.reliable or latched
                     else ReliabilityPolicy.BEST_EFFORT),
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if latched
                    else DurabilityPolicy.VOLATILE))


def told_depth(topic: Topic) -> int:
    """Return how many messages of a topic a player keeps: for whoever is slow, or comes late."""
    if not is_latched(topic):
        return max(topic.depth, LEAST_DEPTH)
    if topic.kind == TF:
        return max(topic.depth, LATCHED_TF)
    # of instructions only the last one holds; nobody is to do the one before
    return 1 if topic.name.endswith(LATCHED) else max(topic.depth, 1)


def asked(publishers: Sequence[QoSProfile]) -> QoSProfile:
    """Return what a recorder asks for, so that it hears all of a topic's publishers."""
    all_reliable = all(each.reliability == ReliabilityPolicy.RELIABLE for each in publishers)
    all_latched = all(each.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in publishers)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=QUEUE,
        reliability=(ReliabilityPolicy.RELIABLE if all_reliable
                     else ReliabilityPolicy.BEST_EFFORT),
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if all_latched
                    else DurabilityPolicy.VOLATILE))


def written(profile: QoSProfile) -> Qos:
    """Return a publisher's profile as it is written into a bag."""
    return Qos(
        _member(QosHistory, profile.history), profile.depth,
        _member(QosReliability, profile.reliability), _member(QosDurability, profile.durability),
        _time(profile.deadline), _time(profile.lifespan),
        _member(QosLiveliness, profile.liveliness), _time(profile.liveliness_lease_duration),
        profile.avoid_ros_namespace_conventions)


def _member(kind, policy):
    """Return rosbags' member of a policy of rclpy; both have the names that ROS gave them."""
    return kind.__members__.get(policy.name, kind.UNKNOWN)


def _time(duration) -> QosTime:
    return QosTime(duration.nanoseconds // 10**9, duration.nanoseconds % 10**9)
