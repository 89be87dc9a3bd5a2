# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Images of a recording are looked at with what the node would have heard by then."""

from dataclasses import replace
import gc

from made_recording import (
    beginning, CLOCK, clock, hand, IMAGE, INFO, JOINTS, MadeRecording, MS, place, SAID, said,
    STATIC, TF, tick, ticks, TOPICS, transforms)
import numpy as np
from observer_scene import (
    CAMERA, camera_info, joint_state, NOW_NS, OPTIONS, picture, SECOND)
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.geometry.transform_buffer import Pose, TransformLookupError
from sqap_vla_ros.observation import STATE_NAMES
from sqap_vla_ros.recordings.recording import Episode
from sqap_vla_ros.replay.heard import HeardTransforms, MOST_ANSWERS
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.part import told_beginning
from sqap_vla_ros.replay.pictures import Pictures
from sqap_vla_ros.replay.results import Images
from sqap_vla_ros.replay.run import Replay

ONE_FRAME = replace(OPTIONS, end_effector_frames=('hand',), max_image_change=0.0)
OTHER = said('pour the milk')


def looks(messages, topics=TOPICS, observer=ONE_FRAME, check=lambda text: None, episodes=None,
          latched=(), **options):
    """Return the Looks of a recording."""
    recording = MadeRecording(messages, episodes, latched)
    return list(Looking(recording, topics, LookOptions(
        {'': observer}, state_names=STATE_NAMES, **options), check))


def problems(found):
    """Return the numbers of Looks with a problem."""
    return [look.number for look in found if look.problem]


def test_each_image_is_seen_with_what_came_before_it():
    found = looks(beginning() + ticks(3))
    assert [look.problem for look in found] == [''] * 3
    for index, look in enumerate(found):
        np.testing.assert_allclose(look.observation.state[:3], place(index), atol=1e-6)
        np.testing.assert_allclose(look.pose[:3], place(index))
        assert look.observation.state[7] == pytest.approx(0.001 * index / 0.04)
        assert look.observation.protected.names == ('hand',)
        assert look.instruction == look.observation.instruction == 'stack the cups'
        assert (look.number, look.stamp_ns) == (index, NOW_NS + 50 * index * MS)
        assert look.time_ns == look.stamp_ns + 4 * MS
    assert [look.begins for look in found] == [True, False, False]


def test_nothing_is_taken_from_the_future():
    late = beginning() + ticks(3)
    moved = [(time_ns + 60 * MS if topic == TF else time_ns, topic, content)
             for time_ns, topic, content in late]
    moved.sort(key=lambda message: message[0])
    before, = [looks(moved, observer=replace(ONE_FRAME, tf_timeout=0.0))[:1]]
    assert 'hand' in before[0].problem, 'its pose came in after it'
    waited = looks(moved, observer=replace(ONE_FRAME, tf_timeout=0.1))
    assert problems(waited) == [], 'a node that waits hears it'
    np.testing.assert_allclose(waited[1].observation.state[:3], place(1), atol=1e-6)
    short = looks(moved, observer=replace(ONE_FRAME, tf_timeout=0.05, tf_max_age=0.01))
    assert problems(short) == [0, 1, 2], 'it comes 57 ms after the image'


def test_what_changes_later_holds_later():
    moved = Pose(CAMERA.translation + [0, 0, 1.0], CAMERA.quaternion)
    messages = beginning() + ticks(4)
    messages.append((NOW_NS + 101 * MS, SAID, OTHER))
    messages.append((NOW_NS + 101 * MS, STATIC, transforms(('camera', moved, NOW_NS))))
    messages.sort(key=lambda message: message[0])
    found = looks(messages)
    assert [look.instruction for look in found] == ['stack the cups'] * 2 + ['pour the milk'] * 2
    assert [look.begins for look in found] == [True, False, True, True]
    assert problems(found) == [2, 3] and 'camera camera moved by 1000 mm' in found[2].problem


