# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""w4a4t8 in whole networks: which rows have which bits, GPTQ, and its place in config.json."""
import copy
import json

import pytest
from small_models import answer, HEADS, make_input, make_model, make_oft, make_vla, oft_answer
from small_models import relative
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.kernels.base import Kernel
from sqap_vla_ros.model.vla import VLA
from sqap_vla_ros.numerics.visual_rows import VisualRows
from sqap_vla_ros.quant import (
    packed_state, prepare_kernels, quantize_block, quantize_model, quantized_shell, QuantLinear,
    QuantScheme, storage_text, summary)
import torch

KEEP = torch.tensor([0, 3, 4, 9])
PATCHES = 16


@pytest.fixture
def told(monkeypatch):
    """Return a list of rows and VisualRows that quantized layers are told of."""
    calls, row_scale = [], Kernel.row_scale

    def noted(self, x, visual):
        calls.append((len(x), visual))
        return row_scale(self, x, visual)
    monkeypatch.setattr(Kernel, 'row_scale', noted)
    return calls


def quantized(model, precision='w4a4t8'):
    quantize_model(model, precision)
    prepare_kernels(model, backend='reference')
    return model


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('keep', [None, KEEP], ids=['all', 'kept'])
def test_layers_are_told_where_the_visual_tokens_are_with_every_head(kind, keep, told):
    model = quantized(make_model(kind))
    answer(model, keep=keep)
    others = 6 + model.head.num_queries  # BOS and 5 words
    whole = others + PATCHES
    expected = {(whole, VisualRows(whole, 1, PATCHES))}
    if keep is not None:
        expected.add((others + 4, VisualRows(others + 4, 1, 4)))
    prefills = {call for call in told if call[0] > 1}
    assert expected <= prefills
    assert all(rows not in (whole, others + 4) for rows, _ in prefills - expected)
    few = [visual for rows, visual in told if rows < 4]  # decoded, or read by the head
    assert few and not any(visual.count for visual in few if visual is not None)


@pytest.mark.parametrize('reads', ['regression', 'tokens', 'diffusion'])
def test_and_with_every_head_of_openvla_oft_and_two_images(reads, told):
    model = quantized(make_oft(reads))
    keep = torch.tensor([0, 3, 4, 9, 17, 30])
    oft_answer(model, keep)
    places = {(rows, visual.length, visual.first, visual.count) for rows, visual in told
              if visual is not None and rows == visual.length and visual.count}
    (whole, *_), = (place for place in places if place[3] == 2 * PATCHES)
    assert places == {(whole, whole, 1, 2 * PATCHES), (whole - 26, whole - 26, 1, 6)}


def test_in_a_batch_each_sequence_has_its_own(told):
    """As in training's forward, of which one may ask at any precision."""
    model = quantized(make_vla())
    pixels, token_ids, state = make_input(model, batch=2)
    with torch.inference_mode():
        both = model(pixels, token_ids, state)[0]
        one = model(pixels[1:], token_ids[1:], state[1:])[0]
    length = 1 + PATCHES + 1 + 5 + 3
    assert set(told) == {(2 * length, VisualRows(length, 1, PATCHES)),
                         (length, VisualRows(length, 1, PATCHES))}
    assert relative(both[1:], one) < 1e-4


@torch.no_grad()
def test_calibration_goes_on_through_quantized_blocks_with_the_rows_of_each_sample():
    """Two prompts of other lengths, one of them in a batch of two."""
    model, inputs = make_vla(width=64), []
    pixels, token_ids, state = make_input(model)
    for batch, words in ((2, 6), (1, 4)):
        visual = model.encode_image(pixels[:batch])
        inputs.append(model.embed(visual, token_ids[:batch, :words], state[:batch]))
    before = [x.clone() for x in inputs]
    quantize_block(model.llm, 0, QuantScheme('w4a4t8', rotate=False), inputs, model.visual_rows)
    for x, found in zip(before, inputs):
        length = x.shape[1]
        positions = torch.arange(length)
        expected, untold = (model.llm.run(x, positions, 0, 1, visual=visual)[0]
                            for visual in (VisualRows(length, 1, PATCHES), None))
        assert torch.equal(found, expected) and not torch.equal(found, untold)


