# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a lifecycle node is active."""

from __future__ import annotations

import time

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from ..tools.session import Session

LOOK_S = 0.25  # between questions
PATIENCE_S = 10.0  # a node that loads a policy answers late; one that has gone does not


class ActiveNode:
    """Asks a lifecycle node again and again what it is, and never twice at a time."""

    def __init__(self, session: Session, node: str):
        """Ask a node by its full name; close() ends it."""
        self._session, self.name = session, node
        self._client = session.node.create_client(GetState, f'{node}/get_state')
        self._future, self._asked_s = None, 0.0

    def is_active(self) -> bool:
        """Return whether the node is there and active; takes LOOK_S at most."""
        if self._future is not None and time.monotonic() - self._asked_s > PATIENCE_S:
            self._client.remove_pending_request(self._future)
            self._future = None
        if self._future is None:
            if not self._client.service_is_ready():
                self._session.until(self._client.service_is_ready, LOOK_S)
                return False
            self._future = self._client.call_async(GetState.Request())
            self._asked_s = time.monotonic()
        if not self._session.until(self._future.done, LOOK_S):
            return False
        answer, self._future = self._future.result(), None
        if answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
            return True
        self._session.until(lambda: False, LOOK_S)
        return False

    def close(self) -> None:
        """Ask no more."""
        self._session.node.destroy_client(self._client)
