# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla play` and `sqap-vla record` over DDS, beside each other and beside a vla_node."""
import os
import signal
import subprocess
import sys
import threading
import time

from libero_bag import FIRST_NS, INSTRUCTION, LIBERO_BAG
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import World
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_typestore, Stores
from sqap_vla_ros import cli
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.recordings.bag_writer import Offer, opened_bag
from sqap_vla_ros.recordings.made import serialized, standard_types
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.recordings.recording import Topic
from sqap_vla_ros.ros.bags import (
    alone as alone_module, player as player_module, recorder as recorder_module)
from sqap_vla_ros.ros.bags.alone import check_alone, check_nobody_is_misled
from sqap_vla_ros.ros.bags.latched import latched_before
from sqap_vla_ros.ros.bags.live_types import (
    add_type, difference, installed_types, message_class, UnknownType)
from sqap_vla_ros.ros.bags.play_options import PlayOptions
from sqap_vla_ros.ros.bags.player import play, Player
from sqap_vla_ros.ros.bags.quality import asked, offered, written
from sqap_vla_ros.ros.bags.recorder import RecordOptions
from sqap_vla_ros.ros.tools.session import Session
from sqap_vla_ros.sim import topics as sim_topics

START_S, WAIT_S = 4.7, 60.0
KINDS = ('sensor_msgs/msg/CameraInfo', 'diagnostic_msgs/msg/DiagnosticArray', 'std_msgs/msg/Empty',
         'rcl_interfaces/msg/ParameterDescriptor', 'trajectory_msgs/msg/JointTrajectory',
         'std_msgs/msg/Float64MultiArray')


@pytest.fixture(autouse=True)
def near(monkeypatch):
    """Nobody here is further away than a process."""
    monkeypatch.setattr(alone_module, 'DISCOVERY_S', 0.3)
    monkeypatch.setattr(recorder_module, 'LOOK_S', 0.2)


