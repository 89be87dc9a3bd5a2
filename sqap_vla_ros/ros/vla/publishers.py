# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle publishers that come and go together: silent unless the node is active."""

from ..qos_overrides import changeable


class Publishers:
    """Publishers of a node, made in setup() and destroyed in teardown()."""

    def __init__(self, node):
        """Make none yet."""
        self._node = node
        self._publishers = []

    def activate(self):
        """Let publishers publish that were made after the node was activated."""
        for publisher in self._publishers:
            publisher.on_activate(None)

    def teardown(self):
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.pop())

    def publisher(self, kind, topic, profile, events, policies: tuple[str, ...] = ()):
        """Return a new lifecycle publisher; policies: of the profile, which users may change."""
        self._publishers.append(self._node.create_lifecycle_publisher(
            kind, topic, event_callbacks=events, **changeable(profile, policies)))
        return self._publishers[-1]
