# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot data sets as recordings: every frame, number and task where it belongs."""
from __future__ import annotations

from dataclasses import replace
from itertools import islice
import json
from types import SimpleNamespace as Fields

from made_data_set import (
    av, JOINTS, Made, made_data_set, number, parquet, read_number, state, TASKS, write_video)
import pytest
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.ingest.images import to_rgb
from sqap_vla_ros.recordings.lerobot import GAP_NS, LeRobotRecording, START_NS
from sqap_vla_ros.recordings.lerobot_info import column_names
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.recordings.video import Video

FRONT, WRIST = 'observation.images.front', 'observation.images.wrist'
STATE, ACTION, ASKED = 'observation.state', 'action', 'instruction'
FRAME_NS = 10**8


def made(tmp_path, version='v2.1', **more):
    """Return the directory of a data set of two episodes, of 6 and 9 frames at 10 Hz."""
    return made_data_set(tmp_path / 'set', Made(version, **more))


def seen(recording, camera=FRONT, **limits):
    """Return [(episode, frame in it, number in the image)] of a camera's images."""
    found = []
    for message in recording.messages({camera}, **limits):
        episode = next(at for at, each in enumerate(recording.episodes)
                       if each.start_ns <= message.time_ns <= each.end_ns)
        frame = (message.time_ns - recording.episodes[episode].start_ns) / FRAME_NS
        found.append((episode, frame, read_number(to_rgb(message.read()))))
    return found


def expected(lengths=(6, 9), camera=0):
    """Return what seen should return of all frames."""
    return [(episode, frame, number(episode, frame, camera))
            for episode, length in enumerate(lengths) for frame in range(length)]


def rewritten(path, **changes):
    """Change keys of a data set's info.json; None takes one out."""
    values = {**json.loads((path / 'meta/info.json').read_text()), **changes}
    (path / 'meta/info.json').write_text(json.dumps({
        key: value for key, value in values.items() if value is not None}))
    return path


@pytest.mark.parametrize('version, together', [
    ('v2.0', True), ('v2.1', True), ('v3.0', True), ('v3.0', False)])
def test_all_that_is_in_a_data_set_comes_in_its_order(tmp_path, version, together):
    path = made(tmp_path, version, cameras=(FRONT, WRIST), together=together)
    recording = open_recording(path)
    assert recording.form == f'LeRobot {version}, parquet and video' and recording.losses == []
    assert recording.name == 'set' and recording.fps == 10
    assert {topic.name: (topic.kind, topic.count) for topic in recording.topics} == {
        FRONT: ('sensor_msgs/msg/Image', 15), WRIST: ('sensor_msgs/msg/Image', 15),
        STATE: ('std_msgs/msg/Float64MultiArray', 15),
        ACTION: ('std_msgs/msg/Float64MultiArray', 15), ASKED: ('std_msgs/msg/String', 0)}
    assert recording.columns == {STATE: JOINTS, ACTION: JOINTS}
    first, second = recording.episodes
    assert (first.name, first.start_ns, first.end_ns) == ('0', START_NS, START_NS + 5 * FRAME_NS)
    assert second.start_ns == first.end_ns + GAP_NS
    assert second.end_ns == second.start_ns + 8 * FRAME_NS
    assert seen(recording) == expected() and seen(recording, WRIST) == expected(camera=1)
    messages = list(recording.messages({FRONT, STATE, ACTION, ASKED}))
    assert [message.topic for message in messages[:5]] == [ASKED, STATE, FRONT, ACTION, STATE]
    times = [message.time_ns for message in messages]
    assert times == sorted(times) and all(message.data is None for message in messages)
    asked = [message for message in messages if message.topic == ASKED]
    assert [(each.time_ns, each.read().data) for each in asked] == [
        (first.start_ns, TASKS[0]), (second.start_ns, TASKS[1])]
    numbers = [list(each.read().data) for each in messages if each.topic == STATE]
    assert numbers == [state(episode, frame) for episode, frame, _ in expected()]
    told = [list(each.read().data)[0] for each in messages if each.topic == ACTION]
    assert told == [row[0] + 1 for row in numbers]


