# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A kernel that does not work on a device ends in a slower path and one warning."""
import logging

import cuda_interpreter  # noqa: F401, I100, I202
from kernel_layers import random_layer
import pytest
from small_models import answer, make_model
from sqap_vla_ros.inference import plan
from sqap_vla_ros.kernels import on_device
from sqap_vla_ros.kernels.base import LinearSpec, Unavailable
from sqap_vla_ros.kernels.cuda import linear, small, trial, tuning
from sqap_vla_ros.kernels.reference import ReferenceKernel
from sqap_vla_ros.kernels.torch_gpu import TorchKernel
from sqap_vla_ros.model import fused_blocks as block
from sqap_vla_ros.model.fused_blocks import fuse_blocks, FusedDecoderLayer
from sqap_vla_ros.quant import prepare_kernels, quantize_model
from sqap_vla_ros.tokens import triton_choice
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch
from torch import nn
from triton.runtime.errors import OutOfResources, PTXASError

CPU = torch.device('cpu')
ERRORS = [PTXASError('PTXAS error\nptxas fatal : no such thing'), RuntimeError('a launch failed'),
          OutOfResources(300000, 100000, 'shared memory'), Unavailable('no configuration works'),
          AssertionError('a bug of this Triton')]


@pytest.fixture(autouse=True)
def nothing_tried(monkeypatch):
    monkeypatch.setattr(trial, '_reasons', {})
    caches = (on_device._warn_slower, plan._warn_on_host, small.warn)
    for function in caches:
        function.cache_clear()


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


@pytest.mark.parametrize(('spec', 'name', 'many'), [
    (LinearSpec(64, 8, 4, 4, 16), 'quantize_rows', False),
    (LinearSpec(64, 8, 8, 8), 'int_linear', True),
    (LinearSpec(64, 8, 4, 16, 16), 'transform_rows', False)], ids=str)
@pytest.mark.parametrize('error', ERRORS, ids=lambda error: type(error).__name__)
def test_a_layer_whose_kernel_fails_is_multiplied_by_torch(
        spec, name, many, error, failing, caplog):
    layer = random_layer(spec)
    # the check of the integers calls the product too, with 16 channels
    calls = failing(linear, name, lambda x, *rest: len(x) == 20 if many else True, error)
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


@pytest.mark.parametrize(('kind', 'precision'), [('tokens', 'fp'), ('chunk', 'w4a8')])
def test_decoder_blocks_whose_kernels_fail_stay_as_they_are(kind, precision, failing, caplog):
    model = make_model(kind)
    if precision != 'fp':
        quantize_model(model, precision)
        prepare_kernels(model, backend='triton')
    expected = answer(model)
    calls = failing(block, 'rotate')
    assert fuse_blocks(model) == 0 and len(calls) == 2  # the three blocks are of one form
    for found, one in zip(answer(model), expected):
        assert torch.equal(found, one)
    text, = warnings(caplog)
    assert text.startswith('3 of 3 decoder blocks run unfused')


def test_what_only_decoding_runs_is_tried_for_a_head_that_decodes(failing, caplog):
    fails_alone = (block, 'rotate', lambda qkv, *rest: qkv.shape[1] == 1)
    failing(*fails_alone)
    assert fuse_blocks(make_model('chunk')) == 3 and not warnings(caplog)
    assert fuse_blocks(make_model('tokens')) == 0 and len(warnings(caplog)) == 1


def test_blocks_of_another_form_are_tried_for_themselves(monkeypatch, caplog):
    model = make_model('chunk')
    quantize_model(model, 'w4a4', overrides={'layers.1.mlp.down_proj': 'w8a8'})
    prepare_kernels(model, backend='triton')
    working = block.quantize_rows

    def quantize_rows(x, bits, *rest, **named):
        if bits == 8:
            raise RuntimeError('no kernel of 8 bits')
        return working(x, bits, *rest, **named)
    monkeypatch.setattr(block, 'quantize_rows', quantize_rows)
    assert fuse_blocks(model) == 2
    assert [isinstance(layer, FusedDecoderLayer) for layer in model.llm.layers] == [
        True, False, True]
    assert '1 of 3 decoder blocks run unfused' in warnings(caplog)[0]


