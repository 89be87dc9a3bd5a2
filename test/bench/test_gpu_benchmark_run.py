# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu/run.sh: what it says on a machine that lacks something, and a tiny run."""
from importlib import import_module
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time

import cuda_interpreter  # noqa: F401  before anything imports triton
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'benchmarks/gpu/run.sh'
sys.path.insert(0, str(ROOT / 'benchmarks'))

program, engine, shapes = (
    import_module(f'gpu.{name}') for name in ('__main__', 'engine', 'shapes'))
ROWS = engine.ROWS


def run(*arguments, **changes):
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, 'PYTHON': sys.executable, **changes})


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_a_machine_without_cuda_is_told_of_the_tiny_run(tmp_path):
    done = run('--out', tmp_path / 'found.json')
    assert done.returncode == 2 and '--tiny' in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_section_lists_the_known_ones(tmp_path):
    done = run('--only', 'speed')
    assert done.returncode == 2 and 'ceilings' in done.stderr


def test_a_python_without_torch_is_told_what_to_install(tmp_path):
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    done = run('--tiny', PYTHON=str(python))
    assert done.returncode == 2 and 'missing: torch' in done.stderr


@pytest.mark.parametrize('lacking', ['compiler', 'header'])
def test_a_machine_that_triton_cannot_build_on_is_told_what_to_install(tmp_path, lacking):
    for name in ('bash', 'dirname', 'timeout', *(['gcc'] if lacking == 'header' else [])):
        (tmp_path / name).symlink_to(shutil.which(name) or '/bin/true')
    python = tmp_path / 'python'
    code = (f'import sysconfig; sysconfig.get_paths = lambda *_: {{"include": "{tmp_path}"}}'
            if lacking == 'header' else 'pass')
    (tmp_path / 'sitecustomize.py').write_text(code)
    python.write_text(
        f'#!/bin/bash\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = run(PYTHON=str(python), PATH=str(tmp_path), CC='')
    assert done.returncode == 2, done.stderr
    assert ('apt-get install gcc' if lacking == 'compiler' else 'Python.h') in done.stderr


@pytest.fixture(scope='module')
def tiny_run(tmp_path_factory):
    """Return what the whole program wrote and printed, and how long it took."""
    out = tmp_path_factory.mktemp('gpu') / 'tiny.json'
    start = time.perf_counter()
    done = run('--tiny', '--out', out, OMP_NUM_THREADS='1')
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text()), done.stdout, out, time.perf_counter() - start


def test_the_whole_program_runs_in_the_interpreter(tiny_run):
    content, printed, out, seconds = tiny_run
    assert list(content['sections']) == list(program.SECTIONS)
    for name, section in content['sections'].items():
        assert 'error' not in section and 'skipped' not in section, (name, section)
    assert content['tiny'] and 'interpreted' in content['machine']['device']
    assert 'nothing failed' in printed
    assert seconds < 150, 'the time of all sections together is limited'


def test_its_kernels_were_all_compared_with_the_reference(tiny_run):
    sections = tiny_run[0]['sections']
    for name in ('checks', 'golden'):
        assert sections[name]['ok'] and len(sections[name]['checks']) >= 3
    names = ' '.join(row['name'] for row in sections['checks']['checks'])
    for part in ('w8a8', 'w4a8', 'w4a4', 'w4a16', 'Hadamard', 'integer product', 'selection',
                 'rotary', 'rotary into a cache', 'norm', 'SwiGLU', 'attention', 'int_linear',
                 'float_linear', 'skinny_linear', 'small_linear', 'plain product', 'residual',
                 'decoder block', 'head block', 'split ones', 'workspaces'):
        assert part in names
    for part in ('rotary', 'norm', 'SwiGLU and Hadamard', 'attention, prefill', 'skinny_linear',
                 'float_linear', 'int_linear', 'decoder block fp'):
        kinds = [row['name'] for row in sections['checks']['checks'] if part in row['name']]
        for kind in ('bfloat16', 'float32'):
            assert any(kind in name for name in kinds), (part, kind)


@pytest.mark.parametrize('name', ['cogact', 'openvla'])
def test_its_pairs_have_every_side_row_and_ratio(tiny_run, name):
    section = tiny_run[0]['sections'][name]
    sides = {variant.name for variant in shapes.variants(shapes.TINY.keep)}
    assert set(section['ms']) == sides == set(section['memory_gib'])
    assert all(set(rows) == set(ROWS) for rows in section['ms'].values())
    assert set(section['ratio']) == {'eager bf16', 'bf16'}
    assert set(section['ratio']['bf16']) == sides - {'bf16'}
    assert set(section['agreement']) == {'unfused bf16 against eager bf16',
                                         'bf16 against eager bf16'}
    assert section['ok'] and all(pair['ok'] for pair in section['agreement'].values())


def test_its_curves_and_points_are_drawn_and_tabulated(tiny_run):
    content, printed, out, _ = tiny_run
    curves = content['sections']['growth']['curves']
    assert set(curves) == {'kept visual tokens', 'prompt tokens', 'batch'}
    assert all(set(sides) == {'bf16', 'sqap'} for sides in curves.values())
    assert len(content['sections']['layers']['points']) == 4 * 4 * len(shapes.TINY.rows)
    assert '| sqap |' in printed and 'Difference of the answers' in printed
    assert '| packed, int8 vision |' in printed and 'full precision' in printed
    pytest.importorskip('matplotlib')
    assert out.with_suffix('.png').read_bytes().startswith(b'\x89PNG')
