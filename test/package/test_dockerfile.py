# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""docker/Dockerfile, which nobody could build here: what can be held against the package is."""

from pathlib import Path
import re
import subprocess

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docker' / 'Dockerfile').read_text(encoding='utf-8')
WITHOUT_COMMENTS = re.sub(r'^#.*\n', '', TEXT, flags=re.M)
STEPS = [line for line in WITHOUT_COMMENTS.replace('\\\n', ' ').splitlines() if line.strip()]


def test_it_says_that_it_was_not_built_and_names_a_base_by_its_release():
    assert 'NOT BUILT' in TEXT
    base, = re.findall(r'^ARG BASE=(\S+)$', TEXT, re.M)
    assert re.fullmatch(r'ros:jazzy-[\w-]+-noble', base)


def test_what_set_up_installs_for_rendering_is_installed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'scripts' / 'set_up'))
    from machine import RENDERING
    installed = set(next(step for step in STEPS if 'g++' in step).split())
    assert set(RENDERING.values()) | {'g++', 'python3-dev', 'python3-venv'} <= installed


def test_what_it_copies_is_there_and_what_it_reads_has_it():
    copied = [words[-2] for step in STEPS
              if (words := step.split())[0] == 'COPY']
    assert copied and all((ROOT / path).exists() for path in copied)
    constraints = (ROOT / 'constraints' / 'common.txt').read_text()
    assert re.search(r"grep '\^torch=='", TEXT) and re.search(r'^torch==', constraints, re.M)


def test_nobody_is_root_when_the_node_runs():
    users = [step.split()[1] for step in STEPS if step.startswith('USER')]
    assert users == ['robot'] and STEPS.index('USER robot') < len(STEPS) - 2


@pytest.mark.parametrize('path', ['docker/entrypoint', 'scripts/shell', 'scripts/shell_rc'])
def test_shell_scripts_are_well_formed(path):
    result = subprocess.run(['bash', '-n', str(ROOT / path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_command_of_a_step_is_well_formed():
    for step in STEPS:
        if step.startswith('RUN '):
            result = subprocess.run(['bash', '-n', '-c', step[4:]], capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
