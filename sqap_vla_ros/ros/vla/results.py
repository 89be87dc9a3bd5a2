# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What the node thought, for those who watch: ~/action_chunk, ~/token_selection, ~/overlay."""

from sensor_msgs.msg import Image
from sqap_vla_ros.msg import ActionChunk, TokenSelection

from .publishers import Publishers
from .. import qos


class Results(Publishers):
    """~/action_chunk, ~/token_selection and ~/overlay."""

    def setup(self):
        """Create the publishers."""
        self.chunk, self.selection, self.overlay = (
            self.publisher(kind, topic, qos.RESULT, qos.SILENT_PUBLISHER)
            for kind, topic in ((ActionChunk, '~/action_chunk'),
                                (TokenSelection, '~/token_selection'), (Image, '~/overlay')))

    @property
    def overlay_is_wanted(self) -> bool:
        """Whether somebody subscribes to ~/overlay."""
        return self.overlay.get_subscription_count() > 0
