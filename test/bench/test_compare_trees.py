# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/compare_trees.py: two source trees in turn."""
import json
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
from sqap_vla_ros.kernels import native_reason

ROOT = Path(__file__).resolve().parents[2]


def compared(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / 'benchmarks' / 'compare_trees.py'), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def other_tree(tmp_path):
    """Return a copy of the package whose norms are told another eps, and prints."""
    tree = tmp_path / 'other'
    shutil.copytree(ROOT / 'sqap_vla_ros', tree / 'sqap_vla_ros')
    for place in ('package.xml', 'setup.py', 'models', 'config', 'launch'):
        (tree / place).symlink_to(ROOT / place)
    with (tree / 'sqap_vla_ros' / 'bench' / 'sizes.py').open('a') as file:
        file.write("\nprint('a word to people')\n_plain = size_config\n\n\n"
                   'def size_config(name):\n    config = _plain(name)\n'
                   '    return dataclasses.replace(config, llm=dataclasses.replace(\n'
                   '        config.llm, rms_norm_eps=0.1))\n')
    return tree


def test_each_tree_runs_its_own_package(tmp_path, other_tree):
    out = tmp_path / 'trees.json'
    for tree, apart in ((ROOT, False), (other_tree, True)):
        run = compared(ROOT, tree, '--parts', 'bundled:token', '--rounds', 6, '--out', out)
        assert run.returncode == 0, run.stderr
        found = json.loads(out.read_text())
        part, = found['parts']
        assert part['part'] == 'bundled:token' and part['rounds'] == 6
        assert (part['answers_apart'] > 1e-3) == apart and f'{part["rounds"]} rounds' in run.stdout
        assert 0 < part['low'] <= part['ratio'] <= part['high'] and part['before_p50_ms'] > 0
        assert part['trees']['before']['native_kernels'] and found['options']['threads'] == 1


@pytest.mark.skipif(bool(native_reason()), reason='no native kernels')
def test_every_part_runs_and_a_level_is_obeyed(tmp_path):
    out, parts = tmp_path / 'trees.json', ['vision', 'stem', 'vision-block', 'decoder']
    run = compared(ROOT, ROOT, '--parts', *(f'bundled:{part}' for part in parts),
                   '--level', 'avx2', '--rounds', 2, '--out', out)
    assert run.returncode == 0, run.stderr
    found = json.loads(out.read_text())['parts']
    assert [part['part'] for part in found] == [f'bundled:{part}' for part in parts]
    assert all(part['answers_apart'] < 1e-5 for part in found)
    assert all('AVX2' in part['trees']['after']['native_kernels'].upper() for part in found)


def test_what_cannot_be_compared_is_told(tmp_path):
    for arguments, said in (
            ((ROOT,), 'two source trees are compared, found 1'),
            ((ROOT, tmp_path), 'is no source tree'),
            ((ROOT, ROOT, '--parts', 'bundled:head'), "'bundled:head' is not SIZE:PART"),
            ((ROOT, ROOT, '--threads', '2'), '--clock wall'),
            ((ROOT, ROOT, '--rounds', '0'), 'whole numbers from 1'),
            ((ROOT, ROOT, '--parts', 'huge:token'), 'ended with exit status 1')):
        run = compared(*arguments)
        assert run.returncode != 0 and said in run.stderr, run.stderr