@torch.no_grad()
def test_gptq_of_a_whole_model_is_that_of_its_blocks_one_by_one():
    whole, inputs = make_vla(width=64), []
    pixels, token_ids, state = make_input(whole)
    inputs.append(whole.embed(whole.encode_image(pixels), token_ids, state))
    streamed, given = copy.deepcopy(whole), [x.clone() for x in inputs]
    scheme = QuantScheme('w4a4t8', rotate=False)
    quantize_model(whole, scheme, inputs)
    for index in range(len(streamed.llm.layers)):
        quantize_block(streamed.llm, index, scheme, given, streamed.visual_rows)
    expected = packed_state(whole.llm)
    for name, tensor in packed_state(streamed.llm).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize('kind', HEADS)
def test_config_json_keeps_it_and_every_head_comes_back(kind):
    model = make_model(kind)
    record = json.loads(json.dumps(quantize_model(model, 'w4a4t8')))
    assert record['precision'] == 'w4a4t8'
    with torch.device('meta'):
        again = VLA(model.config).eval().requires_grad_(False)
    quantized_shell(again, record)
    again.load_state_dict(packed_state(model), assign=True)
    layers = [layer for layer in again.modules() if isinstance(layer, QuantLinear)]
    assert {layer.spec.text_bits for layer in layers} == {8} and len(layers) == 21
    for one in (model, again):
        prepare_kernels(one, backend='reference')
    assert torch.equal(answer(again, keep=KEEP)[1], answer(model, keep=KEEP)[1])
    assert '21 linear layers, w4a4t8' in storage_text(summary(again))


def test_weights_are_those_of_w4a4_and_w4a8():
    """So that one converted set of weights serves all three."""
    states = []
    for precision in ('w4a4', 'w4a4t8', 'w4a8'):
        model = make_vla()
        quantize_model(model, precision)
        states.append(packed_state(model))
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(tensor, states[0][name]) for name, tensor in state.items())


@pytest.mark.parametrize(('options', 'message'), [
    ({'overrides': {'vision': 'w4a4t8'}}, r'vision\..*is to be w4a4t8.*llm\.layers.*w4a8'),
    ({'precision': 'w4a4t8', 'per_token': False}, 'w4a4t8.*--per-tensor'),
    ({'overrides': {'down_proj': 'w4a4t8'}, 'per_token': False}, 'w4a4t8.*--per-tensor')])
def test_what_knows_no_kinds_of_tokens_is_refused_before_anything_changes(options, message):
    model = make_vla()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError, match=message):
        quantize_model(model, **{'precision': 'w4a4', **options})
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_single_layers_of_the_decoder_may_be_told_apart(told):
    """All are told which rows are visual, and those of w4a4t8 alone round these coarser."""
    model = make_vla()
    quantize_model(model, 'w4a8', overrides={'down_proj': 'w4a4t8'})
    prepare_kernels(model, backend='reference')
    with torch.inference_mode():
        model(*make_input(model, batch=1))
    length, x = 1 + PATCHES + 1 + 5 + 3, torch.randn(6, 96)
    whole = VisualRows(length, 1, PATCHES)
    assert {visual for rows, visual in told if rows == length} == {whole}
    for name, layer in model.llm.layers.named_modules():
        if isinstance(layer, QuantLinear):
            rows = x[:, :layer.spec.in_features]
            differ = layer(rows, VisualRows(3, 1, 1)) != layer(rows, None)
            is_apart = name.endswith('down_proj')
            assert differ.any(1).tolist() == [False, is_apart, False] * 2, name
            assert layer.precision == ('w4a4t8' if is_apart else 'w4a8')
