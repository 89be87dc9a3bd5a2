# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a bag holds when its writer is killed, or has no more room."""

import errno
import shutil
import sqlite3

from full_disk import full_disk  # noqa: F401
from made_bags import messages, read_all, START_NS
import pytest
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.bag_writer import bag_bytes, opened_bag, STORAGES

WANTED = messages(60)
LARGE = [('/a', WANTED[-1][1] + 1 + number, bytes(10**5)) for number in range(60)]


def write(bag, wanted):
    """Write messages, and begin their topics."""
    for topic in {topic for topic, *_ in wanted} - set(bag._topics):
        bag.add_topic(topic, 'std_msgs/msg/String')
    for topic, time_ns, data in wanted:
        bag.write(topic, time_ns, data)


@pytest.mark.parametrize('storage', STORAGES)
def test_what_was_flushed_outlives_the_writer(tmp_path, storage):
    with opened_bag(tmp_path / 'bag', storage) as bag:
        bag.flush()  # nothing at all
        write(bag, WANTED[:20])
        bag.flush()
        write(bag, WANTED[20:40])
        bag.flush()
        size = bag_bytes(tmp_path / 'bag')
        bag.flush()
        assert bag_bytes(tmp_path / 'bag') == size, 'nothing is written of nothing'
        write(bag, WANTED[40:] + (LARGE if storage == 'sqlite3' else []))  # more than it caches
        shutil.copytree(tmp_path / 'bag', tmp_path / 'killed')
    # a journal has to be rolled back by who may write, before anybody reads
    assert not list((tmp_path / 'killed').glob('*-journal'))
    assert read_all(BagRecording(tmp_path / 'killed')) == WANTED[:40]
    whole = BagRecording(tmp_path / 'bag')
    assert read_all(whole)[:60] == WANTED and not whole.losses


def test_a_database_that_is_closed_is_one_file_that_needs_no_other(tmp_path):
    with opened_bag(tmp_path / 'bag', 'sqlite3') as bag:
        write(bag, WANTED)
    assert {path.name for path in (tmp_path / 'bag').iterdir()} == {'bag.db3', 'metadata.yaml'}
    with sqlite3.connect(tmp_path / 'bag' / 'bag.db3') as data:
        assert data.execute('PRAGMA journal_mode').fetchone() == ('delete',)


def test_a_database_without_room_is_a_full_disk_with_what_was_before(tmp_path):
    with pytest.raises(OSError, match='database or disk is full') as raised:
        with opened_bag(tmp_path / 'bag', 'sqlite3') as bag:
            write(bag, WANTED)
            bag.flush()
            bag._writer.storage.conn.execute('PRAGMA max_page_count = 1')
            while True:
                bag.write('/a', START_NS, bytes(10**4))
    assert raised.value.errno == errno.ENOSPC
    assert read_all(BagRecording(tmp_path / 'bag')) == WANTED


def test_an_mcap_without_room_keeps_what_was_before(tmp_path, full_disk):  # noqa: F811
    full_disk(20_000)
    with pytest.raises(OSError, match='No space left'):
        with opened_bag(tmp_path / 'bag', compressed=False) as bag:
            write(bag, WANTED)
            bag.flush()
            bag.write('/a', START_NS, bytes(10**5))
            bag.flush()
    assert read_all(BagRecording(tmp_path / 'bag')) == WANTED
