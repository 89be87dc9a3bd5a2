# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Which instruction set serves, what says so, and that all of them agree; see test_kernels.py."""
import os
from pathlib import Path
import subprocess
from types import SimpleNamespace

from kernel_layers import needs_level, random_layer
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels import build, levels, native
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable

ROOT = Path(__file__).parents[2]
ALL = 0b11110


def machine(there=ALL, compiled=ALL, amx_state=0):
    """Return a library of the levels `compiled` on a machine that runs those of `there`."""
    return SimpleNamespace(sqap_levels=lambda: there & compiled,
                           sqap_compiled_levels=lambda: compiled,
                           sqap_amx_state=lambda: amx_state)


@pytest.fixture(autouse=True)
def unforced(monkeypatch):
    monkeypatch.delenv(levels.VARIABLE, raising=False)


def test_the_best_level_there_is_serves():
    for there, name in ((0b11110, 'amx'), (0b01110, 'avx512_vnni'), (0b00110, 'avx_vnni'),
                        (0b00010, 'avx2'), (0b01010, 'avx512_vnni')):
        assert levels.NAMES[levels.chosen(machine(there, amx_state=1))] == name


@pytest.mark.parametrize('name', levels.NAMES[1:])
def test_the_environment_names_another_level_and_that_is_shown(monkeypatch, name):
    monkeypatch.setenv(levels.VARIABLE, name)
    assert levels.NAMES[levels.chosen(machine())] == name
    assert levels.describe(machine()) == f'{name}, by SQAP_VLA_CPU_LEVEL'
    monkeypatch.setenv(levels.VARIABLE, '')
    assert levels.describe(machine()) == 'amx'


@pytest.mark.parametrize('word', ['none', 'AVX2', 'avx512', 'amx '])
def test_a_word_that_is_no_level_is_refused_with_those_there_are(monkeypatch, word):
    monkeypatch.setenv(levels.VARIABLE, word)
    with pytest.raises(ConfigError, match='no instruction set: set one of avx2, avx_vnni, '
                       'avx512_vnni, amx, of which there are avx2, avx512_vnni here'):
        levels.chosen(machine(0b01010))


@pytest.mark.parametrize(('name', 'there', 'compiled', 'state', 'reason'), [
    ('avx_vnni', 0b00010, ALL, 1, 'this processor lacks it'),
    ('amx', 0b01110, ALL, 1, 'a hypervisor hides it'),
    ('amx', 0b01110, ALL, 2, 'the system does not save its tiles'),
    ('amx', 0b01110, ALL, 3, 'the system refuses this process its tiles'),
    ('amx', 0b01110, ALL, 4, 'tiles for int8, and none or no AVX-512 for bfloat16'),
    ('amx', ALL, 0b01110, 0, 'g[+][+] 11 and later do'),
])
def test_a_level_that_cannot_run_is_refused_with_the_reason(
        monkeypatch, name, there, compiled, state, reason):
    monkeypatch.setenv(levels.VARIABLE, name)
    with pytest.raises(ConfigError, match=f'{name} cannot run here: .*{reason}.*; there are avx2'):
        levels.chosen(machine(there, compiled, state))


@pytest.mark.parametrize(('compiled', 'state', 'reason'), [
    (ALL, 2, 'does not save'), (ALL, 3, 'refuses'), (ALL, 4, 'avx512_bf16'),
    (0b01110, 0, 'knows no tiles')])
def test_a_processor_whose_amx_is_not_used_is_told_why(compiled, state, reason):
    there = 0b01110 if state else ALL
    assert levels.describe(machine(there, compiled, state)).startswith('avx512_vnni, not amx: ')
    assert reason in levels.describe(machine(there, compiled, state))
    assert levels.describe(machine(0b01110, compiled, 1)) == 'avx512_vnni'


def test_a_forced_level_reaches_the_library_and_a_wrong_word_stops_it(monkeypatch):
    needs_level()
    native.best_level.cache_clear(), native.library.cache_clear()
    try:
        monkeypatch.setenv(levels.VARIABLE, 'avx2')
        spec = LinearSpec(64, 8, 4, 4)
        assert native.NativeKernel(spec, *random_layer(spec))._layer.level == 1
        native.library.cache_clear()
        monkeypatch.setenv(levels.VARIABLE, 'sse2')
        with pytest.raises(ConfigError, match='sse2 is no instruction set'):
            native.library()
    finally:
        native.best_level.cache_clear(), native.library.cache_clear()


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Return a function that sets a compiler whose run for amx ends with a message, or works."""
    def set_up(message):
        command = tmp_path / 'compiler'
        command.write_text('#!/bin/sh\n'
                           f'echo "$@" | grep -q mamx && {{ echo "error: {message}"; exit 1; }}\n'
                           f'echo "$@" >> {tmp_path}/log\n'
                           'while [ "$1" != -o ]; do shift; done; : > "$2"\n')
        command.chmod(0o755)
        monkeypatch.setenv('CXX', str(command))
        monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
        monkeypatch.setattr(build.platform, 'machine', lambda: 'x86_64')
    return set_up


def test_a_compiler_without_tiles_builds_the_other_levels_and_says_so(compiler, tmp_path, caplog):
    compiler('unrecognized option -mamx-tile')
    assert build.build().is_file()
    *_, linked = (tmp_path / 'log').read_text().splitlines()
    assert 'avx512_vnni.o' in linked and 'processor.o' in linked and 'amx.o' not in linked
    assert 'go without amx' in caplog.text and 'unrecognized option -mamx-tile' in caplog.text


def test_a_failure_of_another_kind_is_no_old_compiler(compiler, tmp_path):
    compiler('cannot write: no space left')
    with pytest.raises(Unavailable, match='no space left'):
        build.build()
    assert not list((tmp_path / 'sqap_vla_ros').glob('*.so'))


@pytest.fixture(scope='module')
def checker(tmp_path_factory):
    """Return benchmarks/check_levels.cpp, compiled."""
    needs_level()
    program = tmp_path_factory.mktemp('check') / 'check_levels'
    library = build.library_path()
    subprocess.run([build.compiler(), '-std=c++17', '-O2', f'-I{build.SOURCES}',
                    str(ROOT / 'benchmarks' / 'check_levels.cpp'), str(library), '-lgomp',
                    f'-Wl,-rpath,{library.parent}', '-o', str(program)], check=True)
    return program


def test_every_level_here_multiplies_exactly_in_a_forked_child_too(checker):
    done = subprocess.run([checker], capture_output=True, text=True, timeout=100,
                          env={**os.environ, 'OMP_WAIT_POLICY': 'passive'})
    assert done.returncode == 0, done.stdout + done.stderr
    for level in levels.usable(native.library()):
        assert f'{levels.NAMES[level]}: 768 of 768 products exact' in done.stdout
