# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node, and a second camera, as processes that the rig starts and ends."""
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time

from sqap_vla_ros.ros.vla.config import PARAMETERS as KNOWN
from sqap_vla_ros.support.ros_environment import FASTDDS_VARIABLES, ros_environment

from .policy import VARIABLE

HERE = Path(__file__).resolve().parent
PARAMETERS = {
    'base_frame': 'base', 'end_effector_frames': ['end_effector'], 'gripper_joint': 'finger',
    'keep_tokens': 154, 'autostart': True, 'dry_run': False, 'require_resume': False}
PLAIN = ('use_sim_time',)


class NodeProcess:
    """vla_node with the chosen policy, or with a real one; its log is kept."""

    def __init__(self, parameters=(), policy=True, name='vla_node', remap=()):
        """Start it: parameters that this version does not know are left out, but for raw ones."""
        self._directory = tempfile.TemporaryDirectory()
        self.file = Path(self._directory.name) / 'behaviour'
        self.log_path = self.file.with_name('log')
        self.behave('good')
        given = {**PARAMETERS, **dict(parameters)}
        raw = given.pop('raw', {})
        values = {name: value for name, value in given.items() if name in KNOWN or name in PLAIN}
        words = [word for key, value in {**values, **raw}.items()
                 for word in ('-p', f'{key}:={_text(value)}')]
        module = [str(HERE / 'policy.py')] if policy else [
            '-c', 'import sys; from sqap_vla_ros.ros.vla import node; sys.exit(node.main())']
        self._log = self.log_path.open('w')
        self.process = subprocess.Popen(
            [sys.executable, *module, '--ros-args', '-r', f'__node:={name}', *words, *remap],
            env={**ros_environment(), VARIABLE: str(self.file)}, stdout=self._log,
            stderr=subprocess.STDOUT)

    def behave(self, name):
        """Let the policy answer in another way from its next answer on; returns when."""
        new = self.file.with_suffix('.new')
        new.write_text(name)
        new.replace(self.file)
        return time.monotonic()

    @property
    def alive(self):
        """Whether the process runs."""
        return self.process.poll() is None

    @property
    def text(self):
        """Return what it has logged."""
        return self.log_path.read_text(errors='replace')

    def signal(self, number):
        """Send a signal; returns when."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self, timeout_s=10.0):
        """End it, kindly first; returns the exit status."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            if self.alive:
                self.process.send_signal(number)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        return self.process.returncode

    def close(self):
        """End it and forget its log."""
        self.end()
        self._directory.cleanup()


def start_camera(profile=True):
    """Return the process of a camera driver, with or without our Fast DDS profile."""
    environment = ros_environment()
    if not profile:
        for name in FASTDDS_VARIABLES:
            environment.pop(name, None)
    return subprocess.Popen([sys.executable, '-c', CAMERA], cwd=HERE.parent, env=environment,
                            stderr=subprocess.DEVNULL)


CAMERA = """
import time
import rclpy
from rig.robot import Robot
rclpy.init()
robot = Robot('rig_camera')
robot.sends = {'image', 'info'}
for publisher in (robot.tf, robot.tf_static, robot.joints, robot.words):
    robot.node.destroy_publisher(publisher)
while rclpy.ok():
    time.sleep(0.1)
"""


def _text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)).replace("'", '') if isinstance(value, (list, tuple)) else str(value)
