# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Blocks that are loaded ahead, and rows that are read together, hold what each holds alone."""

from contextlib import closing
from functools import partial
import sqlite3

from made_bags import messages, read_all, said, START_NS, write_database, write_mcap
import numpy as np
import pytest
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.mcap_file import McapFile, SHARED_BYTES
from sqap_vla_ros.recordings.merging import merged, Source
from sqap_vla_ros.recordings.parts import zstd_module
from sqap_vla_ros.recordings.sqlite_file import SqliteFile

STEP_NS = 100_000_000


def overlapping(folder, compression):
    """Write two files whose chunks overlap, with large and small messages of equal times."""
    folder.mkdir()
    for name, first in (('bag_1', 0), ('bag_0', 3)):
        wanted = messages(40, topics=('/a', '/b'))[first:]
        wanted[7] = (*wanted[7][:2], said('x' * 2 * SHARED_BYTES))
        write_mcap(folder / f'{name}.mcap', wanted, compression, per_chunk=7)
    return folder


@pytest.mark.parametrize('compression', ['', 'zstd', 'lz4'])
def test_blocks_that_are_loaded_ahead_are_those_that_are_not(tmp_path, monkeypatch, compression):
    bag, loaded = BagRecording(overlapping(tmp_path / 'bag', compression)), []
    plain = McapFile.load
    monkeypatch.setattr(McapFile, 'load', lambda self, block: loaded.append(
        (self.part.path.name, *block.place)) or plain(self, block))
    ahead = read_all(bag)
    assert len(loaded) == len(set(loaded)) == 12, 'each block once'
    times = [time_ns for _, time_ns, _ in ahead]
    assert times == sorted(times) and len(ahead) == 40 + 37
    monkeypatch.setattr(McapFile, 'loads_ahead', False)
    assert read_all(bag) == ahead
    large = next(message for message in bag.messages(['/a', '/b'])
                 if len(message.data) > SHARED_BYTES)
    assert large.read().data == 'x' * 2 * SHARED_BYTES
    bag.close()


def test_what_is_loaded_ahead_and_not_gone_through_is_not_told_as_lost(tmp_path):
    path = write_mcap(tmp_path / 'cut.mcap', messages(30), '', per_chunk=10)
    data = bytearray(path.read_bytes())
    data[data.rfind(said('25'))] ^= 1
    path.write_bytes(data)
    with closing(BagRecording(path)) as bag:
        with closing(bag.messages(['/a', '/b'])) as found:
            assert [next(found).time_ns for _ in range(15)][-1] == START_NS + 14 * STEP_NS
        assert bag.losses == [], 'the chunk behind was loaded by then'
        assert len(read_all(bag)) == 20 and 'checksum' in bag.losses[0]


def rows(path, count=50):
    """Write a database with two messages that are none and one that was noted late."""
    write_database(path, messages(count))
    with closing(sqlite3.connect(path)) as data, data:
        data.execute('UPDATE messages SET data = 7.5 WHERE id = 12')
        data.execute('UPDATE messages SET timestamp = -1 WHERE id = 20')
        data.execute("UPDATE messages SET data = CAST(x'80' AS TEXT) WHERE id = 30")
    return path


@pytest.mark.parametrize('topics', [('/a', '/b'), ('/b',)])
def test_rows_that_are_read_together_are_those_that_are_read_one_by_one(
        tmp_path, monkeypatch, topics):
    found = {}
    for together in (SqliteFile._together, lambda self, wanted: iter(())):
        monkeypatch.setattr(SqliteFile, '_together', together)
        with closing(BagRecording(rows(tmp_path / f'{len(found)}.db3'))) as bag:
            found[together] = [(item.time_ns, item.data) for item in bag.messages(topics)]
            told = [text.partition(': ')[2] for text in bag.losses]
            assert told[0] == 'the data of 2 messages is damaged' and '1 message left' in told[1]
    first, second = found.values()
    assert first == second and len(first) == (47 if '/a' in topics else 22)


def test_rows_that_lie_in_another_order_than_their_times_are_sorted(tmp_path):
    path = write_database(tmp_path / 'late.db3', messages(20))
    with closing(sqlite3.connect(path)) as data, data:
        data.execute(f'UPDATE messages SET timestamp = {START_NS + 1} WHERE id = 9')
    with closing(BagRecording(path)) as bag:
        found = read_all(bag)
    assert [time_ns for _, time_ns, _ in found] == sorted(time_ns for _, time_ns, _ in found)
    assert (found[1][1], found[1][2]) == (START_NS + 1, said('8')) and len(found) == 20


def test_a_large_message_that_was_packed_alone_is_unpacked(tmp_path):
    text = ''.join(np.random.default_rng(0).permutation(list('abcdefgh' * 50_000)))
    packed = zstd_module().compress(said(text))
    path = write_mcap(tmp_path / 'packed.mcap', [('/a', START_NS, packed)], '')
    assert len(packed) > SHARED_BYTES
    with closing(BagRecording(path)) as bag:
        assert [message.read().data for message in bag.messages(['/a'])] == [text]


def test_of_items_of_one_time_those_of_the_first_source_come_first():
    sources = [Source(1, partial(iter, [(time, name) for time in times]))
               for name, times in (('x', (1, 3, 5)), ('y', (1, 3, 3)), ('z', (3, 5)))]
    assert ''.join(name for _, name in merged(sources)) == 'xyxyyzxz'
