# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the simulator's sensors: when they are there, and what a subscriber gets."""
from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, JointState
from sim_doubles import twist_message
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.ros.messages import nanoseconds_of, rgb_to_message, time_message
from sqap_vla_ros.ros.simulator.faults import Faults, known_faults, read_fault
from sqap_vla_ros.ros.simulator.parameters import SimSettings
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

SECOND = 10**9


def message_of(sensor, time_s):
    """Return a message of a sensor, stamped 100 s later than time_s, its content by time_s."""
    header = Header(stamp=time_message(round((100 + time_s) * SECOND)))
    if sensor in ('image', 'wrist'):
        level = (10 + round(time_s * 10)) % 256
        return rgb_to_message(np.full((4, 6, 3), level, np.uint8), header)
    if sensor == 'info':
        return CameraInfo(header=header, k=np.arange(1.0, 10.0), p=np.ones(12))
    if sensor == 'joints':
        return JointState(header=header, name=['a', 'b'], position=[time_s, 2.0])
    transform = TransformStamped(header=header)
    transform.transform.translation.x = time_s
    return TFMessage(transforms=[transform])


def stamp_s(message):
    holder = message.transforms[0] if isinstance(message, TFMessage) else message
    return nanoseconds_of(holder.header.stamp) / SECOND - 100


def sent(text, sensor, times=(0.0, 0.5, 1.0, 1.5, 2.0, 2.5)):
    """Return what is sent of a sensor at each time under one fault."""
    faults = Faults([text])
    faults.begin(0)
    result = []
    for time_s in times:
        faults.at(time_s)
        pairs = faults.overdue() + faults.applied(sensor, 'publisher', message_of(sensor, time_s))
        result.append([message for _, message in pairs])
    return result


def plain(sensor, time_s):
    return [message_of(sensor, time_s)]


@pytest.mark.parametrize('text, values', [
    ('image_freeze@5+3', ('image', 'freeze', 0.0, 5.0, 8.0)),
    ('tf_jump:0.1@2', ('tf', 'jump', 0.1, 2.0, np.inf)),
    ('clock_jump:-2.5@1+0.5', ('clock', 'jump', -2.5, 1.0, 1.5)),
    ('image_delay@0', ('image', 'delay', 0.5, 0.0, np.inf))])
def test_a_line_says_what_when_and_for_how_long(text, values):
    fault = read_fault(text)
    assert (fault.sensor, fault.effect, fault.value, fault.start_s, fault.end_s) == values


@pytest.mark.parametrize('text', [
    'image_freeze', 'image_melt@3', 'image_freeze@-1', 'image_freeze@1+0', 'tf@1', 'clock_stop@1',
    'image_noise:loud@1', '{"kind": 1}'])
def test_a_line_without_sense_is_refused_by_the_settings(text):
    with pytest.raises(ConfigError, match='parameter faults'):
        SimSettings(faults=(text,))


@pytest.mark.parametrize('name', [name for name in known_faults() if name != 'clock_jump'])
def test_every_fault_changes_something_while_it_lasts_and_nothing_before_and_after(name):
    sensor = name.partition('_')[0]
    value = ':1' if name.endswith(('drop', 'delay')) else ''
    before, first, *rest = sent(f'{name}{value}@0.5+1.5', sensor)
    assert before == plain(sensor, 0.0)
    assert [first, *rest[:2]] != [plain(sensor, time_s) for time_s in (0.5, 1.0, 1.5)]
    assert rest[2][-1:] == plain(sensor, 2.0) and rest[3][-1:] == plain(sensor, 2.5)


def test_a_frozen_image_has_new_stamps_and_a_stuck_one_the_old():
    _, _, frozen, later, *_ = sent('image_freeze@0.5+1.5', 'image')
    assert frozen[0].data == later[0].data == message_of('image', 0.5).data
    assert [stamp_s(frozen[0]), stamp_s(later[0])] == [1.0, 1.5]
    _, _, stuck, *_ = sent('image_stuck@0.5+1.5', 'image')
    assert stuck == plain('image', 0.5)


def test_a_delayed_message_comes_later_with_its_own_stamp():
    found = sent('joints_delay:1@0.5+1', 'joints')
    assert [[stamp_s(message) for message in pair] for pair in found] == [
        [0.0], [], [], [0.5, 1.5], [1.0, 2.0], [2.5]]


@pytest.mark.parametrize('text, off_s', [('tf_stale:3@0', -3), ('tf_future:3@0', 3),
                                         ('joints_stale:3@0', -3), ('image_future:3@0', 3)])
