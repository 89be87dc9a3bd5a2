# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where kernels cannot run, slower code serves, and one warning says why and what to do."""
from importlib import import_module
import logging
import subprocess
import sys
from types import SimpleNamespace

import cuda_interpreter  # noqa: F401, I100, I202
from kernel_layers import random_layer
import pytest
from small_models import answer, make_model
from sqap_vla_ros import kernels
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.inference import plan
from sqap_vla_ros.kernels import cuda, on_device
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.cuda import linear, quantize, trial, tuning
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
from sqap_vla_ros.model import fused_blocks as block
from sqap_vla_ros.model.fused_blocks import fuse_blocks, FusedDecoderLayer
from sqap_vla_ros.quant import prepare_kernels, quantize_model
from sqap_vla_ros.tokens import triton_choice
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch
from triton.runtime.errors import OutOfResources, PTXASError

capability = import_module('sqap_vla_ros.kernels.cuda.capability')  # the package has the function
unavailable = cuda.unavailable
CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)
ERRORS = [
    PTXASError('PTXAS error\nptxas fatal : no such thing'), RuntimeError('a launch failed'),
    OutOfResources(300000, 100000, 'shared memory'), Unavailable('no configuration works'),
    AssertionError('libcuda.so cannot found!'),
    subprocess.CalledProcessError(1, ['gcc', 'main.c']),
    PermissionError(13, 'no such luck'), ImportError('undefined symbol')]


@pytest.fixture(autouse=True)
def nothing_tried(monkeypatch):
    monkeypatch.setattr(trial, '_reasons', {})
    cached = on_device._warn_slower, plan._warn_on_host, kernels.check_exact
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture
def put(monkeypatch):
    """Return a function that puts a GPU into this machine, as far as questions to it go."""
    def device(major, minor, **facts):
        properties = SimpleNamespace(name='Test', major=major, minor=minor,
                                     total_memory=2 ** 36, **facts)
        for name, value in {'is_available': True, 'get_device_properties': properties,
                            'current_stream': SimpleNamespace(synchronize=lambda: 0)}.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
        monkeypatch.setattr(torch.version, 'hip', None)
        monkeypatch.setattr(cuda, 'is_interpreted', lambda: False)
        capability.capability.cache_clear()
        cuda.announce.cache_clear()
        return GPU
    yield device
    capability.capability.cache_clear()
    cuda.announce.cache_clear()


@pytest.fixture
def failing(monkeypatch):
    """Return a function that lets a name in a module raise, and returns the calls of it."""
    def fail(module, name, when=lambda *arguments: True, error=ERRORS[0]):
        working, calls = getattr(module, name), []

        def raising(*arguments, **named):
            if not when(*arguments):
                return working(*arguments, **named)
            calls.append(arguments)
            raise error
        monkeypatch.setattr(module, name, raising)
        return calls
    return fail


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records
            if record.levelno == logging.WARNING]


