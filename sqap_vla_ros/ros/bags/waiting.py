# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a lifecycle node is active."""

from __future__ import annotations

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from ..tools.session import Session

LOOK_S = 0.25  # between questions
ANSWER_S = 2.0


def is_active(session: Session, node: str) -> bool:
    """Return whether a node is there and active; asks it, and takes LOOK_S or a little more."""
    client = session.node.create_client(GetState, f'{node}/get_state')
    try:
        session.until(client.service_is_ready, LOOK_S)
        if not client.service_is_ready():
            return False
        future = client.call_async(GetState.Request())
        if not session.until(future.done, ANSWER_S):
            return False
        active = future.result().current_state.id == State.PRIMARY_STATE_ACTIVE
    finally:
        session.node.destroy_client(client)
    session.until(lambda: active, LOOK_S)
    return active
