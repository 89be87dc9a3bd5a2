# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Precisions by name, overrides by layer, and the scheme's record in config.json."""
import json

from hypothesis import given, strategies as st
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.precision import fits, PRECISIONS
from sqap_vla_ros.quant import parse_overrides, parse_precision, Precision, QuantScheme

DOWN = 'llm.layers.11.mlp.down_proj'


def test_precisions_have_one_name_each():
    assert PRECISIONS == ('fp', 'w4a16', 'w8a8', 'w4a8', 'w4a4', 'w4a4t8')
    assert parse_precision('w4a8') == Precision('w4a8', 4, 8)
    assert parse_precision('w4a4t8') == Precision('w4a4t8', 4, 4, text_bits=8)
    with pytest.raises(ConfigError, match='w4a16'):
        parse_precision('int4')
    with pytest.raises(ConfigError, match='3 and 8 bits'):
        Precision('w3a8', 3, 8)
    for act_bits, text_bits in ((16, 8), (4, 3), (4, 16)):
        with pytest.raises(ConfigError, match=f'{text_bits} bits for text beside {act_bits}'):
            Precision('other', 4, act_bits, text_bits)


@pytest.mark.parametrize(('pattern', 'fitting'), [
    ('down_proj', True), ('*.down_proj', True), ('llm', True), ('mlp.down_proj', True),
    ('layers.11', True), ('llm.layers.*.mlp', True), (DOWN, True), ('*_proj', True),
    ('layers.1', False), ('proj', False), ('down', False), ('vision', False), ('own_proj', False)])
def test_patterns_fit_whole_components_of_a_name(pattern, fitting):
    assert fits(DOWN, pattern) is fitting


def test_overrides_are_read_from_one_line_of_text():
    assert parse_overrides(' o_proj, down_proj: w8a8; vision : w8a8 ') == {
        'o_proj': 'w8a8', 'down_proj': 'w8a8', 'vision': 'w8a8'}
    assert parse_overrides('') == {}


@pytest.mark.parametrize('text', ['o_proj', 'o_proj w8a8', 'o_proj,: w8a8', ': w8a8', 'a: b'])
def test_other_texts_are_refused(text):
    with pytest.raises(ConfigError, match='form|unknown'):
        parse_overrides(text)


def test_the_first_override_that_fits_wins_and_others_take_the_default():
    scheme = QuantScheme('w4a4', overrides={'layers.0.mlp': 'fp', 'down_proj': 'w8a8',
                                            'vision': 'w8a8'})
    assert scheme.precision_of('llm.layers.0.mlp.down_proj') == 'fp'
    assert scheme.precision_of(DOWN) == 'w8a8'
    assert scheme.precision_of('llm.layers.1.self_attn.q_proj') == 'w4a4'
    assert scheme.precision_of('vision.blocks.0.mlp.fc1') == 'w8a8'
    assert scheme.precision_of('projector.0') == 'fp'
    with pytest.raises(ConfigError, match='fits none'):
        scheme.check_names(['llm.layers.0.mlp.down_proj'])


@pytest.mark.parametrize(('options', 'message'), [
    ({'precision': 'w3'}, 'unknown'), ({'overrides': {'o_proj': 'int8'}}, 'unknown'),
    ({'qk_bits': 2}, 'qk_bits'), ({'group_size': 8}, 'group_size'),
    ({'group_size': 100}, 'group_size'), ({'group_size': -16}, 'group_size')])
def test_schemes_are_checked_when_they_are_made(options, message):
    with pytest.raises(ConfigError, match=message):
        QuantScheme(**options)


@pytest.mark.parametrize(('width', 'group'), [
    (4096, 128), (11008, 128), (1536, 128), (576, 64), (1000, 0), (48, 16), (33, 0)])
def test_groups_divide_the_width_and_are_for_16_bit_activations(width, group):
    scheme = QuantScheme('w4a16')
    assert scheme.group_of(width, 'w4a16') == group
    assert scheme.group_of(width, 'w4a4') == 0
    assert QuantScheme('w4a16', group_size=0).group_of(width, 'w4a16') == 0


ONE_KIND = [name for name in PRECISIONS if not parse_precision(name).text_bits]


def schemes_of(names, per_token):
    return st.builds(
        QuantScheme, st.sampled_from(names), st.booleans(),
        st.dictionaries(st.sampled_from(['o_proj', 'vision']), st.sampled_from(names)),
        st.sampled_from([16, 8, 4]), per_token, st.sampled_from([0, 16, 64, 128]))


schemes = st.one_of(schemes_of(ONE_KIND, st.booleans()), schemes_of(PRECISIONS, st.just(True)))


@given(schemes)
def test_a_scheme_comes_back_from_its_record(scheme):
    rotation = {'seed': 0} if scheme.rotate else None
    record = json.loads(json.dumps(scheme.record(rotation, gptq=False)))
    assert QuantScheme.from_record(record) == scheme


def test_a_damaged_record_is_refused():
    record = QuantScheme('w4a4').record(None, False)
    del record['qk_bits'], record['rotation']
    with pytest.raises(ConfigError, match=r"\['qk_bits', 'rotation'\]"):
        QuantScheme.from_record(record)
