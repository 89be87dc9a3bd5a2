# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A bag played into a vla_node: which topic is what, and the commands that play and record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
import re
import sys

from sqap_vla_ros.control.output_modes import JOINT_OUTPUTS
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.bag_writer import check_new_bag
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.recordings.playlist import absolute, CLOCK, playlist, STRING
from sqap_vla_ros.replay.topic_roles import COMMANDS
from sqap_vla_ros.replay.topics import topic_map

from .arguments import Argument, truth
from .robot import Robot, robot_of

CLOCK_HZ = 100
PLAYERS = ('auto', 'rosbag2', 'own')
COMPRESSED = '/compressed'
SINGLE = ('joint_states', 'instruction', 'robot_description')
# in notes: what no argument of the launch file names
NOT_HERE = re.compile(rf'--topics ({"|".join((*COMMANDS, "clock"))})=')
ALWAYS = {'autostart': 'true', 'use_sim_time': 'true', 'dry_run': 'true'}
# nobody stands beside a recording to press resume, and nothing moves
DEFAULTS = {**ALWAYS, 'start_on_activate': 'true', 'require_resume': 'false'}
REPLAY = {
    'bag': Argument('Has to be given: bag to play, a directory or a file of it.'),
    'out': Argument('New bag of all that is said: what was played, and what the node answers. '
                    'Left out: replayed_ with the time; false: none.'),
    'rate': Argument('How fast, in times of real time.', '1.0'),
    'start': Argument('Where to begin, seconds from the beginning.', '0.0'),
    'loop': Argument('true: again and again; time goes back each time.', 'false'),
    'task': Argument('Instruction that is told instead of a recorded one.'),
    'player': Argument('Who plays and records: rosbag2 (ros2 bag), own (sqap-vla play, sqap-vla '
                       'record), auto: rosbag2 where it is installed.', 'auto')}


@dataclass(frozen=True)
class Replay:
    """
    A replay, checked.

    names: {topic of the bag: name that it is played under}.  notes: what to tell before.
    kinds: {topic: type}.  named: names of sqap-vla play that is not told otherwise.  by_rosbag2:
    whether ros2 bag plays and records.  out: None for no recording.
    """

    bag: str
    robot: Robot
    names: Mapping[str, str]
    named: Mapping[str, str]
    kinds: Mapping[str, str]
    rate: float
    start_s: float
    loop: bool
    out: Path | None
    by_rosbag2: bool
    task: str = ''
    task_topic: str = ''
    notes: Sequence[str] = field(default=())

    @property
    def told(self) -> dict[str, str]:
        """Return {name: type} of all that the player says."""
        task = {self.task_topic: STRING} if self.task else {}
        return {'/clock': CLOCK, **task, **{
            played: self.kinds[topic] for topic, played in self.names.items()}}

    @property
    def play_command(self) -> list[str]:
        """Return the command line that plays the bag."""
        remap = [f'{name}:={played}' for name, played in self._remap().items()]
        looped = ['--loop'] if self.loop else []
        if self.by_rosbag2:
            return ['ros2', 'bag', 'play', self.bag, '--clock', str(CLOCK_HZ), '--rate',
                    str(self.rate), '--start-offset', str(self.start_s), *looped,
                    '--topics', *self.names, *(['--remap', *remap] if remap else [])]
        told = (['--instruction', self.task, '--instruction-topic', self.task_topic]
                if self.task else [])
        return [sys.executable, '-u', '-m', 'sqap_vla_ros.cli', 'play', self.bag, '--clock',
                str(CLOCK_HZ), '--rate', str(self.rate), '--start', str(self.start_s), *looped,
                '--wait-for', self.robot.full_name, *told, '--topics', *self.names,
                *(['--remap', *remap] if remap else [])]

    @property
    def record_command(self) -> list[str]:
        """Return the command line that records everything."""
        if self.by_rosbag2:
            return ['ros2', 'bag', 'record', '-a', '--use-sim-time', '-o', str(self.out)]
        return [sys.executable, '-u', '-m', 'sqap_vla_ros.cli', 'record', '--sim-time', '--out',
                str(self.out)]

    def _remap(self) -> dict[str, str]:
        """Return {name: other name} of what the player has to be told of, as it names topics."""
        mine = {topic: topic if self.by_rosbag2 else self.named[topic] for topic in self.names}
        return {mine[topic]: played for topic, played in self.names.items()
                if mine[topic] != played}


def replay_of(given: Mapping[str, str], has_rosbag2: bool) -> Replay:
    """
    Return the replay that arguments describe.

    given: {argument: text} of REPLAY and vla_arguments.  Raises ConfigError, CheckpointError or
    ObservationError for what cannot be played, or would move a robot.
    """
    _check_dry(given)
    recording = _opened(given['bag'])
    try:
        start_s = _start_s(given, recording)
        named = playlist(recording.topics, with_clock=False)
        given, notes, moved = _with_topics(given, recording, named)
        names = {**named, **moved}
        kinds = {topic.name: topic.kind for topic in recording.topics}
        notes += [f'lost: {text}' for text in recording.losses]
    finally:
        recording.close()
    robot = robot_of(given)
    task_topic = _task_topic(given)
    if given['task']:
        names = {topic: played for topic, played in names.items() if played != task_topic}
    replay = Replay(
        given['bag'], robot, names, named, kinds, _number(given, 'rate', 0.01, 100),
        start_s, truth('loop', given['loop']), _out(given), by_rosbag2=False,
        task=given['task'], task_topic=task_topic, notes=notes)
    return replace(replay, by_rosbag2=_is_by_rosbag2(given['player'], has_rosbag2, replay))


