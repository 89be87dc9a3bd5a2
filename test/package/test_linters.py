# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What may be said of the source text: ruff's rules, import order and import contracts.

pyproject.toml has the rules: those of ament_flake8 and ament_pep257, which take fifty times as
long.  Ruff's order of imports is another one than ament_flake8's, whose plugin is asked directly.
"""
import ast
from importlib.util import find_spec
import json
from pathlib import Path
import subprocess
import sys

import pytest

pytestmark = pytest.mark.linter

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ('sqap_vla_ros', 'test', 'launch', 'scripts', 'benchmarks', 'setup.py')
MISSING = '{} is missing: pip install -e .[dev]'
UNORDERED = 'I202'  # blank lines between groups are free


def ruff(*arguments, **options):
    """Run ruff in the repository's root."""
    if find_spec('ruff') is None:
        pytest.skip(MISSING.format('ruff'))
    return subprocess.run([sys.executable, '-m', 'ruff', 'check', '--no-cache', *arguments],
                          cwd=ROOT, text=True, capture_output=True, **options)


@pytest.fixture(scope='module')
def import_errors():
    """Return what tells what flake8-import-order says of a file, in Google's style."""
    pytest.importorskip('flake8_import_order', reason=MISSING.format('flake8-import-order'))
    from flake8_import_order.checker import ImportOrderChecker
    from flake8_import_order.styles import lookup_entry_point

    class Checker(ImportOrderChecker):
        options = {'import_order_style': lookup_entry_point('google')}  # takes a tenth of a second

    def errors(path):
        """Look at the imports of the module alone; a whole syntax tree takes longer."""
        tree = ast.parse(path.read_bytes())
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        return [f'{path}:{error.lineno}: {error.code} {error.message}'
                for error in Checker(str(path), tree).check_order() if error.code != UNORDERED]
    return errors


def checked_files():
    for place in (ROOT / name for name in CHECKED):
        yield from sorted(place.rglob('*.py')) if place.is_dir() else [place]


def test_no_file_is_left_out():
    run = ruff('--show-files', *(name for name in CHECKED if (ROOT / name).exists()))
    assert {Path(line) for line in run.stdout.splitlines()} >= set(checked_files())


def test_code_satisfies_ruff():
    run = ruff(*(name for name in CHECKED if (ROOT / name).exists()))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize('code, text', [
    ('Q000', 'NAME = "double"\n'), ('E501', f'NAME = {10 ** 92}\n'), ('F401', 'import os\n'),
    ('D213', "'''Summary.\n\nMore.\n'''\n"), ('D401', "def f():\n    '''Makes.'''\n"),
    ('E225', 'a = 1\nb=a\n'), ('E302', 'a = 1\ndef f():\n    pass\n'), ('W291', 'a = 1 \n'),
    ('A001', 'list = 1\n'), ('C400', 'a = list(x for x in b)\n')])
def test_ruff_finds(code, text):
    run = ruff('-', '--output-format', 'json', input=text)
    assert code in [found['code'] for found in json.loads(run.stdout)], run.stderr


def test_imports_are_in_order(import_errors):
    errors = [error for path in checked_files() for error in import_errors(path)]
    assert not errors, '\n'.join(errors)


def test_the_order_of_imports_is_looked_at(import_errors, tmp_path):
    path = tmp_path / 'code.py'
    path.write_text('import numpy\nimport os\n')
    assert ' I100 ' in import_errors(path)[0]


def test_every_floor_imports_only_floors_below_it():
    """The contracts stand in pyproject.toml."""
    if find_spec('importlinter') is None:
        pytest.skip('import-linter is missing: pip install -e .[dev]')
    run = subprocess.run(
        [sys.executable, '-c', 'from importlinter.cli import lint_imports_command as run; run()',
         '--no-cache'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    assert ' 0 broken' in run.stdout
