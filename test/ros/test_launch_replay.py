# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What replay.launch.py plays, records and refuses; launch itself is not needed."""
from launch_doubles import load_file, stand_ins
from libero_bag import LIBERO_BAG
import pytest
from sqap_vla_ros.commands import play, record
from sqap_vla_ros.commands.parser import Parser
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.bag_writer import Offer, opened_bag
from sqap_vla_ros.recordings.made import serialized, standard_types
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.ros.bags import alone as alone_module
from sqap_vla_ros.ros.bags.player import Player, PlayOptions
from sqap_vla_ros.ros.launching.arguments import vla_arguments
from sqap_vla_ros.ros.launching.replaying import DEFAULTS, REPLAY, replay_of
from sqap_vla_ros.ros.tools.session import Session

IMAGE, INFO = 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo'
OTHERS = {'/head/rgb/compressed': IMAGE, '/head/camera_info': INFO, 'tf': 'tf2_msgs/msg/TFMessage',
          '/arm/joint_states': 'sensor_msgs/msg/JointState',
          '/arm/twist_cmds': 'geometry_msgs/msg/TwistStamped'}


def replay(has_rosbag2=False, **given):
    """Return the replay of some arguments, of the simulator's robot and bag unless told."""
    arguments = {**REPLAY, **vla_arguments()}
    defaults = {name: argument.default for name, argument in arguments.items()}
    return replay_of({**defaults, **DEFAULTS, 'bag': str(LIBERO_BAG), 'config': 'libero_sim',
                      'checkpoint': 'libero_goal', 'out': 'false', **given}, has_rosbag2)


@pytest.fixture
def bag(tmp_path):
    """Return a maker of bags with one message on each topic."""
    def make(kinds):
        store = standard_types()
        with opened_bag(tmp_path / 'bag', store=store) as writer:
            for number, (topic, kind) in enumerate(kinds.items()):
                writer.add_topic(topic, kind, [Offer()])
                writer.write(topic, 10**18 + number, serialized(store, kind, {}))
        return str(tmp_path / 'bag')
    return make


def test_the_node_hears_the_bag_and_commands_nothing():
    made = replay()
    overrides = made.robot.overrides
    assert overrides['dry_run'] and overrides['use_sim_time'] and overrides['autostart']
    assert overrides['image_transport'] == 'compressed'  # as it was recorded
    assert dict(made.robot.remappings)['image'] == '/image'
    assert made.names['/image/compressed'] == '/image/compressed'
    assert made.names['/delta_twist_cmds'] == '/recorded/delta_twist_cmds'
    words = made.play_command
    assert words[words.index('play') + 1] == str(LIBERO_BAG)
    assert words[words.index('--wait-for') + 1] == '/vla_node'
    assert '--loop' not in words and '--remap' not in words and '--instruction' not in words


def test_the_parser_of_play_takes_the_command(bag):
    made = replay(loop='true', rate='0.5', start='1', task='do it', out='new', namespace='left')
    parser = Parser()
    play.add_arguments(parser)
    args = parser.parse_args(made.play_command[made.play_command.index('play') + 1:])
    assert args.loop and args.rate == 0.5 and args.start == 1 and args.clock == 100
    assert args.wait_for == '/left/vla_node' and args.instruction == 'do it'
    assert args.instruction_topic == '/instruction' not in args.topics
    parser = Parser()
    record.add_arguments(parser)
    words = made.record_command
    assert parser.parse_args(words[words.index('record') + 1:]).sim_time


def test_topics_of_other_names_are_found_and_told(bag):
    made = replay(bag=bag(OTHERS), task='put it there')
    remappings = dict(made.robot.remappings)
    assert remappings['image'] == '/head/rgb' and remappings['camera_info'] == '/head/camera_info'
    assert remappings['joint_states'] == '/arm/joint_states' and remappings['/tf'] == '/tf'
    assert made.names['tf'] == '/tf'
    assert made.names['/arm/twist_cmds'] == '/recorded/arm/twist_cmds'
    assert any('image is taken from /head/rgb/compressed' in note and 'image:=TOPIC' in note
               for note in made.notes)
    assert not any('--topics' in note for note in made.notes)


def test_images_whose_name_hides_their_form_are_played_where_the_node_looks(bag):
    made = replay(bag=bag({**OTHERS, '/jpegs': IMAGE}), task='x', image='/jpegs')
    assert made.names['/jpegs'] == '/jpegs/compressed'
    assert '/jpegs:=/jpegs/compressed' in made.play_command
    assert dict(made.robot.remappings)['image'] == '/jpegs'


STATE, STRING = 'sensor_msgs/msg/JointState', 'std_msgs/msg/String'
CAMERA = {'/image/compressed': IMAGE, '/camera_info': INFO, '/tf': 'tf2_msgs/msg/TFMessage'}


def told(made, capsys):
    """Return the names that our player says it plays topics under, {topic: name}."""
    words = made.play_command
    parser = Parser()
    play.add_arguments(parser)
    args = parser.parse_args(words[words.index('play') + 1:])
    with Session('told') as session:
        Player(session, open_recording(args.bag), PlayOptions(
            args.bag, clock_hz=args.clock, topics=tuple(args.topics),
            remap=play.remapped(args.remap), instruction=args.instruction,
            beside_others=True)).tell()
    lines = [line.partition(': ')[0] for line in capsys.readouterr().out.splitlines()]
    return {topic: name or topic for topic, _, name in (
        line.partition(' as ') for line in lines)}