def test_what_is_latched_holds_from_the_beginning():
    late = [(time_ns + 70 * MS, topic, content) for time_ns, topic, content in beginning()]
    messages = sorted(late + ticks(3), key=lambda message: message[0])
    assert problems(looks(messages)) == []


class Counting(MadeRecording):
    """Counts what is read of /tf_static on its own."""

    count = 0

    def messages(self, topics, start_ns=None, end_ns=None):
        """Yield what is asked for."""
        for message in super().messages(topics, start_ns, end_ns):
            self.count += set(topics) == {STATIC}
            yield message


def test_of_tf_static_with_every_tick_not_all_is_read():
    repeated = [(NOW_NS + 50 * index * MS, *beginning()[0][1:]) for index in range(400)]
    recording = Counting(sorted(beginning() + ticks(3) + repeated, key=lambda each: each[0]))
    options = LookOptions({'': ONE_FRAME}, state_names=STATE_NAMES, end_s=0.2)
    assert not problems(list(Looking(recording, TOPICS, options)))
    assert 20 <= recording.count < 30
    late = [(NOW_NS + 19 * SECOND, *beginning()[0][1:])]
    other = transforms(('other', CAMERA, NOW_NS))
    rare = [(NOW_NS + index * SECOND, STATIC, other) for index in range(15)]
    messages = sorted(beginning()[1:] + ticks(3) + rare + late, key=lambda each: each[0])
    assert not problems(looks(messages)), 'what is said now and then is read to its end'


def test_an_instruction_that_was_said_once_holds_from_then_on():
    messages = beginning()[:1] + ticks(100) + [(NOW_NS + 4 * SECOND, SAID, OTHER)]
    messages.sort(key=lambda message: message[0])
    found = looks(messages)
    assert problems(found) == list(range(80)) and 'no instruction' in found[0].problem
    assert problems(looks(messages, latched=(SAID,))) == []
    told = looks(messages, instruction='told')
    assert {look.instruction for look in told} == {'told'} and not problems(told)


def test_a_camera_info_that_was_not_latched_holds_from_when_it_came():
    messages = [each for each in beginning() + ticks(100) if each[1] != INFO]
    messages += [(NOW_NS + index * SECOND, INFO, camera_info()) for index in (3, 4)]
    messages.sort(key=lambda message: message[0])
    found = looks(messages, observer=replace(ONE_FRAME, tf_timeout=0.0))
    assert problems(found) == list(range(60)) and 'camera_info' in found[0].problem
    assert problems(looks(messages, latched=(INFO,))) == []
    assert problems(looks(messages, start_s=3.5)) == []


def test_an_instruction_that_the_policy_cannot_follow_is_told():
    def check(text):
        raise ObservationError(f'never heard of {text}')
    found = looks(beginning() + ticks(2), check=check)
    assert [look.problem for look in found] == ['never heard of stack the cups'] * 2


