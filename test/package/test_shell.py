# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`make shell`: what is on PATH, what is said of what is not, and a .bashrc undoes nothing."""

import os
from pathlib import Path
import pty
import re
import subprocess

import pytest
from sqap_vla_ros.support.ros_environment import ros_environment

ROOT = Path(__file__).resolve().parents[2]
SHELL = str(ROOT / 'scripts' / 'shell')
pytestmark = pytest.mark.ros


def typed(command: str, **changes) -> subprocess.CompletedProcess:
    """Return what `make shell ARGS='-c "..."'` gives, without its set-up."""
    return subprocess.run([SHELL, '-c', command], cwd=ROOT, env={**ros_environment(), **changes},
                          capture_output=True, text=True, timeout=60)


@pytest.fixture
def without_ros2(monkeypatch):
    """Let no ros2 be on PATH."""
    if not any(Path(folder, 'ros2').exists() for folder in os.environ['PATH'].split(':')):
        return
    pytest.skip('a ROS 2 installation is sourced')


def test_commands_nodes_and_the_profile_of_fast_dds_are_there():
    result = typed(
        'which sqap-vla vla_node libero_sim_node && echo $FASTRTPS_DEFAULT_PROFILES_FILE')
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert (names, result.returncode) == (
        ['sqap-vla', 'vla_node', 'libero_sim_node', 'fastdds.xml'], 0)


def test_python_has_our_messages_and_an_exit_status_comes_through():
    code = 'from sqap_vla_ros.msg import ActionChunk; import rclpy; raise SystemExit(3)'
    assert typed(f"python -c '{code}'").returncode == 3


def test_without_ros2_it_says_what_there_is_instead(without_ros2):
    result = typed('ros2 topic list')
    assert result.returncode == 127
    assert 'in no wheel' in result.stderr and '`sqap-vla watch`' in result.stderr
    assert 'make shell' in typed('rviz2').stderr
    other = typed('frobnicate')
    assert (other.stderr, other.returncode) == ('frobnicate: command not found\n', 127)


def test_without_ros2_a_node_starts_by_its_command_and_our_files_are_found(
        without_ros2, tmp_path):
    node = tmp_path / 'a_node'
    node.write_text('#!/bin/sh\necho "$@"; exit 5\n')
    node.chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    result = typed('ros2 run sqap_vla_ros a_node --ros-args -p x:="a b"', PATH=path)
    assert (result.stdout, result.returncode) == ('--ros-args -p x:=a b\n', 5)
    share = Path(typed('ros2 pkg prefix --share sqap_vla_ros').stdout.strip())
    assert (share / 'config' / 'fastdds.xml').is_file()


def test_a_ros2_that_is_there_is_the_one_that_runs(tmp_path):
    ros2 = tmp_path / 'ros2'
    ros2.write_text('#!/bin/sh\necho "the real $@"\n')
    ros2.chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    assert typed('ros2 topic list', PATH=path).stdout == 'the real topic list\n'


def test_an_interactive_shell_says_what_to_try_and_a_bashrc_undoes_nothing(tmp_path):
    (tmp_path / '.bashrc').write_text(
        "PATH=/usr/bin:/bin; PS1='mine> '; unset AMENT_PREFIX_PATH\n")
    ours, its = pty.openpty()
    with subprocess.Popen(
            [SHELL], cwd=ROOT, env={**ros_environment(), 'HOME': str(tmp_path), 'TERM': 'dumb'},
            stdin=its, stdout=its, stderr=its, start_new_session=True) as process:
        os.close(its)
        os.write(ours, b'which vla_node; echo ${AMENT_PREFIX_PATH:+kept}; (exit 4); exit\n')
        text = everything(ours)
    assert process.returncode == 0
    assert '(sqap_vla_ros) mine> ' in text
    assert re.search(r'^\S+/lib/sqap_vla_ros/vla_node\r?$', text, re.M)
    assert re.search(r'^kept\r?$', text, re.M)
    for command in ('sqap-vla info models/libero_goal', 'sqap-vla demo', 'vla_node --ros-args'):
        assert command in text


def everything(terminal: int) -> str:
    """Return what is written to a terminal until its other side closes."""
    found = b''
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:
            read = b''
        if not read:
            os.close(terminal)
            return found.decode()
        found += read
