# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla watch` and `sqap-vla run` beside a node: what they tell, do, and end with."""

import os
import shutil
import signal
import threading
from types import SimpleNamespace

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import INSTRUCTION, SPEED, speed
from sensor_msgs.msg import Image
from sqap_vla_ros import cli
from sqap_vla_ros.action import RunPolicy
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.tools import graph, run as run_tool, watch as watch_tool
from sqap_vla_ros.ros.tools.run import advice_on, line, RunOptions, tell_end
from sqap_vla_ros.ros.tools.session import Session
from sqap_vla_ros.ros.tools.statuses import NodeStatuses, report, split, Status, summary


class Alive:
    """A world that a thread of its own spins, with images, while a command asks."""

    def __init__(self, world):
        """Begin."""
        self.world, self._ends = world, threading.Event()
        self.sees = True
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self):
        while not self._ends.is_set():
            self.world.spin(0.02, self.world.robot.look if self.sees else None)

    def close(self):
        """Let the test spin it again."""
        self._ends.set()
        self._thread.join()


@pytest.fixture
def alive(make_world):
    """Return a world that lives, its node not yet configured."""
    alive = Alive(make_world())
    yield alive
    alive.close()


def sqap_vla(*arguments):
    """Return the exit status of a command line; the node is named, which takes no search."""
    is_named = arguments[0] == 'run' and '--stop' not in arguments
    return cli.main([*arguments, *(['--node', '/vla_node'] if is_named else ())])


