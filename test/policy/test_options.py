# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One list of a policy's options for Python, the command line and ROS, and what it refuses."""
import argparse
from pathlib import Path
import subprocess
import sys

import golden_data
import pytest
from sqap_vla_ros.commands.options import add_policy_arguments, policy_options
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.formats.tensors import RenamedReader
from sqap_vla_ros.model.prompt import check_known
from sqap_vla_ros.options import (
    flag_name, from_text, known, OPTIONS, parameter_name, plain_default, PolicyOptions)
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.tokens.choice import SelectionConfig
import torch

ITEMS = {item.name: item for item in OPTIONS}
TASKS = ('open the drawer', 'close the drawer', 'put the bowl on the stove')


def parsed(*texts, names=tuple(ITEMS), **defaults):
    """Return the options of a command line."""
    parser = argparse.ArgumentParser()
    add_policy_arguments(parser, *names, **defaults)
    return policy_options(parser.parse_args(texts))


@pytest.mark.parametrize('name', ITEMS)
def test_the_plain_default_of_yaml_and_shell_is_that_of_python(name):
    default = plain_default(ITEMS[name])
    assert default is not None
    assert PolicyOptions(**{name: default}) == PolicyOptions(**{name: None}) == PolicyOptions()


def test_an_empty_command_line_asks_for_nothing():
    assert parsed() == PolicyOptions()


@pytest.mark.parametrize('texts, options', [
    (['--precision', 'w4a4', '--keep', '154'], {'precision': 'w4a4', 'keep': 154}),
    (['--keep', '0', '--threads', '0'], {}),
    (['--int8', 'vision', 'head'], {'int8': ('vision', 'head')}),
    (['--ddim-steps', '0', '--cfg-scale', '2'], {'ddim_steps': 0, 'guidance': 2.0}),
    (['--no-protect', '--selection-method', 'random'],
     {'protect': False, 'selection_method': 'random'})])
def test_the_command_line_makes_the_options_that_python_makes(texts, options):
    assert parsed(*texts) == PolicyOptions(**options)


def test_a_command_takes_what_it_names_with_defaults_of_its_own():
    assert parsed(names=(), precision='w4a4', keep=154) == PolicyOptions('w4a4', keep=154)
    with pytest.raises(SystemExit):
        parsed('--device', 'cuda', names=(), precision='w4a4')


@pytest.mark.parametrize('name, text, value', [
    ('precision', 'w8a8', 'w8a8'), ('int8', 'vision, head', ('vision', 'head')),
    ('keep', '154', 154), ('guidance', '2', 2.0), ('protect', 'False', False)])
