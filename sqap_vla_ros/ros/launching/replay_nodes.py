# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The processes of a replay, as actions of launch, and when they begin and end."""

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from launch.actions import ExecuteProcess, RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessExit
from launch_ros.event_handlers import OnStateTransition

from .nodes import vla_node
from .replaying import Replay

REST_S = 3.0  # behind the end of the bag, in which the node answers its last images
CLOSING_S = '20'  # in which a recorder closes its bag before it is killed


def has_rosbag2() -> bool:
    """Return whether `ros2 bag` is installed."""
    try:
        return all(map(get_package_prefix, ('ros2bag', 'rosbag2_transport')))
    except PackageNotFoundError:
        return False


def replay_actions(replay: Replay) -> list:
    """Return recorder, node and player; all end with the node, or a little after the player."""
    node = vla_node(replay.robot)
    player = ExecuteProcess(cmd=replay.play_command, name='player', output='screen')
    begins = player if not replay.by_rosbag2 else RegisterEventHandler(OnStateTransition(
        target_lifecycle_node=node, goal_state='active', entities=[player],
        handle_once=True))
    recorder = [] if replay.out is None else [ExecuteProcess(
        cmd=replay.record_command, name='recorder', output='screen',
        sigterm_timeout=CLOSING_S, sigkill_timeout=CLOSING_S)]
    return [
        *recorder, node, begins,
        _behind(player, lambda: TimerAction(period=REST_S, actions=[
            Shutdown(reason='the bag has been played')])),
        _behind(node, lambda: Shutdown(reason='vla_node has ended'))]


def _behind(process, then) -> RegisterEventHandler:
    """Return what does something when a process ends by itself, not by Ctrl-C."""
    return RegisterEventHandler(OnProcessExit(
        target_action=process,
        on_exit=lambda event, context: None if context.is_shutdown else then()))
