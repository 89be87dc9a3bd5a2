# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Whether another node of the graph has this one's name.

Two robots that were started alike: whoever asks one of them, by service, parameter or action, is
answered by either, and the images of one drive the arm of the other. ROS only warns of it.
"""

from .diagnostics import ERROR, OK

CURE = ('stop all but one, or give each robot a namespace of its own: --ros-args -r __ns:=/left, '
        'or namespace:=left of vla.launch.py. One that was killed is listed for up to 20 s')


class Namesakes:
    """Looks at the graph; why_not: (level, text) while another node has this name, else None."""

    def __init__(self, node):
        """Take no other to be there until look()."""
        self._node, self.why_not = node, None

    def look(self):
        """Look, and return (level, text, values) of the status `name`."""
        own = self._node.get_name(), self._node.get_namespace()
        count = self._node.get_node_names_and_namespaces().count(own)
        name = self._node.get_fully_qualified_name()
        self.why_not = None if count < 2 else (
            ERROR, f'{count} nodes are named {name}: whoever speaks to one reaches either. {CURE}')
        level, text = self.why_not or (OK, f'{name} is the only one of its name')
        return level, text, {'nodes': count}
