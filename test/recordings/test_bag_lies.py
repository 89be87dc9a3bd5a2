# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags that say what cannot be: files named twice, metadata of odd types, times out of range."""

import sqlite3

from made_bags import messages, read_all, said, write_database, write_mcap
import pytest
from sqap_vla_ros.recordings import parts
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.parts import unlz4, unzstd, zstd_module

WANTED = messages(6)
METADATA = 'rosbag2_bagfile_information:\n  {}\n'


def bag(folder, text):
    """Write a bag of one file with what metadata.yaml says; return the recording."""
    write_mcap(folder / 'bag_0.mcap', WANTED)
    (folder / 'metadata.yaml').write_text(text)
    return BagRecording(folder)


@pytest.mark.parametrize('names', ['bag_0.mcap, bag_0.mcap', 'bag_0.mcap, ../bag_0.mcap',
                                   'bag_0.mcap, bag_0.mcap.zstd', '/x/bag_0.mcap, ./bag_0.mcap'])
def test_a_file_that_is_named_twice_is_read_once(tmp_path, names):
    recording = bag(tmp_path, METADATA.format(f'relative_file_paths: [{names}]'))
    assert read_all(recording) == WANTED
    assert 'names 2 files, of which 1 is named before' in recording.losses[0]


def test_files_of_one_name_in_two_folders_are_both_read(tmp_path):
    wanted = [(topic, time_ns, said(2**15 * 'x')) for topic, time_ns, _ in WANTED]
    for name, part in (('a', wanted[:3]), ('b', wanted[3:])):
        (tmp_path / name).mkdir()
        packed = write_mcap(tmp_path / 'x', part).read_bytes()
        (tmp_path / name / 'x.mcap.zstd').write_bytes(zstd_module().compress(packed))
    (tmp_path / 'x').unlink()
    (tmp_path / 'metadata.yaml').write_text(METADATA.format(
        'relative_file_paths: [a/x.mcap, b/x.mcap]'))
    recording = BagRecording(tmp_path)
    assert read_all(recording) == wanted and not recording.losses


@pytest.mark.parametrize('text, words', [
    ('', 'metadata.yaml cannot be used (it is empty, expected rosbag2_bagfile_information'),
    ('5', '(it is 5, expected'), ('rosbag2_bagfile_information: 5', "bagfile_information': 5}"),
    (METADATA.format('relative_file_paths: 5'), 'relative_file_paths is 5, expected a list of n'),
    (METADATA.format('relative_file_paths: bag_0.mcap'), "is 'bag_0.mcap', expected a list"),
    (METADATA.format('relative_file_paths: [5, 6]'), 'is [5, 6], expected a list of names'),
    (METADATA.format('topics_with_message_count: 5'), 'is 5, expected a list of topics'),
    (METADATA.format('topics_with_message_count: {/a: 5}'), "is {'/a': 5}, expected a list")])
def test_metadata_of_other_types_is_told_and_not_used(tmp_path, text, words):
    recording = bag(tmp_path, text)
    assert read_all(recording) == WANTED
    loss, = recording.losses
    assert words in loss


def test_metadata_that_says_nothing_is_no_loss(tmp_path):
    item = '{topic_metadata: {name: /a}, message_count: .inf}'
    for text in ('relative_file_paths:\n  topics_with_message_count:',
                 'relative_file_paths: []', f'topics_with_message_count: [{item}]'):
        recording = bag(tmp_path, METADATA.format(text))
        assert read_all(recording) == WANTED and not recording.losses


@pytest.mark.parametrize('write', [
    write_mcap, lambda path, wanted: write_mcap(path, wanted, 'zstd', 3),
    lambda path, wanted: write_mcap(path, wanted, 'zstd', 3, index=False)])
def test_messages_of_times_that_cannot_be_are_left_out(tmp_path, write):
    late = [('/late', 2**64 - 1, WANTED[0][2])]
    for odd in (WANTED[:4] + late + WANTED[4:], WANTED + late, late + WANTED):
        recording = BagRecording(write(tmp_path / 'bag', odd))
        assert read_all(recording) == WANTED
        assert 'bag: 1 message left out for the time at which it came in' in recording.losses[0]
        episode, = recording.episodes
        assert (episode.start_ns, episode.end_ns) == (WANTED[0][1], WANTED[-1][1])
        assert [(item.name, item.count) for item in recording.topics] == [
            ('/a', 3), ('/b', 3), ('/late', 0)]


def test_rows_of_times_that_cannot_be_are_left_out(tmp_path):
    path = write_database(tmp_path / 'a.db3', WANTED)
    with sqlite3.connect(path) as data:
        data.executemany('INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)',
                         [(each, b'') for each in (-1, 2**63 - 1, 'late')])
    data.close()
    recording = BagRecording(path)
    assert read_all(recording) == WANTED and len(recording.episodes) == 1
    assert '3 messages left out for the time at which they came in: expected 0 to' in (
        recording.losses[0])
    assert recording.topics[0].count == 3


def test_what_unpacks_to_more_than_a_message_can_be_is_not_unpacked(monkeypatch):
    from lz4.frame import compress
    size = 9 * 2**20
    for pack, unpack in ((zstd_module().compress, unzstd), (compress, unlz4)):
        packed = pack(bytes(size))
        monkeypatch.setattr(parts, 'MAX_BYTES', size)
        assert unpack(packed) == bytes(size) and unpack(pack(b'')) == b''
        with pytest.raises(ValueError):
            unpack(packed[:-5])
        monkeypatch.setattr(parts, 'MAX_BYTES', size - 1)
        with pytest.raises(ValueError, match='it unpacks to more than 9437183 bytes'):
            unpack(packed)
