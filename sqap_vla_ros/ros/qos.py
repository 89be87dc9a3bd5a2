# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Quality of service of each topic, and the event that says two sides do not fit."""

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy, HistoryPolicy, LivelinessPolicy, qos_policy_name_from_kind, QoSProfile,
    ReliabilityPolicy)

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


def _profile(reliability, depth, durability=DurabilityPolicy.VOLATILE):
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability,
                      durability=durability)


SENSOR = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
SENSOR_LATCHED = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)
CLOCK = SENSOR
# Read once an image: deep enough for what comes in between. Best effort hears every publisher.
JOINT_STATES = _profile(ReliabilityPolicy.BEST_EFFORT, 2000)
TF_POLLED = _profile(ReliabilityPolicy.BEST_EFFORT, 1000)
PROBE = _profile(ReliabilityPolicy.BEST_EFFORT, 30)
COMMAND = _profile(ReliabilityPolicy.RELIABLE, 1)
INSTRUCTION = _profile(ReliabilityPolicy.RELIABLE, 1)
INSTRUCTION_LATCHED = _profile(ReliabilityPolicy.RELIABLE, 1, DurabilityPolicy.TRANSIENT_LOCAL)
# Deep: a press that a release follows at once must not be lost.
ESTOP = _profile(ReliabilityPolicy.RELIABLE, 100)
ESTOP_LATCHED = _profile(ReliabilityPolicy.RELIABLE, 100, DurabilityPolicy.TRANSIENT_LOCAL)
DESCRIPTION = INSTRUCTION_LATCHED
DESCRIPTION_VOLATILE = _profile(ReliabilityPolicy.BEST_EFFORT, 1)
RESULT = _profile(ReliabilityPolicy.RELIABLE, 5)
DIAGNOSTICS = _profile(ReliabilityPolicy.RELIABLE, 10)
TF = _profile(ReliabilityPolicy.RELIABLE, 100)
TF_STATIC = _profile(ReliabilityPolicy.RELIABLE, 100, DurabilityPolicy.TRANSIENT_LOCAL)


DEADLINE_PERIODS = 4  # of commands: what a receiver may ask for, and must not expect less than
LIVELINESS_LEASE_S = 1.0  # after which a receiver that asks for it hears that the process is gone


def repeated_command(period_s: float) -> QoSProfile:
    """
    Return COMMAND for a topic that is told every period_s while the arm is to move.

    A receiver that asks for the same deadline or a longer one hears from its middleware that
    commands have ceased, and by liveliness that the process has died; one that asks for
    neither notices nothing of it.
    """
    profile = _profile(ReliabilityPolicy.RELIABLE, 1)
    profile.deadline = Duration(nanoseconds=round(DEADLINE_PERIODS * period_s * 1e9))
    profile.liveliness = LivelinessPolicy.AUTOMATIC
    profile.liveliness_lease_duration = Duration(seconds=LIVELINESS_LEASE_S)
    return profile


def _policy(event) -> str:
    """Return what an incompatible-QoS event is about, such as 'RELIABILITY'."""
    return qos_policy_name_from_kind(event.last_policy_kind).rpartition('.')[2]


# Each kind of event is one more thing that the executor waits for, and it rebuilds that list
# in Python for every message; hence only the events that are reported.
SILENT_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)
SILENT_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)


def subscription_events(topic: str, report) -> SubscriptionEventCallbacks:
    """Call report(topic, message) when a publisher turns up whose messages can't be received."""
    def incompatible(event):
        report(topic, f'a publisher on {topic} offers an incompatible {_policy(event)}: nothing '
               'of it is received; change its QoS')
    return SubscriptionEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False)


def publisher_events(topic: str, report) -> PublisherEventCallbacks:
    """Call report(topic, message) when a subscriber turns up that can't receive commands."""
    def incompatible(event):
        report(topic, f'a subscriber of {topic} asks for an incompatible {_policy(event)}: it '
               'receives no commands; change its QoS')
    return PublisherEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False)
