# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO as a ROS 2 robot: `libero_sim_node`.

It publishes what a camera and an arm publish, takes commands of arm and gripper, and reports the
benchmark's own success predicate of each episode on `~/episode` (JSON, see EpisodeRecord).
One thread does everything: MuJoCo's software rendering belongs to the thread that made it, and
messages are handled between control steps, where they count.
"""
import signal
import sys
import time

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.messages import time_message
from sqap_vla_ros.ros.simulator.commands import SimCommands
from sqap_vla_ros.ros.simulator.episodes import Episode, EpisodeRecord, plan_episodes
from sqap_vla_ros.ros.simulator.pacing import Lockstep, PolicyTimeout, RealTime
from sqap_vla_ros.ros.simulator.parameters import declare_sim_settings, SimSettings
from sqap_vla_ros.ros.simulator.publishers import describe_robot, SimPublishers
from sqap_vla_ros.ros.start import join_ros
from sqap_vla_ros.sim.options import WRIST_CAMERA
from sqap_vla_ros.sim.units import COMMAND_SCALES
from std_srvs.srv import Trigger

SIGNAL_LATENCY_S = 0.1  # Python handles a signal when rclpy's wait returns
RESET_ANSWER_S = 1.0  # a first answer can get lost while the two nodes discover each other
RETRY_S = 0.2
REPORTS_S = 2.0  # how long the last reports may take; Fast DDS asks for answers every 3 s


class SimulationStopped(Exception):
    """SIGINT or SIGTERM asked the simulator to end."""


def make_libero_env(settings: SimSettings):
    """Return the LIBERO environment that the settings describe (imports MuJoCo: seconds)."""
    from sqap_vla_ros.sim.env import LiberoEnv
    from sqap_vla_ros.sim.variation import Variation
    pose = settings.camera_pose
    variation = Variation(
        yaw_rad=settings.yaw_rad, distractors=settings.distractors,
        camera_pose=(pose[:3], pose[3:]) if any(pose) else None,
        camera_jitter_m=settings.camera_jitter_m, camera_jitter_rad=settings.camera_jitter_rad,
        light_jitter=settings.light_jitter)
    return LiberoEnv(
        instructions=settings.instructions, suite=settings.suite,
        placement_m=settings.placement_m, camera=settings.camera,
        wrist_camera=settings.wrist_camera or WRIST_CAMERA,
        image_size=(settings.image_height, settings.image_width),
        initial_states=settings.initial_states, variation=variation,
        command_scale=COMMAND_SCALES[settings.command_kind])


class LiberoSimNode(Node):
    """
    The simulator's node.

    make_env: SimSettings -> environment (see LiberoEnv for what it offers). Raises ConfigError
    for parameters that do not fit together.
    """

    def __init__(self, make_env=make_libero_env, **node_arguments):
        super().__init__('libero_sim', **node_arguments)
        self.settings = declare_sim_settings(self)
        settings = self.settings
        self.plan = plan_episodes(settings.instructions, settings.instruction, settings.control,
                                  settings.episodes, settings.seed)
        self._stop_requested = False
        self._message_executor = SingleThreadedExecutor(context=self.context)
        self._message_executor.add_node(self)
        self._reset_client = self.create_client(Trigger, f'{settings.policy_node}/reset')
        self._inbox = SimCommands(self, settings)
        self._description = describe_robot(self, settings)
        self.get_logger().info('loading the LIBERO scene')
        self.env = make_env(settings)
        self.get_logger().info(
            f'the scene is loaded; waiting for {settings.policy_node} to be active')
        self._sensors = SimPublishers(self, self.env, settings)
        parts = (self.env, self._sensors, self._inbox, settings, self.spin)
        self._pacing = Lockstep(*parts) if settings.lockstep else RealTime(
            *parts, clock=self.get_clock())

    def request_stop(self) -> None:
        """Make the running `run` raise SimulationStopped soon; safe in a signal handler."""
        self._stop_requested = True

    def run(self) -> list[EpisodeRecord]:
        """
        Run all episodes, report each, and return their records.

        Raises SimulationStopped after request_stop, PolicyTimeout without a policy node.
        """
        records = []
        if self._sensors.joint_stream:
            self._sensors.joint_stream.start()
        self.env.render()  # the first frame takes seconds: textures are loaded
        self._wait_for_listeners()
        for episode in self.plan:
            record = self._run_episode(episode)
            records.append(record)
            self.get_logger().info(
                f'episode {record.index + 1}/{record.episodes} seed {record.seed} '
                f'"{record.instruction}": {"success" if record.success else "failure"} after '
                f'{record.steps} steps, real-time factor {record.real_time_factor:.2f}')
        for publisher in self._sensors.reports:
            publisher.wait_for_all_acked(Duration(seconds=REPORTS_S))
        return records

    def close(self) -> None:
        """Free the environment, the node and its executor."""
        if self._sensors.joint_stream:
            self._sensors.joint_stream.close()
        self._inbox.close()
        self.env.close()
        self._message_executor.shutdown()
        self.destroy_node()

    def spin(self, timeout_s: float) -> None:
        """Handle at most one message, waiting up to timeout_s; raise SimulationStopped."""
        self._message_executor.spin_once(timeout_sec=min(max(timeout_s, 0.0), SIGNAL_LATENCY_S))
        if self._stop_requested:
            raise SimulationStopped

    def _wait_for_listeners(self) -> None:
        """Wait until as many nodes get the images as are told; warn of those that do not come."""
        wanted = self.settings.image_listeners
        give_up_at = time.monotonic() + self.settings.policy_timeout_s
        while (image := self._sensors.image).get_subscription_count() < wanted:
            if time.monotonic() > give_up_at:
                self.get_logger().warning(
                    f'{image.get_subscription_count()} of {wanted} image_listeners subscribe to '
                    f'{image.topic_name} after {self.settings.policy_timeout_s:.0f} s: the '
                    'episodes begin without the others')
                return
            self.spin(SIGNAL_LATENCY_S)

    def _run_episode(self, episode: Episode) -> EpisodeRecord:
        settings = self.settings
        record = EpisodeRecord(
            episode.index, len(self.plan), episode.seed, episode.goal, episode.instruction,
            settings.control, settings.mode)
        self.env.reset(episode.seed, episode.goal)
        self._sensors.send_instruction(episode.instruction)
        self._reset_policy()
        self._pacing.begin(record)
        stamp = time_message(self._pacing.stamp_ns)
        self._sensors.send_static(stamp)
        self._sensors.send_episode(record)
        start = time.monotonic()
        while record.steps < settings.max_steps and not record.success:
            record.success = bool(self._pacing.step(record.steps))
            record.steps += 1
        self._finish(record, time.monotonic() - start)
        return record

    def _finish(self, record: EpisodeRecord, wall_s: float) -> None:
        record.phase = 'finished'
        record.duration_s = record.steps * self.env.dt
        record.wall_s = wall_s
        record.real_time_factor = record.duration_s / max(wall_s, 1e-9)
        record.refused = dict(self._inbox.refused)
        self._sensors.send_final_image(
            self.env.render(), time_message(self._pacing.stamp_ns))
        self._sensors.send_episode(record)

    def _reset_policy(self) -> None:
        """Call the policy node's ~/reset until it agrees."""
        give_up_at = time.monotonic() + self.settings.policy_timeout_s
        while not self._ask_for_reset(give_up_at):
            if time.monotonic() > give_up_at:
                raise PolicyTimeout(
                    f'{self._reset_client.srv_name} gave no answer for '
                    f'{self.settings.policy_timeout_s:.0f} s: is {self.settings.policy_node} '
                    'running and active, in the same ROS domain?')
            end = time.monotonic() + RETRY_S
            while time.monotonic() < end:
                self.spin(end - time.monotonic())

    def _ask_for_reset(self, give_up_at: float) -> bool:
        while not self._reset_client.service_is_ready():
            if time.monotonic() > give_up_at:
                return False
            self.spin(SIGNAL_LATENCY_S)
        future = self._reset_client.call_async(Trigger.Request())
        answer_by = time.monotonic() + RESET_ANSWER_S
        while not future.done() and time.monotonic() < answer_by:
            self.spin(SIGNAL_LATENCY_S)
        if not future.done():
            self._reset_client.remove_pending_request(future)
            return False
        return future.result().success


def main(args=None, make_env=make_libero_env) -> int:
    """Run the node until its episodes are over or a signal comes; return the exit status."""
    def stop(signal_number, frame):
        if node is None:
            raise SimulationStopped
        node.request_stop()

    node = None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        join_ros(args)
        node = LiberoSimNode(make_env)
        node.run()
    except SimulationStopped:
        return 0
    except (ConfigError, ParameterException, PolicyTimeout) as error:
        print(f'libero_sim_node: {error}', file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # Ctrl-C and `ros2 launch` may both send one
        if node is not None:
            node.close()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
