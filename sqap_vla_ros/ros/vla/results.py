# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node thought, for those who watch: ~/action_chunk, ~/token_selection, ~/overlay.

Of further cameras, which the policy does not see, ~/<name>/overlay shows what would be protected.
"""

from sensor_msgs.msg import Image
from sqap_vla_ros.msg import ActionChunk, TokenSelection

from .publishers import Publishers
from .. import qos
from ..messages import overlay_message, selection_message, view_message
from ..qos_overrides import RESULT

TOPICS = ('~/action_chunk', '~/token_selection', '~/overlay')


class Results(Publishers):
    """~/action_chunk, ~/token_selection and the overlays."""

    def __init__(self, node, further=()):
        """further: names of the cameras that the policy does not see."""
        super().__init__(node)
        self._names, self._further = tuple(further), {}

    def setup(self):
        """Create the publishers."""
        self.chunk, self.selection, self.overlay = (
            self.publisher(kind, topic, qos.RESULT, qos.SILENT_PUBLISHER, RESULT)
            for kind, topic in zip((ActionChunk, TokenSelection, Image), TOPICS))
        self._further = {
            name: self.publisher(Image, f'~/{name}/overlay', qos.RESULT, qos.SILENT_PUBLISHER,
                                 RESULT)
            for name in self._names}

    @property
    def overlay_is_wanted(self) -> bool:
        """Whether somebody subscribes to ~/overlay."""
        return self.overlay.get_subscription_count() > 0

    def publish_seen(self, policy, observation, selection, header):
        """
        Publish what was kept, drawn too if somebody looks, and the further cameras' overlays.

        selection: None where all tokens were.  header: of the image that was answered.
        """
        if selection is not None:
            self.selection.publish(selection_message(selection, observation, header))
            if self.overlay_is_wanted:
                self.overlay.publish(overlay_message(
                    observation, selection, policy.image_transform, header))
        for name, publisher in self._further.items():
            if name in observation.views and publisher.get_subscription_count() > 0:
                publisher.publish(view_message(observation.views[name]))