def test_a_goal_from_the_command_line_and_every_reason_why_not(alive, capfd, monkeypatch):
    robot = alive.world.robot
    assert cli.main(['run', INSTRUCTION]) == 1
    out, told = capfd.readouterr()
    assert '/vla_node is the only one' in out, told
    assert 'the node is not active' in told and 'sqap-vla run --activate' in told
    assert sqap_vla('watch', '--once') == 0
    assert '/vla_node  unconfigured' in capfd.readouterr().out
    assert sqap_vla('run', INSTRUCTION, '--activate', '--duration', '0.8') == 0
    told = capfd.readouterr().out
    for text in ('/vla_node: configure ...', '/vla_node: activate ...', '/vla_node is active',
                 f"follows '{INSTRUCTION}' for 0.8 s", 'ended (duration): 0.8 s are over'):
        assert text in told
    assert sqap_vla('run', 'make coffee') == 1
    assert f'the nearest is {INSTRUCTION!r}' in capfd.readouterr().err
    assert sqap_vla('run', '--stop') == 0 and sqap_vla('watch', '--once') == watch_tool.FAILED
    told = capfd.readouterr().out
    assert '/vla_node  active' in told and 'the arm stands: stopped by ~/stop' in told
    assert sqap_vla('run', INSTRUCTION) == 1
    assert 'sqap-vla run --resume' in capfd.readouterr().err

    robot.twists.clear()
    moving = threading.Thread(target=lambda: press_when(
        lambda: robot.twists and speed(robot.twists[-1]) > 0))
    moving.start()
    assert sqap_vla('run', INSTRUCTION, '--resume', '--duration', '0') == 130
    moving.join()
    told = capfd.readouterr().out
    assert '/vla_node/resume: cleared: stopped by ~/stop' in told
    assert 'cancelling' in told and 'ended (cancelled): cancelled by a client' in told
    assert max(map(speed, robot.twists)) == pytest.approx(SPEED)
    assert not alive.world.node._run.is_running
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def press_when(condition, timeout_s=120.0):
    """Press Ctrl-C when something holds."""
    event = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            break
        event.wait(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_changes_are_told_line_by_line_and_topics_with_who_does_not_fit(alive, capfd):
    robot = alive.world.robot
    robot.create_subscription(
        Image, 'image', print, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    assert sqap_vla('run', '--activate') == 0
    capfd.readouterr()
    told = []

    def hears():
        told.append(capfd.readouterr().out)
        return 'no instruction: ' in ''.join(told) and ' images/s' in ''.join(told)
    pressed = threading.Thread(target=press_when, args=(hears,))
    pressed.start()
    assert sqap_vla('watch') == 130
    pressed.join()
    assert '/vla_node commands WARN no instruction: publish one' in ''.join(told)
    shown, tries = '', 0
    while 'to   /robot, /vla_node' not in shown and tries < 10:  # discovery takes its time
        assert sqap_vla('watch', '--topics') == 0
        shown, tries = capfd.readouterr().out, tries + 1
    assert '/image  sensor_msgs/msg/Image\n    from /robot\n    to   /robot, /vla_node\n' in shown
    assert '/robot does not reach /robot: ' in shown and 'eliab' in shown
    assert 'sqap_vla_watch' not in shown and '_action' not in shown
    assert sqap_vla('watch', '--topics', '--node', '/robott') == 1
    assert "no vla_node '/robott'; there: /vla_node" in capfd.readouterr().err


def test_who_sees_no_node_is_told_where_was_looked_and_who_is_there(make_world, monkeypatch):
    make_world(None)
    monkeypatch.setattr(graph, 'busy_domains', lambda: [3, 200])
    with Session('test') as session:
        session.until(lambda: ('robot', '/') in session.node.get_node_names_and_namespaces(), 30)
        own = session.node.get_fully_qualified_name()
        with pytest.raises(ConfigError) as error:
            graph.find_node(session, '', 0.1)
    told = str(error.value)
    assert f'on ROS_DOMAIN_ID {os.environ["ROS_DOMAIN_ID"]} (rmw_' in told
    assert 'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST' in told
    # those of another test may not have been forgotten yet
    there = told.partition('nodes there: ')[2].partition('\n')[0].split(', ')
    assert '/robot' in there and own not in there, told
    assert 'ROS_DOMAIN_ID=3 sqap-vla' in told


def test_of_several_nodes_one_must_be_named():
    nodes = {'/left/vla_node': '/left/vla_node/run_policy', '/right/vla_node': 'b', '/other': 'c'}
    assert graph.matching(nodes, '') == nodes
    assert list(graph.matching(nodes, 'left/vla_node')) == ['/left/vla_node']
    assert list(graph.matching(nodes, 'other')) == ['/other']
    assert len(graph.matching(nodes, 'vla_node')) == 2 and not graph.matching(nodes, 'node')
    assert "did you mean '/left/vla_node'?" in graph.unknown('lef/vla_node', list(nodes))


def test_statuses_know_what_is_new_the_rates_and_why_the_arm_stands():
    node = NodeStatuses()
    assert split('left/vla_node: commands') == ('/left/vla_node', 'commands')
    said = [('moving: 5.1 rows', 0), ('moving: 4.9 rows', 0), ('no image for 0.5 s', 2)]
    new = [node.hear(10.0 + i, {'commands': Status(level, text, {'chunks': str(20 * i)})})
           for i, (text, level) in enumerate(said)]
    assert new == [['commands'], [], ['commands']]
    assert node.rates() == {'chunks': pytest.approx(20.0)} and node.worst == 2
    assert node.why_still == 'no image for 0.5 s'
    assert list(report(node, True)) == [
        (2, '  ERROR commands  no image for 0.5 s'), (0, '        chunks: 40'),
        (0, '  the arm stands: no image for 0.5 s')]
    assert summary('/a', 'active', node, 13.0) == '/a  active  20.0 chunks/s'
    assert summary('/a', '', node, 19.0).endswith('SILENT for 7 s')
    node.hear(13.0, {'commands': Status(1, 'DRY RUN, nothing is commanded: moving: all')})
    assert node.why_still.startswith('DRY RUN')
    node.hear(14.0, {'commands': Status(0, 'moving', {'chunks': '1'})})
    assert node.why_still == '' and node.rates() == {}  # it began anew


def test_a_screen_is_cut_to_the_terminal_and_marks_what_is_wrong(monkeypatch):
    monkeypatch.delenv('NO_COLOR', raising=False)
    size = shutil.os.terminal_size((20, 4))
    drawn = watch_tool.screen([(0, 'a' * 40), (2, 'error'), (0, 'not shown')], size)
    assert 'a' * 19 + '\x1b[K' in drawn and 'a' * 20 not in drawn
    assert '\x1b[31merror\x1b[0m' in drawn and 'not shown' not in drawn
    monkeypatch.setenv('NO_COLOR', '1')
    assert '\x1b[31m' not in watch_tool.screen([(2, 'error')], size)


def test_each_end_of_a_goal_has_its_exit_status(capsys):
    reasons = ('duration', 'stopped', 'estop', 'fault', 'client_gone', 'deactivated', 'cancelled')
    results = [RunPolicy.Result(termination_reason=reason, message='why') for reason in reasons]
    assert [tell_end(result) for result in results] == [0, 4, 5, 6, 7, 8, 130]
    assert 'ended (estop): why; 0 inferences' in capsys.readouterr().out
    told = RunPolicy.Feedback(elapsed_s=2.0, inferences=3, commands=4, latency_ms=5.0)
    assert line(told) == '   2.0 s  3 inferences, 4 commands, 5 ms: moving'
    told.hold_reason = 'no image'
    assert line(told, 7.0).endswith('stands still: no image; nothing heard for 7 s')
    assert '--activate' in advice_on('the node is not active: configure and activate it first')
    assert advice_on('max_duration_s is nan') == ''


@pytest.mark.parametrize('wrong, text', [
    ({}, 'say what to do'), ({'instruction': 'a', 'duration_s': -1.0}, '--duration is -1'),
    ({'instruction': 'a', 'duration_s': float('nan')}, '--duration is nan'),
    ({'stop': True, 'instruction': 'a'}, '--stop goes alone')])
def test_what_makes_no_sense_is_refused_before_anything_is_asked(wrong, text):
    with pytest.raises(ConfigError, match=text):
        RunOptions(**wrong)


def test_a_node_that_is_gone_in_the_middle_is_told(capsys, monkeypatch):
    """Whether the arm stands is not known then, and the exit status says so."""
    never = SimpleNamespace(done=lambda: False)
    goal = run_tool.Goal.__new__(run_tool.Goal)
    goal._session = SimpleNamespace(interrupts=0, until=lambda *_, **__: False)
    goal._name, goal._told = '/vla_node', run_tool.Feedbacks()
    goal._client = SimpleNamespace(server_is_ready=lambda: False)
    monkeypatch.setattr(run_tool, 'SILENT_S', -1.0)
    handle = SimpleNamespace(get_result_async=lambda: never)
    assert goal._end(handle, RunOptions('a')) == run_tool.LOST
    assert 'whether the arm stands is not known' in capsys.readouterr().err
