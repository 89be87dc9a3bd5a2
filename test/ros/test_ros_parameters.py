# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""How a robot's parameters reach the policy, above all those that move the floor."""
import json
import math
from types import SimpleNamespace

import golden_data
import pytest
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter
from rclpy.validate_topic_name import validate_topic_name
from ros_harness import KnownPolicy
from safetensors.torch import load_file, save_file
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.control.drive_choice import make_drive
from sqap_vla_ros.control.drives import TwistDrive
from sqap_vla_ros.control.joint_settings import JointSettings
from sqap_vla_ros.control.limits import CommandLimits
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.ros.vla.config import NodeConfig, PARAMETERS
from sqap_vla_ros.ros.vla.node import load_configured_policy
from sqap_vla_ros.ros.vla.overrides import check_overrides, unheard_arguments, unheard_files
from sqap_vla_ros.ros.vla.parameters import changed, read_parameters
from sqap_vla_ros.ros.vla.transforms import Transforms
from tiny_checkpoint import save_tiny_checkpoint


@pytest.fixture
def asked_for(tmp_path, monkeypatch):
    """Return a function that tells what load_policy is given for these parameters."""
    def options(**parameters):
        found = []

        def load_policy(directory, options):
            found.append(options)
            return SimpleNamespace(warm_up=lambda: None)
        monkeypatch.setattr('sqap_vla_ros.policy.load_policy', load_policy)
        monkeypatch.setattr('sqap_vla_ros.policy.declared', lambda *_: SimpleNamespace(
            action_space=ActionSpace(), cameras=(),
            model=SimpleNamespace(images=1, state_dim=0)))
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
    ('vision_dtype', 'bfloat16', 'vision_dtype'),
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
    ('ddim_steps', 101, InvalidParameterValueException),
    ('dtype', 16, InvalidParameterTypeException)])
def test_a_value_of_a_wrong_type_or_out_of_range_is_no_node(make_world, name, value, error):
    with pytest.raises(error, match=name):
        make_world(KnownPolicy, {name: value})


@pytest.mark.parametrize('rule, value', [
    ('max_linear_speed:=1', 1.0), ('preserve_top_k:=16.0', 16), ('trip_window:=5', 5.0),
    ('workspace_low:=[0, -1, 0]', (0.0, -1.0, 0.0)), ('max_joint_speeds:=2', (2.0,)),
    ('max_joint_speeds:="[1, 2.5]"', (1.0, 2.5)), ('max_joint_speeds:=0.5', (0.5,))])
def test_numbers_are_taken_in_either_type(make_world, rule, value):
    world = make_world(KnownPolicy, {}, {'cli_args': ['--ros-args', '-p', rule]})
    config = read_parameters(world.node)
    found = getattr(config, rule.partition(':=')[0], None) or config.policy.preserve_top_k
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize('rule, message', [
    ('dry_run:=1', 'dry_run is 1, expected true or false: write true or false'),
    ('preserve_top_k:=1.5', 'preserve_top_k is 1.5, expected a whole number'),
    ('max_linear_speed:=true', 'max_linear_speed is True, expected a number'),
    ('max_linear_speed:=fast', "max_linear_speed is 'fast', expected a number: write it without"),
    ('workspace_low:=[true, true, true]', r'workspace_low is \[True, True, True\], expected 3'),
    ('camera_frame:=1', "camera_frame is 1, expected a text: write it in quotes, '1'"),
    ('arm_joints:=joint1', r'expected a list of texts: write it in brackets, \[joint1\]')])
def test_what_is_no_such_value_is_refused_with_what_to_write(make_world, rule, message):
    with pytest.raises(InvalidParameterTypeException, match=message):
        make_world(KnownPolicy, {}, {'cli_args': ['--ros-args', '-p', rule]})


def test_a_running_node_takes_numbers_in_either_type_and_tells_the_nearest_name(make_world):
    world = make_world()
    world.start()

    def ask(name, value):
        return world.node.set_parameters_atomically([Parameter(name, value=value)])
    assert ask('max_linear_speed', 1).successful and ask('trip_shortened', 3.0).successful
    assert ask('max_axis_speeds', [1, 1, 1, 2, 2, 2]).successful
    assert ask('workspace_high', '[1, .inf, 0.5]').successful
    limits = world.node._control.gate.limits
    assert (limits.linear, limits.trip_count, limits.axes, limits.workspace_high) == (
        1.0, 3, (1.0,) * 3 + (2.0,) * 3, (1.0, math.inf, 0.5))
    assert 'did you mean max_linear_speed?' in ask('max_liner_speed', 0.1).reason
    assert not ask('max_linear_speed', True).successful
    assert world.node.get_parameter('max_linear_speed').value == 1.0


