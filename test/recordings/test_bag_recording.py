# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Bags as recordings: every form in which they are written gives the same messages."""

from camera_bag import BagOfCamera
import pytest
from sqap_vla_ros.recordings.open import open_recording

FORMS = [('SQLITE3', ''), ('SQLITE3', 'MESSAGE'), ('SQLITE3', 'FILE'), ('MCAP', ''),
         ('MCAP', 'MESSAGE'), ('MCAP', 'FILE'), ('MCAP', 'STORAGE')]


def told(recording):
    """Return what a recording tells of each message."""
    names = [topic.name for topic in recording.topics]
    return [(item.time_ns, item.topic, item.kind, item.data)
            for item in recording.messages(names)]


def test_every_storage_and_compression_gives_the_same_messages(tmp_path):
    seen = {}
    for storage, compression in FORMS:
        path = tmp_path / f'{storage}{compression}'
        BagOfCamera(path, images=3, storage=storage, compression=compression)
        recording = open_recording(path)
        seen[storage, compression] = told(recording)
        assert [(topic.name, topic.count) for topic in recording.topics] == [
            ('/cam/camera_info', 3), ('/cam/image', 3), ('/tf', 3), ('/tf_static', 1)]
        assert storage.lower() in recording.form and not recording.losses
        recording.close()
    first = seen[FORMS[0]]
    assert len(first) == 10 and [item[0] for item in first] == sorted(item[0] for item in first)
    assert all(seen[form] == first for form in FORMS)


@pytest.mark.parametrize('suffix', ['', '/metadata.yaml', '/bag.mcap'])
def test_a_bag_is_named_by_its_directory_or_a_file_of_it(tmp_path, suffix):
    BagOfCamera(tmp_path / 'bag', images=1, storage='MCAP')
    recording = open_recording(f'{tmp_path / "bag"}{suffix}')
    image, = recording.messages(['/cam/image'])
    assert image.read().encoding == 'rgb8' and len(image.read().data) == 480 * 640 * 3
