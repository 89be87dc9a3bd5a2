# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
MoveIt Servo as it is: it takes no command before it is told which kind, and may be paused.

Asked at activation, without waiting for the answers: the executor goes on, and nothing moves until
they are there. Whether Servo slows down or halts by itself is read from its status.
"""

import time

from sqap_vla_ros.errors import ConfigError
from std_srvs.srv import SetBool

from ..diagnostics import ERROR, WARN
from ..polled import PolledSubscription
from ... import qos

PATIENCE_S = 2.0  # for an answer; then it is asked again
HOW_TO_GET = ('parameter servo_node is set, but moveit_msgs is not installed: '
              '`apt install ros-$ROS_DISTRO-moveit-msgs`, or set servo_node to an empty string')


class ServoClient:
    """
    Switches a servo_node to our kind of commands and unpauses it.

    why_not: (level, text) while it does not take commands, as far as is known; None when it does.
    """

    def __init__(self, node, name: str, command_type: str):
        """
        Keep name, of Servo's node, and command_type, TWIST or POSE.

        Raises ConfigError where its messages are not installed.
        """
        try:
            from moveit_msgs.msg import ServoStatus
            from moveit_msgs.srv import ServoCommandType
        except ImportError as error:
            raise ConfigError(HOW_TO_GET) from error
        self._node, self._name, self._status_kind = node, name.rstrip('/'), ServoStatus
        self._type = getattr(ServoCommandType.Request, command_type)
        self._kinds = {'switch_command_type': ServoCommandType, 'pause_servo': SetBool}
        self._requests = {
            'switch_command_type': ServoCommandType.Request(command_type=self._type),
            'pause_servo': SetBool.Request(data=False)}
        self._clients, self._status_topic, self.status = {}, None, None
        self._missing, self._future, self._servers = [], None, frozenset()

    def setup(self):
        """Create the clients."""
        self._clients = {service: self._node.create_client(kind, f'{self._name}/{service}')
                         for service, kind in self._kinds.items()}
        self._status_topic = PolledSubscription(
            self._node, self._status_kind, f'{self._name}/status', qos.SENSOR)
        self.begin()

    def teardown(self):
        """Destroy them; answers that are still to come are not heard."""
        self._forget_asked()
        for client in self._clients.values():
            self._node.destroy_client(client)
        self._clients = {}
        if self._status_topic is not None:
            self._status_topic.destroy()
            self._status_topic = None

    def begin(self):
        """Ask anew, for another may have switched or paused it since."""
        self._forget_asked()
        self._missing, self._problem = list(self._kinds), None
        self._asked_s = 0.0
        self.status = None

    def check(self):
        """Go on asking; returns (level, text) while Servo is not ready, else None."""
        if self._is_another():
            self.begin()
        for message in self._status_topic.take():
            self.status = message
        absent = [client.srv_name for client in self._clients.values()
                  if not client.service_is_ready()]
        if absent:
            self.begin()
            return ERROR, (f'MoveIt Servo does not offer {" and ".join(absent)}: nothing moves '
                           f'until it does. Start it, or correct servo_node ({self._name!r}; '
                           'empty where no Servo is to be asked)')
        self._ask()
        if not self._missing:
            return None
        return self._problem or (WARN, f'MoveIt Servo is asked for {self._missing[0]}')

    def halted(self):
        """Return what Servo says of why it slows down or halts, '' while all is well."""
        code = 0 if self.status is None else self.status.code
        return self.status.message if code else ''

    def _is_another(self):
        """
        Return whether a Servo has come: that which was switched may have died.

        Its services seem to be there for as long as its lease lasts, so that one which is started
        again meanwhile is told by who publishes the status.
        """
        known = self._servers
        self._servers = frozenset(
            bytes(publisher.endpoint_gid) for publisher in
            self._node.get_publishers_info_by_topic(self._status_topic.topic_name))
        return not self._servers <= known

    def _forget_asked(self):
        """Wait for no answer any more."""
        if self._future is not None:
            self._clients[self._missing[0]].remove_pending_request(self._future)
            self._future = None

    def _ask(self):
        """Look at the answer, and ask for the next thing that is missing."""
        if self._future is not None and self._future.done():
            self._hear(self._missing[0], self._future)
        late = time.monotonic() - self._asked_s > PATIENCE_S
        if self._future is not None and late:
            self._problem = ERROR, (f'MoveIt Servo does not answer {self._missing[0]}: nothing '
                                    'moves until it does. Does its node hang?')
        if self._missing and (self._future is None and not self._problem or late):
            service = self._missing[0]
            self._forget_asked()
            self._future = self._clients[service].call_async(self._requests[service])
            self._asked_s = time.monotonic()

    def _hear(self, service, future):
        self._future = None
        if future.exception() is None and future.result().success:
            self._missing.remove(service)
            self._problem = None
        else:
            self._problem = ERROR, (
                f'MoveIt Servo refuses {service}: nothing moves until it does not. Its log tells '
                'why')
