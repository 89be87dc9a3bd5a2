# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
How long it takes until an arm hears that it is to stop, by what asks for it, over real topics.

vla_node runs in a process of its own with a policy that says 0.1 m/s; the robot in this one shows
images at 30 Hz. Measured is the time from the request, as it leaves this process, until the first
zero twist is here; for a process that is killed or frozen until this subscriber's middleware tells
that the deadline is missed which the topic offers.

    python -m sqap_vla_ros.support.ros_environment python benchmarks/stop_times.py
"""
import argparse
import json
from pathlib import Path
import signal
import statistics
import subprocess
import sys
import time

sys.path.append(str(Path(__file__).resolve().parents[1] / 'test'))
RESULTS = Path(__file__).resolve().parent / 'results' / 'stop_times.json'
REPEATS, REPEATS_OF_A_PROCESS = 20, 3
CONTROL_HZ = 20.0
PARAMETERS = {
    'base_frame': 'base', 'end_effector_frames': '[end_effector]', 'keep_tokens': 8,
    'autostart': 'true', 'image_timeout': 0.4, 'estop_topic': 'estop',
    'control_rate': CONTROL_HZ, 'require_resume': 'false'}
NODE = """
import sys
from ros_harness import KnownPolicy
from sqap_vla_ros.ros.vla import node
node.VlaNode.__init__.__defaults__ = (KnownPolicy, 'vla_node')
sys.exit(node.main())
"""


class Bench:
    """A robot here and vla_node in another process."""

    def __init__(self):
        """Start the process and wait until it is active."""
        from geometry_msgs.msg import TwistStamped
        from lifecycle_msgs.srv import ChangeState
        from rclpy.action import ActionClient
        from rclpy.duration import Duration
        from rclpy.qos import QoSProfile
        from ros_harness import World
        from sqap_vla_ros.action import RunPolicy
        from sqap_vla_ros.ros import qos
        from std_msgs.msg import Bool
        from std_srvs.srv import Trigger
        arguments = [word for name, value in PARAMETERS.items()
                     for word in ('-p', f'{name}:={value}')]
        self.process = subprocess.Popen(
            [sys.executable, '-c', f'import sys; sys.path.append({sys.path[-1]!r})\n{NODE}',
             '--ros-args', *arguments], stderr=subprocess.DEVNULL)
        self.world = world = World(None)
        robot = world.robot
        self.zero_s = self.missed_s = None
        robot.create_subscription(
            TwistStamped, 'delta_twist_cmds', self._heard,
            QoSProfile(depth=10, deadline=Duration(
                seconds=(qos.DEADLINE_PERIODS + 0.1) / CONTROL_HZ)),
            event_callbacks=qos.SubscriptionEventCallbacks(deadline=self._missed))
        self.estop = robot.create_publisher(Bool, 'estop', 10)
        self.clients = {name: robot.create_client(Trigger, f'vla_node/{name}')
                        for name in ('stop', 'resume')}
        self.change_state = robot.create_client(ChangeState, 'vla_node/change_state')
        self.action = ActionClient(robot, RunPolicy, 'vla_node/run_policy')
        world.until(lambda: robot.said('commands')[1] and self.action.server_is_ready(), 60)

    def close(self):
        """End everything."""
        self.process.kill()
        self.process.wait()
        self.action.destroy()
        self.world.close()

    def begin(self, goal=False):
        """Begin to move, by the topic or a goal; returns the goal's handle."""
        from sqap_vla_ros.action import RunPolicy
        from std_msgs.msg import Bool
        world, handle = self.world, None
        self.estop.publish(Bool(data=False))
        resume = self.clients['resume']
        while not self.wait_for(resume.call_async(resume.srv_type.Request())).success:
            pass  # the emergency stop's release has not been heard yet
        if goal:
            handle = self.wait_for(self.action.send_goal_async(
                RunPolicy.Goal(instruction='put the bowl on the stove')))
        world.until(world.is_moving, 60, lambda: (
            world.robot.look(), goal or world.robot.say()), 1 / 30)
        world.spin(0.3, world.robot.look)
        return handle

    def wait_for(self, future):
        """Return a future's result."""
        self.world.until(future.done, meanwhile=self.world.robot.look, period_s=1 / 30)
        return future.result()

    def measure(self, ask, done=lambda bench: bench.zero_s) -> float:
        """Return the milliseconds from ask() until done(self) has a time."""
        self.zero_s = self.missed_s = None
        began_s = time.perf_counter()
        ask()
        self.world.until(lambda: done(self), 30, self.world.robot.look, 1 / 30)
        return (done(self) - began_s) * 1e3

    def _heard(self, message):
        from ros_harness import speed
        if self.zero_s is None and not speed(message):
            self.zero_s = time.perf_counter()

    def _missed(self, event):
        self.missed_s = self.missed_s or time.perf_counter()


def by_request(repeats):
    """Yield (what asks, times in ms) of what leaves the node running."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from std_msgs.msg import Bool
    from std_srvs.srv import Trigger
    bench = Bench()

    def change(number):
        return bench.change_state.call_async(
            ChangeState.Request(transition=Transition(id=number)))
    asks = {
        '~/run_policy cancelled': lambda handle: handle.cancel_goal_async(),
        '~/stop': lambda _: bench.clients['stop'].call_async(Trigger.Request()),
        'estop_topic true': lambda _: bench.estop.publish(Bool(data=True)),
        'an empty instruction': lambda _: bench.world.robot.say(''),
        'deactivate': lambda _: change(Transition.TRANSITION_DEACTIVATE)}
    for name, ask in asks.items():
        times = []
        for _ in range(repeats):
            handle = bench.begin(goal='run_policy' in name)
            times.append(bench.measure(lambda: ask(handle)))
            if name == 'deactivate':
                bench.wait_for(change(Transition.TRANSITION_ACTIVATE))
        yield name, times
    bench.close()


def by_signal(repeats):
    """Yield (signal, times in ms) of what ends or freezes the process."""
    for number, missed in ((signal.SIGTERM, False), (signal.SIGKILL, True),
                           (signal.SIGSTOP, True)):
        times = []
        for _ in range(repeats):
            bench = Bench()
            bench.begin()
            times.append(bench.measure(
                lambda: bench.process.send_signal(number),
                lambda bench: bench.missed_s if missed else bench.zero_s))
            bench.close()
        yield f'{number.name}' + (', deadline missed' if missed else ''), times


def main():
    """Measure, print a table and write it."""
    from sqap_vla_ros.support.machine import machine
    from sqap_vla_ros.support.progress import Progress
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--repeats', type=int, default=REPEATS)
    parser.add_argument('--out', type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    print('| asked by | median, ms | longest, ms | times |\n|---|---|---|---|')
    for ways, repeats in ((by_request, options.repeats), (by_signal, REPEATS_OF_A_PROCESS)):
        measured = ways(repeats)
        while True:
            with Progress(f'stopping {repeats} times'):
                name, times = next(measured, ('', ()))
            if not times:
                break
            rows.append({'asked_by': name, 'median_ms': statistics.median(times),
                         'longest_ms': max(times), 'times': len(times)})
            print(f'| {name} | {statistics.median(times):.1f} | {max(times):.1f} | {len(times)} |',
                  flush=True)
    options.out.write_text(json.dumps(
        {'machine': machine(), 'control_rate_hz': CONTROL_HZ, 'rows': rows}, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