def test_a_moving_node_takes_another_budget_of_cameras_and_no_other_option_of_tokens(make_world):
    world = make_world(KnownPolicy, {'keep_tokens': 8})
    world.start()
    world.move()

    def ask(name, value):
        return world.node.set_parameters([Parameter(name, value=value)])[0].successful
    assert world.policy.selection.budget == 'joint'
    assert ask('camera_budget', 'each') and not ask('camera_budget', 'half')
    assert not ask('keep_tokens', 4)
    world.until(lambda: world.policy.selection.budget == 'each', meanwhile=world.robot.look)
    assert world.policy.selection.keep == 8 and world.is_moving()


@pytest.mark.parametrize('values, message', [
    ({'int8_parts': ('vision', 'engine')}, "'engine', expected one of vision, "),
    ({'ddim_steps': -2}, 'ddim_steps is -2, expected -1 to 100'),
    ({'prune_layer': -1}, 'prune_layer is -1, expected 0 to'),
    ({'end_effector_frames': ()}, 'end_effector_frames name TF frames'),
    ({'end_effector_frames': ('',)}, 'end_effector_frames name TF frames'),
    ({'output': 'poses'}, "output is 'poses' .did you mean 'pose'.., expected one of twist, pose"),
    ({'gripper_output': 'action'}, 'expected one of topic, gripper_command'),
    ({'twist_units': 'unitless', 'max_linear_speed': 0.5},
     'max_linear_speed is 0.5, but unitless twists reach 0.4 at most .servo_linear_scale'),
    ({'twist_units': 'unitless', 'max_angular_speed': 1.0},
     'max_angular_speed is 1, but unitless twists reach 0.8'),
    ({'servo_node': 'a b'}, "servo_node is 'a b', expected a ROS name"),
    ({'servo_node': '/'}, "servo_node is '/', expected a ROS name"),
    ({'gripper_output': 'gripper_command', 'gripper_action': 'a b'}, 'gripper_action is'),
    ({'gripper_output': 'gripper_command', 'gripper_action': ''}, 'gripper_action is'),
    ({'estop_topic': '2estop'}, "estop_topic is '2estop', expected .* or an empty string"),
    ({'estop_topic': 'a//b'}, 'estop_topic'), ({'estop_topic': 'a/'}, 'estop_topic'),
    ({'estop_topic': 'a~b'}, 'estop_topic'), ({'estop_topic': '~a'}, 'estop_topic'),
    ({'estop_topic': 'not-halt'}, 'estop_topic'), ({'estop_topic': '\u00fc'}, 'estop_topic'),
    ({'estop_topic': 'a\n'}, 'estop_topic'), ({'estop_topic': 'a' * 151}, 'at most 150'),
    ({'selection_method': 'best'}, "selection_method is 'best', expected one of"),
    ({'gripper_open_position': 0.0}, 'gripper_closed_position are both'),
    ({'workspace_low': (0.0, 0.0)}, r'workspace_low is \(0.0, 0.0\), expected 3 numbers'),
    ({'workspace_low': (0.0, 0.0, math.nan)}, 'workspace_low is .* expected 3 numbers'),
    ({'workspace_low': (0.0,) * 3, 'workspace_high': (1.0, 1.0, 0.0)}, 'below that of the second'),
    ({'max_axis_speeds': (0.1,) * 5 + (0.0,)}, 'max_axis_speeds.* expected six speeds above 0'),
    ({'max_joint_speeds': ()}, 'max_joint_speeds is .., expected one number, or one a joint'),
    ({'max_joint_speeds': (1.0, math.nan)}, 'max_joint_speeds is .* one a joint'),
    ({'arm_joints': 'joint1'}, 'arm_joints is .joint1., expected a list of texts'),
    ({'joint_speed_factor': 0.0}, 'joint_speed_factor is 0.0, expected 0.001 to 1.0'),
    ({'speed_scale': 1.5}, 'speed_scale is 1.5, expected 0.0 to 1.0'),
    ({}, 'checkpoint is empty')])
