# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
A subscription that no executor serves: who looks empties its queue first.

For streams that are looked up once an image. Served in callbacks, one message a turn, a stream of
hundreds a second would fall behind the images, which are read newest-only, as soon as the
executor is busy; and each message would cost it a millisecond.
"""

from rclpy.callback_groups import CallbackGroup
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import deserialize_message

from .. import qos
from ..qos_overrides import changeable


class _Unserved(CallbackGroup):
    """A group whose members no executor, of any kind, may execute."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False

    def ending_execution(self, entity):
        pass


class PolledSubscription:
    """Messages of a topic since the last look; to be used by one thread at a time."""

    def __init__(self, node, kind, topic: str, profile, policies: tuple[str, ...] = ()):
        """
        Subscribe; the depth of the profile is what can be kept between two looks.

        policies: of the profile, which users may change.
        """
        quality = changeable(profile, policies)
        self._node, self._kind = node, kind
        self._subscription = node.create_subscription(
            kind, topic, lambda message: None, callback_group=_Unserved(),
            event_callbacks=qos.SILENT_SUBSCRIPTION, **quality)
        self._depth = quality['qos_profile'].depth
        self._asks_for_more = profile.reliability != ReliabilityPolicy.RELIABLE == \
            quality['qos_profile'].reliability
        self.topic_name = self._subscription.topic_name

    def misfits(self) -> dict:
        """
        Return {topic: why a publisher's messages can't be received, or None}.

        Empty unless users made the subscription reliable: as it is, it hears every publisher.
        Events would tell, too, but the executor would wait for one more thing each.
        """
        if not self._asks_for_more:
            return {}
        topic = self.topic_name
        deaf = [info.node_name for info in self._node.get_publishers_info_by_topic(topic)
                if info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT]
        return {topic: (
            f'a publisher on {topic} ({", ".join(deaf)}) is best effort: nothing of it is '
            f'received, for qos_overrides.{topic}.subscription.reliability is reliable; leave '
            'that out') if deaf else None}

    def take(self, most: int | None = None, raw: bool = False) -> list:
        """
        Return the messages that came in since the last time, oldest first.

        most: how many, the depth unless told; what is left is there at the next look. A flood
        must not keep the caller for ever.  raw: as bytes, see deserialized().
        """
        messages, most = [], self._depth if most is None else most
        with self._subscription.handle:
            while len(messages) < most:
                taken = self._subscription.handle.take_message(self._kind, raw)
                if taken is None:
                    break
                messages.append(taken[0])
        return messages

    def deserialized(self, data: bytes):
        """Return a message out of its bytes."""
        return deserialize_message(data, self._kind)

    def take_numbers(self) -> list:
        """Return the numbers that their publishers gave the messages since the last time."""
        numbers = []
        with self._subscription.handle:
            while len(numbers) < self._depth:
                taken = self._subscription.handle.take_message(self._kind, True)
                if taken is None:
                    break
                numbers.append(taken[1].get('publication_sequence_number'))
        return numbers

    def destroy(self):
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)
