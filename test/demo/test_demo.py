# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: options, processes that are never left behind, results; real DDS, doubles inside."""
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
from demo_doubles import CABINET, CONFIG, double_commands, HERE, options_for, STOVE
import numpy as np
import pytest
from scipy.stats import binomtest

from sqap_vla_ros import cli
from sqap_vla_ros.demo import run as command
from sqap_vla_ros.demo.options import (
    bundled_for, check_against_checkpoint, DemoOptions, node_commands, prepare_output)
from sqap_vla_ros.demo.processes import ChildDied, Children
from sqap_vla_ros.demo.session import Records, Session
from sqap_vla_ros.demo.summary import report_text, summarize
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.support.resources import share_directory


@pytest.fixture(autouse=True)
def robot_configuration(monkeypatch):
    """Let the commands name a file that need not exist: the doubles do not read it."""
    monkeypatch.setattr('sqap_vla_ros.demo.options.config_file', Path)


def descendants(pid):
    """Return the ids of all processes below one that this test has started (or itself)."""
    try:
        words = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError:
        return []
    return [found for child in map(int, words) for found in (child, *descendants(child))]


@pytest.fixture
def left_over():
    """Return a function that lists processes which this test has started and not ended."""
    earlier = set(descendants(os.getpid()))  # e.g. multiprocessing's tracker of another test
    return lambda: set(descendants(os.getpid())) - earlier


def are_gone(pids):
    """Return whether none of the processes lives on."""
    return not any(Path(f'/proc/{pid}').exists() for pid in pids)