def test_a_text_becomes_what_the_parameter_is(name, text, value):
    found = from_text(ITEMS[name], text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize('name, text', [
    ('keep', 'all'), ('keep', '1.5'), ('guidance', 'x'), ('protect', 'yes')])
def test_a_text_of_another_type_is_refused(name, text):
    with pytest.raises(ConfigError, match=f'{name}.* is {text!r}, expected'):
        from_text(ITEMS[name], text)


@pytest.mark.parametrize('options, message', [
    ({'precision': 'w3a3'}, "precision is 'w3a3', expected one of auto, own, fp, "),
    ({'keep': 5000}, r'keep \(parameter keep_tokens\) is 5000, expected 0 to 4096'),
    ({'keep': '154'}, "is '154', expected a whole number"),
    ({'keep': True}, 'is True, expected a whole number'),
    ({'int8': 'vision'}, "is 'vision', expected a list"),
    ({'int8': ['engine']}, "is 'engine', expected one of vision"),
    ({'device': 'gpu'}, "device is 'gpu', expected 'cpu', 'cuda'"),
    ({'device': 'cuda:'}, "device is 'cuda:'"), ({'device': 'meta'}, "device is 'meta'"),
    ({'dtype': 'int8'}, 'expected one of float32'), ({'dtype': torch.int32}, "dtype is 'int32'"),
    ({'vision_dtype': 'float16'}, "vision_dtype is 'float16' .*one of auto, float32, bfloat16"),
    ({'vision_dtype': 'bfloat61'}, "did you mean 'bfloat16'"), ({'vision_dtype': 16}, "is '16'"),
    ({'ddim_steps': 101}, 'ddim_steps is 101, expected -1 to 100'),
    ({'guidance': float('nan')}, r'guidance \(--cfg-scale\) is nan, expected a number'),
    ({'seed': -1}, 'seed is -1'), ({'protect': 1}, 'protect is 1, expected true or false'),
    ({'selection_method': 'best'}, 'selection_method'), ({'sample_ties': 'odd'}, 'sample_ties'),
    ({'radius_patches': -1.0}, 'protected_radius'), ({'ensemble': 2.5}, 'ensemble is 2.5')])
def test_what_makes_no_sense_is_refused_when_made_and_named(options, message):
    with pytest.raises(ConfigError, match=message):
        PolicyOptions(**options)


def test_torchs_own_names_and_paths_are_taken_in_python():
    options = PolicyOptions(
        device=torch.device('cuda', 1), dtype=torch.bfloat16, tokenizer=Path('/llama'))
    assert options == PolicyOptions(device='cuda:1', dtype='bfloat16', tokenizer='/llama')


def test_the_selection_has_what_was_asked_for_and_is_none_for_all_tokens():
    assert PolicyOptions(selection_method='random').selection is None
    options = PolicyOptions(
        keep=20, preserve_top_k=3, preserve=False, protect=False, sample=False,
        selection_method='attention', selection_seed=7, sample_ties='index', dropped='follow')
    assert options.selection == SelectionConfig(
        20, 3, False, False, False, 'attention', 7, 'index', dropped='follow')


def test_names_are_told_apart_in_every_place():
    for names in ([parameter_name(item) for item in OPTIONS], list(map(flag_name, OPTIONS))):
        assert len(set(names)) == len(ITEMS)
    assert all(known(item).description.endswith('.') for item in OPTIONS)


def test_options_need_no_torch():
    code = 'import sys, sqap_vla_ros.options; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


@pytest.mark.parametrize('head, options, message', [
    ('openvla', {'keep': 257}, '1..256'), ('openvla', {'prune_layer': 5}, 'must be in 1..4'),
    ('openvla', {'ddim_steps': 5}, 'ddim_steps belong'),
    ('openvla', {'guidance': 1.5}, 'guidance belong'),
    ('openvla', {'unnorm_key': 'berkeley'}, 'bridge_orig'),
    ('openvla', {'tokenizer': '/nowhere'}, '/nowhere'),
    ('cogact', {'ddim_steps': 11}, 'ddim'), ('openvla', {'precision': 'w3a3'}, 'w3a3')])
def test_what_does_not_fit_the_checkpoint_is_refused_before_a_weight_is_read(
        head, options, message, monkeypatch):
    monkeypatch.setattr(RenamedReader, 'read', lambda *_: pytest.fail('a weight was read'))
    with pytest.raises(ValueError, match=message):
        golden_data.load(head, **options)


def test_changes_are_laid_over_options(tiny):
    policy = load_policy(tiny, PolicyOptions(keep=20, seed=3), keep=30)
    assert policy.kept_tokens == 30
    with pytest.raises(TypeError, match='kept'):
        load_policy(tiny, kept=30)


@pytest.mark.parametrize('text', ['open the drawer', ' Open  the DRAWER ', ''])
def test_an_instruction_of_the_list_is_taken_however_it_is_written(text):
    check_known(text, TASKS)


@pytest.mark.parametrize('text, nearest', [
    ('open the drawers', 'open the drawer'), ('put the stove on the bowl', TASKS[2]),
    ('close drawer', 'close the drawer')])
def test_another_instruction_is_refused_with_the_nearest_and_all_that_are_known(text, nearest):
    with pytest.raises(ObservationError, match=f'the nearest is {nearest!r}; it knows open the '
                       'drawer; close the drawer; put the bowl'):
        check_known(text, TASKS)
    check_known(text, ())


def test_a_policy_refuses_known_words_in_another_order_and_free_text_only_when_empty(tiny):
    with pytest.raises(ObservationError, match='the nearest is'):
        load_policy(tiny).check_instruction('put the stove on the bowl')
    free = golden_data.loaded('openvla')
    free.check_instruction('put the stove on the bowl')
    with pytest.raises(ObservationError, match='empty'):
        free.check_instruction(' ')
