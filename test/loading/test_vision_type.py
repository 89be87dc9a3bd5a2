# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a vision encoder multiplies in: the rule, what is refused, and what a policy has then."""
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
from PIL import Image
import pytest
from sqap_vla_ros.action_error.asking import Asked, FULL
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.plan import Row
from sqap_vla_ros.formats import checkpoint
from sqap_vla_ros.kernels import levels
from sqap_vla_ros.kernels.base import Unavailable
from sqap_vla_ros.loading import vision_type as rule
from sqap_vla_ros.loading.vision_type import (
    AMX, Arithmetic, arithmetic, AVX512, choose_vision_type, SLOW, vision_type)
from sqap_vla_ros.model import bfloat16_vision
from sqap_vla_ros.model.bfloat16_vision import in_bfloat16
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, quantize_model
from sqap_vla_ros.support import machine
from sqap_vla_ros.support.machine import has_fast_bfloat16
from tiny_policies import observation
import torch

CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)


def chosen(device=CPU, dtype=torch.float32, **options):
    return vision_type(PolicyOptions(**options), VLAConfig(), {}, device, dtype)


@pytest.fixture
def on(monkeypatch):
    """Return what makes this a processor of a kind."""
    return lambda unit, missing='': monkeypatch.setattr(
        rule, 'arithmetic', lambda: Arithmetic(unit, missing))


@pytest.mark.parametrize('asked, unit, name, rounds', [
    ('auto', AMX, 'bfloat16', True), ('auto', AVX512, 'float32', False),
    ('auto', SLOW, 'float32', False), ('bfloat16', AMX, 'bfloat16', True),
    ('bfloat16', AVX512, 'bfloat16', True), ('bfloat16', SLOW, 'bfloat16', True)])
def test_auto_rounds_where_the_processor_has_amx_and_what_is_asked_for_is_done(
        asked, unit, name, rounds):
    found = choose_vision_type(asked, Arithmetic(unit, 'no such unit'))
    assert (found.name, found.rounds) == (name, rounds) and found.reason
    is_slow = (asked, unit) == ('bfloat16', SLOW)
    assert ('takes longer' in found.doubt and 'no such unit' in found.doubt) is is_slow
    assert str(found) == f'{name}: {found.reason}'


@pytest.mark.parametrize('flags, onednn, tiles, unit, why', [
    ('avx2 amx_bf16', True, '', AMX, ''),
    ('avx512_bf16 amx_bf16', True, 'the system refuses', AVX512, 'the system refuses'),
    ('avx512_bf16', True, '', AVX512, 'no AMX'), ('avx512_bf16', False, '', SLOW, 'oneDNN'),
    ('amx_bf16', True, None, AMX, ''), ('avx2', True, '', SLOW, 'no instructions')])
def test_the_processor_its_system_and_torch_decide_what_multiplies(
        flags, onednn, tiles, unit, why, monkeypatch):
    def missing():
        if tiles is None:
            raise Unavailable('no compiler')
        return tiles
    monkeypatch.setattr(machine, 'has_fast_bfloat16', has_fast_bfloat16)
    monkeypatch.setattr(machine, 'processor_flags', lambda: frozenset(flags.split()))
    monkeypatch.setattr(rule, 'onednn_multiplies_bfloat16', lambda: onednn)
    monkeypatch.setattr(rule, 'tiles_missing', missing)
    found = arithmetic()
    assert found.unit == unit and why in found.missing and bool(why) == bool(found.missing)


@pytest.mark.parametrize('word, state, text', [
    ('', 0, ''), ('amx', 0, ''), ('avx2', 0, 'SQAP_VLA_CPU_LEVEL is avx2'),
    ('', 3, 'refuses this process'), ('', 4, 'none or no AVX-512 for bfloat16'),
    ('amx', 2, 'does not save')])
def test_tiles_are_missing_where_the_system_or_the_level_that_is_asked_for_says_so(
        word, state, text, monkeypatch):
    monkeypatch.setenv(levels.VARIABLE, word)
    found = levels.tiles_missing(SimpleNamespace(sqap_amx_state=lambda: state))
    assert text in found and bool(text) == bool(found)


def test_where_all_else_has_another_type_the_encoder_has_it_too():
    for device, dtype, name in ((GPU, torch.bfloat16, 'bfloat16'), (GPU, torch.float16, 'float16'),
                                (CPU, torch.bfloat16, 'bfloat16')):
        found = chosen(device, dtype)
        assert (found.name, found.rounds, found.doubt) == (name, False, '')
    assert not chosen(GPU, torch.bfloat16, vision_dtype='bfloat16').rounds
    with pytest.raises(ConfigError, match='bfloat16, and on cuda:0 all .* in float16: leave'):
        chosen(GPU, torch.float16, vision_dtype='bfloat16')
    with pytest.raises(ConfigError, match='float32, and on cpu all .* in bfloat16'):
        chosen(CPU, torch.bfloat16, vision_dtype='float32')


@pytest.mark.parametrize('options, why', [
    ({'int8': ('vision',)}, 'vision has integer weights'),
    ({'int8': ('projector',)}, 'projector has integer'), ({'prepare': False}, 'prepare=False')])