def wait_until(condition, timeout_s=60.0):
    """Return whether a condition became true in time."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize('values, word', [
    ({'episodes': 0}, '--episodes'), ({'keep': -1}, 'keep'), ({'seed': -1}, '--seed'),
    ({'precision': 'int3'}, 'precision'),
    ({'max_steps': 0}, '--max-steps'), ({'control': 'blank'}, '--control'),
    ({'control': 'random-tokens', 'keep': 0}, 'random-tokens')])
def test_a_bad_option_is_named(values, word):
    with pytest.raises(ConfigError, match=word):
        DemoOptions(**values)


@pytest.mark.parametrize(('precision', 'name'), [
    ('auto', 'libero_goal_w4'), ('w4a4', 'libero_goal_w4'), ('w4a4t8', 'libero_goal_w4'),
    ('w4a8', 'libero_goal_w4'), ('fp', 'libero_goal'), ('w8a8', 'libero_goal'),
    ('w4a16', 'libero_goal')])
def test_the_bundled_weights_are_those_that_serve_the_precision(precision, name):
    assert DemoOptions(precision=precision).checkpoint_directory.name == name
    assert bundled_for(precision, ['vision']) == 'libero_goal'
    other = share_directory() / 'models/libero_goal'
    assert DemoOptions(precision=precision, checkpoint=str(other)).checkpoint_directory == other


def test_what_auto_stands_for_is_settled_before_the_processes_start(
        monkeypatch, tmp_path, capsys):
    pytest.importorskip('libero', reason='needs the LIBERO benchmark: pip install .[sim]')
    begun = []

    def run_nodes(options, commands):
        begun.append((options.precision, commands['vla_node']))
        raise command.DemoInterrupted
    monkeypatch.setattr(command, 'run_nodes', run_nodes)
    command.run_demo(DemoOptions(out=tmp_path, video=False))
    command.run_demo(DemoOptions(out=tmp_path, video=False, precision='w4a4'))
    (chosen, of_node), (asked, _) = begun
    assert chosen in PRECISIONS and f'precision:="{chosen}"' in of_node and asked == 'w4a4'
    assert capsys.readouterr().out.count(f'precision {chosen}, chosen by auto: ') == 1


@pytest.mark.parametrize('values, word', [
    ({'instruction': 'fly'}, "'fly' is unknown"), ({'keep': 257}, '256 visual tokens')])
def test_an_option_that_does_not_fit_the_checkpoint_is_refused(values, word):
    pytest.importorskip('torch', reason='needs torch: pip install .')
    with pytest.raises(ConfigError, match=word):
        check_against_checkpoint(DemoOptions(**values), CONFIG)


def test_the_command_line_reports_a_missing_checkpoint_in_one_line(tmp_path, capsys):
    pytest.importorskip('torch', reason='needs torch: pip install .')
    status = cli.main(['demo', '--checkpoint', str(tmp_path / 'none'), '--out', str(tmp_path)])
    told = capsys.readouterr().err
    assert status == 1 and str(tmp_path / 'none') in told and told.count('\n') == 1


def test_an_output_directory_that_cannot_be_written_is_an_error_at_the_start(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='cannot write to --out'):
        prepare_output(tmp_path / 'file' / 'results')
    with pytest.raises(ConfigError, match='cannot write to --out'):
        prepare_output(Path('/proc/results'))


def test_a_full_disk_is_an_error_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=2**20))
    with pytest.raises(ConfigError, match='only 1 MiB left'):
        prepare_output(tmp_path)


def test_controls_reach_the_node_that_they_concern(tmp_path):
    def words(control):
        commands = node_commands(options_for(tmp_path, control=control), CONFIG, None)
        return commands['vla_node'], commands['simulator']
    policy, simulator = words('random-tokens')
    assert 'selection_method:="random"' in policy and 'control:="none"' in simulator
    policy, simulator = words('blank-image')
    assert 'selection_method:="sqap"' in policy and 'control:="blank-image"' in simulator
    assert 'keep_tokens:=154' in policy and 'dropped_tokens:="gone"' in policy
    commands = node_commands(options_for(tmp_path, keep=64, dropped='follow'), CONFIG, None)
    assert {'keep_tokens:=64', 'dropped_tokens:="follow"'} <= set(commands['vla_node'])


def test_a_checkpoint_of_two_cameras_is_shown_both(tmp_path):
    config = SimpleNamespace(**{**vars(CONFIG), 'cameras': ('full', 'wrist')})
    commands = node_commands(options_for(tmp_path), config, None)
    policy, simulator = commands['vla_node'], commands['simulator']
    assert 'cameras:=["full", "wrist"]' in policy and 'wrist.max_image_change:=0.0' in policy
    assert {'full/image:=image', 'wrist/image:=wrist/image'} <= set(policy)
    assert 'wrist_camera:="robot0_eye_in_hand"' in simulator
    assert 'further_cameras:=["wrist"]' in commands['recorder']
    one = node_commands(options_for(tmp_path), CONFIG, None)
    assert 'wrist_camera' not in ''.join(one['simulator']) and '-r' not in one['vla_node']


@pytest.mark.parametrize('cameras, topic', [
    (('front',), 'image'), (('wrist',), 'wrist/image'), (('wrist', 'front'), 'wrist/image'),
    (('front', 'wrist'), 'image')])
def test_pictures_are_those_of_the_first_camera_and_one_may_have_a_name(tmp_path, cameras, topic):
    config = SimpleNamespace(**{**vars(CONFIG), 'cameras': cameras})
    commands = node_commands(options_for(tmp_path), config, tmp_path)
    policy, simulator = commands['vla_node'], commands['simulator']
    assert f'cameras:={json.dumps(cameras)}' in policy
    assert f'{cameras[0]}/image:={topic}' in policy
    assert ('wrist_camera:="robot0_eye_in_hand"' in simulator) == ('wrist' in cameras)
    assert ('wrist.max_image_change:=0.0' in policy) == ('wrist' in cameras)
    assert commands['recorder'][-2:] == ['-r', f'image:={topic}']
    assert ('further_cameras' in ''.join(commands['recorder'])) == (len(cameras) > 1)


def test_tokens_of_two_cameras_are_counted_together(tmp_path):
    records, lines = Records(), [('selection', '', 40), ('further_selection', 'wrist', 24),
                                 ('selection', '', 30), ('further_selection', 'wrist', 34)]
    for kind, camera, count in lines:
        records.add({'kind': kind, 'camera': camera, 'kept': list(range(count)),
                     'reason': [0, 1, *[2] * (count - 2)]}, 0)
    config = SimpleNamespace(model=SimpleNamespace(num_visual=512))
    summary = command.write_results(options_for(tmp_path, video=False), config, records)
    assert 'kept 64 of 512: preserved 2.0' in report_text(summary)
    assert (summary['kept_tokens'], summary['total_tokens']) == (64, 512)
    assert summary['kept_by_reason'] == {
        'preserved': 2.0, 'protected': 2.0, 'sampled': 60.0, 'filled': 0.0}


def run_session(directory, environment, commands, episodes=2):
    """Run a session and return (records, what was told of episodes)."""
    told = []
    (directory / 'logs').mkdir(exist_ok=True)
    session = Session(commands, environment, directory / 'logs', episodes, told.append)
    return session.run(), told


@pytest.mark.ros
def test_a_run_is_recorded_from_start_to_end(tmp_path, ros_process_environment, left_over):
    frames = tmp_path / 'frames'
    frames.mkdir()
    options = options_for(tmp_path)
    records, told = run_session(
        tmp_path, ros_process_environment, double_commands(options, frames))
    assert [(line['index'], line['phase']) for line in told] == [
        (0, 'started'), (0, 'finished'), (1, 'started'), (1, 'finished')]
    assert all(episode['success'] for episode in records.episodes)
    images = sum(-(-episode['steps'] // 4) for episode in records.episodes)
    counts = [len(lines) for lines in (records.chunks, records.selections, records.frames)]
    assert counts == [images] * 3
    assert [line['episode'] for line in records.final_frames] == [0, 1]
    assert all(memory['peak'] >= memory['rss'] > 10 for memory in records.memory_mb.values())
    assert left_over() == set()

    summary = command.write_results(options, CONFIG, records)
    assert summary == json.loads((tmp_path / 'summary.json').read_text())
    assert (summary['episodes'], summary['successes']) == (2, 2)
    assert (summary['kept_tokens'], summary['total_tokens']) == (154, 256)
    assert sum(summary['kept_by_reason'].values()) == pytest.approx(154)
    assert summary['latency_ms']['vision'] == {'p50': 10.0, 'p95': 10.0}
    assert summary['ros_overhead_ms'] == {'p50': 1.5, 'p99': 1.5}
    assert summary['chunks_of_another_instruction'] == 0
    assert '2 of 2 episodes succeeded' in report_text(summary)
    assert cv2.imread(str(tmp_path / 'overview.png')).shape[1] > 1000
    video = cv2.VideoCapture(str(tmp_path / 'demo.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == images + 2 + 1  # the outcome is held


def test_what_the_middleware_prints_is_no_report(tmp_path):
    session = Session({}, {}, tmp_path, 1, bool)
    session._read(b'[RTPS_TRANSPORT_SHM Warning] busy\n\n{"kind": "ready"}\n{"kind": "dia')
    session._read(b'gnostic", "level": 2, "name": "inputs", "message": "no image"}\n')
    assert session.problems == ['inputs: no image']


@pytest.mark.ros
def test_a_node_that_dies_ends_the_demo_with_its_last_words(
        tmp_path, ros_process_environment, left_over):
    commands = double_commands(options_for(tmp_path), vla_node='dying')
    with pytest.raises(ChildDied, match='(?s)vla_node ended with status 3.*checkpoint is broken'):
        run_session(tmp_path, ros_process_environment, commands)
    assert left_over() == set()


@pytest.mark.ros
def test_a_killed_simulator_ends_the_demo(tmp_path, ros_process_environment, left_over):
    commands = double_commands(options_for(tmp_path), simulator='stubborn')
    told = []
    (tmp_path / 'logs').mkdir()

    class Killing(Session):

        def _measure_memory(self, at_once=False):
            for child in self._children:
                if child.name == 'simulator' and child.process.poll() is None:
                    child.process.kill()
    with pytest.raises(ChildDied, match='simulator ended with signal SIGKILL'):
        Killing(commands, ros_process_environment, tmp_path / 'logs', 2, told.append).run()
    assert left_over() == set()


def test_a_child_that_ignores_signals_is_killed_and_so_are_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr('sqap_vla_ros.demo.processes.GRACE_S', 0.3)
    stubborn = 'trap "" INT TERM; bash -c "trap \'\' INT TERM; sleep 100; true"; true'
    with Children(os.environ, tmp_path) as children:
        child = children.start('stubborn', ['bash', '-c', stubborn])
        assert wait_until(lambda: len(descendants(child.process.pid)) == 2)
        started = [child.process.pid, *descendants(child.process.pid)]
    assert wait_until(lambda: are_gone(started))


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from sqap_vla_ros.demo import options, run as command
from sqap_vla_ros.demo.session import DemoInterrupted
from demo_doubles import double_commands, options_for
options.config_file = Path
chosen = options_for(Path({out!r}), max_steps=100000)
options.prepare_output(chosen.out)
command.EpisodeProgress.on_episode = lambda self, record: print('running', flush=True)
commands = double_commands(chosen)
commands['simulator'] += ['-p', 'placement_m:=0.0'] + {extra!r}
try:
    command.run_nodes(chosen, commands)
except DemoInterrupted:
    sys.exit(130)
"""


