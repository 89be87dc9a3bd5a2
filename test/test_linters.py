# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The ament linters of a ROS 2 package, over all Python code of the repository."""
import logging
from pathlib import Path

import pytest

pytestmark = pytest.mark.linter

ROOT = Path(__file__).resolve().parents[1]
CHECKED = ('sqap_vla_ros', 'test', 'launch', 'scripts', 'benchmarks', 'setup.py')


@pytest.fixture
def paths(monkeypatch) -> list[str]:
    monkeypatch.chdir(ROOT)
    return [name for name in CHECKED if (ROOT / name).exists()]


def test_code_satisfies_ament_flake8(paths):
    ament_flake8 = pytest.importorskip(
        'ament_flake8.main', reason='ament_flake8 is missing: make setup, or rosdep install')
    status, errors = ament_flake8.main_with_errors(argv=paths)
    assert status == 0, '\n'.join(errors)


def test_docstrings_satisfy_ament_pep257(paths, monkeypatch):
    ament_pep257 = pytest.importorskip(
        'ament_pep257.main', reason='ament_pep257 is missing: make setup, or rosdep install')
    monkeypatch.setattr(logging.getLogger('pydocstyle.utils'), 'disabled', True)
    assert ament_pep257.main(argv=paths) == 0
