# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags that are damaged, odd or none: what can be read is read, and the rest is told."""

import gc

from made_bags import messages, read_all, said, START_NS, write_database, write_mcap
import pytest
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.recordings.bag import BagRecording
from sqap_vla_ros.recordings.parts import zstd_module
from sqap_vla_ros.recordings.sqlite_carving import Pages

LONG = [(topic, time_ns, said('x' * (number * 97 % 9000)))
        for number, (topic, time_ns, _) in enumerate(messages(80))]
WRITERS = {
    'chunks': lambda path: write_mcap(path, LONG, 'zstd'),
    'plain chunks': lambda path: write_mcap(path, LONG, ''),
    'loose': lambda path: write_mcap(path, LONG),
    'database': lambda path: write_database(path, LONG)}


@pytest.mark.parametrize('form', WRITERS)
def test_a_bag_that_is_cut_off_anywhere_gives_what_is_whole_and_tells_what_is_not(tmp_path, form):
    path = WRITERS[form](tmp_path / 'bag')
    whole, counts = path.read_bytes(), []
    for size in (*range(1, 60, 13), *range(60, len(whole), len(whole) // 23), len(whole) - 1):
        path.write_bytes(whole[:size])
        try:
            recording = BagRecording(path)
        except ObservationError as error:
            counts.append(0)
            assert str(path) in str(error)
            continue
        found = read_all(recording)
        counts.append(len(found))
        assert all(item in LONG for item in found)
        assert recording.losses or found == LONG  # of which the index alone is gone
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] >= 78
    assert counts[len(counts) // 2] > 20


@pytest.mark.parametrize('form', WRITERS)
def test_a_hole_in_a_bag_costs_what_was_in_it(tmp_path, form):
    path = WRITERS[form](tmp_path / 'bag')
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(20) + whole[middle + 20:])
    recording = BagRecording(path)
    found = [item for item in read_all(recording) if item in LONG]
    assert len(found) >= 30
    if form in ('chunks', 'plain chunks'):
        assert found[-1] == LONG[-1] and len(found) == 70
        assert 'bag: 1 of 8 chunks are damaged' in recording.losses[0]


def test_rows_are_found_in_the_pages_as_the_database_tells_them(tmp_path):
    path = write_database(tmp_path / 'a.db3', LONG)
    with path.open('rb') as file:
        pages = Pages(file, path.stat().st_size)
        rows = sorted(pages.rows())
        assert [row.number for row in rows] == list(range(1, 81))
        assert [row.time_ns for row in rows] == [time_ns for _, time_ns, _ in LONG]
        assert [pages.data(row) for row in rows] == [data for *_, data in LONG]


def test_a_database_that_is_left_in_the_middle_is_closed_without_a_word(tmp_path, monkeypatch):
    said_of = []
    monkeypatch.setattr('sys.unraisablehook', said_of.append)
    recording = BagRecording(write_database(tmp_path / 'a.db3', LONG))
    found = recording.messages(['/a', '/b'])
    assert next(found).data == LONG[0][2]
    recording.close()
    del found
    gc.collect()
    assert not said_of


@pytest.mark.parametrize('lost', [0, 7])
def test_a_message_with_a_damaged_page_costs_itself_alone_even_the_first(tmp_path, lost):
    wanted = [(topic, time_ns, said(chr(65 + number) * 40000))
              for number, (topic, time_ns, _) in enumerate(messages(16))]
    path = write_database(tmp_path / 'a.db3', wanted)
    content = bytearray(path.read_bytes())
    page = content.index(bytes([65 + lost]) * 3000) // 4096 + 3
    content[page * 4096:page * 4096 + 4] = b'\0\x98\x96\x7f'  # the next page is none
    path.write_bytes(content)
    recording = BagRecording(path)
    assert read_all(recording) == wanted[:lost] + wanted[lost + 1:]
    assert 'the data of 1 messages is damaged' in recording.losses[0]


@pytest.mark.parametrize('form', ['plain chunks', 'loose'])
def test_a_file_system_that_gives_less_than_was_asked_for_is_asked_again(
        tmp_path, form, monkeypatch):
    from sqap_vla_ros.recordings import mcap_file
    path, pread = WRITERS[form](tmp_path / 'bag'), mcap_file.os.pread
    monkeypatch.setattr(mcap_file.os, 'pread', lambda file, size, place: pread(
        file, -(-size // 2), place))
    recording = BagRecording(path)
    assert read_all(recording) == LONG and not recording.losses


def test_a_database_that_was_left_while_it_was_written_to_is_read_with_its_log(tmp_path):
    import sqlite3
    path = write_database(tmp_path / 'a.db3', LONG[:40])
    data = sqlite3.connect(path)
    data.execute('PRAGMA journal_mode = WAL')
    data.executemany('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
                     [(1, time_ns, content) for _, time_ns, content in LONG[40:]])
    data.commit()
    assert len(read_all(BagRecording(path))) == 80
    data.close()


def test_a_compressed_file_that_is_cut_off_is_unpacked_as_far_as_it_goes(tmp_path):
    packed = zstd_module().compress(write_mcap(tmp_path / 'b.mcap', LONG, '').read_bytes())
    path = tmp_path / 'a.mcap.zstd'
    path.write_bytes(packed)
    assert read_all(BagRecording(path)) == LONG
    plain = zstd_module().compress(bytes(200_000))
    path.write_bytes(plain[:len(plain) // 2])
    with pytest.raises(ObservationError, match='a.mcap is (no file of a bag|empty)'):
        BagRecording(path)


@pytest.mark.parametrize('name, content, kind, words', [
    ('a.mcap', b'', ObservationError, 'a.mcap is empty: 0 bytes'),
    ('a.db3', b'', ObservationError, 'a.db3 is empty: 0 bytes'),
    ('a.mcap', bytes(5000), ObservationError, 'it begins with'),
    ('a.db3', b'SQLite format 3\0' + bytes(5000), ObservationError, 'cannot be read as a data'),
    ('a.mcap', b'version https://git-lfs.github.com/spec/v1\n', ObservationError, 'git lfs pull'),
    ('a.bag', b'#ROSBAG V2.0\n', ConfigError, 'rosbags-convert --src'),
    ('notes.txt', b'hello', ConfigError, 'is no bag: it holds notes.txt'),
    ('a.db3.zstd', b'\x28\xb5\x2f\xfd' + bytes(99), ObservationError, 'nothing of the bag')])
def test_what_is_no_bag_is_told(tmp_path, name, content, kind, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=words):
        BagRecording(tmp_path / name if kind is ConfigError and name == 'a.bag' else tmp_path)


def test_bags_without_messages_or_of_another_encoding_are_told_with_their_topics(tmp_path):
    path = write_database(tmp_path / 'a.db3', messages(1))
    import sqlite3
    with sqlite3.connect(path) as data:
        data.execute('DELETE FROM messages')
    data.close()
    with pytest.raises(ObservationError, match='no message that can be read; its topics: /a'):
        BagRecording(path)
    path = write_mcap(tmp_path / 'a.mcap', messages(4), encoding='json')
    with pytest.raises(ConfigError, match='encoded as json, expected cdr.*its topics: /a, /b'):
        BagRecording(path)


def test_metadata_that_does_not_fit_the_files_is_told_and_the_files_are_read(tmp_path):
    wanted, metadata = messages(6), tmp_path / 'metadata.yaml'
    text = ('rosbag2_bagfile_information:\n  relative_file_paths: {}\n'
            '  topics_with_message_count: [{{topic_metadata: {{name: /a}}, message_count: 5}}]\n')
    write_mcap(tmp_path / 'bag_0.mcap', wanted)
    metadata.write_text(text.format('[other.mcap]'))
    recording = BagRecording(tmp_path)
    assert read_all(recording) == wanted
    renamed, counted = recording.losses
    assert 'names other.mcap, which is not there: read was bag_0.mcap' in renamed
    assert 'counts 5 messages, 3 were found: /a 3 of 5' in counted
    metadata.write_text(text.format('[bag_0.mcap, bag_1.mcap]'))
    assert 'names 2 files, 1 of them are not there: bag_1.mcap' in BagRecording(
        tmp_path).losses[0]
    for broken in ('a: [', 'a: 1', '- 1', '\0'):
        metadata.write_text(broken)
        recording = BagRecording(tmp_path)
        assert read_all(recording) == wanted and 'cannot be used' in recording.losses[0]
    (tmp_path / 'bag_0.mcap').unlink()
    metadata.write_text(text.format('[bag_0.mcap]'))
    with pytest.raises(ConfigError, match='names bag_0.mcap, of which nothing is there'):
        BagRecording(tmp_path)


def test_several_bags_in_a_directory_are_told_by_their_names(tmp_path):
    for name in ('one.mcap', 'two.mcap'):
        write_mcap(tmp_path / name, messages(2))
    with pytest.raises(ConfigError, match='holds several bags: one.mcap, two.mcap: name one'):
        BagRecording(tmp_path)
    with pytest.raises(ConfigError, match="did you mean '.*one.mcap'"):
        BagRecording(tmp_path / 'on.mcap')


def shifted(wanted, seconds):
    """Return messages at a later time."""
    return [(topic, time_ns + round(seconds * 1e9), data) for topic, time_ns, data in wanted]


@pytest.mark.parametrize('write', [
    write_database, write_mcap, lambda path, wanted: write_mcap(path, wanted, 'zstd', 7),
    lambda path, wanted: write_mcap(path, wanted, '', 100, index=False)])
def test_where_the_clock_was_set_back_an_episode_of_its_own_begins(tmp_path, write):
    first, second = messages(30), messages(25)
    recording = BagRecording(write(tmp_path / 'bag', first + second))
    before, after = recording.episodes
    assert before.end_ns < after.start_ns and before.start_ns == START_NS
    assert (before.shift_ns, after.shift_ns) == (0, after.start_ns - START_NS)
    assert read_all(recording) == first + shifted(second, (after.start_ns - START_NS) * 1e-9)
    assert 'time goes back by 2.9 s, 2.9 s after the beginning' in recording.losses[0]
    part = recording.messages(['/a', '/b'], after.start_ns, after.end_ns)
    assert [item.data for item in part] == [data for *_, data in second]


@pytest.mark.parametrize('order', [
    lambda wanted: wanted[::-1], lambda wanted: sorted(wanted), lambda wanted: (
        [wanted[8], *wanted[:8], *wanted[9:]])], ids=['backwards', 'topic by topic', 'a stray'])
def test_files_that_are_not_sorted_are_read_by_their_times(tmp_path, order):
    wanted = messages(40)
    for path in (write_mcap(tmp_path / 'a.mcap', order(wanted), '', 6),
                 write_database(tmp_path / 'a.db3', order(wanted))):
        recording = BagRecording(path)
        assert read_all(recording) == wanted and len(recording.episodes) == 1
        assert not recording.losses


def test_what_was_heard_before_the_clock_ran_is_of_the_beginning(tmp_path):
    wanted = messages(40)
    early = [('/tf_static', 0, said('mount')), ('/a', 0, said('early'))]
    for path in (write_mcap(tmp_path / 'a.mcap', early + wanted, '', 2),
                 write_mcap(tmp_path / 'b.mcap', early + wanted),
                 write_database(tmp_path / 'a.db3', early + wanted)):
        recording = BagRecording(path)
        episode, = recording.episodes
        assert (episode.start_ns, episode.end_ns) == (START_NS, wanted[-1][1])
        assert read_all(recording) == [
            (topic, START_NS, data) for topic, _, data in early] + wanted
        first, = recording.messages(['/tf_static'], episode.start_ns, episode.start_ns)
        assert first.read().data == 'mount'