@pytest.mark.ros
@pytest.mark.parametrize('how', ['SIGTERM', 'group', 'SIGKILL'])
def test_no_process_is_left_however_the_demo_is_stopped(tmp_path, how):
    script = SCRIPT.format(here=str(HERE), out=str(tmp_path), extra=['-p', 'lockstep:=false'])
    demo = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True)
    lines = iter(demo.stdout.readline, '')
    assert any(line == 'running\n' for line in lines), demo.stderr.read()
    children = descendants(demo.pid)
    assert len(children) == 3
    if how == 'group':  # Ctrl-C in a terminal
        os.killpg(demo.pid, signal.SIGINT)
    else:
        demo.send_signal(getattr(signal, how))
    _, errors = demo.communicate(timeout=120)
    assert wait_until(lambda: are_gone(children))
    assert demo.returncode == (-signal.SIGKILL if how == 'SIGKILL' else 130)
    assert 'Traceback' not in errors


def test_the_interval_is_wilsons_and_percentiles_are_numpys(tmp_path):
    episode = dict.fromkeys((
        'index', 'seed', 'goal', 'steps', 'idle_steps', 'duration_s', 'wall_s', 'late_steps',
        'worst_delay_ms', 'repeated_ticks', 'render_ms', 'real_time_factor'), 0)
    episodes = [{**episode, 'index': i, 'instruction': STOVE, 'success': i < 7,
                 'refused': {'late': 1}} for i in range(10)]
    times = np.random.default_rng(0).uniform(1, 9, 50)
    chunks = [{'episode': i // 5, 'instruction': STOVE if i else CABINET,
               'stages': {'vision': t, 'ros_overhead': t / 10}} for i, t in enumerate(times)]
    summary = summarize(Records(episodes=episodes, chunks=chunks), options_for(tmp_path), 256)
    interval = binomtest(7, 10).proportion_ci(method='wilson')
    assert summary['wilson95'] == pytest.approx([interval.low, interval.high], abs=1e-4)
    assert summary['latency_ms']['vision']['p95'] == pytest.approx(np.percentile(times, 95))
    assert summary['ros_overhead_ms']['p99'] == pytest.approx(np.percentile(times, 99) / 10)
    assert summary['commands_refused'] == {'late': 10}
    assert summary['chunks_of_another_instruction'] == 1
    assert summary['kept_tokens'] == 256 and summary['kept_by_reason'] == {}
    assert 'WARNING' in report_text(summary)


def test_a_run_without_results_still_has_a_report(tmp_path):
    summary = summarize(Records(), options_for(tmp_path), 256)
    assert summary['wilson95'] == [0.0, 1.0]
    assert '0 of 0 episodes' in report_text(summary)


@pytest.mark.ros
def test_the_whole_demo_runs_with_the_bundled_policy(tmp_path):
    pytest.importorskip('libero', reason='needs the simulator: pip install .[sim]')
    if not list((share_directory() / 'models').glob('*/config.json')):
        pytest.skip('no bundled model yet: train one with `sqap-vla train`')
    done = subprocess.run(
        [sys.executable, '-m', 'sqap_vla_ros.cli', 'demo', '--episodes', '2', '--max-steps',
         '8', '--out', str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert (summary['episodes'], summary['chunks']) == (2, 4)
    # a busy machine's chunks may be late; nothing else may be wrong with one
    assert summary['kept_tokens'] == 154 and not set(summary['commands_refused']) - {'late'}
    assert {path.name for path in tmp_path.iterdir()} == {
        'summary.json', 'demo.mp4', 'overview.png', 'logs'}