def test_weights_that_cannot_be_rounded_are_left_by_auto_and_refused_for_bfloat16(
        options, why, on):
    on(AMX)
    found = chosen(**options)
    assert found.name == 'float32' and why in found.reason and not found.rounds
    with pytest.raises(ConfigError, match=f'vision_dtype is bfloat16, and {why}.*at auto'):
        chosen(vision_dtype='bfloat16', **options)
    assert chosen(int8=('head',)).rounds and not chosen(vision_dtype='float32').rounds


def rounded(policy) -> set[str]:
    return {name.split('.')[0] for name, module in policy.model.named_modules()
            if in_bfloat16(module)}


@pytest.mark.parametrize('head, form', [
    ('chunk', {'precision': 'w4a8', 'keep': 30}),
    ('oft_tiny_aloha', {})])  # DINOv2 and SigLIP, of three cameras
def test_a_policy_has_what_auto_chose_and_its_actions_stay_near(head, form, load, on, caplog):
    seen = observation(head)
    on(SLOW, 'none here')
    plain = load(head, **form)
    assert plain.vision_type.name == 'float32' and not rounded(plain)
    on(AMX)
    policy = load(head, **form)
    assert policy.vision_type.name == policy.twin(None).vision_type.name == 'bfloat16'
    assert rounded(policy) == {'vision', 'projector'} and not caplog.records
    near, exact = policy.infer(seen).actions, plain.infer(seen).actions
    assert np.median(np.abs(near - exact)) < 0.02


def test_both_types_can_be_asked_for_and_differ(tiny, on):
    def answer(unit, asked):
        on(unit)
        return load_policy(tiny, vision_dtype=asked).infer(observation('chunk')).actions
    exact, near = answer(SLOW, 'auto'), answer(AMX, 'auto')
    assert np.array_equal(answer(AMX, 'float32'), exact)
    assert np.array_equal(answer(SLOW, 'bfloat16'), near) and not np.array_equal(near, exact)


def test_an_encoder_that_was_converted_to_integers_is_left_or_refused(load, tiny, tmp_path, on):
    on(AMX)
    for name in ('vision', 'projector'):
        whole = load('chunk', prepare=False)
        record = quantize_model(whole.model, 'fp', overrides={name: 'w8a8'})
        checkpoint.save(tmp_path / name, dataclasses.replace(whole.config, quantization=record),
                        packed_state(whole.model), json.loads(
                            (tiny / 'norm_stats.json').read_text()),
                        checkpoint.read_tokenizer(tiny))
        found = load_policy(tmp_path / name)
        assert not rounded(found) and 'has integer weights' in found.vision_type.reason
        with pytest.raises(ConfigError, match=r'vision_dtype is bfloat16, and (vision|projector)\.'
                                              '.* has integer weights'):
            load_policy(tmp_path / name, vision_dtype='bfloat16')


def test_a_slow_processor_is_warned_of_and_blocks_layer_by_layer_change_no_bit(
        tiny, on, caplog, monkeypatch):
    on(SLOW, 'this is an abacus')
    monkeypatch.setattr(bfloat16_vision, 'multiplies_halves', lambda: False)
    policies = [load_policy(tiny, vision_dtype=torch.bfloat16)]
    assert [record.getMessage() for record in caplog.records] == [
        policies[0].vision_type.doubt] and 'this is an abacus' in caplog.text
    monkeypatch.setenv('SQAP_VLA_CPU_BLOCKS', 'plain')
    policies.append(load_policy(tiny, vision_dtype='bfloat16'))
    side = policies[0].config.model.vision.image_size
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, second = (policy.model.encode_image(pixels) for policy in policies)
    assert torch.equal(first, second)


def test_errors_are_measured_against_an_encoder_that_is_not_rounded(tiny, on):
    row = Row('w4a8')
    for unit, common, of_full in (
            (AMX, {}, 'float32'), (SLOW, {}, 'auto'), (SLOW, {'vision_dtype': 'bfloat16'},
                                                       'float32'),
            (AMX, {'dtype': 'bfloat16'}, 'auto'), (AMX, {'vision_dtype': 'float32'}, 'float32')):
        on(unit)
        asked = Asked(tiny, (row,), PolicyOptions(**common))
        assert asked.options(FULL).vision_dtype == of_full
        assert asked.options(row) == PolicyOptions(precision='w4a8', **common)
    assert asked.known(tiny, 'float32') is asked.known(tiny, 'float32')
    assert asked.known(tiny, 'float32') is not asked.known(tiny, 'bfloat16')


def test_what_was_taken_is_told_by_infer_and_info(tiny, on, tmp_path, capsys):
    on(AMX)
    Image.fromarray(observation('chunk').image).save(tmp_path / 'image.png')
    assert main(['info', str(tiny)]) == 0
    assert 'auto would choose bfloat16 on cpu: AMX multiplies' in capsys.readouterr().out
    assert main(['infer', str(tiny), '--image', str(tmp_path / 'image.png'), '--instruction',
                 'put the bowl on the stove', '--state', '0.5 0 0.2 1 0 0 0 0.5',
                 '--vision-dtype', 'float32']) == 0
    assert 'vision         float32: it was asked for\n' in capsys.readouterr().out