def test_an_image_is_a_message_like_a_cameras(tmp_path):
    message = next(LeRobotRecording(made(tmp_path)).messages({FRONT})).read()
    stamp = message.header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == START_NS and message.header.frame_id == FRONT
    assert (message.height, message.width, message.step) == (64, 128, 384)
    assert message.encoding == 'rgb8' and len(message.data) == 64 * 384


@pytest.mark.parametrize('codec', ['libx264', 'libx265', 'libsvtav1'])
def test_videos_of_all_codecs_that_lerobot_writes(tmp_path, codec):
    if codec not in av.codecs_available:
        pytest.skip(f'PyAV here has no encoder {codec}')
    recording = LeRobotRecording(made(tmp_path, 'v3.0', codec=codec, lengths=(5, 4)))
    assert seen(recording) == expected((5, 4))


@pytest.mark.parametrize('version', ['v2.0', 'v3.0'])
def test_frames_go_with_their_rows_where_timestamps_begin_late(tmp_path, version):
    recording = LeRobotRecording(made(tmp_path, version, begin_s=0.1))
    assert recording.episodes[0].start_ns == START_NS
    assert seen(recording) == expected()


@pytest.mark.parametrize('stored', ['bytes', 'path'])
@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_images_in_parquet(tmp_path, version, stored):
    recording = LeRobotRecording(made(tmp_path, version, stored=stored))
    assert recording.form == f'LeRobot {version}, parquet'
    assert {topic.name: topic.kind for topic in recording.topics}[FRONT] == (
        'sensor_msgs/msg/CompressedImage')
    assert seen(recording) == expected()
    assert next(recording.messages({FRONT})).read().format == 'png'


def test_an_image_file_that_is_missing(tmp_path):
    path = made(tmp_path, stored='path')
    image = f'images/{FRONT}/episode_000000/frame_000000.png'
    (path / image).unlink()
    with pytest.raises(ObservationError, match=f'its image file .*{image} is not there'):
        next(LeRobotRecording(path).messages({FRONT})).read()


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_part_of_the_time(tmp_path, version):
    recording = LeRobotRecording(made(tmp_path, version))
    start_ns = recording.episodes[0].start_ns + 4 * FRAME_NS
    end_ns = recording.episodes[1].start_ns + 2 * FRAME_NS
    found = seen(recording, start_ns=start_ns, end_ns=end_ns)
    assert found == [each for each in expected() if each[:2] in [
        (0, 4), (0, 5), (1, 0), (1, 1), (1, 2)]]
    late = recording.episodes[1].start_ns + 7 * FRAME_NS
    assert seen(recording, start_ns=late) == expected()[-2:]
    asked = list(recording.messages({ASKED}, start_ns=late))
    assert asked == []  # it was asked before


def test_images_may_be_read_late_and_some_not_at_all(tmp_path):
    recording = LeRobotRecording(made(tmp_path, 'v3.0'))
    messages = list(recording.messages({FRONT}))
    wanted = [12, 3, 14, 3, 0, 7]
    assert [read_number(to_rgb(messages[at].read())) for at in wanted] == [
        expected()[at][2] for at in wanted]


def test_a_long_video_is_sought_and_not_decoded_from_its_beginning(tmp_path):
    write_video(tmp_path / 'long.mp4', [at % 256 for at in range(600)], 10)
    video, steps = Video(tmp_path / 'long.mp4'), []
    video._step, step = lambda: steps.append(step()), video._step
    assert read_number(video.at(55.0)) == 550 % 256 and len(steps) < 20
    assert read_number(video.at(55.1)) == 551 % 256
    assert read_number(video.at(2.0)) == 20  # back again
    assert [read_number(video.at(at)) for at in (2.02, 2.08)] == [20, 21]
    with pytest.raises(ObservationError, match='no frame at 60.200 s: it ends at 59.900 s'):
        video.at(60.2)