def by_rosbag2(made):
    """Return the names that ros2 bag plays topics under."""
    words = made.play_command
    names = {topic: topic for topic in made.names}
    remap = words[words.index('--remap') + 1:] if '--remap' in words else []
    return {**names, **dict(word.split(':=') for word in remap)}


@pytest.mark.parametrize('kinds, given, heard', [
    ({'/prompt': STRING, '/arm/joints': STATE}, {},
     {'instruction': '/prompt', 'joint_states': '/arm/joints'}),
    ({'/joint_source': STATE, '/instruction': STRING}, {}, {'joint_states': '/joint_source'}),
    ({'/joint_command': STATE, '/joint_states': STATE, '/instruction': STRING},
     {'joint_states': '/joint_command'}, {'joint_states': '/joint_command'}),
    ({'/urscript_interface/script_command': STRING},
     {'instruction': '/urscript_interface/script_command'},
     {'instruction': '/urscript_interface/script_command'})])
def test_the_node_listens_where_both_players_play_and_no_robot_does(
        kinds, given, heard, bag, monkeypatch, capsys):
    monkeypatch.setattr(alone_module, 'DISCOVERY_S', 0.0)
    path = bag({**CAMERA, **kinds})
    own, other = replay(bag=path, **given), replay(True, bag=path, **given)
    assert other.by_rosbag2
    for made, names in ((own, told(own, capsys)), (other, by_rosbag2(other))):
        for role, topic in heard.items():
            assert dict(made.robot.remappings)[role] == names[topic] == f'/recorded{topic}'
        assert names['/tf'] == '/tf' and names['/image/compressed'] == '/image/compressed'


def test_all_that_is_said_is_asked_about_before():
    told = replay(task='x').told
    assert told['/clock'] == 'rosgraph_msgs/msg/Clock' and told['/image/compressed'] == IMAGE
    assert told['/instruction'] == STRING and '/delta_twist_cmds' not in told


def test_it_is_asked_about_before_anything_is_started(monkeypatch):
    asked = []

    def refuse(told):
        asked.append(told)
        raise ConfigError('somebody listens')
    with stand_ins():
        module = load_file('replay.launch.py')
        monkeypatch.setattr(module, 'check_nobody_is_misled', refuse)
        with pytest.raises(ConfigError, match='somebody listens'):
            module.start(None, {
                **{name: argument.default for name, argument in module.ARGUMENTS.items()},
                'bag': str(LIBERO_BAG), 'config': 'libero_sim', 'checkpoint': 'libero_goal',
                'out': 'false'})
    assert '/instruction' in asked[0]


def test_a_task_is_told_where_a_node_in_a_namespace_listens(bag):
    made = replay(bag=bag(CAMERA), task='x', namespace='left')
    assert dict(made.robot.remappings)['instruction'] == made.task_topic == '/instruction'


def test_notes_can_be_followed_at_launch(bag):
    notes = replay(bag=bag({**CAMERA, '/arm/joints': STATE, '/wrist/clock': 'rosgraph_msgs/msg/'
                            'Clock', '/a': 'geometry_msgs/msg/TwistStamped'}), task='x').notes
    assert [note for note in notes if 'joint_states:=TOPIC names another' in note]
    assert not [note for note in notes
                if '= none' in note or 'twist:=' in note or 'clock:=' in note], notes


@pytest.mark.parametrize('given, words', [
    ({'start': '100'}, r'start:=100 is behind the end of libero_bag, which is 5.3 s long'),
    ({'bag': ''}, 'give bag:=my_bag'), ({'bag': 'none'}, 'none'),
    ({'dry_run': 'false'}, 'dry_run:=false: a robot would move by what a recording shows'),
    ({'use_sim_time': 'false'}, 'use_sim_time:=false: a replay needs it'),
    ({'servo': 'true'}, 'servo:= is for an arm that moves'),
    ({'rate': '0'}, 'rate:=0: expected a number from 0.01 to 100'),
    ({'start': 'x'}, 'start:=x: expected a number'), ({'out': '.'}, 'exists already'),
    ({'loop': 'maybe'}, 'loop is .maybe., expected true or false'),
    ({'player': 'me'}, 'player:=me: expected one of auto, rosbag2, own'),
    ({'player': 'rosbag2'}, 'ros2bag is not installed'),
    ({'image': '/imag'}, 'image:=/imag: the recording has no such topic.*image/compressed')])
def test_what_cannot_be_played_is_told_before_anything_starts(given, words):
    with pytest.raises(ConfigError, match=words):
        replay(**given)


def test_a_bag_without_an_instruction_is_told(bag):
    with pytest.raises(ConfigError, match='no instruction.*task:='):
        replay(bag=bag(OTHERS))


def test_a_bag_without_images_is_told_with_what_it_has(bag):
    with pytest.raises(ConfigError, match='no colour images.*/head/camera_info'):
        replay(bag=bag({'/head/camera_info': INFO}), task='x')


def test_rosbag2_plays_and_records_where_it_is_installed():
    made = replay(True, loop='true', rate='2', out='new')
    assert made.by_rosbag2 and made.play_command[:4] == ['ros2', 'bag', 'play', str(LIBERO_BAG)]
    assert '/delta_twist_cmds:=/recorded/delta_twist_cmds' in made.play_command
    assert '--clock' in made.play_command and '--loop' in made.play_command
    assert made.record_command == ['ros2', 'bag', 'record', '-a', '--use-sim-time', '-o', 'new']
    assert not replay(True, player='own').by_rosbag2


def test_rosbag2_is_not_taken_for_what_it_cannot_do():
    assert not replay(True, task='other').by_rosbag2
    with pytest.raises(ConfigError, match='player:=rosbag2 knows no task'):
        replay(True, task='other', player='rosbag2')