def _check_dry(given):
    if given['servo']:
        raise ConfigError('servo:= is for an arm that moves; a replay has none: leave it out')
    for name, text in ALWAYS.items():
        if given[name].lower() != text:
            why = ('a robot would move by what a recording shows' if name == 'dry_run' else
                   'a replay needs it')
            raise ConfigError(f'{name}:={given[name]}: {why}, so it is always {text}. `sqap-vla '
                              'replay` writes the commands that the node would have sent')


def _opened(path: str):
    if not path:
        raise ConfigError('no recording is played by default: give bag:=my_bag')
    recording = open_recording(Path(path).expanduser())
    if not isinstance(recording, BagRecording):
        raise ConfigError(f'bag:={path} is no bag ({recording.form}), and holds no ROS messages '
                          'that could be played: sqap-vla replay reads it')
    return recording


def _start_s(given, recording) -> float:
    """Return where to begin, once it is known to be in the recording."""
    start_s = _number(given, 'start', 0, 1e6)
    length_s = (recording.episodes[-1].end_ns - recording.episodes[0].start_ns) * 1e-9
    if start_s and start_s >= length_s:
        raise ConfigError(f'start:={start_s:g} is behind the end of {recording.name}, which is '
                          f'{length_s:.1f} s long: expected less')
    return start_s


def _with_topics(given, recording, named):
    """
    Return (arguments with the topics of a recording, notes, {topic: other name to play it under}).

    A topic that an argument names is taken, and for the others what the recording has.  The node
    listens where a topic is played, and never the other way round: what somebody may obey stays
    below /recorded, whatever the node takes it for.
    """
    config = robot_of(given).config
    cameras = {name: config.for_camera(name).image_transport for name in config.cameras or ('',)}
    told = {name: given[name] for name in _roles(cameras)
            if given.get(name) and given[name] != name and given[name] != f'/{name}'}
    try:
        found = topic_map(recording.topics, told, cameras, config.needs_localization)
    except ConfigError as error:
        raise ConfigError(_in_launch(str(error))) from error
    given, moved = dict(given), {}
    kinds = {topic.name: topic.kind for topic in recording.topics}
    for camera, topic in found.images.items():
        _see(given, moved, camera, topic, named[topic], kinds[topic].endswith('CompressedImage'))
    for camera, topic in found.infos.items():
        given[f'{camera}/camera_info' if camera else 'camera_info'] = named[topic]
    for name in ('tf', 'tf_static', *SINGLE):
        if topic := getattr(found, name):
            given[name] = named[topic]
    notes = [_in_launch(note) for note in found.notes if not NOT_HERE.search(note)]
    if given['task'] and not found.instruction:
        given['instruction'] = _task_topic(given)  # whatever the node's namespace is
    if not (found.instruction or given['task']):
        raise ConfigError(f"{given['bag']} holds no instruction, without which the node does "
                          "nothing: give task:='what to do', or instruction:=TOPIC")
    missing = [name or 'the camera' for name in cameras if name not in found.infos]
    if missing and config.needs_localization:
        notes.append(f'no camera_info of {", ".join(missing)}: the node will not know where the '
                     'robot is in the image; protect:=false does without')
    return given, notes, moved


def _roles(cameras):
    topics = ('image', 'camera_info')
    return (*(f'{name}/{topic}' if name else topic for name in cameras for topic in topics),
            'tf', 'tf_static', *SINGLE)


def _see(given, moved, camera, topic, name, is_compressed):
    """Let a camera of the node hear a topic, played under a name, in its form."""
    if is_compressed:
        moved[topic] = name if name.endswith(COMPRESSED) else name + COMPRESSED
        name = name.removesuffix(COMPRESSED)
    given[f'{camera}/image' if camera else 'image'] = name
    given[f'{camera}.image_transport' if camera else 'image_transport'] = (
        'compressed' if is_compressed else 'raw')


def _in_launch(text: str) -> str:
    """Return a message about --topics WHAT=TOPIC as it is for launch arguments."""
    text = re.sub(r', [\w/]+= none', '', text)  # an empty argument is one that is left out
    return re.sub(r'--topics ([\w/]+)=|([\w/]+)=(?=TOPIC)', r'\1\2:=', text)


def _task_topic(given) -> str:
    return absolute(given['instruction'])


def _number(given, name, low, high) -> float:
    try:
        value = float(given[name])
    except ValueError:
        value = float('nan')
    if not low <= value <= high:
        raise ConfigError(f'{name}:={given[name]}: expected a number from {low:g} to {high:g}')
    return value


def _out(given) -> Path | None:
    text = given['out']
    if text.lower() == 'false':
        return None
    return check_new_bag(Path(text or f'replayed_{datetime.now():%Y%m%d_%H%M%S}').expanduser(),
                         'out:=')


def _is_by_rosbag2(player, has_rosbag2, replay) -> bool:
    """Return whether rosbag2 plays; it tells nothing before the node is active."""
    if player not in PLAYERS:
        raise ConfigError(f'player:={player}: expected one of {", ".join(PLAYERS)}')
    config = replay.robot.config
    alone = ('task' if replay.task else 'a robot_description that is heard before the node is '
             'active' if config.output in JOINT_OUTPUTS and not config.urdf_file else '')
    if player == 'rosbag2' and (alone or not has_rosbag2):
        raise ConfigError(
            f'player:=rosbag2 knows no {alone}: leave it out' if alone else
            'player:=rosbag2: ros2bag is not installed (ros-$ROS_DISTRO-ros2bag); leave it out')
    return has_rosbag2 and player != 'own' and not alone