def test_frames_that_are_held_back_come_before_the_damage(tmp_path, monkeypatch):
    write_video(tmp_path / 'v.mp4', range(9), 10)
    real = av.open(str(tmp_path / 'v.mp4'))

    def demux(stream):
        yield from islice(real.demux(stream), 5)
        raise av.error.InvalidDataError(1, 'damaged')
    monkeypatch.setattr(av, 'open', lambda path: Fields(streams=real.streams, demux=demux))
    video = Video(tmp_path / 'v.mp4')
    assert [read_number(video.at(at / 10)) for at in range(5)] == list(range(5))
    with pytest.raises(ObservationError, match='ends at 0.400 s; 1 of its pieces are damaged'):
        video.at(0.5)


def test_a_declared_video_that_is_not_there(tmp_path):
    path = made(tmp_path)
    features = json.loads((path / 'meta/info.json').read_text())['features']
    rewritten(path, features={'observation.images.frnt': features[FRONT], **features})
    recording = LeRobotRecording(path)
    assert FRONT in {topic.name for topic in recording.topics}
    assert recording.losses == [
        'observation.images.frnt is declared in info.json, but of 2 of 2 episodes (15 images, '
        '1.5 s) the video is missing, first videos/chunk-000/observation.images.frnt/'
        'episode_000000.mp4; in set/videos/chunk-000 there is observation.images.front']
    assert seen(recording) == expected()


def test_no_video_at_all_is_one_sentence(tmp_path):
    path = made(tmp_path, cameras=(FRONT, WRIST))
    (path / 'videos').rename(path / 'video')
    with pytest.raises(ObservationError, match='no camera of .*/set can be read: .*is missing, '
                       'first videos/chunk-000/.*; in set there are '
                       f'data, meta, video, and so with {WRIST}$'):
        LeRobotRecording(path)


def test_the_video_of_one_episode_is_missing(tmp_path):
    path = made(tmp_path)
    (path / f'videos/chunk-000/{FRONT}/episode_000000.mp4').unlink()
    recording = LeRobotRecording(path)
    assert 'of 1 of 2 episodes (6 images, 0.6 s) the video is missing' in recording.losses[0]
    assert seen(recording) == expected()[6:]
    assert {topic.name: topic.count for topic in recording.topics}[FRONT] == 9
    assert len(list(recording.messages({STATE}))) == 15


def test_a_video_that_was_cut_off(tmp_path):
    path = made(tmp_path, lengths=(6, 9))
    video = path / f'videos/chunk-000/{FRONT}/episode_000001.mp4'
    write_video(video, [number(1, frame) for frame in range(7)], 10)
    recording = LeRobotRecording(path)
    messages = list(recording.messages({FRONT}))
    assert [read_number(to_rgb(each.read())) for each in messages[6:13]] == [
        number(1, frame) for frame in range(7)]
    with pytest.raises(ObservationError, match='no frame at 0.700 s: it ends at 0.600 s'):
        messages[13].read()
    assert recording.losses == [f'{FRONT}, episode 1: {video} ends at 0.60 s, so the last 2 of 9 '
                                'images are lost']
    with pytest.raises(ObservationError):
        seen(recording)
    assert len(recording.losses) == 1  # told once


