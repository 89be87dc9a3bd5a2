# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
The files beside the code: every name in them is one that the package or its docs know.

Robots' files, bridge, RViz, Foxglove, the optical frame; commands in their comments.
"""

import ast
from functools import lru_cache
import json
from pathlib import Path
import re
import shlex
import xml.etree.ElementTree as ElementTree

from launch_doubles import declared_arguments
import numpy as np
import pytest
import sqap_vla_ros
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.launching.arguments import is_of_camera, TOPICS
from sqap_vla_ros.ros.launching.files import NO_ROBOTS, ON_TOP, robots, shipped
from sqap_vla_ros.ros.launching.gazebo import (
    bridge_entries, bridges, CAMERA_TYPES, OPTICAL_RPY, with_gazebo_names)
from sqap_vla_ros.ros.vla.config import NodeConfig, PARAMETERS
from sqap_vla_ros.ros.vla.overrides import parameters_of
from sqap_vla_ros.support.resources import share_directory
import yaml

ROOT, SHARE = Path(__file__).resolve().parents[2], share_directory()
DOCS = [path for path in sorted([*(ROOT / 'docs').glob('*.md'), ROOT / 'README.md'])
        if path.name != 'ros2_tools.md']  # whose transcripts show misspelt ones
ROOMS = 'ros/vla', 'ros/launching', 'ingest', 'geometry', 'control'  # which speak to the user
# what messages name: quoted, paths, numbers, packages, joints, and what docs leave out
VARIES = re.compile(r"'[^']*'|\w*/[\w/]+|\b\d+\b|\.\.\.|ros_gz_bridge|gripper_command|"
                    r'\w+_joint\b')
REAL = sorted(set(robots()) - {'libero_sim'})
MESSAGES = {'~/action_chunk': 'msg/ActionChunk.msg', '~/token_selection': 'msg/TokenSelection.msg'}
POSES = '~/planned_poses'  # of joint outputs
SERVICES = {'~/stop', '~/resume', '~/reset'}
PUBLISHED = {*MESSAGES, '~/overlay', '~/planned_trajectory', '/diagnostics'}  # of any output


def values_of(*names):
    """Return the parameters that shipped files make together, later ones on top."""
    values = {}
    for name in names:
        values.update(parameters_of(shipped()[name], '/vla_node', PARAMETERS))
    return values


def config_of(values):
    """Return a NodeConfig."""
    return NodeConfig.from_parameters({
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items() if name in PARAMETERS})


def test_there_is_a_file_for_each_robot():
    assert set(robots()) == {'example_arm', 'libero_sim', 'panda', 'so101', 'ur5e'}
    assert set(NO_ROBOTS) <= set(shipped())


@pytest.mark.parametrize('name', sorted(robots()))
@pytest.mark.parametrize('layer', ['', *ON_TOP])
def test_every_robots_file_makes_sense_alone_and_below_each_layer(name, layer):
    values = values_of(*filter(None, (name, layer)))
    if layer == 'servo' and values.get('output', 'twist') not in ('twist', 'pose'):
        with pytest.raises(ConfigError, match='MoveIt Servo takes no joint_trajectory'):
            config_of(values)
        return
    if (name, layer) == ('libero_sim', 'servo'):  # the simulator is no Servo
        return
    config = config_of(values)
    assert config.output in ('twist', 'joint_trajectory')
    assert values.get('use_sim_time', False) == (layer in ('gazebo', 'isaac'))


@pytest.mark.parametrize('name', REAL)
def test_real_robots_move_slowly_after_a_dry_run_and_a_resume(name):
    config = config_of(values_of(name))
    assert config.dry_run and config.require_resume and not config.start_on_activate
    assert config.max_linear_speed <= 0.1 and 0 < config.max_joint_acceleration <= 5.0
    assert len(config.arm_joints) == {'panda': 7, 'ur5e': 6, 'so101': 5}.get(name, 0)
    assert config.position_only == (name == 'so101')
    for layer in ('gazebo', 'isaac'):
        assert config_of(values_of(name, layer)).dry_run


@pytest.mark.parametrize('name', REAL)
def test_the_workspace_that_a_file_hints_at_is_one(name):
    hints = re.findall(r'# (workspace_\w+: \[.*?\])', shipped()[name].read_text())
    values = yaml.safe_load('\n'.join(hints))
    limits = config_of({**values_of(name), **values}).limits
    assert limits.has_workspace


def launch_commands(text):
    """Return the words of each `ros2 launch sqap_vla_ros` in comments or docs."""
    lines = re.sub(r'\\\n[# ]*', ' ', text).splitlines()
    return [shlex.split(line.lstrip('#$ '), comments=True) for line in lines
            if line.lstrip('#$ ').startswith('ros2 launch sqap_vla_ros ')]


def check_commands(commands):
    """Check that launch files, their arguments and configurations are there."""
    for _, _, _, file, *given in commands:
        known = set(declared_arguments(file))
        names = {word.partition(':=')[0] for word in given if ':=' in word}
        assert {name for name in names if not is_of_camera(name)} <= known, given
        for config in (word.partition(':=')[2] for word in given if word.startswith('config:=')):
            assert config in (*robots(), 'my_arm.yaml')


@pytest.mark.parametrize('path', sorted(shipped().values()), ids=lambda path: path.stem)
def test_commands_in_comments_name_launch_files_and_arguments_that_there_are(path):
    commands = launch_commands(path.read_text())
    assert commands or path.stem in ('libero_sim', 'gz_bridge')
    check_commands(commands)


@pytest.mark.parametrize('path', DOCS, ids=lambda path: path.name)
def test_commands_in_docs_name_launch_files_and_arguments_that_there_are(path):
    check_commands(launch_commands(path.read_text()))


@lru_cache
def texts_of_the_code():
    """Return all texts in the code, what is put into them as one blank character."""
    found = []
    package = Path(sqap_vla_ros.__file__).parent
    for path in (path for room in ROOMS for path in (package / room).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '\0'
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r'\{[^}]*\}', '\0', node.value))
    return '\n'.join(found)


@pytest.mark.parametrize('name', ['gazebo.md', 'isaac.md', 'robots.md'])
def test_messages_that_docs_explain_are_said_by_the_code(name):
    *_, table = re.split('## What (?:goes|can go) wrong', (ROOT / 'docs' / name).read_text())
    messages = [message for line in table.splitlines() if line.startswith('| ')
                for message in re.findall(r'`([^`]{12,})`', line.split('|')[1])]
    assert len(messages) > 2
    said = texts_of_the_code()
    for message in messages:
        parts = VARIES.split(message)
        parts = [part.strip() for part in parts if len(part.strip()) > 5]
        assert parts, message
        for part in parts:
            assert part in said, part


def test_the_bridge_carries_what_the_node_hears_from_gazebo_alone():
    entries = bridge_entries(shipped()['gz_bridge'])
    topics = [entry['ros_topic_name'] for entry in entries]
    assert topics == ['/clock', 'joint_states', 'image', 'camera_info']
    assert {'image', 'camera_info', 'joint_states'} <= set(TOPICS)
    assert {entry['direction'] for entry in entries} == {'GZ_TO_ROS'}
    frame = config_of(values_of('example_arm', 'gazebo')).camera_frame
    small, camera = bridges(entries, {'': frame})
    assert not {entry['ros_type_name'] for entry in small.entries} & set(CAMERA_TYPES)
    assert {entry['ros_type_name'] for entry in camera.entries} == set(CAMERA_TYPES)
    assert camera.parameters == {'override_frame_id': 'camera_optical_frame'}


def test_further_cameras_have_bridges_of_their_own():
    entry = bridge_entries(shipped()['gz_bridge'])[2]
    made = bridges([entry, {**entry, 'ros_topic_name': 'wrist/image'},
                    {**entry, 'ros_topic_name': '/wrist/camera_info'}], {'wrist': 'wrist_optical'})
    assert [(bridge.name, len(bridge.entries), bridge.parameters) for bridge in made] == [
        ('gz_camera_bridge', 1, {}),
        ('gz_wrist_bridge', 2, {'override_frame_id': 'wrist_optical'})]


@pytest.mark.parametrize('text, told', [
    ('/**:\n  ros__parameters: {}', 'expected a list of topics'), ('- x', 'expected a list of'),
    ('- topic: /clock', 'entry 1: topic is unknown: did you mean topic_name?'),
    ('- topic_name: /clock', 'ros_type_name and gz_type_name missing'),
    ('- {ros_type_name: a, gz_type_name: b}', 'no topic: one of topic_name'),
    ('- {topic_name: a, ros_type_name: a, gz_type_name: b, direction: GZ2ROS}',
     'direction is GZ2ROS, expected one of GZ_TO_ROS'), ('', 'is empty'), ('- [', 'line 1')])
def test_a_bridge_file_of_which_something_would_not_be_bridged_is_refused(tmp_path, text, told):
    (tmp_path / 'bridge.yaml').write_text(text)
    with pytest.raises(ConfigError) as refused:
        bridge_entries(tmp_path / 'bridge.yaml')
    assert told in str(refused.value)


def test_a_name_in_gazebo_for_a_topic_that_the_bridge_does_not_have_is_refused():
    entries = [{'topic_name': 'image', 'ros_type_name': 'a', 'gz_type_name': 'b'}]
    assert with_gazebo_names(entries, {'image': '/cam', 'camera_info': ''}) == [
        {'ros_topic_name': 'image', 'gz_topic_name': '/cam', 'ros_type_name': 'a',
         'gz_type_name': 'b'}]
    with pytest.raises(ConfigError, match='no ROS topic joint_states'):
        with_gazebo_names(entries, {'joint_states': '/joints'})


def test_the_optical_frame_looks_along_x_of_its_link():
    from scipy.spatial.transform import Rotation
    root = ElementTree.parse(SHARE / 'urdf' / 'camera_optical_frame.urdf.xacro').getroot()
    text = root.find('.//joint/origin').get('rpy')
    assert np.allclose([float(word) for word in text.split()], OPTICAL_RPY)
    turn = Rotation.from_euler('xyz', OPTICAL_RPY).as_matrix()  # optical -> link
    right, down, forward = turn.T
    assert np.allclose([right, down, forward], [[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    macro = root.find('{http://www.ros.org/wiki/xacro}macro')
    frame = config_of(values_of('example_arm', 'gazebo')).camera_frame
    assert f'name:={frame}' in macro.get('params')


def names_in(value, key):
    """Return all values of a key in nested dicts and lists."""
    if isinstance(value, dict):
        return [found for name, item in value.items()
                for found in ([item] if name == key else names_in(item, key))]
    return [found for item in value for found in names_in(item, key)] if isinstance(
        value, list) else []


def own(topic):
    """Return a topic of /vla_node as the node calls it."""
    return topic.replace('/vla_node/', '~/') if topic.startswith('/vla_node/') else topic


def test_rviz_shows_topics_of_the_node_and_of_the_robot():
    config = yaml.safe_load((SHARE / 'rviz' / 'vla.rviz').read_text())
    displays = config['Visualization Manager']['Displays']
    topics = {own(topic['Value']) for key in ('Topic', 'Description Topic')
              for topic in names_in(displays, key)}
    assert topics == {'~/overlay', '~/planned_trajectory', '/image', '/robot_description'}
    assert {topic.lstrip('/') for topic in topics - PUBLISHED} <= set(TOPICS)
    assert {'Robot', 'TF', 'Overlay', 'Camera', 'Planned trajectory'} <= {
        display['Name'] for display in displays}


def test_foxglove_shows_topics_and_fields_that_there_are():
    layout = json.loads((SHARE / 'config' / 'foxglove.json').read_text())
    panels = layout['configById']
    shown = [own(topic) for panel in panels.values() for topic in panel.get('topics', ())]
    shown += [own(name) for key in ('imageTopic', 'topicToRender') for name in
              names_in(panels, key)]
    assert {'~/overlay', '~/planned_trajectory', '/diagnostics'} <= set(shown)
    assert set(shown) <= {*PUBLISHED, POSES, '/robot_description'}
    for path in names_in(panels, 'value'):
        topic, _, field = own(path).partition('.')
        if topic in MESSAGES:
            fields = re.findall(r'^\S+ (\w+)$', (SHARE / MESSAGES[topic]).read_text(), re.M)
            assert field.partition('[')[0] in fields
    assert {own(name) for name in names_in(panels, 'serviceName')} <= SERVICES
    assert {name.lstrip('/') for name in names_in(panels, 'topicName')} <= set(TOPICS)
    assert set(panels) == set(re.findall(r'"(\w+!\w+)"', json.dumps(layout['layout'])))


@pytest.mark.ros
def test_the_node_has_these_topics_and_no_others_that_are_relative():
    from ros_harness import StatePolicy, World
    from sqap_vla_ros.ros.vla.outputs import joint_position, joint_trajectory, pose, twist
    outputs = {twist.TwistOutput.topic, pose.PoseOutput.topic,
               joint_trajectory.JointTrajectoryOutput.topic,
               joint_position.JointPositionOutput.topic}
    world = World(StatePolicy, {'gripper_joint': 'finger'})
    try:
        assert world.node.start()
        node, own_name = world.node, ('vla_node', '/')
        heard = dict(node.get_subscriber_names_and_types_by_node(*own_name))
        said = dict(node.get_publisher_names_and_types_by_node(*own_name))
        offered = dict(node.get_service_names_and_types_by_node(*own_name))
    finally:
        world.close()
    ours = {name.lstrip('/') for name in {*heard, *said} if not own(name).startswith('~')}
    of_ros = {'rosout', 'parameter_events', 'tf', 'tf_static', 'diagnostics', 'clock'}
    assert ours - of_ros == {'image', 'camera_info', 'joint_states', 'instruction',
                             'delta_twist_cmds', 'gripper_command'}
    assert {*(ours - of_ros), *outputs, 'robot_description'} == set(TOPICS)
    assert PUBLISHED <= {own(name) for name in said}
    assert SERVICES <= {own(name) for name in offered}


def test_colcon_installs_all_of_it():
    text = (ROOT / 'CMakeLists.txt').read_text()
    folders = re.search(r'install\(DIRECTORY (config .*)\n', text).group(1).split()
    assert {'config', 'launch', 'models', 'rviz', 'urdf'} <= set(folders)


def test_the_gripper_of_the_docs_example_is_that_of_the_shipped_robot():
    action = values_of('panda')['gripper_action']
    assert f'gripper_action:=/{action} ' in (ROOT / 'docs' / 'gripper.md').read_text()