def test_values_without_sense_are_refused_with_the_parameter(values, message):
    with pytest.raises(ConfigError, match=message):
        NodeConfig.from_parameters(values).checkpoint_directory


@pytest.mark.parametrize('values', [
    {'estop_topic': name} for name in ('', 'estop', '/a/b_2', '~/estop', '{node}/e', '_a/__b')] + [
    {'twist_units': 'unitless', 'max_linear_speed': 0.5, 'output': 'pose'},
    {'gripper_action': ''}])
def test_names_that_ros_allows_and_what_is_not_used_are_taken(values):
    config = NodeConfig.from_parameters(values)
    if config.estop_topic:
        assert validate_topic_name(config.estop_topic)


def test_a_node_that_could_not_be_put_together_leaves_nothing_behind(make_world, monkeypatch):
    def setup(*_):
        raise ConfigError('no transforms today')
    world = make_world(KnownPolicy, {})
    names = [publisher.topic_name for publisher in world.node.publishers]
    with monkeypatch.context() as patched:
        patched.setattr(Transforms, 'setup', setup)
        assert not world.node.start()
    assert world.node.problem == 'no transforms today'
    assert [publisher.topic_name for publisher in world.node.publishers] == names
    world.start()
    world.move()


def test_a_workspace_that_nothing_would_check_is_refused():
    joints = ActionSpace('joint_position', tuple('abcdef'), execute_steps=4)
    config = NodeConfig(output='joint_position', max_joint_speeds=(1.0,),
                        workspace_low=(0.0, -1.0, 0.0))
    with pytest.raises(ConfigError, match='workspace_high: the policy tells joints'):
        make_drive(config, joints)
    assert isinstance(make_drive(NodeConfig(workspace_low=(0.0, -1.0, 0.0)), ActionSpace()),
                      TwistDrive)


@pytest.mark.parametrize('name, value, why', [
    ('workspace_low', [0.0, 0.0, 0.0], 'where they lead is not checked'),
    ('max_linear_speed', 0.1, 'max_linear_speed limits nothing here'),
    ('max_axis_speeds', [0.1] * 6, 'max_axis_speeds limits nothing here'),
    ('max_linear_speed', 0.25, ''), ('speed_scale', 0.5, ''), ('image_timeout', 1.0, '')])
def test_what_would_limit_nothing_of_joints_is_refused_while_it_runs(name, value, why):
    config, asked = NodeConfig(), [SimpleNamespace(name=name, value=value)]
    joints = ActionSpace('joint_position', tuple('abcdef'), execute_steps=4)
    wanted, result = changed(config, asked, joints)
    assert result.successful == (not why) and why in result.reason
    assert (wanted == config) == bool(why) or value == getattr(config, name)
    assert changed(config, asked, ActionSpace())[1].successful


def test_first_targets_of_absolute_actions_are_checked_by_default():
    config = NodeConfig()
    assert (config.limits.first_linear, config.limits.first_angular) == (0.2, 0.5)
    assert config.joint_settings.first == 0.5


def test_limits_that_are_0_or_infinite_are_none():
    none = {'max_linear_acceleration': 0.0, 'max_angular_acceleration': 0.0}
    limits = NodeConfig.from_parameters({
        **none, 'first_action_distance': 0.0, 'first_action_angle': 0.0}).limits
    assert limits == CommandLimits(limits.linear, limits.angular)
    limits = NodeConfig.from_parameters({
        **none, 'max_linear_acceleration': 1.5, 'max_angular_jerk': 30.0, 'trip_shortened': 7,
        'workspace_low': [-math.inf, -0.5, 0.02], 'first_action_distance': 0.0,
        'first_action_angle': 0.4}).limits
    assert limits == CommandLimits(
        limits.linear, limits.angular, linear_acceleration=1.5, angular_jerk=30.0, trip_count=7,
        workspace_low=(-math.inf, -0.5, 0.02), workspace_high=(math.inf,) * 3, first_angular=0.4)


