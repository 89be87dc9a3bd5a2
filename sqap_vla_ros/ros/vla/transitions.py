# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Lifecycle transitions that somebody asks for: those that are not allowed are refused in words.

rclpy lets rcl's error out of the service's callback, and with it ends the process: a second
`configure`, `activate` of an active node, or launch's ChangeState beside autostart.
"""


def allowed_transitions(node) -> dict[int, str]:
    """Return {id: label} of the transitions that a LifecycleNode's present state allows."""
    return {transition[0]: transition[1]
            for transition in node._state_machine.available_transitions}


def state_name(node) -> str:
    """Return the label of a LifecycleNode's state, such as 'inactive'."""
    return node._state_machine.current_state[1]


def refuse_what_is_not_allowed(node) -> None:
    """Let a LifecycleNode's change_state service answer success=False instead of raising."""
    service = node._service_change_state
    change = service.callback

    def answer(request, response):
        """Refuse what is not allowed now; let rclpy do the rest."""
        wanted = request.transition
        allowed = allowed_transitions(node)
        is_allowed = (wanted.label in allowed.values() if wanted.label
                      else wanted.id in allowed)
        if is_allowed:
            return change(request, response)
        node.get_logger().warning(
            f'the transition {wanted.label or wanted.id} is refused: the node is '
            f'{state_name(node)}, which allows '
            + ', '.join(f'{label} ({number})' for number, label in allowed.items()))
        response.success = False
        return response
    service.callback = answer