def command(*words):
    """Return a process of `sqap-vla` whose output can be read line by line."""
    return subprocess.Popen(
        [sys.executable, '-u', '-m', 'sqap_vla_ros.cli', *map(str, words)], text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def lines_until(process, text):
    """Return a process's lines up to the first one that holds a text."""
    found = []
    for line in process.stdout:
        found.append(line)
        if text in line:
            return found
    raise AssertionError(f'ended without {text!r}: {"".join(found)}')


def ended(process, number=signal.SIGINT):
    """Return (status, output) of a process after a signal."""
    process.send_signal(number)
    output = process.communicate(timeout=WAIT_S)[0]
    return process.returncode, output


@pytest.fixture(scope='module')
def replayed(tmp_path_factory):
    """Return (recording, what each printed) of the end of the bag, played again and again."""
    out = tmp_path_factory.mktemp('bags') / 'again'
    recorder = command('record', '--out', out, '--sim-time')
    begun = lines_until(recorder, 'Ctrl-C ends')
    player = command('play', LIBERO_BAG, '--clock', '200', '--loop', '--start', START_S)
    try:
        played = lines_until(player, 'time 7: back')  # a recorder may find a topic late
        status, rest = ended(player)
        assert status == 130 and 'ended at' in rest
        status, recorded = ended(recorder)
        assert status == 0, recorded
    finally:
        for process in (player, recorder):
            process.kill()
            process.wait()
    return open_recording(out), ''.join(played), ''.join(begun) + recorded


def by_topic(recording, **span):
    """Return {topic: [message]} of all that a recording holds."""
    found = {topic.name: [] for topic in recording.topics}
    for message in recording.messages(found, **span):
        found[message.topic].append(message)
    return found


def test_what_was_played_is_recorded_as_it_was_with_its_commands_elsewhere(replayed):
    original, again = open_recording(LIBERO_BAG), replayed[0]
    start_ns = original.episodes[0].start_ns + round(START_S * 1e9)
    mine, copies = by_topic(original, start_ns=start_ns), by_topic(again)
    assert not {'/delta_twist_cmds', '/gripper_command'} & set(copies)
    for topic in ('/image/compressed', '/tf', '/joint_states', '/camera_info'):
        sent = [repr(message.read()) for message in mine[topic]]
        got = [repr(message.read()) for message in copies[topic]]
        # the recorder may see a publisher a moment after its first message, and a busy machine
        # may lose an image in all rounds
        lost = set(sent) - set(got)
        assert len(sent) > 8 and set(got) <= set(sent), topic
        assert len(lost) <= (len(sent) // 10 if topic == '/image/compressed' else 0), topic
    sent = {repr(message.read()) for message in mine['/delta_twist_cmds']}
    assert sent == {repr(message.read()) for message in copies['/recorded/delta_twist_cmds']}


def test_what_was_latched_before_the_start_is_there_and_again_with_each_round(replayed):
    again = by_topic(replayed[0])
    for topic in ('/tf_static', '/instruction', '/robot_description'):
        assert len(again[topic]) >= 3, topic
    assert again['/instruction'][0].read().data == INSTRUCTION
    latched = {topic.name for topic in replayed[0].topics if topic.latched}
    assert latched == {'/tf_static', '/instruction', '/robot_description'}


def test_the_clock_is_that_of_the_recording_and_never_ahead_of_the_next_message(replayed):
    seen_s = [message.read().clock for message in by_topic(replayed[0])['/clock']]
    times_s = [clock.sec + clock.nanosec * 1e-9 - FIRST_NS * 1e-9 for clock in seen_s]
    assert START_S <= min(times_s) + 1e-6 and max(times_s) < 5.4
    late_s = []
    for message in by_topic(replayed[0])['/image/compressed']:
        stamp = message.read().header.stamp
        late_s.append(message.time_ns * 1e-9 - stamp.sec - stamp.nanosec * 1e-9)
    # of the clock of the recording, not of this computer's; a topic may overtake another's
    assert -0.02 < np.median(late_s) < 0.2, late_s


def test_each_says_what_it_does(replayed):
    _, played, recorded = replayed
    assert '/delta_twist_cmds as /recorded/delta_twist_cmds: geometry_msgs' in played
    assert '/tf_static: tf2_msgs/msg/TFMessage, latched' in played
    assert 'time 2: back from 5.3 s to 4.7 s' in played
    assert 'recording /image/compressed (sensor_msgs/msg/CompressedImage)' in recorded
    assert ' topics, 0.' in recorded and 'lost' not in recorded


def test_a_node_forgets_when_time_goes_back_and_goes_on(monkeypatch):
    world = World(parameters={
        'image_transport': 'compressed', 'use_sim_time': True, 'dry_run': True,
        'start_on_activate': True, 'camera_frame': 'agentview_optical_frame'})
    status, results = world.node, []
    options = PlayOptions(str(LIBERO_BAG), start_s=START_S, end_s=5.2, loop=True, clock_hz=100,
                          wait_for='/vla_node', beside_others=True)
    with Session('bags') as session:
        player = Player(session, open_recording(LIBERO_BAG), options)
        thread = threading.Thread(target=lambda: results.append(_run(player)))
        try:
            thread.start()
            assert status.start(), status.problem
            stamps = []

            def came_again():
                stamps[:] = [item.stamp_ns for item in world.policy.observations]
                return any(later < earlier for earlier, later in zip(stamps, stamps[1:]))
            world.until(came_again, WAIT_S)
            back = next(number for number, pair in enumerate(zip(stamps, stamps[1:]), 1)
                        if pair[1] < pair[0])
            world.until(lambda: len(world.policy.observations) > back + 1, WAIT_S)
        finally:
            session.interrupts, session.is_terminated = 1, True
            thread.join(WAIT_S)
            player.close()
            world.close()
    assert not thread.is_alive() and results == ['ended']
    assert not world.robot.twists and not world.robot.grippers  # dry run
    assert {item.instruction for item in world.policy.observations} == {INSTRUCTION}


def _run(player):
    try:
        player.run()
    except player_module._Ended:
        return 'ended'


def test_nothing_is_played_among_what_somebody_else_says(capfd):
    with Session('other') as other:
        other.node.create_publisher(message_class('tf2_msgs/msg/TFMessage'), '/tf', 10)
        with Session('bags') as session:
            assert session.until(lambda: any(
                info.node_name == other.node.get_name()
                for info in session.node.get_publishers_info_by_topic('/tf')), WAIT_S)
            with pytest.raises(
                    ConfigError, match=r'already: /tf \(/sqap_vla_other_\w+\).*ROS_DOMAIN_ID'):
                Player(session, open_recording(LIBERO_BAG), PlayOptions(str(LIBERO_BAG)))


@pytest.mark.parametrize('topic', ['/instruction', '/image/compressed'])
def test_nothing_is_played_to_a_node_that_could_act_on_it(topic, monkeypatch):
    recording = open_recording(LIBERO_BAG)
    told = {kind.name: kind.kind for kind in recording.topics if 'cmd' not in kind.name}
    with Session('other') as other, Session('bags') as session:
        other.node.create_subscription(message_class(told[topic]), topic, print, 10)
        assert session.until(
            lambda: session.node.get_subscriptions_info_by_topic(topic), WAIT_S)
        check_alone(session, told)  # it only listens
        commands = other.node.create_publisher(
            message_class('geometry_msgs/msg/TwistStamped'), '/cmds', 10)
        assert session.until(
            lambda: session.node.get_publishers_info_by_topic('/cmds'), WAIT_S)
        words = rf'could act on it: {topic} \(/sqap_vla_other_\w+\).*ROS_DOMAIN_ID'
        with pytest.raises(ConfigError, match=words):
            check_alone(session, told)
        check_alone(session, told, other.node.get_fully_qualified_name())
        if topic == '/instruction':
            monkeypatch.setattr(alone_module, 'DISCOVERY_S', 5.0)
            monkeypatch.setattr(sys, 'argv', ['launch', 'instruction:=/elsewhere'])
            with pytest.raises(ConfigError, match=words):
                check_nobody_is_misled(told)
        with pytest.raises(ConfigError, match=words + '.*--beside-others'):
            Player(session, recording, PlayOptions(str(LIBERO_BAG)))
        other.node.destroy_publisher(commands)


@pytest.mark.parametrize('topic, kind, words', [
    ('/cmds', 'geometry_msgs/msg/TwistStamped', r': /instruction \(/sqap_vla_other'),
    ('/tf', 'tf2_msgs/msg/TFMessage', r'publishes now: /tf \(/sqap_vla_other')])
def test_it_ends_where_somebody_begins_who_could_act_on_it(topic, kind, words):
    with Session('other') as other, Session('bags') as session:
        other.node.create_subscription(
            message_class('std_msgs/msg/String'), '/instruction', print, 10)
        player = Player(session, open_recording(LIBERO_BAG), PlayOptions(
            str(LIBERO_BAG), rate=0.1))
        begun, began_s = [], time.monotonic()

        def begin():
            if player.position_s > 0.01 and not begun:
                begun.append(other.node.create_publisher(message_class(kind), topic, 10))
        player._pause_if_asked = begin
        with pytest.raises(ConfigError, match=rf'ended at 0\.\d s: somebody [a-z ]*{words}'):
            player.run()
        assert time.monotonic() - began_s < WAIT_S
        player.close()
        beside = Player(session, open_recording(LIBERO_BAG), PlayOptions(
            str(LIBERO_BAG), end_s=0.1, beside_others=True))
        beside.run()
        beside.close()


def test_two_processes_of_one_number_are_two():
    assert Session('play')._name != Session('play')._name


def test_a_start_in_the_middle_tells_what_holds_then_and_nothing_else(tmp_path):
    store, kind = standard_types(), 'std_msgs/msg/String'
    TF = 'tf2_msgs/msg/TFMessage'
    with opened_bag(tmp_path / 'bag', store=store) as bag:
        for topic, what in {'/instruction': kind, '/notes': kind, '/tf_static': TF}.items():
            bag.add_topic(topic, what, [Offer(latched=True, depth=2)])
        for number, frames in enumerate(['ab', 'b', 'c', 'c', 'd']):
            for topic in ('/instruction', '/notes'):
                bag.write(topic, 10**18 + number, serialized(store, kind, {'data': str(number)}))
            bag.write('/tf_static', 10**18 + number, serialized(store, TF, {'transforms': [
                {'child_frame_id': frame} for frame in frames]}))
    recording = open_recording(tmp_path / 'bag')
    names = [topic.name for topic in recording.topics]
    held = {}
    for message in latched_before(recording, names, 10**18 + 4):
        held.setdefault(message.topic, []).append(message.time_ns - 10**18)
    assert held == {'/instruction': [3], '/notes': [2, 3], '/tf_static': [0, 1, 3]}
    assert latched_before(recording, ['/talk'], 10**18 + 4) == []
    depths = {topic.name: offered(topic).depth for topic in recording.topics}
    assert depths == {'/instruction': 1, '/notes': 2, '/tf_static': 100}


@pytest.mark.parametrize('arguments, words', [
    (['--clock', 'BAG'], "'BAG' is no number: give the bag before --clock, or --clock=100"),
    (['--topics', '/a', 'BAG'], 'required: BAG; --topics takes all words behind it')])
def test_a_bag_that_an_option_takes_is_told(arguments, words, capfd):
    with pytest.raises(SystemExit):
        cli.main(['play', *arguments])
    assert words in capfd.readouterr().err


def test_the_simulators_node_offers_what_its_bags_have(simulator):
    node = simulator()
    recorded = {topic.name: topic for topic in open_recording(LIBERO_BAG).topics}
    for topic in (sim_topics.IMAGE, sim_topics.CAMERA_INFO, sim_topics.JOINT_STATES,
                  sim_topics.TF, sim_topics.TF_STATIC, sim_topics.INSTRUCTION,
                  sim_topics.ROBOT_DESCRIPTION):
        offer, = node.get_publishers_info_by_topic(node.resolve_topic_name(topic.name))
        profile = offer.qos_profile
        assert offer.topic_type == topic.kind
        assert profile.reliability == ReliabilityPolicy.RELIABLE
        assert (profile.durability == DurabilityPolicy.TRANSIENT_LOCAL) == topic.latched
        if topic != sim_topics.IMAGE:
            mine = recorded[f'/{topic.name.lstrip("/")}']
            assert (mine.kind, mine.latched) == (topic.kind, topic.latched)
    for topic in (sim_topics.TWIST, sim_topics.GRIPPER):
        heard, = node.get_subscriptions_info_by_topic(node.resolve_topic_name(topic.name))
        assert heard.topic_type == topic.kind


@pytest.mark.parametrize('arguments, words', [
    (['play', 'none'], 'none'), (['play', LIBERO_BAG, '--rate', '0'], '--rate is 0, expected'),
    (['play', LIBERO_BAG, '--start', '9'], '--start is 9 s, but libero_bag is 5.3 s long'),
    (['play', LIBERO_BAG, '--start', '2', '--end', '1'], 'an end behind it'),
    (['play', LIBERO_BAG, '--end', 'inf'], '--end inf: expected'),
    (['play', LIBERO_BAG, '--start', 'nan'], '--start is nan and'),
    (['play', LIBERO_BAG, '--end', 'nan'], '--end nan: expected'),
    (['play', LIBERO_BAG, '--remap', '/tf:=/joint_states'],
     'would both be played as /joint_states, and a topic has one type'),
    (['play', LIBERO_BAG, '--remap', '/tf:=/clock', '--clock'],
     '--clock (rosgraph_msgs/msg/Clock)'),
    (['play', LIBERO_BAG, '--remap', '/tf:=/a b'], "'/a b', expected a ROS name"),
    (['play', LIBERO_BAG, '--clock', '5000'], '--clock is 5000, expected 1 to 1000'),
    (['play', LIBERO_BAG, '--remap', '/a=/b'], '--remap /a=/b: expected /FROM:=/TO'),
    (['play', LIBERO_BAG, '--remap', '/a:=/b'], '--remap /a: nothing is played under this name'),
    (['play', LIBERO_BAG, '--topics', '/tff'], "did you mean '/tf'"),
    (['record', '--out', '.'], 'exists already'),
    (['record', '--out', 'bag', 'tf'], "topic 'tf': expected its full name"),
    (['record', '--out', 'bag', '--duration', '-1'], '--duration is -1, expected 0 to')])
def test_what_makes_no_sense_is_one_line(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(list(map(str, arguments))) == 1
    told = capfd.readouterr().err
    assert words in told and told.count('\n') == 1
    assert not list(tmp_path.iterdir())


def bag_of(path, kind, definition=None, values=None):
    """Write a bag with one message of a type, maybe one that is defined otherwise here."""
    store = standard_types()
    if definition:
        from rosbags.typesys import get_types_from_msg
        store = get_typestore(Stores.EMPTY)
        store.register({name: fields for name, fields in get_types_from_msg(
            definition, kind).items() if name not in store.fielddefs})
    with opened_bag(path, store=store) as bag:
        bag.add_topic('/said', kind, [Offer(latched=True)])
        bag.write('/said', 10**18, serialized(store, kind, values or {}))
    return path


@pytest.mark.parametrize('kind, definition, words', [
    ('std_msgs/msg/Float64', 'float64 data\nstring unit', 'has 2 fields in the bag and 1 here'),
    ('std_msgs/msg/Float64', 'float32 data', 'Float64.data is of another type in the bag'),
    ('odd_msgs/msg/Grip', 'float64 data', 'odd_msgs/msg/Grip is not installed here')])
def test_a_type_that_is_another_here_is_not_played(tmp_path, kind, definition, words, capfd):
    assert cli.main(['play', str(bag_of(tmp_path / 'bag', kind, definition))]) == 1
    assert 'nothing can be played: /said: ' in (told := capfd.readouterr().err)
    assert words in told


def test_types_of_this_installation_are_those_that_rosbags_knows():
    store, known = installed_types(), standard_types()
    for kind in KINDS:
        add_type(store, kind)
        assert store.hash_rihs01(kind) == known.hash_rihs01(kind)
        assert difference(kind, known, store) == ''
    with pytest.raises(UnknownType, match='Imag is not installed'):
        add_type(store, 'sensor_msgs/msg/Imag')


def test_qos_is_asked_for_so_that_all_are_heard_and_written_as_it_was_offered():
    latched = QoSProfile(depth=3, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    plain, lossy = QoSProfile(depth=2), QoSProfile(
        depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    assert asked([latched]).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert asked([latched, plain]).durability == DurabilityPolicy.VOLATILE
    assert asked([plain]).reliability == ReliabilityPolicy.RELIABLE
    assert asked([plain, lossy]).reliability == ReliabilityPolicy.BEST_EFFORT
    for profile in (latched, lossy):
        qos = written(profile)
        assert qos.durability.name == profile.durability.name
        assert qos.reliability.name == profile.reliability.name and qos.depth == profile.depth
    topics = {topic.name: topic for topic in open_recording(LIBERO_BAG).topics}
    assert offered(topics['/tf_static']).durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert offered(topics['/tf_static']).depth >= 100
    assert offered(topics['/tf']).durability == DurabilityPolicy.VOLATILE
    untold = offered(Topic('/left/tf_static', 'tf2_msgs/msg/TFMessage', reliable=False))
    assert untold.durability == DurabilityPolicy.TRANSIENT_LOCAL  # a bag without QoS
    assert untold.reliability == ReliabilityPolicy.RELIABLE


@pytest.fixture
def talker():
    """Return a Session that says something all the time."""
    with Session('talker') as session:
        String = message_class('std_msgs/msg/String')
        publisher = session.node.create_publisher(String, '/talk', 10)
        session.node.create_timer(0.01, lambda: publisher.publish(String(data='x' * 1000)))
        ends = threading.Event()

        def spin():
            while not ends.is_set():
                session.serve(0.02)
        thread = threading.Thread(target=spin)
        thread.start()
        yield session
        ends.set()
        thread.join()


def test_a_bag_is_closed_before_the_disk_is_full(talker, tmp_path, monkeypatch, capfd):
    free = iter([10**9] * 8 + [10**7] * 100)
    monkeypatch.setattr(recorder_module, 'free_bytes', lambda path: next(free))
    assert recorder_module.record(RecordOptions(tmp_path / 'bag', ('/talk',))) == 1
    told = capfd.readouterr()
    assert 'less than 32 MiB left: the bag was closed and is whole' in told.err
    with AnyReader([tmp_path / 'bag']) as reader:
        assert reader.message_count > 3


@pytest.mark.parametrize('storage, words', [
    ('mcap', 'No space left'), ('sqlite3', 'No space left on device (the database says')])
def test_a_disk_that_refuses_leaves_what_was_written_and_says_so(
        talker, tmp_path, monkeypatch, capfd, storage, words):
    from sqap_vla_ros.recordings.bag_writer import BagWriter
    write = BagWriter.write

    def full(self, topic, time_ns, data):
        if self.messages == 5:
            if storage == 'mcap':
                raise OSError(28, 'No space left on device')
            self.flush()
            self._writer.storage.conn.execute('PRAGMA max_page_count = 1')
        write(self, topic, time_ns, data)
    monkeypatch.setattr(BagWriter, 'write', full)
    options = RecordOptions(tmp_path / 'bag', ('/talk',), storage=storage)
    assert recorder_module.record(options) == 1
    assert f'bag cannot be written any further: {words}' in capfd.readouterr().err
    if storage == 'sqlite3':
        assert open_recording(tmp_path / 'bag').topics[0].count == 5
    assert list((tmp_path / 'bag').glob('*.mcap' if storage == 'mcap' else '*.db3'))


def test_a_topic_that_nobody_published_at_first_is_recorded_once_somebody_does(
        talker, tmp_path, monkeypatch, capfd):
    from sqap_vla_ros.recordings.bag_writer import BagWriter
    tell, flush = recorder_module.Recorder._tell_missing, BagWriter.flush
    flushed, publishers = [], []

    def telling(self, passed_s):
        tell(self, passed_s)
        if self._told_missing and not publishers:
            publishers.append(talker.node.create_publisher(
                message_class('std_msgs/msg/String'), '/late', 10))
        for publisher in publishers:
            publisher.publish(message_class('std_msgs/msg/String')(data='late'))
    monkeypatch.setattr(recorder_module, 'NOBODY_S', 0.3)
    monkeypatch.setattr(recorder_module, 'FLUSH_S', 0.1)
    monkeypatch.setattr(recorder_module.Recorder, '_tell_missing', telling)
    monkeypatch.setattr(recorder_module.Recorder, '_is_over', lambda self, began_s: (
        self.counts['/late'] > 2 or time.monotonic() - began_s > 20))
    monkeypatch.setattr(BagWriter, 'flush', lambda self: (
        flush(self), flushed.append(self.messages)))
    assert recorder_module.record(RecordOptions(tmp_path / 'bag', ('/talk', '/late'))) == 0
    # discovery of /talk may take longer than NOBODY_S here
    assert '/late yet: ' in capfd.readouterr().err
    counts = {topic.name: topic.count for topic in open_recording(tmp_path / 'bag').topics}
    assert counts['/late'] > 2 and counts['/talk']
    assert len(set(flushed)) > 2


def test_what_never_comes_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(recorder_module, 'NOBODY_S', 0.3)
    options = RecordOptions(tmp_path / 'bag', ('/nobody',), duration_s=0.7)
    assert recorder_module.record(options) == 1
    told = capfd.readouterr().err
    assert 'nobody publishes /nobody yet' in told and 'no message came' in told


def test_messages_without_a_clock_are_told(talker, tmp_path, capfd):
    options = RecordOptions(tmp_path / 'bag', ('/talk',), duration_s=0.7, sim_time=True)
    assert recorder_module.record(options) == 1
    assert 'no /clock came' in capfd.readouterr().err


def test_a_pause_on_a_terminal_lasts_until_enter_and_ends_with_another_ctrl_c(monkeypatch):
    reader, writer = os.openpty()
    monkeypatch.setattr(sys, 'stdin', os.fdopen(writer))
    with Session('bags') as session:
        player = Player(session, open_recording(LIBERO_BAG), PlayOptions(str(LIBERO_BAG)))
        began_s = player._began_s  # a pause may come while it waits for a node
        session.interrupts = 1
        os.write(reader, b'\n')
        player._pause_if_asked()
        assert session.interrupts == 0 and player._began_s > began_s
        session.interrupts = 1
        threading.Timer(0.2, lambda: setattr(session, 'interrupts', 2)).start()
        with pytest.raises(player_module._Ended):
            player._pause_if_asked()
        player.close()
    os.close(reader)


def test_a_data_set_without_messages_is_refused(monkeypatch):
    class DataSet:
        form = 'LeRobot v3.0'
    monkeypatch.setattr(player_module, 'open_recording', lambda path: DataSet())
    with pytest.raises(ConfigError, match=r'x is no bag \(LeRobot v3.0\).*sqap-vla replay'):
        play(PlayOptions('x'))