def test_stamps_are_off_by_the_value(text, off_s):
    sensor = text.partition('_')[0]
    assert [stamp_s(pair[0]) for pair in sent(text, sensor)[:2]] == [off_s, off_s + 0.5]


def test_the_end_effector_jumps_with_every_second_message():
    found = [pair[0].transforms[0].transform.translation.x for pair in sent('tf_jump:0.3@0', 'tf')]
    np.testing.assert_allclose(np.array(found) - np.arange(0, 3, 0.5), [0.3, 0] * 3)


def test_a_slow_sensor_sends_every_nth_message():
    assert [len(pair) for pair in sent('image_slow:3@0', 'image')] == [1, 0, 0, 1, 0, 0]


def test_pictures_of_other_kinds():
    black, noisy, grey, half = (sent(f'image_{effect}@0', 'image')[0][0]
                                for effect in ('black', 'noise', 'mono', 'half'))
    assert not any(black.data) and len(black.data) == 72
    assert len(set(noisy.data)) > 10
    assert (grey.encoding, grey.step, len(grey.data)) == ('mono8', 6, 24)
    assert (half.height, half.width, half.step, len(half.data)) == (2, 3, 9, 18)


def test_one_seed_gives_one_noise():
    assert sent('image_noise@0', 'image') == sent('image_noise@0', 'image')
    lost = [len(pair) for pair in sent('image_drop:0.5@0', 'image', range(40))]
    assert 5 < sum(lost) < 35


def test_a_clock_is_off_while_its_fault_lasts():
    faults = Faults(['clock_jump:-2@1+1', 'clock_jump:0.5@1.5'])
    found = []
    for time_s in (0.0, 1.0, 1.5, 2.0):
        faults.at(time_s)
        found.append(faults.clock_offset_ns / SECOND)
    assert found == [0, -2, -1.5, 0.5]


def test_a_run_shows_faults_to_the_step_and_begins_each_episode_anew(simulator, policy):
    double = policy(lambda stamp, count, image: twist_message(stamp))
    simulator(max_steps=10, episodes=2, faults=[
        'image_black@0.2+0.2', 'joints_stop@0.1+0.1', 'clock_jump:100@0.45']).run()
    black = [not any(message.data) for message in double.wait_for('image', 6)]
    assert black == [False, True, False] * 2
    ticks = np.array([nanoseconds_of(message.clock) for message in double.messages['/clock']])
    np.testing.assert_allclose(np.diff(ticks[:10]) / SECOND, [0.05] * 8 + [100.05])
    assert len(double.messages['joint_states']) == 16
    stamps = [nanoseconds_of(message.header.stamp) for message in double.messages['joint_states']]
    assert stamps[:8] == [*ticks[:2], *ticks[4:10]]


def test_what_a_fault_keeps_ends_with_the_episode(simulator, policy):
    double = policy(lambda stamp, count, image: twist_message(stamp))
    simulator(max_steps=10, episodes=2, faults=[
        'image_freeze@0', 'info_drop:0@0']).run()
    pictures = [bytes(message.data) for message in double.wait_for('image', 6)]
    assert len(set(pictures[:3])) == len(set(pictures[3:])) == 1
    assert pictures[0] != pictures[3], 'each episode freezes a picture of its own'
    assert len(double.wait_for('camera_info', 6)) == 6


def test_a_delayed_message_is_not_sent_in_the_next_episode():
    faults = Faults(['tf_delay:0.2@0'])
    faults.begin(0)
    assert not faults.applied('tf', 'publisher', message_of('tf', 0.0))
    faults.begin(1)
    faults.at(1.0)
    assert not faults.overdue()


def test_in_real_time_all_sensors_share_the_clock_that_jumps(simulator, policy):
    double = policy(lambda stamp, count, image: None)
    simulator(lockstep=False, max_steps=4, faults=['clock_jump:100@0.1']).run()
    for topic in ('/tf', 'joint_states'):
        stamps = [m.transforms[0].header.stamp if topic == '/tf' else m.header.stamp
                  for m in double.wait_for(topic, 4)]
        steps = np.diff([nanoseconds_of(stamp) for stamp in stamps]) / SECOND
        assert (steps > 90).tolist() == [False, True, False]


def test_messages_that_were_sent_are_not_changed_by_a_fault():
    faults = Faults(['tf_shift:1@0', 'joints_beyond:1@0', 'image_black@0', 'info_zero@0'])
    faults.begin(0)
    for sensor, kind in (('tf', TFMessage), ('joints', JointState), ('image', Image),
                         ('info', CameraInfo)):
        message = message_of(sensor, 1.0)
        faults.applied(sensor, 'publisher', message)
        assert message == message_of(sensor, 1.0) and isinstance(message, kind)