@pytest.mark.parametrize('error', ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_stops_a_first_launch_is_a_reason_that_names_the_cure(
        error, put, monkeypatch, caplog):
    device, tried = put(9, 0), []

    def broken(*_):
        tried.append(1)
        raise error
    monkeypatch.setattr(quantize, 'quantize_rows', broken)
    monkeypatch.setattr(torch, 'ones', lambda *_, **named: None)
    for name in (device, 'cuda:0', 'cuda'):
        reason = unavailable(name)
        assert type(error).__name__ in reason and 'gcc python3-dev' in reason
    assert len(tried) == 2  # without the tuner and with it
    for _ in range(2):
        cuda.announce(device)
    text, = warnings(caplog)
    assert reason in text and "torch's own products" in text


@pytest.mark.parametrize(('number', 'reason', 'note', 'kind'), [
    ((7, 5), 'no matrix products for compute capability 7.5', '', torch.float16),
    ((8, 7), '', '', torch.bfloat16), ((9, 0), '', '', torch.bfloat16),
    ((10, 0), '', 'not by this chip', torch.bfloat16),
    ((11, 0), '', 'not by this chip', torch.bfloat16), ((12, 1), '', '', torch.bfloat16),
    ((14, 0), '', '', torch.bfloat16)])
def test_what_a_device_is_good_for(number, reason, note, kind, put, monkeypatch, caplog):
    device = put(*number, shared_memory_per_block_optin=160 * 1024)
    monkeypatch.setattr(cuda, '_broken', lambda device: '')
    found = cuda.announce(device)
    assert reason in unavailable(device) and note in found.note and found.float_type == kind
    assert bool(unavailable(device)) == bool(reason) and bool(found.note) == bool(note)
    assert len(warnings(caplog)) == bool(reason) + bool(note)
    assert cuda.shared_bytes(device) == 160 * 1024


def test_what_is_no_nvidia_device_has_no_kernels(put, monkeypatch):
    put(9, 0)
    assert 'NVIDIA' in unavailable('cpu')
    with pytest.raises(ConfigError, match='no NVIDIA CUDA device'):
        capability.capability('cpu')
    assert capability.capability('cuda').shared_bytes == 99 * 1024  # this torch does not say
    monkeypatch.setattr(cuda, 'find_spec', lambda name: None)
    assert 'pip install triton' in unavailable('cuda')


@pytest.mark.parametrize(('spec', 'name', 'many'), [
    (LinearSpec(64, 8, 4, 4, 16), 'quantize_rows', False),
    (LinearSpec(64, 8, 8, 8), 'int_linear', True),
    (LinearSpec(64, 8, 4, 16, 16), 'transform_rows', False)], ids=str)
def test_a_layer_whose_kernel_fails_is_multiplied_by_torch(spec, name, many, failing, caplog):
    layer = random_layer(spec)
    # the check of the integers calls the product too, with 16 channels
    calls = failing(linear, name, lambda x, *rest: len(x) == 20 if many else True)
    for _ in range(3):
        kernel = on_device.make_on_device((spec, *layer), 20, torch.float32)
        assert isinstance(kernel, TorchKernel)
    assert len(calls) == 2  # once with the first configuration, once with what the tuner finds
    text, = warnings(caplog)
    assert "'torch' serves" in text and 'slower' in text
    x = torch.randn(20, 64)
    assert torch.allclose(kernel(x), ReferenceKernel(spec, *layer)(x), rtol=1e-4, atol=1e-3)


def test_a_layer_whose_kernels_work_is_not_tried_again(monkeypatch, caplog):
    calls, working = [], linear.quantize_rows
    monkeypatch.setattr(linear, 'quantize_rows',
                        lambda x, *rest, **named: calls.append(x) or working(x, *rest, **named))
    spec = LinearSpec(64, 8, 4, 4)
    for _ in range(2):
        kernel = on_device.make_on_device((spec, *random_layer(spec)), 20, torch.bfloat16)
        assert kernel.name == 'triton'
    assert [(len(x), x.dtype) for x in calls] == [(1, torch.bfloat16), (20, torch.bfloat16)]
    assert warnings(caplog) == []


def test_where_torch_has_no_product_either_the_reference_serves(failing, caplog):
    failing(linear, 'quantize_rows')
    failing(torch, '_int_mm', error=RuntimeError('CUBLAS_STATUS_NOT_SUPPORTED'))
    spec = LinearSpec(96, 8, 4, 4)
    found = [on_device.make_on_device((spec, *random_layer(spec)), 20, None) for _ in range(2)]
    assert all(isinstance(kernel, ReferenceKernel) for kernel in found)
    text, = warnings(caplog)
    assert "'reference' serves" in text and 'not for a robot' in text


@pytest.mark.parametrize('error', [ERRORS[5], ERRORS[6], RuntimeError()],
                         ids=lambda error: type(error).__name__)
def test_a_kernel_whose_compiler_fails_in_its_own_process_is_not_exact(error):
    class Broken(ReferenceKernel):

        def product(self, grid):
            raise error
    reason = kernels.check_exact(Broken, 64, 4, 4)
    assert reason == (str(error) or 'RuntimeError')


@pytest.mark.parametrize(('kind', 'precision'), [('tokens', 'fp'), ('chunk', 'w4a8')])
def test_decoder_blocks_whose_kernels_fail_stay_as_they_are(kind, precision, failing, caplog):
    model = make_model(kind)
    if precision != 'fp':
        quantize_model(model, precision)
        prepare_kernels(model, backend='triton')
    expected = answer(model)
    calls = failing(block, 'rotate')
    assert fuse_blocks(model) == 0
    assert len(calls) == 4  # of two forms: in the last block queries are apart
    for found, one in zip(answer(model), expected):
        assert torch.equal(found, one)
    text, = warnings(caplog)
    assert text.startswith('3 of 3 decoder blocks run unfused')


def test_what_only_decoding_runs_is_tried_for_a_head_that_decodes(failing, caplog):
    fails_alone = (block, 'rotate', lambda qkv, *rest: qkv.shape[1] == 1)
    failing(*fails_alone)
    assert fuse_blocks(make_model('chunk')) == 3 and not warnings(caplog)
    assert fuse_blocks(make_model('tokens')) == 0 and len(warnings(caplog)) == 1


def test_blocks_of_another_form_are_tried_for_themselves(failing, caplog):
    model = make_model('chunk')
    quantize_model(model, 'w4a4', overrides={'layers.1.mlp.down_proj': 'w8a8'})
    prepare_kernels(model, backend='triton')
    failing(block, 'quantize_rows', lambda x, bits, *rest: bits == 8)
    assert fuse_blocks(model) == 2
    assert [isinstance(layer, FusedDecoderLayer) for layer in model.llm.layers] == [
        True, False, True]
    assert '1 of 3 decoder blocks run unfused' in warnings(caplog)[0]


@pytest.mark.parametrize('where', ['the device', 'its trial'])
def test_tokens_are_chosen_on_the_host_where_the_kernel_fails(where, monkeypatch, caplog):
    config = SelectionConfig(9, 4)
    assert plan._selection_kernel(CPU, (4, 6), config) is None and not warnings(caplog)
    works, fails = (lambda *_: ''), (lambda *_: 'a reason')
    monkeypatch.setattr(plan, 'unavailable', works)
    monkeypatch.setattr(triton_choice, 'why_not_selected', works)
    assert plan._selection_kernel(GPU, (4, 6), config) is triton_choice.select_tokens_cuda
    if where == 'the device':
        monkeypatch.setattr(plan, 'unavailable', fails)
    else:
        monkeypatch.setattr(triton_choice, 'why_not_selected', fails)
    for _ in range(2):
        assert plan._selection_kernel(GPU, (4, 6), config) is None
    text, = warnings(caplog)
    assert 'between two CUDA graphs' in text and 'a reason' in text


def test_the_kernel_that_chooses_is_tried_once(monkeypatch):
    config = SelectionConfig(9, 4)
    assert triton_choice.why_not_selected(CPU, (4, 6), config) == ''
    monkeypatch.setattr(triton_choice, 'select_tokens_cuda', lambda *_: 1 / 0)
    assert triton_choice.why_not_selected(CPU, (4, 6), config) == ''


def test_nothing_is_timed_unless_the_first_configuration_fails(monkeypatch):
    modes = []

    def run():
        modes.append(tuning._mode())
        if modes[-1] == 'first':
            raise RuntimeError('too large')
    assert trial.why_not('first is too large', run, CPU) == '' and modes == ['first', '']


def test_a_bug_and_missing_memory_are_no_reasons():
    for error in (KeyError('bug'), torch.cuda.OutOfMemoryError('full')):
        def run():
            raise error
        with pytest.raises(type(error)):
            trial.why_not(type(error), run, CPU)


def test_nothing_is_tried_in_a_capture(monkeypatch):
    trial.why_not('known', lambda: None, CPU)
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert trial.why_not('known', lambda: 1 / 0, CPU) == ''
    with pytest.raises(RuntimeError, match='before it was ever tried'):
        trial.why_not('new', lambda: None, CPU)


def test_the_package_does_not_import_triton():
    code = ('import sys; import sqap_vla_ros.kernels.cuda.tuning; '
            'sys.exit("triton" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
