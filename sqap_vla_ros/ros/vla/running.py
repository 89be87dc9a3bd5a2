# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The loop that runs a VlaNode: no callback that raises leaves the arm moving."""

import traceback

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

BUGS_IN_A_ROW = 20  # of a node that does nothing else any more: it ends
MEANWHILE = 20  # calls that came in while the policy was loading, served before activation


def spin(node) -> bool:
    """
    Run a node until it is interrupted; returns False if autostart failed.

    A callback that raises stops the arm; the node goes on, so that it can be asked and told.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    bugs = 0
    try:
        if node.get_parameter('autostart').value:
            if not node.start(lambda: [serve(node, executor, 0) for _ in range(MEANWHILE)]):
                return node.interrupted.is_set()
        while not node.interrupted.is_set():
            bugs = 0 if serve(node, executor) else bugs + 1
            if bugs > BUGS_IN_A_ROW:
                return False
    except ExternalShutdownException:
        return True
    finally:
        _end(node, executor)
    return True


def _end(node, executor):
    """Stop the arm however it came to this, while there is an executor to send results."""
    try:
        if node.context.ok():
            node.take_apart()
            for _ in range(MEANWHILE):  # the result of a goal goes out
                serve(node, executor, 0)
    except ExternalShutdownException:
        return
    finally:
        executor.shutdown()


def serve(node, executor, timeout_s: float = 0.1) -> bool:
    """Run what is due; returns False if it raised, after the arm was stopped."""
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        raise
    except Exception:  # the executor thread's top frame: whatever it is, the arm stops
        node.problem = traceback.format_exc()
        node.stop_after(node.problem)
        return False
    return True
