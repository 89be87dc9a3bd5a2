# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the node thought, for those who watch: ~/action_chunk, ~/token_selection, ~/overlay.

These are of the first camera that the policy sees; of the second one, wrist, there are
~/wrist/token_selection and ~/wrist/overlay. Of cameras that it does not see ~/<name>/overlay shows
what would be protected.
"""

from sensor_msgs.msg import Image
from sqap_vla_ros.msg import ActionChunk, TokenSelection

from .publishers import Publishers
from .. import qos
from ..messages import overlay_message, selection_message, view_header, view_message
from ..qos_overrides import RESULT

TOPICS = ('~/action_chunk', '~/token_selection', '~/overlay')


class Results(Publishers):
    """~/action_chunk, the selections and the overlays."""

    def __init__(self, node, seen=('',), further=()):
        """
        Make no publisher yet.

        seen: names of the cameras that the policy sees, in its order.  further: of the others.
        """
        super().__init__(node)
        self._seen, self._names = tuple(seen), (*seen[1:], *further)
        self._selections, self._overlays = {}, {}

    def setup(self):
        """Create the publishers."""
        self.chunk = self._made(ActionChunk, TOPICS[0])
        self.selection, self.overlay = (self._made(kind, topic) for kind, topic in (
            (TokenSelection, TOPICS[1]), (Image, TOPICS[2])))
        self._selections = {self._seen[0]: self.selection, **{
            name: self._made(TokenSelection, f'~/{name}/token_selection')
            for name in self._seen[1:]}}
        self._overlays = {self._seen[0]: self.overlay, **{
            name: self._made(Image, f'~/{name}/overlay') for name in self._names}}

    def _made(self, kind, topic):
        return self.publisher(kind, topic, qos.RESULT, qos.SILENT_PUBLISHER, RESULT)

    def publish_seen(self, policy, observation, selection, header):
        """
        Publish what was kept, drawn too if somebody looks, and the further cameras' overlays.

        selection: None where all tokens were.  header: of the image that was answered.
        """
        drawn = set()
        for index, name in enumerate(self._seen if selection is not None else ()):
            view = observation.view(name)
            self._publish_kept(name, view, selection.of_image(index), policy.image_transform,
                               view_header(view) if index else header)
            drawn.add(name)
        for name in self._names:
            if name not in drawn and name in observation.views and self._is_wanted(name):
                self._overlays[name].publish(view_message(observation.views[name]))

    def _publish_kept(self, name, view, selection, transform, header):
        self._selections[name].publish(selection_message(selection, view, header))
        if self._is_wanted(name):
            self._overlays[name].publish(overlay_message(view, selection, transform, header))

    def _is_wanted(self, name) -> bool:
        """Return whether somebody subscribes to the overlay of a camera."""
        return self._overlays[name].get_subscription_count() > 0
