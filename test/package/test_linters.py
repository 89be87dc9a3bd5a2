# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The ament linters of a ROS 2 package, over all Python code of the repository.

Each runs in a process of its own: flake8 forks workers, which a process that has loaded torch and
a DDS does not survive.
"""
from importlib.util import find_spec
from pathlib import Path
import subprocess
import sys

import pytest

pytestmark = pytest.mark.linter

# What flake8 would say of docstrings ament_pep257 says as well, and more.  Syntax trees are many
# objects and little garbage: the collector looks at them less often.
LINT = """
import gc, importlib, sys
from importlib.util import find_spec
gc.set_threshold(200_000, 20, 100)
if find_spec('flake8_docstrings'):
    import flake8_docstrings
    flake8_docstrings.pep257Checker.run = lambda checker: iter(())
sys.exit(importlib.import_module(sys.argv[1] + '.main').main(sys.argv[2:]))
"""
ROOT = Path(__file__).resolve().parents[2]
CHECKED = ('sqap_vla_ros', 'test', 'launch', 'scripts', 'benchmarks', 'setup.py')


@pytest.mark.parametrize('linter', ['ament_flake8', 'ament_pep257'])
def test_code_satisfies(linter):
    if find_spec(linter) is None:
        pytest.skip(f'{linter} is missing: make setup, or rosdep install')
    paths = [name for name in CHECKED if (ROOT / name).exists()]
    run = subprocess.run([sys.executable, '-c', LINT, linter, *paths], cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    assert 'No problems found' in run.stdout


def test_every_floor_imports_only_floors_below_it():
    """The contracts stand in pyproject.toml."""
    if find_spec('importlinter') is None:
        pytest.skip('import-linter is missing: pip install -e .[dev]')
    run = subprocess.run(
        [sys.executable, '-c', 'from importlinter.cli import lint_imports_command as run; run()',
         '--no-cache'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    assert ' 0 broken' in run.stdout
