# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The native CPU kernels: every instruction set, how they are built, and life without them."""
import logging
import shutil
import subprocess

from kernel_layers import random_layer
import pytest
from sqap_vla_ros import kernels
from sqap_vla_ros.kernels import build, native
from sqap_vla_ros.kernels.attention import attend
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.native import LEVELS, NativeKernel
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.quant import QuantLinear
import torch
from torch.nn import functional as F

BITS = [(4, 4), (4, 8), (8, 8)]
HADAMARDS = [(64, 64, 1), (1120, 32, 1), (2048, 2048, 1), (256, 4, 64), (48, 8, 1), (96, 8, 3)]


@pytest.fixture(params=[1, 2, 3], ids=LEVELS[1:])
def kernel_class(request):
    if kernels.native_reason():
        pytest.skip(f'no native kernels here: {kernels.native_reason()}')
    if native.library().sqap_best_level() < request.param:
        pytest.skip(f'this processor has no {LEVELS[request.param]}')

    class AtLevel(NativeKernel):
        level = request.param
    return AtLevel


@pytest.fixture
def needs_compiler():
    if kernels.native_reason():
        pytest.skip(f'no native kernels here: {kernels.native_reason()}')


def made(kind, spec):
    try:
        return kind(spec, *random_layer(spec))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(('weight_bits', 'act_bits'), BITS)
@pytest.mark.parametrize(('inputs', 'outputs'), [(2, 6), (250, 70), (1100, 64), (11008, 3)])
@pytest.mark.parametrize('per_token', [True, False])
@torch.inference_mode()
def test_results_have_the_bits_of_the_reference(
        kernel_class, weight_bits, act_bits, inputs, outputs, per_token):
    spec = LinearSpec(inputs, outputs, weight_bits, act_bits, per_token=per_token)
    kernel = made(kernel_class, spec)
    for rows in (1, 5, 13):
        x = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows))
        assert torch.equal(kernel(x), ReferenceKernel(spec, *random_layer(spec))(x))


@pytest.mark.parametrize(('width', 'block', 'stride'), HADAMARDS)
@torch.inference_mode()
def test_the_fused_hadamard_is_the_reference_s(kernel_class, width, block, stride):
    spec = LinearSpec(width, 33, 8, 16, block, stride)  # floats: nothing is rounded away
    x = torch.randn(7, width, generator=torch.Generator().manual_seed(0))
    expected = ReferenceKernel(spec, *random_layer(spec))(x)
    found = made(kernel_class, spec)(x)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize('group_size', [0, 16, 64])
@torch.inference_mode()
def test_float_activations_meet_weights_by_groups(kernel_class, group_size):
    spec = LinearSpec(320, 70, 4, 16, group_size=group_size)
    x = torch.randn(9, 320, generator=torch.Generator().manual_seed(0))
    expected = ReferenceKernel(spec, *random_layer(spec))(x)
    assert (made(kernel_class, spec)(x) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('outputs', [40, 700])
@torch.inference_mode()
def test_threads_change_no_bit(kernel_class, threads, outputs):
    spec = LinearSpec(512, outputs, 4, 4, 512)
    kernel = made(kernel_class, spec)
    x = torch.randn(77, 512, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = kernel(x)
        torch.set_num_threads(threads)
        assert torch.equal(kernel(x), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@torch.inference_mode()
def test_a_broken_row_stays_visible_and_alone(kernel_class, bad):
    spec = LinearSpec(64, 8, 4, 4, 64)
    x = torch.randn(3, 64)
    x[1, 5] = bad
    y = made(kernel_class, spec)(x)
    assert torch.isfinite(y[[0, 2]]).all()
    assert not torch.isfinite(y[1]).any()


@torch.inference_mode()
def test_rows_of_a_wider_tensor_need_no_copy(kernel_class):
    spec = LinearSpec(64, 8, 4, 4)
    kernel = made(kernel_class, spec)
    wide = torch.randn(5, 200)
    assert torch.equal(kernel(wide[:, 40:104]), kernel(wide[:, 40:104].contiguous()))
    assert torch.equal(kernel(wide.t()[40:104].t()), kernel(wide[:, 40:104]))
    assert kernel(torch.empty(0, 64)).shape == (0, 8)


@torch.inference_mode()
def test_an_input_of_another_width_is_refused_and_not_read_beyond(kernel_class):
    kernel = made(kernel_class, LinearSpec(64, 8, 4, 4))
    for x in (torch.ones(3, 32), torch.ones(3, 65), torch.ones(64)):
        for call in (kernel, kernel.product):
            with pytest.raises(RuntimeError, match='a layer of 64 inputs'):
                call(x)


@torch.inference_mode()
def test_a_quantized_layer_refuses_another_width_as_a_plain_one_does():
    layer = QuantLinear.from_linear(torch.nn.Linear(64, 8), 'w4a4')
    layer.prepare(rows=3)
    with pytest.raises(RuntimeError):
        layer(torch.ones(3, 32))


def test_four_bits_take_four_bits_of_memory(needs_compiler):
    spec = LinearSpec(512, 128, 4, 4)
    kernel = NativeKernel(spec, *random_layer(spec))
    assert kernel.weight.numel() * kernel.weight.element_size() == 512 * 128 // 2
    assert kernel.bits_in_memory == NativeKernel.bits_for(spec) == 4


def test_it_is_taken_by_rule_without_a_rival(needs_compiler):
    spec = LinearSpec(512, 72, 4, 4)
    assert list(kernels.choose(spec, rows=8).times_ms) == ['native']


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


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def no_home():
        raise RuntimeError('Could not determine home directory.')
    monkeypatch.setattr(build.platform, 'machine', lambda: 'x86_64')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr(build.Path, 'home', no_home)
    with pytest.raises(Unavailable, match='Set XDG_CACHE_HOME'):
        build.build()


def test_other_processors_are_told_so(monkeypatch):
    monkeypatch.setattr(build.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(Unavailable, match='x86-64, not aarch64'):
        build.build()


@torch.inference_mode()
def test_without_native_kernels_torch_s_serve_and_a_warning_says_why(monkeypatch, caplog):
    def missing():
        raise Unavailable('there is no C++ compiler: install one')
    monkeypatch.setattr(kernels, 'library', missing)
    monkeypatch.setattr(native, 'library', missing)
    for cached in (kernels.native_reason, kernels.check_exact, kernels._choose):
        cached.cache_clear()
    try:
        spec = LinearSpec(64, 24, 4, 4)
        layer = random_layer(spec)
        q = torch.randn(1, 2, 20, 16)
        attended = attend(q, q, q)  # in plain float32 this is the only call that can warn
        assert 'install one' in caplog.text
        kernel = kernels.make_kernel(spec, *layer, rows=4)
        kernels.make_kernel(LinearSpec(64, 32, 4, 8), *random_layer(LinearSpec(64, 32, 4, 8)))
    finally:
        for cached in (kernels.native_reason, kernels.check_exact, kernels._choose):
            cached.cache_clear()
    assert kernel.name != 'native'
    assert torch.allclose(attended, F.scaled_dot_product_attention(q, q, q), atol=1e-6)
    x = torch.randn(4, 64)
    assert torch.equal(kernel(x), ReferenceKernel(spec, *layer)(x))
    warnings = [record.getMessage() for record in caplog.records
                if record.levelno == logging.WARNING and 'slower:' in record.getMessage()]
    assert len(warnings) == 1 and 'install one' in warnings[0]
