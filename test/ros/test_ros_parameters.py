# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a robot's parameters reach the policy, above all those that move the floor."""
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: run `make setup`')
pytest.importorskip('sqap_vla_ros.msg', reason='needs the built messages: run `make setup`')

from rclpy.exceptions import InvalidParameterTypeException  # noqa: E402
from rclpy.exceptions import InvalidParameterValueException  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_harness import KnownPolicy  # noqa: E402
from sqap_vla_ros.errors import ConfigError  # noqa: E402
from sqap_vla_ros.options import PolicyOptions  # noqa: E402
from sqap_vla_ros.ros.vla.node import load_configured_policy  # noqa: E402
from sqap_vla_ros.ros.vla.parameters import NodeConfig, read_parameters  # noqa: E402
from tiny_checkpoint import save_tiny_checkpoint  # noqa: E402

pytestmark = pytest.mark.ros


@pytest.fixture
def asked_for(tmp_path, monkeypatch):
    """Return a function that tells what load_policy is given for these parameters."""
    def options(**parameters):
        found = []

        def load_policy(directory, options):
            found.append(options)
            return SimpleNamespace(warm_up=lambda: None)
        monkeypatch.setattr('sqap_vla_ros.policy.load_policy', load_policy)
        load_configured_policy(NodeConfig.from_parameters(
            {'checkpoint': str(tmp_path), **parameters}))
        return found[0]
    return options


def test_what_is_not_configured_is_as_the_checkpoint_and_the_device_have_it(asked_for):
    assert asked_for() == PolicyOptions()


@pytest.mark.parametrize('name, value, option', [
    ('int8_parts', ('vision', 'head'), 'int8'), ('ddim_steps', 5, 'ddim_steps'),
    ('ddim_steps', 0, 'ddim_steps'), ('prune_layer', 1, 'prune_layer'),
    ('dtype', 'float16', 'dtype'), ('precision', 'w8a8', 'precision'),
    ('device', 'cuda:1', 'device'), ('torch_threads', 3, 'threads'),
    ('keep_tokens', 154, 'keep'), ('protected_radius', 1.5, 'radius_patches'),
    ('unnorm_key', 'bridge_orig', 'unnorm_key'), ('tokenizer', '/llama', 'tokenizer'),
    ('guidance', 2.0, 'guidance'), ('ensemble', 0, 'ensemble'), ('seed', 3, 'seed'),
    ('selection_method', 'random', 'selection_method'), ('preserve', False, 'preserve')])
def test_a_parameter_reaches_the_policy(asked_for, name, value, option):
    assert asked_for(**{name: value}) == PolicyOptions(**{option: value})


@pytest.mark.parametrize('arguments, parts', [
    ((), ()), (('-p', 'int8_parts:=[vision, head]'), ('vision', 'head')),
    (('-p', 'int8_parts:=[]'), ()), (('-p', "int8_parts:=['']"), ())])
def test_the_list_of_int8_parts_may_be_empty(make_world, arguments, parts):
    world = make_world(KnownPolicy, {}, {'cli_args': ['--ros-args', *arguments]})
    assert read_parameters(world.node).policy.int8 == parts


@pytest.mark.parametrize('name, value, error', [
    ('int8_parts', 'vision', InvalidParameterTypeException),
    ('ddim_steps', -2, InvalidParameterValueException),
    ('ddim_steps', 101, InvalidParameterValueException),
    ('ddim_steps', 5.0, InvalidParameterTypeException),
    ('prune_layer', -1, InvalidParameterValueException),
    ('dtype', 16, InvalidParameterTypeException)])
def test_a_value_of_a_wrong_type_or_out_of_range_is_no_node(make_world, name, value, error):
    with pytest.raises(error, match=name):
        make_world(KnownPolicy, {name: value})


@pytest.mark.parametrize('values, message', [
    ({'int8_parts': ('vision', 'engine')}, "'engine', expected one of vision, "),
    ({'ddim_steps': -2}, 'ddim_steps is -2, expected -1 to 100'),
    ({'prune_layer': -1}, 'prune_layer is -1, expected 0 to'),
    ({'end_effector_frames': ()}, 'end_effector_frames name TF frames')])
def test_values_without_sense_are_refused_with_the_parameter(values, message):
    with pytest.raises(ConfigError, match=message):
        NodeConfig.from_parameters(values)


@pytest.mark.parametrize('parameter', [
    Parameter('int8_parts', value=['head']), Parameter('ddim_steps', value=5),
    Parameter('prune_layer', value=1), Parameter('dtype', value='float16')])
def test_what_is_loaded_cannot_be_changed_while_the_node_runs(make_world, parameter):
    world = make_world(KnownPolicy)
    world.start()
    result, = world.node.set_parameters([parameter])
    assert not result.successful and 'read-only' in result.reason


def test_what_moves_the_floor_is_what_the_policy_runs_with(make_world, tmp_path):
    import torch
    save_tiny_checkpoint(tmp_path)
    world = make_world(load_configured_policy, {
        'checkpoint': str(tmp_path), 'gripper_joint': 'finger', 'torch_threads': 1,
        'precision': 'w4a4', 'keep_tokens': 38, 'int8_parts': ['vision', 'projector'],
        'prune_layer': 1, 'dtype': 'bfloat16'})
    assert world.node.start(), world.node.problem
    model = world.policy.model
    assert model.config.prune_layer == 1
    assert {module.precision for module in model.projector.modules()
            if hasattr(module, 'precision')} == {'w8a8'}
    assert model.llm.norm.weight.dtype == torch.bfloat16


@pytest.mark.parametrize('parameters, text', [
    ({'prune_layer': 5}, 'prune_layer 5 must be in 1..4'),
    ({'ddim_steps': 5}, 'belong to a diffusion head'), ({'dtype': 'int8'}, "dtype is 'int8'"),
    ({'int8_parts': ['engine']}, 'parameter int8_parts'), ({'precision': 'w3a3'}, 'w3a3'),
    ({'device': 'tpu'}, "device is 'tpu'")])
def test_what_the_checkpoint_cannot_do_fails_configure_with_the_reason(
        make_world, tmp_path, parameters, text):
    save_tiny_checkpoint(tmp_path)
    world = make_world(load_configured_policy, {
        'checkpoint': str(tmp_path), 'gripper_joint': 'finger', **parameters})
    assert not world.node.start()
    assert text in world.node.problem and '\n' not in world.node.problem