def test_an_action_head_whose_kernel_fails_stays_as_it_is(failing, caplog):
    model = make_model('diffusion')
    expected = answer(model)
    calls = failing(small, 'small_linear')
    assert fuse_blocks(model) == 3 and len(calls) == 2
    assert torch.allclose(answer(model)[0], expected[0], atol=1e-4)
    text, = warnings(caplog)
    assert "the action head's" in text and 'unfused' in text


def test_an_action_head_of_integers_says_that_it_is_not_fused(caplog):
    model = make_model('diffusion')
    layer = model.head.blocks[0].mlp
    layer.fc1 = nn.Sequential(layer.fc1)  # as any layer that is not plain
    small.fuse_action_head(model.head)
    text, = warnings(caplog)
    assert text.startswith("1 of the action head's") and 'quantized' in text


@torch.inference_mode()
def test_an_action_head_on_more_rows_than_its_kernel_takes_says_so_once(caplog):
    head = make_model('diffusion').head
    small.fuse_action_head(head)
    assert warnings(caplog) == []
    x = torch.randn(9, 9, head.positional_embedding.shape[1])
    expected = head.blocks[0].block(x)
    for _ in range(2):
        assert torch.equal(head.blocks[0](x), expected)
    text, = warnings(caplog)
    assert '81 rows' in text and '64' in text


@pytest.mark.parametrize('where', ['the device', 'its trial'])
def test_tokens_are_chosen_on_the_host_where_the_kernel_fails(where, monkeypatch, caplog):
    config, device = SelectionConfig(9, 4), torch.device('cuda', 0)
    assert plan._selection_kernel(CPU, (4, 6), config) is None and not warnings(caplog)
    why = (lambda *_: 'a reason') if where == 'its trial' else (lambda *_: '')
    monkeypatch.setattr(plan, 'unavailable',
                        lambda _: 'a reason' if where == 'the device' else '')
    monkeypatch.setattr(triton_choice, 'why_not_selected', lambda *_: '')
    if where == 'its trial':
        assert plan._selection_kernel(device, (4, 6), config) is triton_choice.select_tokens_cuda
    monkeypatch.setattr(triton_choice, 'why_not_selected', why)
    for _ in range(2):
        assert plan._selection_kernel(device, (4, 6), config) is None
    text, = warnings(caplog)
    assert 'between two CUDA graphs' in text and 'a reason' in text


def test_the_kernel_that_chooses_is_tried_once(monkeypatch):
    config = SelectionConfig(9, 4)
    assert triton_choice.why_not_selected(CPU, (4, 6), config) == ''
    monkeypatch.setattr(triton_choice, 'select_tokens_cuda', lambda *_: 1 / 0)
    assert triton_choice.why_not_selected(CPU, (4, 6), config) == ''


def test_nothing_is_timed_unless_the_first_configuration_fails(monkeypatch):
    timed, run = [], []

    def measure(candidate):
        timed.append(candidate['size'])
        if candidate['size'] > 1:
            raise RuntimeError('too large')
        return 1.0

    def launch(sizes):
        found = tuning.tuned('test', (8, len(sizes)), [{'size': size} for size in sizes], measure)
        run.append(found['size'])
        if found['size'] > 1:
            raise RuntimeError('too large')
    for name in ('remember', 'cache_file', '_from_file'):
        monkeypatch.setattr(tuning, name, lambda *arguments: None)
    assert trial.why_not('fits', lambda: launch([1, 2]), (RuntimeError,), CPU) == ''
    assert timed == [] and run == [1]
    assert trial.why_not('first is too large', lambda: launch([3, 2, 1]), (RuntimeError,),
                         CPU) == ''
    assert timed == [3, 2, 1] and run == [1, 3, 1]


def test_a_bug_and_missing_memory_are_no_reasons():
    for error in (KeyError('bug'), torch.cuda.OutOfMemoryError('full')):
        def run():
            raise error
        with pytest.raises(type(error)):
            trial.why_not(type(error), run, (RuntimeError,), CPU)


def test_nothing_is_tried_in_a_capture(monkeypatch):
    trial.why_not('known', lambda: None, (RuntimeError,), CPU)
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    assert trial.why_not('known', lambda: 1 / 0, (RuntimeError,), CPU) == ''
    with pytest.raises(RuntimeError, match='before it was ever tried'):
        trial.why_not('new', lambda: None, (RuntimeError,), CPU)
