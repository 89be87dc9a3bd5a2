# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Variants of a policy by name: what their rows run, of which weights."""
from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate.evaluation import auto_of, check_rows
from sqap_vla_ros.evaluate.plan import plan_rows, Row, VARIANTS
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.support.resources import model_directory


@pytest.mark.parametrize(('name', 'precision', 'method', 'dropped', 'is_nearest'), [
    ('fp', 'fp', None, '', False), ('follow', 'fp', 'sqap', 'follow', False),
    ('random-prune', 'fp', 'random', '', False), ('w4a4t8', 'w4a4t8', None, '', False),
    ('w4a8-prune', 'w4a8', 'sqap', '', False), ('sqap', 'w4a4', 'sqap', '', False),
    ('w4a4-nearest-random-prune', 'w4a4', 'random', '', True),
    ('w8a8-follow', 'w8a8', 'sqap', 'follow', False), ('fp-repeat', 'fp', None, '', False),
    ('auto', 'w8a8', None, '', False), ('auto-follow', 'w8a8', 'sqap', 'follow', False)])
def test_a_variants_name_says_what_it_is(name, precision, method, dropped, is_nearest):
    (row,) = plan_rows([name], [40], ['none'], [], auto='w8a8')
    assert (row.variant, row.precision, row.method) == (name, precision, method)
    assert (row.facts.dropped, row.facts.is_nearest) == (dropped, is_nearest)
    assert row.takes_converted == (precision.startswith('w4a') and not is_nearest)
    assert row.name == (f'{name}@40' if method else name)
    assert bool(row.auto) == name.startswith('auto')
    common = PolicyOptions(selection_seed=3, dropped='gone')
    chosen = row.selection(common, 7)
    assert (chosen and (chosen.method, chosen.keep, chosen.dropped, chosen.seed)) == (
        method and (method, 40, dropped or 'gone', 7 if method == 'random' else 3))
    assert chosen is None or row.selection(common).seed == 3


def test_noise_is_in_a_variant_of_its_own_and_auto_has_to_be_settled():
    assert [name for name, facts in VARIANTS.items() if facts.noise] == ['fp-noise']
    assert not {'w4a16-nearest', 'w8a8-nearest', 'fp-prune', 'fp-nearest'} & set(VARIANTS)
    assert all(f'{name}-prune' in VARIANTS for name in PRECISIONS[1:])
    with pytest.raises(ConfigError, match='what auto stands for is not asked here'):
        plan_rows(['fp', 'auto-prune'], [40], ['none'], [])


def test_auto_is_chosen_of_the_weights_that_will_serve(capsys):
    own, converted = (open_checkpoint(model_directory(name)) for name in (
        'libero_goal', 'libero_goal_w4'))
    assert auto_of(['fp', 'sqap'], own.config, PolicyOptions()) == ''
    assert capsys.readouterr().out == ''
    assert auto_of(['fp', 'auto-prune'], own.config, PolicyOptions(), converted.path) == 'w4a8'
    assert 'and GPTQ rounded them\n' in capsys.readouterr().out
    auto_of(['auto'], own.config, PolicyOptions())
    assert 'GPTQ' not in capsys.readouterr().out


@pytest.mark.parametrize(('variant', 'stored', 'message'), [
    ('w4a8-nearest', 'w4a4', 'w4a8-nearest rounds .* is converted already'),
    ('w8a8', 'w4a4', 'holds w4a4 weights'), ('w4a8', 'w4a4', ''), ('w4a8-nearest', '', '')])
def test_rows_are_held_against_the_weights_that_are_there(variant, stored, message):
    record = {'precision': stored} if stored else {}
    source = SimpleNamespace(path='DIR', config=SimpleNamespace(quantization=record))
    if not message:
        check_rows(source, [Row(variant)])
        return
    with pytest.raises(ConfigError, match=message):
        check_rows(source, [Row(variant)])