def test_a_video_without_its_end_of_data_and_one_that_is_none(tmp_path):
    path = made(tmp_path)
    first, second = sorted(path.glob('videos/**/*.mp4'))
    data = second.read_bytes()
    second.write_bytes(data[:len(data) - 50])
    first.write_bytes(b'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n')
    recording = LeRobotRecording(path)
    found = []
    for message in recording.messages({FRONT}):
        try:
            found.append(read_number(to_rgb(message.read())))
        except ObservationError:
            break
    assert 0 < len(found) < 9 and found == [each[2] for each in expected()[6:6 + len(found)]]
    assert 'episode 0, 6 images, 0.6 s: ' in recording.losses[0]
    assert 'is a pointer of Git LFS' in recording.losses[0]
    assert 'are lost' in recording.losses[1]
    second.write_bytes(data[:200])
    recording = LeRobotRecording(path)
    assert list(recording.messages({FRONT})) == []
    assert f'{second} (200 bytes) has no video in it' in recording.losses[-1]
    second.write_bytes(bytes(200))
    recording = LeRobotRecording(path)
    assert list(recording.messages({FRONT})) == []
    assert f'{second} (200 bytes) cannot be read: ' in recording.losses[-1]


def test_rows_that_cannot_be_read(tmp_path):
    path = made(tmp_path)
    rows = path / 'data/chunk-000/episode_000000.parquet'
    rows.write_bytes(rows.read_bytes()[:-20])
    recording = LeRobotRecording(path)
    assert [each.name for each in recording.episodes] == ['1']
    assert recording.losses[0].startswith(f'{rows} (') and 'cannot be read' in recording.losses[0]
    assert recording.losses[1] == ('1 of 2 episodes have no rows that can be read (0): 6 frames, '
                                   '0.6 s')
    assert [read_number(to_rgb(each.read())) for each in recording.messages({FRONT})] == [
        each[2] for each in expected()[6:]]
    rows.unlink()
    assert 'episode_000000.parquet is not there' in LeRobotRecording(path).losses[0]
    (path / 'data/chunk-000/episode_000001.parquet').unlink()
    with pytest.raises(ObservationError, match='no episode of .* read: .* and 1 more files'):
        LeRobotRecording(path)