def test_what_is_asked_of_joints_comes_from_the_parameters():
    asked = NodeConfig.from_parameters({
        'joint_tracking_error': 0.0, 'first_action_angle': 0.0}).joint_settings
    assert asked == JointSettings(margin=0.05, acceleration=5.0, apart_m=0.01, apart_rad=0.05)
    asked = NodeConfig.from_parameters({
        'arm_joints': ['a', 'b'], 'position_only': True, 'joint_limit_margin': 0.1,
        'joint_speed_factor': 0.5, 'max_joint_speeds': [1.0, 2.0], 'joint_lower_limits': [-1.0],
        'joint_upper_limits': [1.0, 3.0], 'max_joint_acceleration': 0.0, 'max_joint_jerk': 50.0,
        'reject_factor': 4.0, 'first_action_angle': 0.3, 'trip_shortened': 3, 'trip_window': 2.0,
        'joint_tracking_error': 0.2, 'kinematics_distance': 0.02, 'kinematics_angle': 0.1,
    }).joint_settings
    assert asked == JointSettings(
        ('a', 'b'), True, 0.1, 0.5, (1.0, 2.0), (-1.0,), (1.0, 3.0), math.inf, 50.0, 4.0, 0.3, 3,
        2.0, 0.2, 0.02, 0.1)


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


def given(**overrides):
    """Return what a node with these overrides, and ROS's own parameters, shows of itself."""
    return SimpleNamespace(
        _parameter_overrides=overrides, has_parameter=lambda name: name == 'max_linear_speed',
        get_fully_qualified_name=lambda: '/arm/vla_node')


@pytest.mark.parametrize('name, nearest', [
    ('max_liner_speed', 'max_linear_speed'), ('keep', 'keep_tokens'),
    ('Precision', 'precision'), ('camera.frame', 'camera_frame')])
def test_a_parameter_that_does_not_exist_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match=f'{name} is unknown: did you mean {nearest}?'):
        check_overrides(given(max_linear_speed=0.1, **{name: 1}), PARAMETERS)


@pytest.mark.parametrize('name', [
    'max_linear_speed', 'use_sim_time', 'start_type_description_service',
    'qos_overrides./tf.subscription.depth'])
def test_parameters_of_the_node_and_of_ros_are_let_through(name):
    check_overrides(given(**{name: 1}), PARAMETERS)


@pytest.mark.parametrize('sections, is_heard', [
    ({'my_node': {'ros__parameters': {'precision': 'fp'}}}, False),
    ({'arm': {'camera': {'ros__parameters': {'precision': 'fp'}}}}, False),
    ({'my_node': {'ros__parameters': {'precision': 'fp'}},
      '/**': {'ros__parameters': {'max_linear_speed': 0.1}}}, True), ({}, True), ([], True)])
def test_a_parameter_file_of_which_nothing_arrives_is_named(tmp_path, sections, is_heard):
    path = tmp_path / 'arm.yaml'
    path.write_text(json.dumps(sections))
    told = unheard_files(given(max_linear_speed=0.1), ['node', '--params-file', str(path)])
    assert not told if is_heard else (
        len(told) == 1 and str(path) in told[0] and '/arm/vla_node' in told[0]
        and str(sorted(sections)[0]) in told[0])


@pytest.mark.parametrize('sections, is_meant', [
    (['/**', 'vla_nod'], True), (['/**', '/arm/vlanode'], True), (['/**', 'camera_driver'], False),
    (['/**', '/*/vla_nod'], True), (['/**', 'vla_nod', '/arm/vla_node'], False),
    (['/**', 'vla_node', '/*/vla_node'], False)])
def test_a_section_whose_name_is_nearly_the_nodes_is_asked_about(tmp_path, sections, is_meant):
    path = tmp_path / 'arm.yaml'
    path.write_text(json.dumps({
        section: {'ros__parameters': {'max_linear_speed': 0.1}} for section in sections}))
    told = unheard_files(given(max_linear_speed=0.1), ['node', '--params-file', str(path)])
    start = f'section /{sections[1].lstrip("/")} (line 1) of'
    assert [start in text and 'did you mean vla_node?' in text
            for text in told] == [True] * is_meant


