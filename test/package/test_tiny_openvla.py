# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint to try the node with, for those who have none: scripts/tiny_openvla."""

from pathlib import Path
import runpy
import subprocess
import sys

from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import declared

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts/tiny_openvla'


def test_it_is_a_checkpoint_that_the_node_takes_and_is_not_written_over(
        tmp_path, monkeypatch, capsys):
    directory = tmp_path / 'tiny'
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), str(directory)])
    main = runpy.run_path(str(SCRIPT), run_name='tiny_openvla')['main']
    assert main() == 0
    space = declared(directory, PolicyOptions()).action_space
    assert (space.kind, space.frame, space.dt, space.execute_steps) == ('delta', 'base', 0.2, 1)
    written = (directory / 'deployment.json').stat().st_mtime_ns
    assert main() == 1
    assert 'is there already' in capsys.readouterr().err
    assert (directory / 'deployment.json').stat().st_mtime_ns == written


def test_an_openvla_oft_is_one_that_the_node_takes(tmp_path, monkeypatch):
    directory = tmp_path / 'tiny'
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), '--oft', str(directory)])
    assert runpy.run_path(str(SCRIPT), run_name='tiny_openvla')['main']() == 0
    config = declared(directory, PolicyOptions())
    assert (config.cameras, config.state_names[0]) == (('full', 'wrist'), 'x')
    assert config.action_space.execute_steps == 8


def test_without_a_directory_it_says_how_it_is_used():
    result = subprocess.run([sys.executable, '-S', str(SCRIPT)], check=False,
                            capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (
        2, 'usage: scripts/tiny_openvla [--oft] DIRECTORY\n')


def test_a_python_without_torch_is_told_where_to_type_it(tmp_path):
    result = subprocess.run([sys.executable, '-S', str(SCRIPT), str(tmp_path / 'tiny')],
                            check=False, capture_output=True, text=True)
    assert result.returncode == 1 and '`make shell`' in result.stderr
    assert result.stderr.count('\n') == 1 and not (tmp_path / 'tiny').exists()
