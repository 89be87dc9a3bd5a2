# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings: every form in which they are written gives the same messages."""

from camera_bag import BagOfCamera
from made_bags import LATCHED, messages, read_all, said, START_NS, write_database, write_mcap
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.merging import merged, Source

FORMS = [('SQLITE3', ''), ('SQLITE3', 'MESSAGE'), ('SQLITE3', 'FILE'), ('MCAP', ''),
         ('MCAP', 'MESSAGE'), ('MCAP', 'FILE'), ('MCAP', 'STORAGE')]


def test_every_storage_and_compression_gives_the_same_messages(tmp_path):
    seen = {}
    for storage, compression in FORMS:
        path = tmp_path / f'{storage}{compression}'
        BagOfCamera(path, images=3, storage=storage, compression=compression)
        recording = BagRecording(path)
        seen[storage, compression] = read_all(recording)
        assert [(topic.name, topic.count) for topic in recording.topics] == [
            ('/cam/camera_info', 3), ('/cam/image', 3), ('/tf', 3), ('/tf_static', 1)]
        assert storage.lower() in recording.form and not recording.losses
        recording.close()
    first = seen[FORMS[0]]
    assert len(first) == 10 and [item[1] for item in first] == sorted(item[1] for item in first)
    assert all(seen[form] == first for form in FORMS)


@pytest.mark.parametrize('suffix', ['', '/metadata.yaml', '/bag.mcap'])
def test_a_bag_is_named_by_its_directory_or_a_file_of_it(tmp_path, suffix):
    BagOfCamera(tmp_path / 'bag', images=1, storage='MCAP')
    recording = BagRecording(f'{tmp_path / "bag"}{suffix}')
    image, = recording.messages(['/cam/image'])
    assert image.read().encoding == 'rgb8' and len(image.read().data) == 480 * 640 * 3


@pytest.mark.parametrize('index', [True, False])
@pytest.mark.parametrize('compression', [None, '', 'zstd', 'lz4'])
def test_mcap_of_any_chunks_with_an_index_or_without(tmp_path, compression, index):
    wanted = messages()
    recording = BagRecording(write_mcap(tmp_path / 'a.mcap', wanted, compression, index=index))
    assert read_all(recording) == wanted and not recording.losses
    assert [topic.count for topic in recording.topics] == [15, 15]
    first_s, last_s = 0.35, 1.2
    part = list(recording.messages(
        ['/b'], START_NS + round(first_s * 1e9), START_NS + round(last_s * 1e9)))
    assert [item.read().data for item in part] == ['5', '7', '9', '11']


def test_a_bag_of_humble_has_no_definitions_and_tells_what_is_latched(tmp_path):
    recording = BagRecording(write_database(tmp_path / 'a.db3', messages(3)))
    assert [item.read().data for item in recording.messages(['/a', '/b'])] == ['0', '1', '2']
    assert all(topic.latched and topic.reliable and topic.depth == 1
               for topic in recording.topics)
    recording = BagRecording(write_mcap(tmp_path / 'a.mcap', messages(2), qos=LATCHED.replace(
        'reliability: 1, durability: 1', 'reliability: best_effort, durability: volatile')))
    assert not any(topic.latched or topic.reliable for topic in recording.topics)


def test_parts_of_a_split_bag_are_read_in_the_order_of_time_not_of_names(tmp_path):
    wanted = messages(36)
    for number, first in enumerate(range(0, 36, 3)):  # bag_10 stands before bag_2 by its letters
        write_mcap(tmp_path / f'bag_{number}.mcap', wanted[first:first + 3])
    recording = BagRecording(tmp_path)
    assert read_all(recording) == wanted and len(recording.episodes) == 1


def test_a_type_of_somebodys_own_disturbs_nobody_who_does_not_ask_for_it(tmp_path):
    wanted = messages(4)
    kinds = {'/a': 'my_msgs/msg/Odd'}
    for definition in ('string data\nmy_msgs/Lost[] lost', '%!$ none', ''):
        path = write_mcap(tmp_path / 'a.mcap', wanted, kinds=kinds,
                          definitions={'my_msgs/msg/Odd': definition})
        odd, known, *_ = BagRecording(path).messages(['/a', '/b'])
        assert known.read().data == '1'
        with pytest.raises(ObservationError, match='my_msgs/msg/Odd is not known'):
            odd.read()
    path = write_mcap(tmp_path / 'a.mcap', wanted, kinds=kinds, definitions={
        'my_msgs/msg/Odd': 'Inner inner\n' + '=' * 80 + '\nMSG: my_msgs/Inner\nstring text'})
    assert next(BagRecording(path).messages(['/a'])).read().inner.text == '0'


def test_the_definition_in_the_bag_counts_and_one_that_is_wrong_does_not(tmp_path):
    path = write_mcap(tmp_path / 'a.mcap', messages(2), definitions={
        'std_msgs/msg/String': 'string text'})
    assert next(BagRecording(path).messages(['/a'])).read().text == '0'
    path = write_mcap(tmp_path / 'a.mcap', messages(2), definitions={
        'std_msgs/msg/String': 'uint8 level'})
    assert next(BagRecording(path).messages(['/a'])).read().data == '0'


def test_a_damaged_message_is_told_when_it_is_read(tmp_path):
    wanted = [('/a', START_NS, said('hello')[:-4]), ('/a', START_NS + 1, said('hello'))]
    damaged, whole = BagRecording(write_mcap(tmp_path / 'a.mcap', wanted)).messages(['/a'])
    assert whole.read().data == 'hello'
    with pytest.raises(ObservationError, match='a std_msgs/msg/String of 10 bytes is damaged'):
        damaged.read()


def test_of_two_types_on_a_topic_the_commoner_one_is_read(tmp_path):
    wanted = messages(9, ('/a', '/b', '/c'))
    path = write_mcap(tmp_path / 'a.mcap', wanted, kinds={'/b': 'std_msgs/msg/Odd'})
    path.write_bytes(path.read_bytes().replace(b'/b', b'/a').replace(b'/c', b'/a'))
    recording = BagRecording(path)
    assert [item.read().data for item in recording.messages(['/a'])] == list('023568')[:6]
    topic, = recording.topics
    assert (topic.kind, topic.count) == ('std_msgs/msg/String', 6)
    assert any('3 messages of type std_msgs/msg/Odd beside 6' in text
               for text in recording.losses)


def test_sources_are_opened_when_their_time_has_come():
    opened = []

    def source(name, *times):
        def items():
            opened.append(name)
            return iter([(time, name) for time in times])
        return Source(times[0], items)

    found = merged([source('a', 1, 4, 9), source('b', 4, 5), source('c', 10)])
    assert [next(found), next(found), next(found)] == [(1, 'a'), (4, 'a'), (4, 'b')]
    assert opened == ['a', 'b']
    assert list(found) == [(5, 'b'), (9, 'a'), (10, 'c')]
