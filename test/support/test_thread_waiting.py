# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Threads wait for each other without keeping cores from other processes."""
import os
import subprocess
import sys

import pytest
from sqap_vla_ros.cli import main
from sqap_vla_ros.support.thread_waiting import SPIN, TURNS, VARIABLES, wait_briefly


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, '')  # so that it is put back
        monkeypatch.delenv(name)


def test_openmp_is_told_unless_the_user_has_said_how():
    wait_briefly()
    assert os.environ[SPIN] == TURNS


@pytest.mark.parametrize('name, value', [(SPIN, '5'), ('OMP_WAIT_POLICY', 'active')])
def test_what_a_user_said_stays(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    wait_briefly()
    assert {each: os.environ.get(each) for each in VARIABLES} == {
        each: value if each == name else None for each in VARIABLES}


def test_the_command_says_it_before_torch_is_there():
    assert main([]) == 2
    assert os.environ[SPIN] == TURNS


def test_the_node_says_it_before_torch_is_there():
    """In a process of its own: this one has torch."""
    source = ('import os, sys\n'
              'from sqap_vla_ros.ros.vla import node, process\n'
              'process.join_ros = lambda args: sys.exit(\n'
              f'    f"{{os.environ.get({SPIN!r})}} {{\'torch\' in sys.modules}}")\n'
              'node.main()\n')
    found = subprocess.run([sys.executable, '-c', source], capture_output=True, text=True)
    assert found.stderr.strip() == f'{TURNS} False'