@pytest.mark.parametrize('section', ['vla_node', '/right/vla_node'])
def test_a_section_for_the_same_node_of_another_namespace_is_told(tmp_path, section):
    path = tmp_path / 'arm.yaml'
    path.write_text(json.dumps({name: {'ros__parameters': {'max_linear_speed': 0.1}}
                                for name in ('/**', section)}))
    told = unheard_files(given(max_linear_speed=0.1), ['node', '--params-file', str(path)])
    assert len(told) == 1 and 'this node, which is /arm/vla_node: did you mean /arm/vla_node?' \
        in told[0]
    path.write_text(json.dumps({section: {'ros__parameters': {'max_linear_speed': 0.1}}}))
    told = unheard_files(given(), ['node', '--params-file', str(path)])
    assert len(told) == 1 and 'is /arm/vla_node, did you mean /arm/vla_node?' in told[0]


@pytest.mark.parametrize('rule, is_told', [
    ('vla_nod:max_linear_speed:=1', True), ('vla_node:max_linear_speed:=1', False),
    ('camera:max_linear_speed:=1', False), ('max_linear_speed:=1', False)])
def test_an_argument_for_a_node_of_nearly_this_name_is_told(rule, is_told):
    told = unheard_arguments(given(), ['vla_node', '--ros-args', '-p', rule])
    assert len(told) == is_told and all(
        'did you mean vla_node:max_linear_speed?' in text for text in told)


def test_a_parameter_one_level_too_deep_is_told_where_it_belongs():
    with pytest.raises(ConfigError, match='limits.max_linear_speed is unknown: did you mean '
                       'max_linear_speed. It stands under limits'):
        check_overrides(given(**{'limits.max_linear_speed': 1}), PARAMETERS)


def test_a_parameter_file_that_is_gone_is_no_error(tmp_path):
    assert not unheard_files(given(), ['--params-file', str(tmp_path / 'none'), '-r'])


def test_a_misspelt_parameter_of_a_file_fails_configure_and_is_in_diagnostics(
        make_world, tmp_path):
    path, other = tmp_path / 'arm.yaml', tmp_path / 'other.yaml'
    path.write_text('/**: {ros__parameters: {max_liner_speed: 0.05}}')
    other.write_text('/my_node: {ros__parameters: {max_angular_speed: 0.1}}')
    world = make_world(KnownPolicy, {}, {'cli_args': [
        '--ros-args', '--params-file', str(path), '--params-file', str(other)]})
    assert not world.node.start()
    world.until(lambda: world.says('policy', 'did you mean max_linear_speed?'))
    assert f'nothing in the parameter file {other}' in world.node.problem


def test_a_parameter_file_for_another_node_fails_configure(make_world, tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('/my_node: {ros__parameters: {max_linear_speed: 0.05}}')
    world = make_world(KnownPolicy, {}, {'cli_args': ['--ros-args', '--params-file', str(path)]})
    assert not world.node.start()
    assert (f'nothing in the parameter file {path} is for this node: its sections are for '
            '/my_node (line 1), this is') in world.node.problem


def test_a_policy_that_overflows_in_the_warm_up_fails_configure_with_one_line(
        make_world, tmp_path):
    path = golden_data.copy_of('openvla', tmp_path)
    for shard in path.glob('model-*.safetensors'):
        tensors = load_file(shard)
        for name in tensors:
            if name.endswith('layers.1.mlp.down_proj.weight'):
                tensors[name] *= 2e5  # float16 holds it, and not what comes out
        save_file(tensors, shard, metadata={'format': 'pt'})
    (path / 'deployment.json').write_text('{"action_space": "bridge"}')
    world = make_world(load_configured_policy, {
        'checkpoint': str(path), 'keep_tokens': 154, 'dtype': 'float16', 'torch_threads': 1,
        'unnorm_key': 'bridge_orig'})
    assert not world.node.start()
    assert 'non-finite' in world.node.problem and '\n' not in world.node.problem
    world.until(lambda: world.says('policy', world.node.problem))


def test_what_cannot_drive_the_output_is_refused_before_a_weight_is_read(tmp_path, monkeypatch):
    from sqap_vla_ros import policy
    save_tiny_checkpoint(tmp_path)
    joints = ActionSpace('joint_position', tuple('abcdef') + ('gripper',), execute_steps=4)
    options = PolicyOptions(action_space=joints)
    monkeypatch.setattr(policy, 'load_network', lambda *_: pytest.fail('weights are read'))
    with pytest.raises(ConfigError, match='output is twist.*joint_position.*Set output to'):
        load_configured_policy(NodeConfig(checkpoint=str(tmp_path), policy=options))