def test_a_part_is_looked_at_and_each_of_so_many():
    messages = beginning() + ticks(40)
    found = looks(messages, start_s=1.0, end_s=1.5, stride=4)
    stamps_ms = [(look.stamp_ns - NOW_NS) // MS for look in found]
    assert stamps_ms == [1000, 1200, 1400]
    assert not problems(found), 'what was heard before counts'
    assert [look.number for look in found] == [0, 4, 8]
    assert [look.begins for look in found] == [True, False, False]


def test_a_part_counts_from_the_first_image_whatever_came_in_before():
    parts = {'start_s': 1.0, 'end_s': 1.5, 'stride': 4}
    plain = [look.stamp_ns for look in looks(beginning() + ticks(40), **parts)]
    for time_ns in (5, NOW_NS - 7 * SECOND):
        stray = [(time_ns, JOINTS, joint_state(time_ns, grip=0.0))]
        messages = stray + beginning() + ticks(40)
        found = looks(messages, **parts)
        assert [look.stamp_ns for look in found] == plain and not problems(found)
        assert [look.number for look in found] == [0, 4, 8]
        assert len(looks(messages, end_s=0.5)) == 11 and len(looks(messages)) == 40
    recording = MadeRecording(messages)
    assert told_beginning(recording, IMAGE, recording.episodes[0]) == (
        '--start and --end count from the first image, which came in at '
        f'{NOW_NS * 1e-9 + 0.004:.3f} s, 7.004 s behind the first message (made)')


class Asked(MadeRecording):
    """Counts how often something was looked for."""

    count = 0

    def messages(self, *about):
        self.count += 1
        return super().messages(*about)


@pytest.mark.parametrize('parts, looked, images', [
    ({}, 0, 10), ({'episodes': (1,)}, 0, 5), ({'start_s': 0.2}, 2, 2), ({'end_s': 0.1}, 2, 5)])
def test_the_first_image_is_looked_for_once_where_times_count_from_it(parts, looked, images):
    episodes = [Episode(str(at), NOW_NS + at * SECOND, NOW_NS + at * SECOND + 250 * MS)
                for at in (0, 1)]
    recording = Asked(beginning() + ticks(5) + ticks(5, start_ns=NOW_NS + SECOND), episodes)
    replay = Replay(recording, TOPICS, replace(LookOptions({'': ONE_FRAME}, ''), **parts),
                    None, (), {}, None)
    assert abs(replay.expected() - images) <= 1 and replay.expected()
    assert recording.count == looked


def test_what_is_asked_about_poses_is_not_remembered_for_ever():
    heard = HeardTransforms(None)
    for stamp_ns in range(1000):
        with pytest.raises(TransformLookupError):
            heard.lookup('base', 'hand', stamp_ns)
    assert len(heard._answers) <= MOST_ANSWERS


def test_a_silent_camera_lets_the_policy_start_over():
    messages = beginning() + ticks(3) + ticks(2, start_ns=NOW_NS + SECOND)
    assert [look.begins for look in looks(messages)] == [True, False, False, True, False]
    strided = looks(messages, stride=2)
    assert [look.begins for look in strided] == [True, False, True], 'also between two looks'


def test_a_problem_lets_the_policy_start_over():
    messages = beginning() + tick(0) + [
        (NOW_NS + 52 * MS, IMAGE, ObservationError('cut off'))] + tick(2)
    found = looks(messages)
    assert [look.problem for look in found] == ['', 'cut off', '']
    assert [look.begins for look in found] == [True, False, True]


def test_a_clock_that_goes_back_makes_all_be_forgotten():
    topics = replace(TOPICS, clock=CLOCK)
    again = [(NOW_NS + 200 * MS + index, topic, content) for index, (_, topic, content)
             in enumerate([(0, CLOCK, clock(NOW_NS)), *tick(0), *tick(1)])]
    messages = [*beginning(), (NOW_NS, CLOCK, clock(NOW_NS + 3 * SECOND))] + ticks(
        3, start_ns=NOW_NS + 3 * SECOND)
    messages = [(NOW_NS + index, *rest) for index, (_, *rest) in enumerate(messages)] + again
    found = looks(messages, topics)
    assert problems(found) == []
    assert [look.begins for look in found] == [True, False, False, True, False]
    np.testing.assert_allclose(found[3].observation.state[:3], place(0), atol=1e-6)


def test_what_was_said_last_before_a_part_holds_in_it():
    messages = beginning() + ticks(40) + [(NOW_NS + 500 * MS, SAID, OTHER)]
    messages += [(NOW_NS + 600 * MS, STATIC, transforms(('camera', Pose(
        CAMERA.translation + [0, 0, 0.001], CAMERA.quaternion), NOW_NS)))]
    messages.sort(key=lambda message: message[0])
    found = looks(messages, start_s=1.0)
    assert {look.instruction for look in found} == {'pour the milk'} and not problems(found)
    told = looks(messages, infos={'': camera_info(0, '', size=(24, 32), k=[
        30.0, 0, 15.5, 0, 30.0, 11.5, 0, 0, 1])})
    pixels = [look.observation.protected.pixels for look in (told[0], found[0])]
    assert not problems(told), 'the recorded camera_info, which differs, does not count'
    assert np.abs(pixels[0] - pixels[1]).max() > 0.1


def test_episodes_know_nothing_of_each_other():
    second_ns = NOW_NS + 10 * SECOND
    messages = beginning() + ticks(2) + ticks(2, start_ns=second_ns)
    episodes = (Episode('0', NOW_NS, NOW_NS + SECOND), Episode('1', second_ns, messages[-1][0]))
    found = looks(messages, episodes=episodes)
    assert [look.episode for look in found] == [0, 0, 1, 1]
    assert problems(found) == [2, 3] and 'no instruction' in found[2].problem
    same = (episodes[0], replace(episodes[1], continues=True))
    assert not problems(looks(messages, episodes=same)), 'only its time has jumped'
    again = [(second_ns, *each[1:]) for each in beginning()]
    found = looks(messages[:10] + again + messages[10:], episodes=episodes)
    assert [look.begins for look in found] == [True, False, True, False] and not problems(found)


def test_the_shift_of_an_episode_is_none_between_the_clocks():
    ahead_ns = 6 * SECOND
    messages = beginning() + ticks(3)
    messages = messages + [(time_ns + ahead_ns, *rest) for time_ns, *rest in messages]
    episodes = (Episode('0', NOW_NS, NOW_NS + SECOND),
                Episode('1', NOW_NS + ahead_ns, messages[-1][0], shift_ns=ahead_ns))
    found = looks(messages, episodes=episodes)
    assert not problems(found) and not any(look.warnings for look in found)
    assert found[3].time_ns - found[3].stamp_ns == ahead_ns + 4 * MS
    off = (episodes[0], replace(episodes[1], shift_ns=0))
    assert 'are 6.004 s old' in looks(messages, episodes=off)[3].warnings[-1]
    hours = [(time_ns + 7199 * SECOND, *rest) for time_ns, *rest in beginning() + ticks(2)]
    episode = Episode('1', hours[0][0], hours[-1][0], shift_ns=7200 * SECOND)
    assert '0.999 s in the future' in looks(hours, episodes=(episode,))[0].problem, 'of one clock'


def test_what_cannot_be_read_is_counted():
    messages = beginning() + ticks(2)
    messages.insert(3, (NOW_NS, JOINTS, ObservationError('cut off')))
    looking = Looking(MadeRecording(messages), TOPICS, LookOptions(
        {'': ONE_FRAME}, state_names=STATE_NAMES))
    assert not problems(list(looking)) and looking.damaged == {JOINTS: 1}
    assert looking.joint_names == ('grip',)


def test_a_clock_that_cannot_be_read_is_no_problem_of_an_image():
    topics = replace(TOPICS, clock=CLOCK)
    messages = [(NOW_NS, CLOCK, clock(NOW_NS)), *beginning(), *ticks(2)]
    moved = messages.pop(3)  # the hand: it comes in after the image, which is waited for
    damaged = (NOW_NS + 5 * MS, CLOCK, ObservationError('cut off'))
    messages[6:6] = [damaged, (NOW_NS + 6 * MS, *moved[1:])]
    looking = Looking(MadeRecording(messages), topics, LookOptions(
        {'': replace(ONE_FRAME, tf_timeout=0.1)}, state_names=STATE_NAMES))
    assert [look.problem for look in looking] == ['', ''] and looking.damaged == {CLOCK: 1}


def test_camera_info_may_be_told():
    messages = [message for message in beginning() + ticks(2) if message[1] != INFO]
    topics = replace(TOPICS, infos={})
    assert 'no camera_info' in looks(messages, topics)[0].problem
    assert not problems(looks(messages, topics, infos={'': camera_info(0, '')}))


def test_stamps_of_another_clock_are_no_future():
    later = [(time_ns - 10**6 * SECOND, *rest) for time_ns, *rest in beginning() + ticks(3)]
    found = looks(later)
    assert not problems(found) and not any(look.warnings for look in found)
    ahead = [(time_ns - SECOND, *rest) for time_ns, *rest in beginning() + ticks(3)]
    assert '0.999 s in the future' in looks(ahead)[0].problem, 'a robot of another clock'


def test_images_that_came_late_are_warned_of():
    late = [(time_ns + 2 * SECOND, *rest) for time_ns, *rest in beginning() + ticks(2)]
    found = looks(late)
    assert not problems(found)
    assert 'are 2.004 s old when they come in' in found[0].warnings[-1]


def test_further_cameras_show_what_goes_with_an_image():
    topics = replace(TOPICS, images={'front': IMAGE, 'wrist': '/wrist'},
                     infos={'front': INFO, 'wrist': INFO})
    wrist = [(NOW_NS + 50 * index * MS - 20 * MS, '/wrist', picture(
        NOW_NS + 50 * index * MS - 30 * MS, 'wrist')) for index in range(2)]
    static = [(NOW_NS - 60 * MS, STATIC, transforms(('wrist', CAMERA, NOW_NS)))]
    messages = sorted(static + beginning() + ticks(2) + wrist + [
        (NOW_NS - 40 * MS, TF, hand(place(0), NOW_NS - 100 * MS))], key=lambda each: each[0])
    recording = MadeRecording(messages)
    options = LookOptions({
        'front': replace(ONE_FRAME, camera='front', camera_frame='camera'),
        'wrist': replace(ONE_FRAME, camera='wrist', camera_frame='wrist', rotate_image_180=True)},
        'front', STATE_NAMES)
    found = list(Looking(recording, topics, options))
    assert [look.problem for look in found] == ['', '']
    views = [look.observation.views['wrist'] for look in found]
    assert [view.stamp_ns - NOW_NS for view in views] == [-30 * MS, 20 * MS]
    shown = list(Pictures(recording, topics, options, images_of(found))([0, 1]))
    for look, pictures in zip(found, shown):
        assert list(pictures) == ['front', 'wrist']
        np.testing.assert_array_equal(pictures['front'], look.observation.image)
        np.testing.assert_array_equal(pictures['wrist'], look.observation.views['wrist'].image)


def images_of(found):
    """Return Images of Looks, as far as pictures ask."""
    times = np.array([look.time_ns for look in found])
    stamps = np.array([look.stamp_ns for look in found])
    none = np.zeros((len(found), 0))
    return Images(np.arange(len(found)), none, times, stamps, (), (), none, none, (), (), ())


def test_pictures_are_found_again_from_place_to_place():
    messages = beginning() + ticks(300)
    messages[2 + 4 * 250 + 3] = (*messages[2 + 4 * 250 + 3][:2], ObservationError('cut off'))
    found = looks(messages)
    shown = list(Pictures(MadeRecording(messages), TOPICS, LookOptions({'': ONE_FRAME}),
                          images_of(found))([0, 3, 200, 250, 299]))
    for row, pictures in zip([0, 3, 200], shown):
        np.testing.assert_array_equal(pictures[''], found[row].observation.image)
    assert shown[3] == {} and shown[4][''].shape == (48, 64, 3)


def test_what_an_image_leaves_behind_needs_no_collector():
    late = [(time_ns + 10 * MS if topic == TF else time_ns, topic, content)
            for time_ns, topic, content in beginning() + ticks(40)]
    late.sort(key=lambda message: message[0])
    looking = Looking(MadeRecording(late), TOPICS, LookOptions(
        {'': replace(ONE_FRAME, tf_timeout=0.0)}, state_names=STATE_NAMES))
    found = iter(looking)
    assert 'hand' in next(found).problem
    assert not next(found).problem, 'its pose is that of the image before'
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            next(found)
        assert gc.collect() == 0, 'a cycle would hold the image until it is found'
    finally:
        gc.enable()
