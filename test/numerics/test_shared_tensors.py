# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Tensors that are made once: they stay, and are finished before another stream reads them."""
from types import SimpleNamespace

import pytest
from sqap_vla_ros.model import llama
from sqap_vla_ros.numerics import hadamard, shared_tensors as constants
from sqap_vla_ros.numerics.shared_tensors import constant
import torch

SHARED = {
    'rotary_rows': (llama.rotary_rows, (3, 4, 1e4, torch.float32, torch.device('cpu'))),
    'hadamard_matrix': (hadamard.hadamard_matrix, (4, torch.float64, 'cpu'))}


@pytest.fixture
def finished(monkeypatch):
    """Return the devices that were waited for."""
    devices = []
    monkeypatch.setattr(constants, '_finish', devices.append)
    for function, _ in SHARED.values():
        function.cache_clear()
    yield devices
    for function, _ in SHARED.values():
        function.cache_clear()


def kernels_turns():
    """Return the constant of the selection kernel, whose module needs triton."""
    pytest.importorskip('triton', reason='triton is not installed')
    from sqap_vla_ros.tokens.triton_choice import _turns
    return _turns, (2, 3, 'index', 1, torch.device('cpu'))


@pytest.mark.parametrize('name', [*SHARED, 'select._turns'])
def test_every_shared_tensor_is_waited_for_once_and_kept_for_good(name, finished):
    function, arguments = SHARED[name] if name in SHARED else kernels_turns()
    function.cache_clear()
    with torch.inference_mode():
        made = function(*arguments)
    assert function(*arguments) is made
    tensors = made if isinstance(made, tuple) else (made,)
    assert finished == [torch.device('cpu')] * len(tensors)
    assert not any(tensor.is_inference() for tensor in tensors)
    assert function.cache_info().maxsize is None


def test_no_size_is_ever_dropped():
    @constant
    def zeros(count):
        return torch.zeros(count)
    made = [zeros(count) for count in range(300)]
    assert all(zeros(count) is made[count] for count in range(300))


def test_in_a_capture_what_is_there_serves_and_what_is_not_is_refused(monkeypatch):
    @constant
    def zeros(count):
        return torch.zeros(count)
    before = zeros(3)
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert zeros(3) is before
    with pytest.raises(RuntimeError, match='zeros.*run what is captured once before'):
        zeros(4)


def test_on_a_cuda_device_the_current_stream_is_waited_for(monkeypatch):
    waited = []
    stream = SimpleNamespace(synchronize=lambda: waited.append('done'))
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: stream)
    constants._finish(torch.device('cuda:1'))
    constants._finish(torch.device('cpu'))
    assert waited == ['done']
