# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The native CPU kernels: what only they do, and how they are built; see test_kernels.py too."""
import shutil
import subprocess

from kernel_layers import force_level, NATIVE, needs_level, random_layer, usable
import pytest
from sqap_vla_ros.kernels import build, levels
from sqap_vla_ros.kernels.base import dequantize, LinearSpec, Unavailable
from sqap_vla_ros.kernels.native import NativeKernel
from sqap_vla_ros.kernels.native_float import NativeFloat
import torch


@pytest.fixture(params=NATIVE, ids=lambda kind: kind.name)
def kernel_class(request):
    return usable(request.param, LinearSpec(64, 8, 4, 4))


@pytest.fixture
def needs_compiler():
    needs_level()


@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('outputs', [40, 700])
@torch.inference_mode()
def test_threads_change_no_bit(kernel_class, threads, outputs):
    spec = LinearSpec(512, outputs, 4, 4, 512)
    kernel = kernel_class(spec, *random_layer(spec))
    x = torch.randn(77, 512, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = kernel(x)
        torch.set_num_threads(threads)
        assert torch.equal(kernel(x), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('weight_bits', [4, 8, 32])
@pytest.mark.parametrize('level', range(1, len(levels.NAMES)), ids=levels.NAMES[1:])
@torch.inference_mode()
def test_few_rows_get_the_bits_that_they_get_among_many(monkeypatch, level, weight_bits):
    """In floats, whose sums tell their order: tiles are of other forms for 1 to 6 rows."""
    force_level(monkeypatch, level)
    x = torch.randn(40, 300, generator=torch.Generator().manual_seed(0))
    if weight_bits == 32:
        weight = torch.randn(130, 300, generator=torch.Generator().manual_seed(1))
        kernel, expected = NativeFloat(weight), x @ weight.T
    else:
        spec = LinearSpec(300, 130, weight_bits, 16)
        weight, scale, bias = random_layer(spec)
        kernel, expected = NativeKernel(spec, weight, scale, bias), (
            x @ dequantize(weight, scale).T + bias)
    among_many = kernel(x)
    assert torch.allclose(among_many, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())
    for rows in range(1, 14):
        assert torch.equal(kernel(x[:rows]), among_many[:rows])


@torch.inference_mode()
def test_rows_of_a_wider_tensor_need_no_copy(kernel_class):
    spec = LinearSpec(64, 8, 4, 4)
    kernel = kernel_class(spec, *random_layer(spec))
    wide = torch.randn(5, 200)
    assert torch.equal(kernel(wide[:, 40:104]), kernel(wide[:, 40:104].contiguous()))
    assert torch.equal(kernel(wide.t()[40:104].t()), kernel(wide[:, 40:104]))
    assert kernel(torch.empty(0, 64)).shape == (0, 8)


@torch.inference_mode()
def test_an_input_of_another_width_is_refused_and_not_read_beyond(kernel_class):
    spec = LinearSpec(64, 8, 4, 4)
    kernel = kernel_class(spec, *random_layer(spec))
    for x in (torch.ones(3, 32), torch.ones(3, 65), torch.ones(64)):
        for call in (kernel, kernel.product):
            with pytest.raises(RuntimeError, match='a layer of 64 inputs'):
                call(x)


def test_no_code_is_shared_between_instruction_sets(needs_compiler):
    if not shutil.which('nm'):
        pytest.skip('no nm to read the library with')
    symbols = subprocess.run(['nm', '-C', str(build.library_path())], capture_output=True,
                             text=True, check=True).stdout.splitlines()
    assert any('tile' in symbol for symbol in symbols)
    # the linker would keep one copy, with instructions that an older processor lacks
    assert not [symbol for symbol in symbols if symbol.split()[-2:-1] in (['W'], ['u'])]


def test_a_library_that_is_there_is_not_built_again(needs_compiler, monkeypatch):
    before = build.library_path().stat().st_mtime_ns
    monkeypatch.setattr(build, '_compile', None)
    assert build.build().stat().st_mtime_ns == before


def test_another_source_is_another_library(monkeypatch):
    before = build.library_path()
    monkeypatch.setattr(build, 'FLAGS', (*build.FLAGS, '-g'))
    assert build.library_path() != before


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(build.platform, 'machine', lambda: 'x86_64')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path


def test_without_a_compiler_the_reason_says_what_to_install(empty_cache, monkeypatch):
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setenv('PATH', str(empty_cache))
    with pytest.raises(Unavailable, match='apt-get install g'):
        build.build()


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(empty_cache, monkeypatch):
    compiler = empty_cache / 'old-compiler'
    compiler.write_text('#!/bin/sh\necho "error: unknown option -std=c++17"\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CXX', str(compiler))
    with pytest.raises(Unavailable, match=r'unknown option.*g\+\+ 11 or newer'):
        build.build()
    assert not list((empty_cache / 'sqap_vla_ros').iterdir())


def test_a_cache_that_cannot_be_written_is_named(empty_cache, monkeypatch):
    (empty_cache / 'sqap_vla_ros').write_text('a file is in the way')
    monkeypatch.setattr(build, 'compiler', lambda: 'c++')
    with pytest.raises(Unavailable, match='set XDG_CACHE_HOME'):
        build.build()


def test_other_processors_are_told_so(empty_cache, monkeypatch):
    monkeypatch.setattr(build.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(Unavailable, match='x86-64, not aarch64'):
        build.build()


def test_a_user_without_a_home_is_told_what_to_set(empty_cache, monkeypatch):
    def no_home():
        raise RuntimeError('Could not determine home directory.')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setattr(build.Path, 'home', no_home)
    with pytest.raises(Unavailable, match='Set XDG_CACHE_HOME'):
        build.build()
