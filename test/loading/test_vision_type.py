# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a vision encoder multiplies in: the rule, what is refused, and what a policy has then."""
import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
from PIL import Image
import pytest
from safetensors.torch import load_file, save_file
from sqap_vla_ros.action_error.asking import Asked, FULL
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.plan import Row
from sqap_vla_ros.formats import checkpoint, open_checkpoint as checkpoint_source
from sqap_vla_ros.kernels import levels, native_reason
from sqap_vla_ros.kernels.base import Unavailable
from sqap_vla_ros.loading import vision_type as rule
from sqap_vla_ros.loading.encoder_error import (
    EncoderError, error_file, LARGEST, write_encoder_error)
from sqap_vla_ros.loading.vision_type import (
    AMX, Arithmetic, arithmetic, AVX512, choose_vision_type, SLOW, vision_type)
from sqap_vla_ros.model import bfloat16_vision
from sqap_vla_ros.model.bfloat16_vision import in_bfloat16
from sqap_vla_ros.model.vla import VLAConfig
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.quant import packed_state, quantize_model, QuantLinear
from sqap_vla_ros.support import machine
from sqap_vla_ros.support.checkpoint_files import digest
from sqap_vla_ros.support.machine import has_fast_bfloat16
from tiny_policies import observation
import torch

VNNI = Arithmetic(SLOW, 'no AMX', 'avx_vnni')
ZEN4 = Arithmetic(AVX512, 'no AMX', 'avx512_vnni')
CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)


def measured(high=None, level='avx512_vnni'):
    """Return what gives an error of this upper end, or none."""
    return lambda: None if high is None else EncoderError(high / 2, 0.0, high, 8, 4, '', level)


def chosen(device=CPU, dtype=torch.float32, **options):
    return vision_type(PolicyOptions(**options), VLAConfig(), {}, device, dtype)


@pytest.fixture
def on(monkeypatch):
    """Return what makes this a processor of a kind."""
    return lambda unit, missing='': monkeypatch.setattr(
        rule, 'arithmetic', lambda: Arithmetic(unit, missing, 'avx2'))


@pytest.mark.parametrize('asked, unit, name, rounds', [
    ('auto', AMX, 'bfloat16', True), ('auto', AVX512, 'float32', False),
    ('auto', SLOW, 'float32', False), ('bfloat16', AMX, 'bfloat16', True),
    ('bfloat16', AVX512, 'bfloat16', True), ('bfloat16', SLOW, 'bfloat16', True)])
def test_auto_rounds_where_the_processor_has_amx_and_what_is_asked_for_is_done(
        asked, unit, name, rounds):
    found = choose_vision_type(asked, Arithmetic(unit, 'no such unit'), measured())
    assert (found.name, found.rounds) == (name, rounds) and found.reason
    is_slow = (asked, unit) == ('bfloat16', SLOW)
    assert ('takes longer' in found.doubt and 'no such unit' in found.doubt) is is_slow
    assert str(found) == f'{name}: {found.reason}'


@pytest.mark.parametrize('asked, found, error, name, words', [
    ('auto', VNNI, LARGEST, 'int8', 'no AMX, 8 bits are faster'),
    ('auto', ZEN4, LARGEST, 'int8', '0.0020 (0.0000 .. 0.0040; 8 '),
    ('auto', VNNI, 1.01 * LARGEST, 'float32', 'more than 0.004'),
    ('auto', ZEN4, None, 'float32', 'was not measured: sqap-vla'),
    ('auto', Arithmetic(SLOW, 'no AMX'), LARGEST, 'float32', 'no AMX'),
    ('auto', Arithmetic(AMX, '', 'amx'), LARGEST, 'bfloat16', 'AMX multiplies'),
    ('int8', VNNI, None, 'int8', 'asked for'),
    ('int8', Arithmetic(AMX, '', 'amx'), 1.0, 'int8', 'asked for')])
def test_auto_takes_8_bits_where_they_are_faster_and_their_error_was_measured(
        asked, found, error, name, words):
    chosen = choose_vision_type(asked, found, measured(error))
    assert chosen.name == name and chosen.rounds == (name != 'float32') and not chosen.doubt
    assert words in chosen.reason
    assert 'no native kernels' in choose_vision_type('int8', Arithmetic(SLOW), measured()).doubt


@pytest.mark.parametrize('measured_with, here, holds', [
    ('avx512_vnni', 'avx_vnni', True), ('avx_vnni', 'avx512_vnni', True), ('avx2', 'avx2', True),
    ('avx512_vnni', 'avx2', True), ('amx', 'avx2', True), ('amx', 'avx512_vnni', False),
    ('avx2', 'avx_vnni', False)])
def test_an_error_holds_for_instructions_that_round_no_more(measured_with, here, holds):
    chosen = choose_vision_type('auto', Arithmetic(SLOW, 'no AMX', here),
                                measured(0.001, measured_with))
    assert chosen.name == ('int8' if holds else 'float32')
    assert holds or f'measured with {measured_with}, which rounds less than {here}' in (
        chosen.reason)


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
    assert bool(found.level) is not bool(native_reason())


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
    with pytest.raises(ConfigError, match='int8, and on cuda:0 all .* in bfloat16: leave'):
        chosen(GPU, torch.bfloat16, vision_dtype='int8')
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
    for asked in ('bfloat16', 'int8'):
        with pytest.raises(ConfigError, match=f'vision_dtype is {asked}, and {why}.*at auto'):
            chosen(vision_dtype=asked, **options)
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


@pytest.mark.skipif(bool(native_reason()), reason=native_reason() or 'there')
def test_a_policy_goes_by_the_error_of_its_very_weights(tiny, on, tmp_path, caplog):
    on(SLOW, 'none here')
    place = tmp_path / 'tiny'
    shutil.copytree(tiny, place)
    seen = observation('chunk')
    exact, source = load_policy(place).infer(seen).actions, checkpoint_source(place)
    before = digest(place)
    write_encoder_error(source, error=0.001, low=0.0, high=0.003, frames=8, episodes=4)
    assert digest(place) == before, 'what was measured is no part of a checkpoint'
    policy = load_policy(place, precision='w4a8')
    assert policy.vision_type.name == 'int8' and 'none here, 8 bits' in policy.vision_type.reason
    assert all(isinstance(layer, QuantLinear) for layer in policy.model.projector[::2])
    near = load_policy(place).infer(seen).actions
    assert np.array_equal(near, load_policy(place, vision_dtype='int8').infer(seen).actions)
    assert not np.array_equal(near, exact) and np.median(np.abs(near - exact)) < 0.02
    tensors = load_file(place / 'model.safetensors')
    tensors['vision.pos_embed'] += 1
    save_file(tensors, place / 'model.safetensors')
    assert load_policy(place).vision_type.name == 'float32'
    facts = json.loads(error_file(source).read_text())
    for content in ('{', '{"error": 1}', json.dumps({**facts, 'high': -1}),
                    json.dumps({**facts, 'level': 'abacus'})):
        error_file(source).write_text(content)
        caplog.clear()
        assert load_policy(place).vision_type.name == 'float32'
        assert 'encoder_error.json is not used' in caplog.text and '--record' in caplog.text


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