def test_rows_that_are_damaged_inside(tmp_path):
    path = made(tmp_path, lengths=(6, 40))
    rows = path / 'data/chunk-000/episode_000001.parquet'
    data = bytearray(rows.read_bytes())
    data[len(data) // 3:len(data) // 3 + 400] = bytes(400)
    rows.write_bytes(data)
    recording = LeRobotRecording(path)
    found = list(recording.messages({STATE}))
    assert 6 <= len(found) < 46
    assert f'{rows} cannot be read beyond row ' in recording.losses[0]
    assert 'of 40 of episode 1' in recording.losses[0]


def test_meta_without_tables(tmp_path):
    path = made(tmp_path)
    (path / 'meta/tasks.jsonl').unlink()
    with (path / 'meta/episodes.jsonl').open('a') as file:
        file.write('{"episode_index": 2,\n')
    recording = LeRobotRecording(path)
    assert [each.read().data for each in recording.messages({ASKED})] == list(TASKS)
    assert 'tasks.jsonl is not there' in recording.losses[0]
    assert 'episodes.jsonl: 1 of 3 lines are no JSON objects' in recording.losses[1]
    (path / 'meta/episodes.jsonl').unlink()
    recording = LeRobotRecording(path)
    assert [each.name for each in recording.episodes] == ['0', '1']
    assert seen(recording) == expected()
    assert list(recording.messages({ASKED})) == []
    assert ASKED not in {topic.name for topic in recording.topics}


def test_tasks_of_version_3_are_the_index_of_their_table(tmp_path):
    path = made(tmp_path, 'v3.0')
    episodes = path / 'meta/episodes/chunk-000/file-000.parquet'
    parquet.write_table(parquet.read_table(episodes).drop_columns(['tasks']), episodes)
    recording = LeRobotRecording(path)
    assert [each.read().data for each in recording.messages({ASKED})] == list(TASKS)


def test_version_3_without_episodes(tmp_path):
    path = made(tmp_path, 'v3.0', lengths=(6,))
    (path / 'meta/episodes/chunk-000/file-000.parquet').unlink()
    recording = LeRobotRecording(path)
    assert 'has no episodes that can be read' in recording.losses[0]
    assert seen(recording) == expected((6,))


def test_depth_and_unknown_features_are_told(tmp_path):
    path = made(tmp_path)
    values = json.loads((path / 'meta/info.json').read_text())['features']
    depth = {**values[FRONT], 'info': {'video.is_depth_map': True}}
    rewritten(path, features={
        **values, 'observation.depth': depth, 'note': {'dtype': 'string', 'shape': [1]},
        'grid': {'dtype': 'float32', 'shape': [2, 2]}, 'next.done': {'dtype': 'bool'}})
    recording = LeRobotRecording(path)
    assert recording.losses == ['not read: observation.depth (a depth map), note (of type '
                                'string), grid (of shape [2, 2])']
    assert seen(recording) == expected()


@pytest.mark.parametrize('names, found', [
    (['a', 'b'], ('a', 'b')), ({'motors': ['a', 'b']}, ('a', 'b')), ({'b': 1, 'a': 0}, ('a', 'b')),
    ({'arm': ['a'], 'hand': ['b']}, ('a', 'b')), ([['a', 'b']], ('a', 'b')),
    (None, ('0', '1')), (['a'], ('0', '1')), (['a', 'a'], ('0', '1')), ('ab', ('0', '1')),
    ({'x': {'y': ['a', 'b']}}, ('a', 'b')), ([1, 2], ('1', '2'))])
def test_names_of_columns(names, found):
    assert column_names(names, 2) == found


@pytest.mark.parametrize('changes, kind, what', [
    ({'codebase_version': 'v1.6'}, ConfigError, 'codebase_version is v1.6, expected v2.0'),
    ({'codebase_version': 'v4.0'}, ConfigError, 'codebase_version is v4.0, expected v2.0'),
    ({'fps': None}, ConfigError, 'fps is None, expected the frames a second'),
    ({'features': None}, ConfigError, 'features is NoneType, expected an object'),
    ({'data_path': 'data/{nobody}.parquet'}, ConfigError, "KeyError.'nobody'.*expected such as")])
def test_an_info_that_cannot_be_used(tmp_path, changes, kind, what):
    with pytest.raises(kind, match=what):
        open_recording(rewritten(made(tmp_path, lengths=(2,)), **changes))


def test_a_version_that_is_not_told_is_seen_by_the_files(tmp_path):
    path = rewritten(made(tmp_path, 'v3.0'), codebase_version=None)
    assert seen(LeRobotRecording(path)) == expected()


def test_an_info_that_is_no_json(tmp_path):
    path = made(tmp_path, lengths=(2,))
    (path / 'meta/info.json').write_text('{"fps": 1')
    with pytest.raises(ObservationError, match=r'info.json \(9 bytes\) cannot be read: Expecting'):
        open_recording(path)
    (path / 'meta/info.json').write_text('')
    with pytest.raises(ObservationError, match='info.json is empty .*copy or download it again'):
        open_recording(path)


def test_paths_in_and_above_a_data_set(tmp_path):
    path = made(tmp_path, lengths=(2,))
    for inside in ('meta/info.json', 'meta', 'data/chunk-000/episode_000000.parquet'):
        assert open_recording(path / inside).name == 'set'
    with pytest.raises(ConfigError, match='directory of LeRobot data sets, name one of them: set'):
        open_recording(tmp_path)
    (path / 'meta').rename(path / 'meta_data')
    with pytest.raises(ConfigError, match='a LeRobot data set of version 1'):
        open_recording(path)
    (path / 'meta_data').rename(path / 'other')
    with pytest.raises(ConfigError, match='has Parquet files in data/, but no meta/info.json'):
        open_recording(path)


def test_what_is_made_differs_in_each_frame():
    assert replace(Made(), version='v3.0').is_v3 and not Made().is_v3
    assert len({each[2] for each in expected() + expected(camera=1)}) == 30
