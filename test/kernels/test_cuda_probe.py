# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Where Triton cannot start a kernel, slower code serves, and a warning says what to do."""
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
from sqap_vla_ros.kernels import cuda, on_device
from sqap_vla_ros.kernels.base import LinearSpec
from sqap_vla_ros.kernels.cuda import probe, small
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.model import fused_blocks as block
import torch
from triton.runtime.errors import PTXASError

capability = import_module('sqap_vla_ros.kernels.cuda.capability')  # the package has the function
unavailable = cuda.unavailable
ERRORS = [
    RuntimeError('Failed to find C compiler. Please specify via CC environment variable'),
    subprocess.CalledProcessError(1, ['gcc', 'main.c']), PermissionError(13, 'no such luck'),
    FileNotFoundError(2, 'No such file or directory', 'ptxas'), ImportError('undefined symbol'),
    AssertionError('libcuda.so cannot found!'), AttributeError('no attribute'),
    PTXASError('PTXAS error\nptxas fatal : sm_999 is not defined')]


@pytest.fixture
def device(monkeypatch):
    """Put an H100 into this machine, as far as questions to it go."""
    facts = SimpleNamespace(name='Test', major=9, minor=0, multi_processor_count=132,
                            total_memory=2 ** 36)
    answers = {'is_available': True, 'get_device_properties': facts, 'current_device': 0,
               'is_current_stream_capturing': False}
    for name, value in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.version, 'hip', None)
    for module in (cuda, capability):
        monkeypatch.setattr(module, 'is_interpreted', lambda: False)
    cached = (capability.capability, capability.announce, capability._tried,
              on_device._warn_slower)
    for function in cached:
        function.cache_clear()
    yield 'cuda:0'
    for function in cached:
        function.cache_clear()


def broken(monkeypatch, error) -> list:
    """Let every launch of the probe end in an error; return the devices it was tried on."""
    tried = []

    def launch(device):
        tried.append(device)
        raise error
    monkeypatch.setattr(probe, 'launch', launch)
    return tried


@pytest.mark.parametrize('error', ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_stops_a_launch_is_a_reason_that_names_the_cure(error, device, monkeypatch):
    tried = broken(monkeypatch, error)
    for name in (device, torch.device(device), 'cuda'):
        reason = unavailable(name)
        assert type(error).__name__ in reason and 'gcc python3-dev' in reason
    assert tried == [torch.device(device)]
    found = capability.capability(device)
    assert not found.has_kernels and reason in found.warning
    assert capability.paths(found)['prefill_w4a4'].backend == 'torch'


def test_the_assemblers_own_words_are_quoted(device, monkeypatch):
    broken(monkeypatch, ERRORS[-1])
    assert 'PTXASError: ptxas fatal : sm_999 is not defined' in unavailable(device)


def test_a_triton_that_cannot_be_imported_is_a_reason_too(device, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sqap_vla_ros.kernels.cuda.probe', None)
    assert 'triton cannot be imported' in unavailable(device)


def test_a_launch_that_works_leaves_the_kernels_and_a_wrong_answer_does_not(device, monkeypatch):
    monkeypatch.setattr(probe, 'launch', lambda device: 42)
    assert unavailable(device) == ''
    capability._tried.cache_clear()
    capability.capability.cache_clear()
    monkeypatch.setattr(probe, 'launch', lambda device: 0)
    assert 'wrote 0 instead of 42' in unavailable(device)


def test_the_kernel_writes_what_it_should(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device', lambda device: torch.no_grad())
    assert probe.failure(torch.device('cpu')) == ''


def test_nothing_is_tried_in_a_capture_nor_on_a_device_without_kernels(device, monkeypatch):
    tried = broken(monkeypatch, ERRORS[0])
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    with pytest.raises(RuntimeError, match='before a CUDA graph was captured'):
        unavailable(device)
    monkeypatch.setattr(capability, 'find_generation', lambda number: (None, 'too old'))
    assert unavailable(device) == 'too old'
    assert 'NVIDIA' in unavailable('cpu') and tried == []


@pytest.mark.parametrize('kind', ['chunk', 'diffusion'])
@pytest.mark.parametrize('error', [ERRORS[0], ERRORS[1], ERRORS[-1]],
                         ids=lambda error: type(error).__name__)
def test_plain_layers_go_on_unfused_and_the_warning_names_the_cure(
        kind, error, device, monkeypatch, caplog):
    broken(monkeypatch, error)
    for module in (block, small):
        monkeypatch.setattr(module, 'unavailable', lambda _: unavailable(device))
    model = make_model(kind)
    expected = answer(model)
    assert block.fuse_blocks(model) == 0
    for one, other in zip(answer(model), expected):
        assert torch.equal(one, other)
    texts = [record.getMessage() for record in caplog.records]
    assert any('decoder blocks run unfused' in text for text in texts)
    assert any('action head' in text for text in texts) == (kind == 'diffusion')
    assert all('gcc python3-dev' in text for text in texts)


@pytest.mark.parametrize('error', [ERRORS[0], ERRORS[1]], ids=lambda error: type(error).__name__)
def test_quantized_layers_take_torchs_products(
        error, device, monkeypatch, caplog):
    broken(monkeypatch, error)
    monkeypatch.setattr(on_device, 'unavailable', lambda _: unavailable(device))
    spec = LinearSpec(64, 8, 4, 4)
    layer = random_layer(spec)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            kernel = on_device.make_on_device((spec, *layer), 16, None)
            assert kernel.name == 'torch'
    assert len(caplog.records) == 1
    assert all('gcc python3-dev' in record.getMessage() for record in caplog.records)
    with pytest.raises(ConfigError, match='gcc python3-dev'):
        kernels.make_kernel(spec, *layer, backend='triton')


def test_a_device_that_torch_cannot_multiply_on_gets_the_reference(caplog):
    on_device._warn_slower.cache_clear()
    spec = LinearSpec(64, 8, 4, 4)
    layer = [part.to('meta') for part in random_layer(spec)]
    assert isinstance(kernels.make_kernel(spec, *layer), ReferenceKernel)
    text, = (record.getMessage() for record in caplog.records)
    assert "'reference' serves" in text and 'not for a robot' in text


@pytest.mark.parametrize('error', [ERRORS[1], ERRORS[2], RuntimeError()],
                         ids=lambda error: type(error).__name__)
def test_a_kernel_whose_compiler_fails_in_its_own_process_is_not_exact(error):
    class Broken(ReferenceKernel):

        def product(self, grid):
            raise error
    reason = kernels.check_exact(Broken, 64, 4, 4)
    assert reason == (str(error) or 'RuntimeError')


def test_the_package_does_not_import_triton():
    code = ('import sys; import sqap_vla_ros.kernels.cuda; sys.exit("triton" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
